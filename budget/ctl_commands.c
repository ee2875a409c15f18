/* The table of commands and options, and what is printed from it. */
#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "budget/ctl.h"

#define BIT(option) (1U << CTL_OPTION_##option)
static_assert(CTL_OPTION_COUNT <= 32, "an option is a bit of an unsigned");

const unsigned ctl_general_options = BIT(CONFIG) | BIT(SERVER) | BIT(JSON) | BIT(CSV) | BIT(HELP);

/* In the order of enum ctl_option_id. */
const struct ctl_option ctl_options[CTL_OPTION_COUNT + 1] = {
    [CTL_OPTION_CONFIG] = {"config", 'c', "FILE",
                           "configuration file (default /etc/pgveil/pgveil.json)"},
    [CTL_OPTION_SERVER] = {"server", 's', "CONNINFO",
                           "ledger server, instead of what the configuration file says; without a "
                           "password, which others could see"},
    [CTL_OPTION_JSON] = {"json", 0, NULL, "print tables as JSON"},
    [CTL_OPTION_CSV] = {"csv", 0, NULL, "print tables as CSV"},
    [CTL_OPTION_HELP] = {"help", 'h', NULL, "explain the command"},
    [CTL_OPTION_EPSILON] = {"epsilon", 'e', "NUMBER",
                            "epsilon of the grant, at most nine decimals"},
    [CTL_OPTION_DELTA] = {"delta", 'd', "NUMBER", "delta of the grant, from 1e-11, such as 1e-6"},
    [CTL_OPTION_WINDOW] = {"window", 'w', "WINDOW",
                           "none (the default), day, week or month: when the budget starts anew"},
    [CTL_OPTION_PASSWORD_FILE] = {"password-file", 0, "FILE",
                                  "read the password from the first line of FILE"},
    [CTL_OPTION_PASSWORD_STDIN] = {"password-stdin", 0, NULL,
                                   "read the password from the first line of standard input"},
    [CTL_OPTION_MODE] = {"mode", 'm', "MODE",
                         "how charges add up: gdp (the default), zcdp or pure"},
    [CTL_OPTION_GROUP] = {"group", 'g', "GROUP", "the cap of a group instead of all analysts"},
    [CTL_OPTION_ON] = {"on", 0, NULL, "enforce the cap again"},
    [CTL_OPTION_OFF] = {"off", 0, NULL, "count, but refuse nothing because of the cap"},
    [CTL_OPTION_RESET] = {"reset", 0, NULL, "forget what was spent under the cap"},
    [CTL_OPTION_LINES] = {"lines", 'n', "COUNT", "how many entries (default 20)"},
    [CTL_OPTION_HEAD] = {"head", 0, "SEQ:HASH",
                         "an entry and its hash, as `status` showed them earlier"},
    [CTL_OPTION_MAN] = {"man", 0, NULL, "print the manual page"},
    [CTL_OPTION_YES] = {"yes", 'y', NULL, "do not ask for confirmation"},
    [CTL_OPTION_DRY_RUN] = {"dry-run", 0, NULL, "show what would change, and change nothing"},
    [CTL_OPTION_UNIT] = {"unit", 0, "TABLE", "the table whose rows are the privacy units"},
    [CTL_OPTION_ANALYST] = {"analyst", 'a', "ANALYST", "which analyst"},
    [CTL_OPTION_DATASET] = {"dataset", 'd', "DATASET", "which dataset"},
    [CTL_OPTION_DRAW] = {"draw", 0, "NUMBER", "one draw, by its number in `answers list`"},
    [CTL_OPTION_LOOK] = {"look", 0, NULL, "read rows too, and say in comments what was seen"},
    [CTL_OPTION_VERSION] = {"version", 0, NULL, "the same as the command"},
    [CTL_OPTION_COUNT] = {NULL, 0, NULL, NULL},
};

#define PASSWORD (BIT(PASSWORD_FILE) | BIT(PASSWORD_STDIN))
#define AMOUNTS (BIT(EPSILON) | BIT(DELTA) | BIT(WINDOW) | BIT(MODE) | BIT(DRY_RUN))

const struct ctl_command ctl_commands[] = {
    {"init", "", "create the ledger's schema, or bring it up to date",
     "Safe to repeat. pgveil does the same whenever it starts; this is for ledger servers that "
     "should be ready before.",
     0, 0, 0, false, ctl_init},
    {"status", "", "show the ledger server, its schema and its journal",
     "`unresolved` counts charges whose answer was never reported: they stay spent. `durable` is "
     "`no` where the server was told not to write to disk before it confirms: it may forget charges "
     "when it crashes, and pgveil does not run on it. Note `entries` and `head` somewhere else "
     "from time to time: `ledger verify --head` then finds a ledger that was restored from an "
     "older backup.",
     0, 0, 0, true, ctl_status},
    {"analyst add", "NAME", "create an analyst, with a password and no budget",
     "The password is asked for twice on the terminal, or read as the options say. Only a SCRAM "
     "verifier of it is kept. What an earlier analyst of this name has spent stays spent. A name is "
     "1 to 63 bytes of UTF-8 that can all be seen. One that looks like another analyst's, apart from "
     "case, accents or letters of another script, is confirmed.",
     PASSWORD | BIT(YES), 1, 1, false, ctl_analyst_add},
    {"analyst list", "", "list the analysts", "", 0, 0, 0, true, ctl_analyst_list},
    {"analyst show", "NAME", "show one analyst", "", 0, 1, 1, true, ctl_analyst_show},
    {"analyst disable", "NAME", "let an analyst neither log in nor spend", "", 0, 1, 1, true,
     ctl_analyst_disable},
    {"analyst enable", "NAME", "undo disable", "", 0, 1, 1, true, ctl_analyst_enable},
    {"analyst passwd", "NAME", "set an analyst's password anew", "", PASSWORD, 1, 1, false,
     ctl_analyst_passwd},
    {"analyst remove", "NAME", "take an analyst's login and grants away",
     "What was spent stays with the name: an analyst added later under it continues there.",
     BIT(YES) | BIT(DRY_RUN), 1, 1, true, ctl_analyst_remove},
    {"group join", "GROUP ANALYST", "put an analyst into a group",
     "What the members of a group learn together is bounded by the group's caps (`budget cap "
     "--group`). Charges count for the groups that the analyst is in when asking. A group begins "
     "with its first member or cap; a name that looks like another group's is confirmed.",
     BIT(YES) | BIT(DRY_RUN), 2, 2, true, ctl_group_join},
    {"group leave", "GROUP ANALYST", "take an analyst out of a group", "", BIT(DRY_RUN), 2, 2, true,
     ctl_group_leave},
    {"group list", "", "list the groups, their analysts and caps", "", 0, 0, 0, true,
     ctl_group_list},
    {"dataset list", "", "list the datasets that the ledger knows",
     "A dataset is known to the ledger from its first grant, or when pgveil first serves it.", 0, 0,
     0, true, ctl_dataset_list},
    {"dataset sync", "NAME", "let the running pgveil read a dataset's policy and catalogue again",
     "A new twin is built beside the one in use and takes its place for new sessions; sessions that "
     "are open keep what they began with. Where anything does not fit, the dataset is served as "
     "before, and exit status 1 says so.",
     0, 1, 1, false, ctl_dataset_sync},
    {"dataset test", "NAME",
     "check a dataset's protected server, pgveil's role there and the policy",
     "A line for each check with its result and, where it failed, what to do. Reads catalogues; of "
     "rows, how many the public tables have. Exit status 1 where a check failed.",
     0, 1, 1, false, ctl_dataset_test},
    {"dataset pause", "NAME", "measure nothing more on a dataset until `dataset resume`",
     "Private statements are refused before anything is charged; everything else goes on. Not kept "
     "over a restart of pgveil, as PAUSE of PgBouncer is not: what must last is `budget freeze`, or "
     "`analyst disable`.",
     0, 1, 1, false, ctl_dataset_pause},
    {"dataset resume", "NAME", "undo pause", "", 0, 1, 1, false, ctl_dataset_resume},
    {"session list", "", "show who is connected to the running pgveil",
     "Sessions of the kind `explains only` are those of `pgveilctl explain`. The twin of a session "
     "that began before the last `dataset sync` is `old`.",
     0, 0, 0, false, ctl_session_list},
    {"session kill", "PID", "end a session, by its pid of `session list`",
     "What was charged stays charged.", 0, 1, 1, false, ctl_session_kill},
    {"reload", "", "let the running pgveil read its configuration file again",
     "Shows what differs, and what of it is in use now and what needs a restart. Datasets whose "
     "policy file has changed are synchronised.",
     0, 0, 0, false, ctl_reload},
    {"explain", "SQL", "show what a statement of an analyst's would do and cost",
     "The privacy plan as EXPLAIN shows it to the analyst: noise, bounds, expected error, the "
     "price, the budget before and after, the measurement. Nothing is measured and nothing charged. "
     "With --json the machine-readable plan. Where SQL is `-` it is read from standard input.",
     BIT(ANALYST) | BIT(DATASET), 1, 1, false, ctl_explain},
    {"console", "", "talk to the running pgveil",
     "Commands such as SHOW STATUS, SHOW SESSIONS, SYNC census; SHOW HELP lists them, `quit` or an "
     "end of file ends the console. Where standard input is no terminal its lines are commands, one "
     "each, and the first that fails ends it with exit status 1. Any PostgreSQL client can do the "
     "same: psql -h STATE_DIRECTORY/control -p 5432 pgveil.",
     0, 0, 0, false, ctl_console},
    {"budget grant", "ANALYST DATASET", "grant an analyst a budget on a dataset, or change it",
     "Within one window, everything that the analyst learns of one person is "
     "(epsilon, delta)-differentially private; k windows compose to k grants. A new grant replaces "
     "the old one and never gives back what was spent, whatever the window was. The first grant on "
     "a dataset also sets the cap that all its analysts share, to the same amount.",
     AMOUNTS, 2, 2, false, ctl_budget_grant},
    {"budget set", "ANALYST DATASET", "change parts of a grant",
     "Like `budget grant`, but what is not given stays as it is. From one window to another, the one "
     "that ends later is finished first.",
     AMOUNTS, 2, 2, false, ctl_budget_set},
    {"budget cap", "DATASET", "bound what all analysts of a dataset learn together",
     "The cap guards against analysts who share their answers. It is on from the first grant. With "
     "--epsilon, --delta, --window and --mode it is set (what is not given stays as it is); with "
     "--off it counts, but refuses nothing. With --group it is the cap of the group's members.",
     AMOUNTS | BIT(GROUP) | BIT(ON) | BIT(OFF) | BIT(RESET) | BIT(YES), 1, 1, false,
     ctl_budget_cap},
    {"budget show", "[NAME] [DATASET]", "show grants and caps, and what is left of them",
     "NAME is an analyst or a group; rows of the holder `dataset` are the caps that all analysts of "
     "it share, and an answer is given only where the analyst's budget and the cap both allow it. "
     "With --json and --csv also the ledger's own integers: spent_pico and cap_pico (squared "
     "Gaussian-DP parameter, or twice the rho of zCDP, in units of 1e-12), spent_delta and "
     "cap_delta. unresolved counts charges whose answer was never reported: they stay spent. "
     "`budget show --dataset census` shows everybody on one dataset.",
     BIT(ANALYST) | BIT(DATASET), 0, 2, true, ctl_budget_show},
    {"budget forecast", "ANALYST DATASET", "show how many queries the budget still buys",
     "For ungrouped counts of people: the half-width of the 95 % interval, the price of one as a "
     "share of the grant, and how many of them are left, with the caps of all analysts and of the "
     "analyst's groups, and what is granted on other datasets over the same database. A sum over a "
     "column with bounds 0 to b has b times the error for the same price. The noise is Gaussian, or "
     "Laplace where a budget has the mode pure. With --json and --csv also the price in the ledger's "
     "integer, and which limit ends them.",
     0, 2, 2, true, ctl_budget_forecast},
    {"budget freeze", "ANALYST DATASET", "refuse every further charge",
     "Until `budget unfreeze`. What is under way is answered.", BIT(DRY_RUN), 2, 2, true,
     ctl_budget_freeze},
    {"budget unfreeze", "ANALYST DATASET", "undo freeze",
     "Also after too many failed measurements in a row, which freeze an account by themselves: look "
     "into the reason first.",
     BIT(DRY_RUN), 2, 2, true, ctl_budget_unfreeze},
    {"budget revoke", "ANALYST DATASET", "take a grant back; what was spent is remembered", "",
     BIT(YES) | BIT(DRY_RUN), 2, 2, true, ctl_budget_revoke},
    {"budget reset", "ANALYST DATASET", "forget what was spent",
     "Gives the whole budget anew, so that the guarantee from now on is that of two grants. The "
     "journal keeps the charges and notes the reset. The dataset's cap is not reset with it (see "
     "`budget cap --reset`).",
     BIT(YES) | BIT(DRY_RUN), 2, 2, true, ctl_budget_reset},
    {"setting list", "[DATASET]", "show the settings of the ledger",
     "minimum_mu2_pico: the least that a measured statement costs (squared Gaussian-DP parameter in "
     "units of 1e-12). failures_max: so many failed measurements in a row freeze an account. "
     "kept_bytes_max: so many bytes are kept of the noisy answers of one analyst and dataset, the "
     "oldest are forgotten. A dataset without a value of its own has that of all datasets.",
     0, 0, 1, true, ctl_setting_list},
    {"setting set", "NAME VALUE", "change a setting, for all datasets or for one",
     "A smaller minimum lets more statements see the data for one budget, a higher limit of failures "
     "lets more of them fail: both are confirmed, and the journal notes every change. With --dataset "
     "for that dataset alone.",
     BIT(DATASET) | BIT(YES) | BIT(DRY_RUN), 2, 2, true, ctl_setting_set},
    {"setting reset", "NAME", "give a setting its first value, or a dataset that of all datasets",
     "With --dataset the value of that dataset alone is taken away.",
     BIT(DATASET) | BIT(YES) | BIT(DRY_RUN), 1, 1, true, ctl_setting_reset},
    {"ledger tail", "[NAME] [DATASET]", "show the newest entries of the journal",
     "With --json or --csv, and in `ledger show`, with all that is kept of each.",
     BIT(LINES) | BIT(ANALYST) | BIT(DATASET), 0, 2, true, ctl_ledger_tail},
    {"ledger show", "ENTRY", "show one entry, by its number or request id", "", 0, 1, 1, true,
     ctl_ledger_show},
    {"ledger export", "", "write the whole journal to standard output",
     "As JSON, one entry a line, or with --csv as CSV.", 0, 0, 0, true, ctl_ledger_export},
    {"ledger verify", "", "check the journal's hash chain, prices and sums",
     "Finds entries that were changed, removed or added by hand, charges that cost less than their "
     "noise demands, accounts that do not show what the journal adds up to, and a ledger that lost "
     "entries, as one restored from an older backup: it must hold the entry that pgveil noted last "
     "in its state directory, or the one of --head, noted elsewhere. Exit status 1 where anything "
     "was found.",
     BIT(HEAD), 0, 0, true, ctl_ledger_verify},
    {"ledger accept", "", "let pgveil use a ledger that was set back",
     "pgveil does not start on a ledger that no longer holds the newest entry it has seen, and stops "
     "where that happens while it runs: budgets that were spent would be there again. This is the "
     "DBA's word that it may; the journal notes it. Charges that are missing can be made up for by "
     "smaller grants before analysts are let in. Where several pgveil share a ledger, each machine "
     "has its own note. The managed ledger runs without analysts with `pgveil --ledger`.",
     BIT(YES) | BIT(DRY_RUN), 0, 0, true, ctl_ledger_accept},
    {"answers list", "[DATASET]", "show the noisy answers that are kept for who paid for them",
     "A draw is one release that was measured once. The analysts named have paid for it, and have it "
     "again for nothing as long as the budget window in which they paid and the dataset's epoch "
     "last. `entry` is its charge in the journal, `bytes` is what it takes of kept_bytes_max (see "
     "`setting list`) of each of them.",
     BIT(ANALYST), 0, 1, true, ctl_answers_list},
    {"answers forget", "DATASET", "forget kept answers, so that the same question is measured anew",
     "All of the dataset, those of one analyst (who then pays again; what others have paid for too "
     "stays theirs), or one draw. Nothing is given back, and the journal notes it. Where the data "
     "was changed and must be seen before the epoch ends, this is the way.",
     BIT(ANALYST) | BIT(DRAW) | BIT(YES) | BIT(DRY_RUN), 1, 1, true, ctl_answers_forget},
    {"policy check", "[FILE]", "check a policy file, or those of all configured datasets",
     "Without FILE the policies that the configuration file names are checked. No server is asked: "
     "whether tables and columns exist is found out when pgveil starts.",
     0, 0, 1, false, ctl_policy_check},
    {"policy show", "FILE", "show what a policy file says, as a table", "", 0, 1, 1, false,
     ctl_policy_show},
    {"policy diff", "OLD NEW", "show how two policy files differ",
     "Compares what they say, not how they are written. Exit status 0 where they say the same, 1 "
     "where they differ or cannot be read.",
     0, 2, 2, false, ctl_policy_diff},
    {"policy suggest", "SOURCE", "write a first policy from a database's catalogue",
     "SOURCE is a dataset of the configuration file or a connection string. Keys, types and "
     "constraints are read; no rows and no statistics. The policy goes to standard output; what a "
     "DBA has to decide (the unit, the path from a table to it, bounds, domains, how many rows one "
     "unit contributes, what was left out) stands in the comments of the policy. Without --unit, "
     "the likeliest table is taken for the units, by the keys that lead to it and by names. --look "
     "reads the rows of the private tables for the comments; what is seen there goes into no bound "
     "and no domain.",
     BIT(UNIT) | BIT(LOOK), 1, 1, false, ctl_policy_suggest},
    {"completion", "SHELL", "print completions for bash, zsh or fish",
     "For bash: `source <(pgveilctl completion bash)`.", 0, 1, 1, false, ctl_completion},
    {"version", "", "print the version", "", BIT(VERSION), 0, 0, false, ctl_version},
    {"help", "[COMMAND]", "explain a command, or list them all", "", BIT(MAN), 0, 2, false,
     ctl_help},
    {NULL, NULL, NULL, NULL, 0, 0, 0, false, NULL},
};

void ctl_error(const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    /* The server's messages end a line themselves. */
    size_t length = strlen(line);
    while (length > 0 && line[length - 1] == '\n') {
        line[--length] = '\0';
    }
    fprintf(stderr, "pgveilctl: %s\n", line);
}

const struct ctl_command *ctl_find_command(int n_words, char **words, int *used)
{
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        const char *space = strchr(command->name, ' ');
        size_t first = space ? (size_t)(space - command->name) : strlen(command->name);
        if (n_words < 1 || strlen(words[0]) != first ||
            strncmp(words[0], command->name, first) != 0) {
            continue;
        }
        if (!space) {
            *used = 1;
            return command;
        }
        if (n_words >= 2 && strcmp(words[1], space + 1) == 0) {
            *used = 2;
            return command;
        }
    }
    return NULL;
}

/* Prints text in lines of at most 78 columns, each behind the indentation, the first behind what
 * stands there instead. */
static void print_wrapped(FILE *file, const char *first, const char *text, int indentation)
{
    size_t width = 78 - (size_t)indentation;
    while (*text) {
        size_t length = strlen(text);
        if (length > width) {
            length = width;
            while (length > 0 && text[length] != ' ') {
                length--;
            }
            if (length == 0) {
                length = strcspn(text, " ");
            }
        }
        fprintf(file, "%-*s%.*s\n", indentation, first, (int)length, text);
        first = "";
        text += length;
        text += strspn(text, " ");
    }
}

static void print_options(FILE *file, unsigned bits)
{
    for (int id = 0; id < CTL_OPTION_COUNT; id++) {
        const struct ctl_option *option = &ctl_options[id];
        char left[64];
        if (!(bits & (1U << id))) {
            continue;
        }
        int length = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", option->letter ? '-' : ' ',
                              option->letter ? option->letter : ' ', option->letter ? ", " : "  ",
                              option->name, option->argument ? " " : "",
                              option->argument ? option->argument : "");
        assert(length > 0 && (size_t)length < sizeof(left));
        print_wrapped(file, left, option->help, 30);
    }
}

void ctl_print_usage(FILE *file)
{
    fputs("pgveilctl: analysts, budgets, charges and policies of pgveil, and the running pgveil\n\n"
          "Usage: pgveilctl COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:\n",
          file);
    for (const struct ctl_command *command = ctl_commands; command->name; command++) {
        char left[80];
        snprintf(left, sizeof(left), "%s%s%s", command->name, command->arguments[0] ? " " : "",
                 command->arguments);
        fprintf(file, "  %-32s %s\n", left, command->summary);
    }
    fputs("\nOptions of every command:\n", file);
    print_options(file, ctl_general_options);
    fputs("\nExit status: 0 done, 1 refused or failed, 2 wrong usage, 3 the ledger server, or the "
          "running\npgveil, cannot be reached or has no connection to spare: try again.\n",
          file);
}

void ctl_print_help(FILE *file, const struct ctl_command *command)
{
    fprintf(file, "Usage: pgveilctl %s%s%s [OPTIONS]\n\n", command->name,
            command->arguments[0] ? " " : "", command->arguments);
    fprintf(file, "%c%s.\n", command->summary[0] - ('a' - 'A'), command->summary + 1);
    if (command->details[0]) {
        fputc('\n', file);
        print_wrapped(file, "", command->details, 0);
    }
    fputs("\nOptions:\n", file);
    print_options(file, command->options | ctl_general_options);
}

enum ctl_exit ctl_help(struct ctl *ctl)
{
    int used = 0;
    if (ctl->option[CTL_OPTION_MAN]) {
        ctl_print_man(stdout);
        return CTL_OK;
    }
    if (ctl->n_arguments == 0) {
        ctl_print_usage(stdout);
        return CTL_OK;
    }
    const struct ctl_command *command = ctl_find_command(ctl->n_arguments, ctl->arguments, &used);
    if (!command || used != ctl->n_arguments) {
        ctl_tell_unknown(ctl->n_arguments, ctl->arguments);
        return CTL_USAGE;
    }
    ctl_print_help(stdout, command);
    return CTL_OK;
}
