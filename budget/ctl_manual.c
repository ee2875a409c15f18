/* The manual page and the shells' completions, both from the table of commands. */
#include <string.h>

#include "budget/ctl.h"

/* Text for roff: nothing in it is taken for markup. */
static void put_roff(FILE *file, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", file);
        }
        if (*text == '\\') {
            fputs("\\e", file);
        } else if (*text == '-') {
            fputs("\\-", file);
        } else {
            fputc(*text, file);
        }
        line_start = *text == '\n';
    }
}

static void put_roff_options(FILE *file, unsigned bits)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        const struct ctl_option *option = &ctl_options[id];
        if (!(bits & (1U << id))) {
            continue;
        }
        fputs(".TP\n", file);
        if (option->letter) {
            fprintf(file, "\\fB\\-%c\\fR, ", option->letter);
        }
        fputs("\\fB\\-\\-", file);
        put_roff(file, option->name);
        fprintf(file, "\\fR%s%s%s\n", option->argument ? " \\fI" : "",
                option->argument ? option->argument : "", option->argument ? "\\fR" : "");
        put_roff(file, option->help);
        fputc('\n', file);
    }
}

static void put_paragraph(FILE *file, const char *text)
{
    fputs(".PP\n", file);
    put_roff(file, text);
    fputc('\n', file);
}

/* What a first day looks like. */
static void put_examples(FILE *file)
{
    static const struct {
        const char *what;
        const char *lines[4];
    } examples[] = {
        {"A first policy, to be read and changed before it is used:",
         {"pgveilctl policy suggest 'host=db dbname=census' > census.json",
          "pgveilctl policy check census.json"}},
        {"Is everything as it should be at the protected server?",
         {"pgveilctl dataset test census"}},
        {"An analyst, and a budget of epsilon 3 a month:",
         {"pgveilctl analyst add ana",
          "pgveilctl budget grant ana census --epsilon 3 --delta 1e-6 --window month",
          "pgveilctl budget forecast ana census"}},
        {"What would a statement cost, and how far would its answer be off?",
         {"pgveilctl explain -a ana -d census 'SELECT avg(wage) FROM people'"}},
        {"After a change of the schema or the policy; open sessions go on:",
         {"pgveilctl dataset sync census"}},
        {"Every night: is the ledger sound, and does it hold what it held yesterday?",
         {"pgveilctl ledger verify --head \"$(cat yesterday)\"",
          "pgveilctl status --json | jq -r '\"\\(.entries):\\(.head)\"' > yesterday"}},
    };
    fputs(".SH EXAMPLES\n", file);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        put_paragraph(file, examples[i].what);
        fputs(".nf\n", file);
        for (int line = 0; line < 4 && examples[i].lines[line]; line++) {
            fputs("    ", file);
            put_roff(file, examples[i].lines[line]);
            fputc('\n', file);
        }
        fputs(".fi\n", file);
    }
}

void ctl_print_man(FILE *file)
{
    fputs(".TH PGVEILCTL 8\n.SH NAME\npgveilctl \\- analysts, budgets and charges of pgveil\n"
          ".SH SYNOPSIS\n.B pgveilctl\n.I COMMAND\n[arguments] [options]\n.SH DESCRIPTION\n",
          file);
    put_roff(file,
             "The tool of the DBA of pgveil, the proxy that answers SQL with differential privacy: "
             "who may log in, what each analyst may learn of each dataset, the journal of what was "
             "spent, the policies, and the running pgveil itself.\n");
    put_paragraph(file,
                  "Analysts, groups, budgets, settings, answers and the journal are in the ledger. "
                  "Without --server it is found through the configuration file: its ledger_server, "
                  "or the managed ledger below its state_directory, which runs as long as pgveil "
                  "does and is open to the user that runs pgveil and to root.");
    put_paragraph(file,
                  "explain, console, dataset sync, test, pause and resume, session and reload talk "
                  "to the running pgveil over the socket in the folder control below its "
                  "state_directory, open to the same two users.");
    put_paragraph(
        file, "Tables are aligned for people and leave out what only programs need; with --json "
              "and --csv they are whole. Messages and progress go to standard error, progress "
              "to terminals only. What changes budgets has --dry-run; what gives budget back, "
              "takes something away for good or weakens the bookkeeping asks for a typed yes, "
              "or wants --yes where there is no terminal.");
    fputs(".SH COMMANDS\n", file);
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        fputs(".SS ", file);
        put_roff(file, command->name);
        fprintf(file, "%s%s\n%c", command->arguments[0] ? " " : "", command->arguments,
                command->summary[0] - ('a' - 'A'));
        put_roff(file, command->summary + 1);
        fputs(".\n", file);
        if (command->details[0]) {
            fputs(".PP\n", file);
            put_roff(file, command->details);
            fputc('\n', file);
        }
        put_roff_options(file, command->options);
    }
    fputs(".SH OPTIONS\nOptions of every command:\n", file);
    put_roff_options(file, ctl_general_options);
    fputs(
        ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nrefused or failed; of ledger verify, policy check, "
        "policy diff and dataset test: something was found\n.TP\n2\nwrong usage\n.TP\n3\n"
        "the ledger server, or the running pgveil, cannot be reached or has no connection to spare: it "
        "may do another time\n.SH FILES\n.TP\n"
        "/etc/pgveil/pgveil.json\nthe configuration file\n.TP\n"
        "STATE_DIRECTORY/control\nfolder of the running pgveil's socket\n.TP\n"
        "~/.pgveilctl_history\nhistory of the console; PGVEILCTL_HISTORY names another file\n",
        file);
    put_examples(file);
}

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

static void put_options(const struct ctl_command *command)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if ((command->options | ctl_general_options) & (1U << id)) {
            printf("--%s ", ctl_options[id].name);
        }
    }
}

/* Shell code that sets `words` from `one` and `two`, the words before the cursor. */
static void put_cases(void)
{
    puts("  case \"$one $two\" in");
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        printf("    \"%s\"%s) options=\"", command->name, strchr(command->name, ' ') ? "" : "*");
        put_options(command);
        puts("\" ;;");
    }
    puts("  esac\n  case \"$one\" in");
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        if (begins_group(command) && second_word(command)) {
            printf("    %.*s) seconds=\"", (int)first_length(command), command->name);
            put_second_words(command);
            puts("\" ;;");
        }
    }
    puts("  esac");
}

static void print_bash(void)
{
    puts("_pgveilctl() {\n"
         "  local one=\"${COMP_WORDS[1]}\" two=\"\" options=\"\" seconds=\"\" words\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
         "  [ \"$COMP_CWORD\" -gt 2 ] && two=\"${COMP_WORDS[2]}\"");
    put_cases();
    fputs("  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"", stdout);
    put_first_words();
    puts("\"\n"
         "  elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$seconds\" ]; then words=\"$seconds\"\n"
         "  else words=\"$options\"; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "}\n"
         "complete -F _pgveilctl pgveilctl");
}

static void print_zsh(void)
{
    puts("#compdef pgveilctl\n"
         "_pgveilctl() {\n"
         "  local one=\"${words[2]}\" two=\"\" options=\"\" seconds=\"\"\n"
         "  (( CURRENT > 3 )) && two=\"${words[3]}\"");
    put_cases();
    fputs("  if (( CURRENT == 2 )); then compadd ", stdout);
    put_first_words();
    puts("\n"
         "  elif (( CURRENT == 3 )) && [[ -n \"$seconds\" ]]; then compadd ${=seconds}\n"
         "  else compadd -- ${=options}; _files; fi\n"
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

static void print_fish(void)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        int length = (int)first_length(command);
        if (begins_group(command)) {
            printf("complete -c pgveilctl -f -n __fish_use_subcommand -a %.*s\n", length,
                   command->name);
        }
        if (second_word(command)) {
            printf("complete -c pgveilctl -f -n '__fish_seen_subcommand_from %.*s' -a %s -d ",
                   length, command->name, second_word(command));
            put_quoted(command->summary);
            putchar('\n');
        }
    }
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        printf("complete -c pgveilctl -l %s %s-d ", ctl_options[id].name,
               ctl_options[id].argument ? "-r " : "");
        put_quoted(ctl_options[id].help);
        putchar('\n');
    }
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
