/* The command line: options in any place, the command's words, its arguments; and small checks of
 * what they say. */
#include <assert.h>
#include <getopt.h>
#include <string.h>

#include "budget/ctl.h"
#include "mechanisms/decimal.h"

enum { LONG_OPTION = 256 };

/* Commands may give a letter different meanings: which one is meant is known with the command. */
struct given {
    int n;
    struct {
        int letter; /* 0: id is known */
        int id;
        const char *value;
    } option[2 * CTL_OPTION_COUNT];
};

static void fill_getopt(struct option longs[CTL_OPTION_COUNT + 1], char shorts[])
{
    size_t length = 0;
    shorts[length++] = ':';
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        const struct ctl_option *option = &ctl_options[id];
        longs[id] =
            (struct option){option->name, option->argument ? required_argument : no_argument, NULL,
                            LONG_OPTION + id};
        if (option->letter && !memchr(shorts, option->letter, length)) {
            shorts[length++] = option->letter;
            if (option->argument) {
                shorts[length++] = ':';
            }
        }
    }
    longs[CTL_OPTION_COUNT] = (struct option){NULL, 0, NULL, 0};
    shorts[length] = '\0';
}

static bool read_options(int argc, char **argv, struct given *given)
{
    struct option longs[CTL_OPTION_COUNT + 1];
    char shorts[2 * CTL_OPTION_COUNT + 2];
    int found;
    fill_getopt(longs, shorts);
    opterr = 0;
    optind = 1;
    while ((found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (found == '?' || found == ':') {
            ctl_error(found == ':' ? "option %s needs a value" : "unknown option %s",
                      argv[optind - 1]);
            return false;
        }
        if (given->n == 2 * CTL_OPTION_COUNT) {
            ctl_error("too many options");
            return false;
        }
        bool is_letter = found < LONG_OPTION;
        given->option[given->n].letter = is_letter ? found : 0;
        given->option[given->n].id = is_letter ? -1 : found - LONG_OPTION;
        given->option[given->n].value = optarg ? optarg : "";
        given->n++;
    }
    return true;
}

/* The option that the letter stands for with this command (NULL: in general); -1: none. */
static int option_of_letter(const struct ctl_command *command, int letter)
{
    unsigned known = ctl_general_options | (command ? command->options : 0);
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (ctl_options[id].letter == letter && (known & (1U << id))) {
            return id;
        }
    }
    return -1;
}

static bool take_options(struct ctl *ctl, const struct given *given)
{
    for (int i = 0; i < given->n; i++) {
        int letter = given->option[i].letter;
        int id = letter ? option_of_letter(ctl->command, letter) : given->option[i].id;
        if (id < 0) {
            ctl_error("%s has no option -%c", ctl->command->name, letter);
            return false;
        }
        if (ctl->option[id]) {
            ctl_error("option --%s is given twice", ctl_options[id].name);
            return false;
        }
        ctl->option[id] = given->option[i].value;
    }
    return true;
}

static bool is_given(const struct given *given, enum ctl_option_id id)
{
    for (int i = 0; i < given->n; i++) {
        int letter = given->option[i].letter;
        if (letter ? letter == ctl_options[id].letter : given->option[i].id == (int)id) {
            return true;
        }
    }
    return false;
}

static bool check_command(struct ctl *ctl)
{
    const struct ctl_command *command = ctl->command;
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        if (ctl->option[id] && !((command->options | ctl_general_options) & (1U << id))) {
            ctl_error("%s has no option --%s", command->name, ctl_options[id].name);
            return false;
        }
    }
    if (ctl->option[CTL_OPTION_JSON] && ctl->option[CTL_OPTION_CSV]) {
        ctl_error("--json and --csv exclude each other");
        return false;
    }
    ctl->format = ctl->option[CTL_OPTION_JSON]  ? CTL_JSON
                  : ctl->option[CTL_OPTION_CSV] ? CTL_CSV
                                                : CTL_TABLE;
    if (!ctl->option[CTL_OPTION_HELP] &&
        (ctl->n_arguments < command->arguments_min || ctl->n_arguments > command->arguments_max)) {
        ctl_error("usage: pgveilctl %s %s", command->name, command->arguments);
        return false;
    }
    return true;
}

/* --help, --man and --version alone stand for commands. 0 with the usage printed: there is none. */
static int words_of_options(struct given *given, char ***words)
{
    static char help[] = "help", version[] = "version";
    static char *help_words[] = {help, NULL}, *version_words[] = {version, NULL};
    if (is_given(given, CTL_OPTION_VERSION)) {
        *words = version_words;
    } else if (is_given(given, CTL_OPTION_MAN)) {
        *words = help_words;
    } else if (is_given(given, CTL_OPTION_HELP)) {
        *words = help_words;
        given->n = 0;
    } else if (given->n > 0) {
        ctl_error("there is no command; `pgveilctl help` lists them");
        return 0;
    } else {
        ctl_print_usage(stderr);
        return 0;
    }
    return 1;
}

static void name_nearest(int n_words, char **words, char *text, size_t size)
{
    struct ctl_nearest nearest;
    char wanted[CTL_NAME_MAX + 1];
    char hint[CTL_HINT_SIZE];
    snprintf(wanted, sizeof(wanted), "%s%s%s", words[0], n_words > 1 ? " " : "",
             n_words > 1 ? words[1] : "");
    ctl_nearest_begin(&nearest, wanted);
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        ctl_nearest_try(&nearest, command->name);
    }
    ctl_nearest_hint(&nearest, hint);
    snprintf(text, size, "%s", hint[0] ? hint : "; `pgveilctl help` lists them");
}

void ctl_tell_unknown(int n_words, char **words)
{
    size_t length = strlen(words[0]);
    const char *separator = "; there are: ";
    char text[512] = "";
    size_t used = 0;
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        if (strncmp(command->name, words[0], length) == 0 && command->name[length] == ' ' &&
            used < sizeof(text)) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", separator,
                                     command->name);
            separator = ", ";
        }
    }
    if (used == 0) {
        name_nearest(n_words, words, text, sizeof(text));
    }
    ctl_error("there is no command \"%s%s%s\"%s", words[0], n_words > 1 ? " " : "",
              n_words > 1 ? words[1] : "", text);
}

bool ctl_parse(struct ctl *ctl, int argc, char **argv)
{
    struct given given = {0};
    memset(ctl, 0, sizeof(*ctl));
    if (!read_options(argc, argv, &given)) {
        return false;
    }
    int n_words = argc - optind;
    char **words = argv + optind;
    int used = 0;
    if (n_words == 0) {
        n_words = words_of_options(&given, &words);
        if (n_words == 0) {
            return false;
        }
    }
    ctl->command = ctl_find_command(n_words, words, &used);
    if (!ctl->command) {
        ctl_tell_unknown(n_words, words);
        return false;
    }
    ctl->n_arguments = n_words - used;
    ctl->arguments = words + used;
    return take_options(ctl, &given) && check_command(ctl);
}

/* False where both are given. */
static bool read_filter(const struct ctl *ctl, int place, enum ctl_option_id option,
                        const char **value)
{
    const char *argument = ctl->n_arguments > place ? ctl->arguments[place] : NULL;
    if (argument && ctl->option[option]) {
        ctl_error("\"%s\" and --%s say the same thing twice", argument, ctl_options[option].name);
        return false;
    }
    *value = argument ? argument : ctl->option[option];
    return true;
}

bool ctl_filters(const struct ctl *ctl, const char **name, const char **dataset)
{
    return read_filter(ctl, 0, CTL_OPTION_ANALYST, name) &&
           read_filter(ctl, 1, CTL_OPTION_DATASET, dataset);
}

bool ctl_read_amount(const char *text, int places, uint64_t *out)
{
    struct dp_decimal value;
    if (!dp_decimal_parse(text, strlen(text), &value)) {
        return false;
    }
    value = dp_decimal_normalize(&value);
    if (value.scale > places || value.digits <= 0) {
        return false;
    }
    for (; value.scale < places; value.scale++) {
        value.digits *= 10;
        if (value.digits > INT64_MAX) {
            return false;
        }
    }
    if (value.digits > INT64_MAX) {
        return false;
    }
    *out = (uint64_t)value.digits;
    return true;
}
