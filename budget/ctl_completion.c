/* Completions of the shells, from the table of commands. Options may stand anywhere; what counts is
 * the words that are neither options nor their values. */
#include <string.h>

#include "budget/ctl.h"

static size_t first_length(const struct ctl_command *command)
{
    return strcspn(command->name, " ");
}

/* Commands with the same first word stand together in the table; this is the first of them. */
static bool begins_group(const struct ctl_command *command)
{
    return command == ctl_commands || first_length(command) != first_length(command - 1) ||
           strncmp(command->name, command[-1].name, first_length(command)) != 0;
}

static const char *second_word(const struct ctl_command *command)
{
    const char *space = strchr(command->name, ' ');
    return space ? space + 1 : NULL;
}

/* The words that may stand behind an option; NULL: any. */
static const char *option_choices(int id)
{
    return id == CTL_OPTION_WINDOW ? "none day week month"
           : id == CTL_OPTION_MODE ? "gdp zcdp pure"
                                   : NULL;
}

static bool option_is_file(int id)
{
    return id == CTL_OPTION_CONFIG || id == CTL_OPTION_PASSWORD_FILE;
}

static void put_first_words(void)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        if (begins_group(command)) {
            printf("%.*s ", (int)first_length(command), command->name);
        }
    }
}

/* The second words of the group that begins here. */
static void put_second_words(const struct ctl_command *command)
{
    do {
        printf("%s ", second_word(command));
        command++;
    } while (command->name && !begins_group(command));
}

static void put_options(unsigned bits)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (bits & (1U << id)) {
            printf("--%s ", ctl_options[id].name);
        }
    }
}

/* "--config|-c", or with a letter that means several things "--delta". */
static void put_names(int id, const char *separator)
{
    printf("--%s", ctl_options[id].name);
    if (ctl_options[id].letter) {
        printf("%s-%c", separator, ctl_options[id].letter);
    }
}

/* Code of bash and zsh alike. From `line`, the words before the cursor: the commands' words `one`
 * and `two`, how many words there are in `n`, and in `option` the option whose value comes now. */
static void put_reading(void)
{
    puts("  local one=\"\" two=\"\" option=\"\" group word n=0\n"
         "  local options=\"\" seconds=\"\" choices=\"\" files=\"\"\n"
         "  for word in \"${line[@]}\"; do\n"
         "    if [ -n \"$option\" ]; then option=\"\"; continue; fi\n"
         "    case \"$word\" in");
    fputs("      ", stdout);
    const char *separator = "";
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (ctl_options[id].argument) {
            fputs(separator, stdout);
            put_names(id, "|");
            separator = "|";
        }
    }
    puts(
        ") option=\"$word\" ;;\n"
        "      -*) ;;\n"
        "      *) n=$((n + 1))\n"
        "        if [ $n -eq 1 ]; then one=\"$word\"; elif [ $n -eq 2 ]; then two=\"$word\"; fi ;;\n"
        "    esac\n"
        "  done");
}

static void put_option_values(void)
{
    puts("  case \"$option\" in");
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (option_choices(id) || option_is_file(id)) {
            fputs("    ", stdout);
            put_names(id, "|");
            puts(option_is_file(id) ? ") files=yes ;;" : ")");
        }
        if (option_choices(id)) {
            printf("      choices=\"%s\" ;;\n", option_choices(id));
        }
    }
    puts("  esac");
}

/* What fits at the cursor: `choices`, and files where `files` is set. */
static void put_choosing(void)
{
    put_option_values();
    puts("  group=\"$one\"\n"
         "  [ \"$one\" = help ] && group=\"$two\" n=$((n - 1))\n"
         "  case \"$one $two\" in");
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        printf("    \"%s\"%s) options=\"", command->name, strchr(command->name, ' ') ? "" : "*");
        put_options(command->options | ctl_general_options);
        puts("\" ;;");
    }
    fputs("    *) options=\"", stdout);
    put_options(ctl_general_options);
    puts("\" ;;\n  esac\n  case \"$group\" in");
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        if (begins_group(command) && second_word(command)) {
            printf("    %.*s) seconds=\"", (int)first_length(command), command->name);
            put_second_words(command);
            puts("\" ;;");
        }
    }
    fputs("  esac\n"
          "  if [ -n \"$option\" ]; then :\n"
          "  elif [ \"${current#-}\" != \"$current\" ]; then choices=\"$options\"\n"
          "  elif [ $n -eq 0 ]; then choices=\"",
          stdout);
    put_first_words();
    puts("\"\n"
         "  elif [ $n -eq 1 ] && [ -n \"$seconds\" ]; then choices=\"$seconds\"\n"
         "  elif [ \"$one\" = completion ]; then choices=\"bash zsh fish\"\n"
         "  elif [ \"$one\" = policy ]; then files=yes\n"
         "  elif [ \"$one\" != help ]; then choices=\"$options\"; fi");
}

static void print_bash(void)
{
    puts("_pgveilctl() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
         "  local -a line=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")");
    put_reading();
    put_choosing();
    puts("  COMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
         "  if [ -n \"$files\" ]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    local IFS=$'\\n'\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -F _pgveilctl pgveilctl");
}

static void print_zsh(void)
{
    puts("#compdef pgveilctl\n"
         "_pgveilctl() {\n"
         "  local current=\"${words[CURRENT]}\"\n"
         "  local -a line\n"
         "  line=(\"${(@)words[2,CURRENT-1]}\")");
    put_reading();
    put_choosing();
    puts("  [[ -n \"$choices\" ]] && compadd -- ${=choices}\n"
         "  [[ -n \"$files\" ]] && _files\n"
         "}\n"
         /* Autoloaded as a file of this name, or sourced. */
         "if [ \"$funcstack[1]\" = _pgveilctl ]; then _pgveilctl \"$@\"\n"
         "else compdef _pgveilctl pgveilctl; fi");
}

/* A summary within single quotes of fish. */
static void put_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('\'');
}

/* The words before the cursor, in the way of put_reading. */
static void put_fish_functions(void)
{
    fputs("function __pgveilctl_words\n"
          "  set -l option ''\n"
          "  set -l line (commandline -opc)\n"
          "  for word in $line[2..-1]\n"
          "    if test -n \"$option\"\n"
          "      set option ''\n"
          "      continue\n"
          "    end\n"
          "    switch $word\n"
          "      case ",
          stdout);
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (ctl_options[id].argument) {
            put_names(id, " ");
            putchar(' ');
        }
    }
    puts("\n"
         "        set option $word\n"
         "      case '-*'\n"
         "      case '*'\n"
         "        echo $word\n"
         "    end\n"
         "  end\n"
         "end\n"
         "function __pgveilctl_at\n"
         "  set -l before (__pgveilctl_words)\n"
         "  test \"$before\" = \"$argv\"\n"
         "end\n"
         "function __pgveilctl_in\n"
         "  set -l before (__pgveilctl_words)\n"
         "  string match -q -- \"$argv *\" \"$before \"\n"
         "end\n"
         "complete -c pgveilctl -f");
}

/* of: NULL for the options that every command has. */
static void put_fish_options(const struct ctl_command *of, unsigned bits)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        const struct ctl_option *option = &ctl_options[id];
        if (!(bits & (1U << id))) {
            continue;
        }
        fputs("complete -c pgveilctl", stdout);
        if (of) {
            printf(" -n '__pgveilctl_in %s'", of->name);
        }
        printf(" -l %s", option->name);
        if (option->letter) {
            printf(" -s %c", option->letter);
        }
        fputs(option_is_file(id) ? " -r -F" : option->argument ? " -x" : "", stdout);
        if (option_choices(id)) {
            printf(" -a '%s'", option_choices(id));
        }
        fputs(" -d ", stdout);
        put_quoted(option->help);
        putchar('\n');
    }
}

static void print_fish(void)
{
    put_fish_functions();
    put_fish_options(NULL, ctl_general_options);
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        int length = (int)first_length(command);
        if (begins_group(command)) {
            printf("complete -c pgveilctl -n '__pgveilctl_at' -a %.*s\n", length, command->name);
            printf("complete -c pgveilctl -n '__pgveilctl_at help' -a %.*s\n", length,
                   command->name);
        }
        for (int help = 0; second_word(command) && help < 2; help++) {
            printf("complete -c pgveilctl -n '__pgveilctl_at %s%.*s' -a %s -d ",
                   help ? "help " : "", length, command->name, second_word(command));
            put_quoted(command->summary);
            putchar('\n');
        }
        put_fish_options(command, command->options);
    }
    puts("complete -c pgveilctl -n '__pgveilctl_at completion' -a 'bash zsh fish'\n"
         "complete -c pgveilctl -n '__pgveilctl_in policy' -F");
}

enum ctl_exit ctl_completion(struct ctl *ctl)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(ctl->arguments[0], shells[i].shell) == 0) {
            shells[i].print();
            return CTL_OK;
        }
    }
    ctl_error("the shell is bash, zsh or fish");
    return CTL_USAGE;
}
