/* pgveilctl budget ...: grants and caps. */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

/* Whose budget a command is about. */
struct holder {
    const char *kind; /* analyst, group, dataset */
    const char *name; /* "" for the dataset */
    const char *dataset;
};

static bool is_window(const char *text)
{
    static const char *const windows[] = {"none", "day", "week", "month"};
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        if (strcmp(text, windows[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What the options say, and where they say nothing the row of the present budget (NULL: none). */
static enum ctl_exit read_grant(const struct ctl *ctl, const PGresult *present, int row,
                                struct ledger_grant *grant)
{
    const char *epsilon_text = ctl->option[CTL_OPTION_EPSILON];
    const char *delta_text = ctl->option[CTL_OPTION_DELTA];
    const char *window = ctl->option[CTL_OPTION_WINDOW];
    const char *mode_text = ctl->option[CTL_OPTION_MODE];
    enum ledger_mode mode;
    dp_nano epsilon;
    dp_atto delta;
    char error[256];
    if (present) {
        epsilon_text = epsilon_text ? epsilon_text : PQgetvalue(present, row, BUDGET_EPSILON);
        delta_text = delta_text ? delta_text : PQgetvalue(present, row, BUDGET_DELTA);
        window = window ? window : PQgetvalue(present, row, BUDGET_WINDOW);
        mode_text = mode_text ? mode_text : PQgetvalue(present, row, BUDGET_MODE);
    }
    if (!epsilon_text || !delta_text) {
        ctl_error("%s needs --epsilon and --delta", ctl->command->name);
    } else if (!is_window(window ? window : "none")) {
        ctl_error("--window is none, day, week or month");
    } else if (!ledger_mode_parse(mode_text ? mode_text : "gdp", &mode)) {
        ctl_error("--mode is gdp, zcdp or pure");
    } else if (!ctl_read_amount(epsilon_text, 9, &epsilon)) {
        ctl_error("--epsilon is a positive number with at most nine decimals");
    } else if (!ctl_read_amount(delta_text, 18, &delta) || delta >= 1000000000000000000) {
        ctl_error("--delta is a number between 0 and 1 with at most eighteen decimals");
    } else if (!ledger_grant_init(grant, epsilon, delta, mode, window ? window : "none", error,
                                  sizeof(error))) {
        ctl_error("%s", error);
    } else {
        return CTL_OK;
    }
    return CTL_USAGE;
}

static int find_row(const PGresult *budgets, const struct holder *holder)
{
    for (int row = 0; row < PQntuples(budgets); row++) {
        if (strcmp(PQgetvalue(budgets, row, BUDGET_HOLDER), holder->kind) == 0 &&
            strcmp(PQgetvalue(budgets, row, BUDGET_NAME), holder->name) == 0) {
            return row;
        }
    }
    return -1;
}

static bool any_cell(const PGresult *budgets, int column, const char *but)
{
    for (int row = 0; row < PQntuples(budgets); row++) {
        if (strcmp(PQgetvalue(budgets, row, column), but) != 0) {
            return true;
        }
    }
    return false;
}

/* A share of one as people read it. */
static void percent(const char *share, char text[16])
{
    snprintf(text, 16, "%.4g %%", 100.0 * strtod(share, NULL));
}

/* What fits a terminal; programs get every column. A window's end and unresolved charges are shown
 * where there are any. */
static PGresult *abridged(const PGresult *budgets)
{
    static const struct {
        const char *name;
        int source;
        const char *boring; /* not shown where every cell is this */
    } columns[] = {{"holder", BUDGET_HOLDER, NULL},   {"name", BUDGET_NAME, NULL},
                   {"dataset", BUDGET_DATASET, NULL}, {"epsilon", BUDGET_EPSILON, NULL},
                   {"delta", BUDGET_DELTA, NULL},     {"mode", BUDGET_MODE, NULL},
                   {"window", BUDGET_WINDOW, NULL},   {"window_ends", BUDGET_WINDOW_ENDS, ""},
                   {"spent", BUDGET_SPENT, NULL},     {"remaining", BUDGET_REMAINING, NULL},
                   {"charges", BUDGET_CHARGES, NULL}, {"unresolved", BUDGET_UNRESOLVED, "0"},
                   {"state", BUDGET_STATE, NULL}};
    enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
    const char *names[COLUMNS];
    int sources[COLUMNS];
    int n = 0;
    for (int i = 0; i < COLUMNS; i++) {
        if (!columns[i].boring || any_cell(budgets, columns[i].source, columns[i].boring)) {
            names[n] = columns[i].name;
            sources[n++] = columns[i].source;
        }
    }
    PGresult *result = ctl_new_result(n, names);
    bool ok = result != NULL;
    for (int row = 0; ok && row < PQntuples(budgets); row++) {
        for (int column = 0; ok && column < n; column++) {
            const char *cell = PQgetvalue(budgets, row, sources[column]);
            char share[16];
            if (sources[column] == BUDGET_SPENT || sources[column] == BUDGET_REMAINING) {
                percent(cell, share);
                cell = share;
            }
            ok = ctl_set_value(result, row, column, cell);
        }
    }
    if (!ok) {
        PQclear(result);
        return NULL;
    }
    return result;
}

static enum ctl_exit show_budgets(struct ctl *ctl, const char *name, const char *dataset)
{
    struct ledger_call call;
    ledger_budgets_call(&call, name, dataset);
    PGresult *budgets = ctl_call(ctl, &call);
    PGresult *shown = budgets && ctl->format == CTL_TABLE ? abridged(budgets) : NULL;
    bool ok = budgets && ctl_check_empty(ctl, budgets, CTL_HOLDER, name, dataset) &&
              (shown || ctl->format != CTL_TABLE) &&
              ctl_print_result(ctl, shown ? shown : budgets, false);
    PQclear(budgets);
    PQclear(shown);
    return ok ? CTL_OK : CTL_REFUSED;
}

static enum ctl_exit show_budget(struct ctl *ctl, const struct holder *holder)
{
    return show_budgets(ctl, holder->name, holder->dataset);
}

static enum ctl_exit send_grant(struct ctl *ctl, const struct holder *holder,
                                const struct ledger_grant *grant)
{
    struct ledger_call call;
    ledger_grant_call(&call, holder->kind, holder->name, holder->dataset, grant);
    PGresult *result = ctl_call(ctl, &call);
    const char *word = ledger_admin_word(result);
    bool ok = strcmp(word, "ok") == 0;
    if (result && !ok) {
        ctl_error("there is no analyst %s any more", holder->name);
    } else if (ok && strcmp(PQgetvalue(result, 0, 1), "t") == 0) {
        fprintf(stderr, "The first grant on %s: its analysts together may spend the same amount.\n",
                holder->dataset);
    }
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}

/* One DBA at a time: what is kept of a budget is what it is when the change is made, not what
 * another one has changed meanwhile. Held until pgveilctl ends. */
static bool take_turn(struct ctl *ctl)
{
    PGresult *result = PQexec(ctl->ledger, "SELECT pg_catalog.pg_advisory_lock(7810182655114244)");
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!ok) {
        ctl_error("the ledger refused: %s", PQerrorMessage(ctl->ledger));
    }
    PQclear(result);
    return ok;
}

/* An analyst must be one; a group begins with its first member or cap. */
static enum ctl_exit check_holder(struct ctl *ctl, const struct holder *holder)
{
    enum ctl_exit exit_code = CTL_OK;
    if (strcmp(holder->kind, "analyst") == 0) {
        return ctl_check_known(ctl, CTL_ANALYST, holder->name);
    }
    if (strcmp(holder->kind, "group") == 0) {
        ctl_confirm_new_name(ctl, CTL_GROUP, holder->name, &exit_code);
    }
    return exit_code;
}

/* Sets a budget from the options, and from the present one where keep is set; connected already. */
static enum ctl_exit set_budget(struct ctl *ctl, const struct holder *holder, bool keep)
{
    struct ledger_grant grant;
    struct ledger_call call;
    PGresult *present = NULL;
    int row = -1;
    enum ctl_exit exit_code = check_holder(ctl, holder);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (!take_turn(ctl)) {
        return CTL_REFUSED;
    }
    if (keep) {
        ledger_budgets_call(&call, holder->name, holder->dataset);
        present = ctl_call(ctl, &call);
        if (!present) {
            return CTL_REFUSED;
        }
        row = find_row(present, holder);
    }
    exit_code = read_grant(ctl, row >= 0 ? present : NULL, row, &grant);
    if (exit_code == CTL_OK && !ctl_begin_change(ctl)) {
        exit_code = CTL_REFUSED;
    } else if (exit_code == CTL_OK) {
        exit_code = send_grant(ctl, holder, &grant);
        if (exit_code == CTL_OK) {
            exit_code = show_budget(ctl, holder);
        }
        ctl_finish_change(ctl);
    }
    PQclear(present);
    return exit_code;
}

static enum ctl_exit check_dataset(struct ctl *ctl, const char *dataset)
{
    const char *why;
    if (!ctl_name_usable(dataset, false, &why)) {
        ctl_error("\"%s\" cannot be a dataset's name: %s", dataset, why);
        return CTL_USAGE;
    }
    if (!ctl_dataset_configured(ctl, dataset)) {
        return CTL_REFUSED;
    }
    return ctl_connect(ctl, true);
}

enum ctl_exit ctl_budget_grant(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    struct ledger_grant grant;
    enum ctl_exit exit_code = read_grant(ctl, NULL, 0, &grant);
    if (exit_code == CTL_OK) {
        exit_code = check_dataset(ctl, holder.dataset);
    }
    return exit_code == CTL_OK ? set_budget(ctl, &holder, false) : exit_code;
}

enum ctl_exit ctl_budget_set(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    enum ctl_exit exit_code = check_dataset(ctl, holder.dataset);
    return exit_code == CTL_OK ? set_budget(ctl, &holder, true) : exit_code;
}

/* One named change of a budget that exists. */
static enum ctl_exit change_budget(struct ctl *ctl, const struct holder *holder, const char *change,
                                   const char *done)
{
    struct ledger_call call;
    char what[256];
    bool is_group = strcmp(holder->kind, "group") == 0;
    enum ctl_exit exit_code =
        holder->name[0] ? ctl_check_known(ctl, is_group ? CTL_GROUP : CTL_ANALYST, holder->name)
                        : CTL_OK;
    exit_code =
        exit_code == CTL_OK ? ctl_check_known(ctl, CTL_DATASET, holder->dataset) : exit_code;
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    snprintf(what, sizeof(what), "%s of %s%s%.80s on %.80s",
             strcmp(holder->kind, "analyst") == 0 ? "budget" : "cap",
             holder->name[0] ? holder->kind : "all analysts", holder->name[0] ? " " : "",
             holder->name, holder->dataset);
    if (!take_turn(ctl) || !ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_change_call(&call, holder->kind, holder->name, holder->dataset, change);
    exit_code = ctl_change(ctl, &call, what, done);
    if (exit_code == CTL_OK) {
        exit_code = show_budget(ctl, holder);
    }
    ctl_finish_change(ctl);
    return exit_code;
}

enum ctl_exit ctl_budget_cap(struct ctl *ctl)
{
    const char *group = ctl->option[CTL_OPTION_GROUP];
    struct holder holder = {group ? "group" : "dataset", group ? group : "", ctl->arguments[0]};
    bool amounts = ctl->option[CTL_OPTION_EPSILON] || ctl->option[CTL_OPTION_DELTA] ||
                   ctl->option[CTL_OPTION_WINDOW] || ctl->option[CTL_OPTION_MODE];
    bool on = ctl->option[CTL_OPTION_ON] != NULL;
    bool off = ctl->option[CTL_OPTION_OFF] != NULL;
    bool reset = ctl->option[CTL_OPTION_RESET] != NULL;
    const char *why;
    if (amounts + on + off + reset != 1) {
        ctl_error(
            "budget cap takes amounts (--epsilon, --delta, --window, --mode), or one of --on, "
            "--off and --reset");
        return CTL_USAGE;
    }
    if (group && !ctl_name_usable(group, false, &why)) {
        ctl_error("\"%s\" cannot be a group's name: %s", group, why);
        return CTL_USAGE;
    }
    enum ctl_exit exit_code;
    if (reset && !ctl_confirm(ctl, &exit_code, "Forget what was spent under the cap on %s?",
                              holder.dataset)) {
        return exit_code;
    }
    exit_code = check_dataset(ctl, holder.dataset);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (amounts) {
        return set_budget(ctl, &holder, true);
    }
    return change_budget(ctl, &holder,
                         on    ? "enforce"
                         : off ? "release"
                               : "reset",
                         on    ? "enforced"
                         : off ? "counts, but refuses nothing"
                               : "what was spent is forgotten");
}

enum ctl_exit ctl_budget_show(struct ctl *ctl)
{
    const char *name, *dataset;
    return ctl_filters(ctl, &name, &dataset) ? show_budgets(ctl, name, dataset) : CTL_USAGE;
}

enum ctl_exit ctl_budget_freeze(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    return change_budget(ctl, &holder, "freeze", "frozen");
}

enum ctl_exit ctl_budget_unfreeze(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    return change_budget(ctl, &holder, "unfreeze", "not frozen");
}

enum ctl_exit ctl_budget_revoke(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    enum ctl_exit exit_code;
    if (!ctl_confirm(ctl, &exit_code, "Take %s's grant on %s back?", holder.name, holder.dataset)) {
        return exit_code;
    }
    return change_budget(ctl, &holder, "revoke", "revoked");
}

enum ctl_exit ctl_budget_reset(struct ctl *ctl)
{
    struct holder holder = {"analyst", ctl->arguments[0], ctl->arguments[1]};
    enum ctl_exit exit_code;
    if (!ctl_confirm(ctl, &exit_code,
                     "Forget what %s spent on %s, so that the guarantee is that of two grants?",
                     holder.name, holder.dataset)) {
        return exit_code;
    }
    return change_budget(ctl, &holder, "reset", "what was spent is forgotten");
}
