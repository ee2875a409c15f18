#ifndef BUDGET_CTL_H
#define BUDGET_CTL_H

/*
 * pgveilctl: what its commands share. The table in ctl_commands.c says which commands there are,
 * what they accept and what they say of themselves; everything else (parsing, help, usage) follows
 * from it.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "budget/ledger.h"
#include "config/config.h"

/* Exit codes, documented in docs/pgveilctl.md. CTL_UNREACHABLE: it may do another time. */
enum ctl_exit { CTL_OK = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

enum ctl_format { CTL_TABLE, CTL_JSON, CTL_CSV };

enum ctl_option_id {
    CTL_OPTION_CONFIG,
    CTL_OPTION_SERVER,
    CTL_OPTION_JSON,
    CTL_OPTION_CSV,
    CTL_OPTION_HELP,
    CTL_OPTION_EPSILON,
    CTL_OPTION_DELTA,
    CTL_OPTION_WINDOW,
    CTL_OPTION_PASSWORD_FILE,
    CTL_OPTION_PASSWORD_STDIN,
    CTL_OPTION_MODE,
    CTL_OPTION_GROUP,
    CTL_OPTION_ON,
    CTL_OPTION_OFF,
    CTL_OPTION_RESET,
    CTL_OPTION_LINES,
    CTL_OPTION_HEAD,
    CTL_OPTION_MAN,
    CTL_OPTION_YES,
    CTL_OPTION_DRY_RUN,
    CTL_OPTION_UNIT,
    CTL_OPTION_ANALYST,
    CTL_OPTION_DATASET,
    CTL_OPTION_DRAW,
    CTL_OPTION_VERSION,
    CTL_OPTION_LOOK,
    CTL_OPTION_COUNT
};

struct ctl_option {
    const char *name;     /* long name */
    char letter;          /* short name; 0: none */
    const char *argument; /* shown in help; NULL: a flag */
    const char *help;
};

struct ctl {
    const struct ctl_command *command;
    const char *option[CTL_OPTION_COUNT]; /* NULL: not given; "" for a flag */
    int n_arguments;
    char **arguments; /* after the command's words */
    enum ctl_format format;
    bool managed;    /* the ledger is the one that pgveil runs itself */
    PGconn *ledger;  /* of commands that need it; owned by main */
    PGconn *control; /* the running pgveil, likewise */
    int n_before;    /* characters put before the statement that is sent there */
};

struct ctl_command {
    const char *name;      /* "analyst add" */
    const char *arguments; /* "NAME", "[FILE]" */
    const char *summary;   /* one line */
    const char *details;   /* paragraphs of the command's own help */
    unsigned options;      /* bits 1 << id beside the general ones */
    int arguments_min, arguments_max;
    bool needs_ledger; /* connected before run; others connect themselves if need be */
    enum ctl_exit (*run)(struct ctl *ctl);
};

/* The tables; both end with an entry without a name. */
extern const struct ctl_command ctl_commands[];
extern const struct ctl_option ctl_options[CTL_OPTION_COUNT + 1];
/* Options that every command takes. */
extern const unsigned ctl_general_options;

/* The command that the words name, and how many words its name has. NULL: none. */
const struct ctl_command *ctl_find_command(int n_words, char **words, int *used);
/* Reads options and words; false with a message printed where they are not usable. */
bool ctl_parse(struct ctl *ctl, int argc, char **argv);

void ctl_print_usage(FILE *file);
void ctl_print_help(FILE *file, const struct ctl_command *command);

/* One line on standard error, with the program's name. */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Connects to the ledger that the options or the configuration file name and, where check_schema is
 * set, makes sure that its schema is this program's. Prints what is wrong. */
enum ctl_exit ctl_connect(struct ctl *ctl, bool check_schema);
/* Sends the call and waits. NULL with the error printed; the caller clears the result. */
PGresult *ctl_call(struct ctl *ctl, const struct ledger_call *call);
/* Connects to the control socket of the running pgveil, below the configuration's state directory:
 * as an analyst to a dataset, or (analyst NULL) to the administration console. Prints what is
 * wrong; CTL_UNREACHABLE where pgveil does not run. */
enum ctl_exit ctl_control(struct ctl *ctl, const char *analyst, const char *dataset);
/* Runs one statement there, with progress where it tells of some or takes long. NULL with the error
 * printed; the caller clears the result. */
PGresult *ctl_control_run(struct ctl *ctl, const char *statement);
/* The console's command with a name behind it, quoted; name NULL: as it is. Like ctl_control_run,
 * connecting first. */
PGresult *ctl_console_run(struct ctl *ctl, const char *command, const char *name,
                          enum ctl_exit *exit_code);
/* The journal's newest entry that pgveil has noted in the configuration's state directory; seq 0:
 * none, or the ledger was named by --server. False with a message where the note is not readable.
 */
bool ctl_noted_head(const struct ctl *ctl, struct ledger_head *head);
/* The configuration file's path: -c or the default. */
const char *ctl_config_path(const struct ctl *ctl);
/* The configuration; NULL with the reason printed. config_free it. */
struct config *ctl_read_config(const struct ctl *ctl);

/* A result as an aligned table, JSON or CSV on standard output. one: a single record, shown line by
 * line on a terminal and as one object in JSON. */
bool ctl_print_result(const struct ctl *ctl, const PGresult *result, bool one);
/* Rows of a longer table: JSON objects, one a line, or with --csv CSV with the header where asked.
 */
bool ctl_print_lines(const struct ctl *ctl, const PGresult *result, bool header);
/* Runs a call and shows its table. */
enum ctl_exit ctl_show(struct ctl *ctl, const struct ledger_call *call, bool one);

/* Reads a new password as the options say and makes a SCRAM verifier of it; NULL with the reason
 * printed and *exit_code set. PQfreemem after wiping. */
char *ctl_new_verifier(struct ctl *ctl, const char *analyst, enum ctl_exit *exit_code);
/* Whether a text may be a password: not empty, not longer than 512 bytes, no control characters. */
bool ctl_password_usable(const char *password, const char **why);
/* Says that there is no such command, and which begin with the first word, where any do. */
void ctl_tell_unknown(int n_words, char **words);

/* What names are of. CTL_HOLDER: an analyst or a group. */
enum ctl_kind { CTL_ANALYST, CTL_GROUP, CTL_DATASET, CTL_HOLDER };
enum { CTL_NAME_MAX = 63, CTL_HINT_SIZE = 100 };

/* Whether a name may be given to an analyst, a group or a dataset: 1 to 63 bytes of UTF-8 in which
 * every character can be seen, single spaces inside it apart. */
bool ctl_name_usable(const char *name, bool analyst, const char **why);
/* Of a name that is new, whether it is meant where it looks like one that there is: confirmed as by
 * ctl_confirm, else false with *exit_code set. */
bool ctl_confirm_new_name(struct ctl *ctl, enum ctl_kind kind, const char *name,
                          enum ctl_exit *exit_code);
/* CTL_OK where the ledger (or, of a dataset, the configuration) knows the name, or name is NULL;
 * else says that there is none, and which it may have been meant. */
enum ctl_exit ctl_check_known(struct ctl *ctl, enum ctl_kind kind, const char *name);

/* Whether a table without rows has none although these names (NULL: any) are known. True where it
 * has rows; else says which name is not. */
bool ctl_check_empty(struct ctl *ctl, const PGresult *table, enum ctl_kind kind, const char *name,
                     const char *dataset);

/* The name nearest to the one wanted, among those tried; none where they differ by more than a
 * third. */
struct ctl_nearest {
    const char *wanted; /* borrowed */
    bool known;         /* it is among them */
    unsigned distance;
    char name[CTL_NAME_MAX + 1];
};
void ctl_nearest_begin(struct ctl_nearest *nearest, const char *wanted);
void ctl_nearest_try(struct ctl_nearest *nearest, const char *name);
/* "; did you mean "ana"?" or nothing; returns hint. */
const char *ctl_nearest_hint(const struct ctl_nearest *nearest, char hint[CTL_HINT_SIZE]);

/* A positive decimal number in units of 10^-places, exactly; false where it needs more places, is
 * not positive or not below 2^63 units. */
bool ctl_read_amount(const char *text, int places, uint64_t *out);

/* Asks for a yes on the terminal, unless --yes or --dry-run is given. False: not confirmed, and the
 * reason printed with *exit_code set. */
bool ctl_confirm(struct ctl *ctl, enum ctl_exit *exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* With --dry-run, opens a transaction that ctl_finish_change rolls back; otherwise nothing. */
bool ctl_begin_change(struct ctl *ctl);
void ctl_finish_change(struct ctl *ctl);

/* Sends a call whose result begins with a word and tells what it means, `what` being whom it is
 * about: "analyst ana". CTL_OK only for "ok"; then done is printed too, unless NULL. */
enum ctl_exit ctl_change(struct ctl *ctl, const struct ledger_call *call, const char *what,
                         const char *done);

/* A progress line on standard error where that is a terminal; total 0 ends it. */
void ctl_progress(const char *what, uint64_t done, uint64_t total);

/* Waits for the answer to a statement that was sent, and shows after a second that it is still
 * waited for. NULL: the connection is lost. */
PGresult *ctl_await(PGconn *connection, const char *what);

/* What a table is to be about, of "[NAME] [DATASET]" or the options --analyst and --dataset; NULL:
 * everything. False with a message where one is said twice. */
bool ctl_filters(const struct ctl *ctl, const char **name, const char **dataset);

/* A result made here rather than by a server: text columns, rows added with PQsetvalue. NULL
 * without memory. */
PGresult *ctl_new_result(int n_columns, const char *const columns[]);
bool ctl_set_value(PGresult *result, int row, int column, const char *value);

/* False, with the reason printed, for a connection string with a password in it: every user of the
 * machine can see arguments. */
bool ctl_conninfo_argument(const char *argument);

/* Says that the configuration has no such dataset, and which was probably meant. */
void ctl_tell_no_dataset(const struct config *config, const char *dataset);
/* True where the configuration file has the dataset, or where no configuration file is in use. */
bool ctl_dataset_configured(const struct ctl *ctl, const char *dataset);

/* The commands. */
enum ctl_exit ctl_init(struct ctl *ctl);
enum ctl_exit ctl_status(struct ctl *ctl);
enum ctl_exit ctl_version(struct ctl *ctl);
enum ctl_exit ctl_help(struct ctl *ctl);
enum ctl_exit ctl_completion(struct ctl *ctl);
enum ctl_exit ctl_analyst_add(struct ctl *ctl);
enum ctl_exit ctl_analyst_list(struct ctl *ctl);
enum ctl_exit ctl_analyst_show(struct ctl *ctl);
enum ctl_exit ctl_analyst_disable(struct ctl *ctl);
enum ctl_exit ctl_analyst_enable(struct ctl *ctl);
enum ctl_exit ctl_analyst_passwd(struct ctl *ctl);
enum ctl_exit ctl_analyst_remove(struct ctl *ctl);
enum ctl_exit ctl_group_join(struct ctl *ctl);
enum ctl_exit ctl_group_leave(struct ctl *ctl);
enum ctl_exit ctl_group_list(struct ctl *ctl);
enum ctl_exit ctl_dataset_list(struct ctl *ctl);
enum ctl_exit ctl_dataset_sync(struct ctl *ctl);
enum ctl_exit ctl_dataset_test(struct ctl *ctl);
enum ctl_exit ctl_dataset_pause(struct ctl *ctl);
enum ctl_exit ctl_dataset_resume(struct ctl *ctl);
enum ctl_exit ctl_session_list(struct ctl *ctl);
enum ctl_exit ctl_session_kill(struct ctl *ctl);
enum ctl_exit ctl_reload(struct ctl *ctl);
enum ctl_exit ctl_explain(struct ctl *ctl);
enum ctl_exit ctl_console(struct ctl *ctl);
enum ctl_exit ctl_setting_list(struct ctl *ctl);
enum ctl_exit ctl_setting_set(struct ctl *ctl);
enum ctl_exit ctl_setting_reset(struct ctl *ctl);
enum ctl_exit ctl_budget_grant(struct ctl *ctl);
enum ctl_exit ctl_budget_set(struct ctl *ctl);
enum ctl_exit ctl_budget_cap(struct ctl *ctl);
enum ctl_exit ctl_budget_show(struct ctl *ctl);
enum ctl_exit ctl_budget_reset(struct ctl *ctl);
enum ctl_exit ctl_budget_freeze(struct ctl *ctl);
enum ctl_exit ctl_budget_unfreeze(struct ctl *ctl);
enum ctl_exit ctl_budget_revoke(struct ctl *ctl);
enum ctl_exit ctl_budget_forecast(struct ctl *ctl);
enum ctl_exit ctl_ledger_tail(struct ctl *ctl);
enum ctl_exit ctl_ledger_show(struct ctl *ctl);
enum ctl_exit ctl_ledger_export(struct ctl *ctl);
enum ctl_exit ctl_ledger_verify(struct ctl *ctl);
enum ctl_exit ctl_ledger_accept(struct ctl *ctl);
enum ctl_exit ctl_answers_list(struct ctl *ctl);
enum ctl_exit ctl_answers_forget(struct ctl *ctl);
enum ctl_exit ctl_policy_check(struct ctl *ctl);
enum ctl_exit ctl_policy_show(struct ctl *ctl);
enum ctl_exit ctl_policy_diff(struct ctl *ctl);
enum ctl_exit ctl_policy_suggest(struct ctl *ctl);

/* The man page, for `help --man`. */
void ctl_print_man(FILE *file);

#endif
