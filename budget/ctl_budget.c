/* pgveilctl budget ... */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "config/config.h"

/* Where a configuration file was named, a dataset that it does not have is a slip of the pen. */
static bool dataset_is_configured(const struct ctl *ctl, const char *dataset)
{
    struct config_error error;
    if (ctl->option[CTL_OPTION_SERVER] && !ctl->option[CTL_OPTION_CONFIG]) {
        return true;
    }
    struct config *config = config_read(ctl_config_path(ctl), &error);
    if (!config) {
        ctl_error("%s: %s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text);
        return false;
    }
    bool found = config_find_dataset(config, dataset) != NULL;
    if (!found) {
        ctl_error("%s has no dataset %s", config->file, dataset);
    }
    config_free(config);
    return found;
}

static enum ctl_exit read_grant(struct ctl *ctl, struct ledger_grant *grant)
{
    static const char *const windows[] = {"none", "day", "week", "month"};
    const char *window = ctl->option[CTL_OPTION_WINDOW];
    dp_nano epsilon;
    dp_atto delta;
    char error[256];
    bool known = false;
    window = window ? window : "none";
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        known = known || strcmp(window, windows[i]) == 0;
    }
    if (!ctl->option[CTL_OPTION_EPSILON] || !ctl->option[CTL_OPTION_DELTA]) {
        ctl_error("%s needs --epsilon and --delta", ctl->command->name);
        return CTL_USAGE;
    }
    if (!known) {
        ctl_error("--window is none, day, week or month");
        return CTL_USAGE;
    }
    if (!ctl_read_amount(ctl->option[CTL_OPTION_EPSILON], 9, &epsilon)) {
        ctl_error("--epsilon is a positive number with at most nine decimals");
        return CTL_USAGE;
    }
    if (!ctl_read_amount(ctl->option[CTL_OPTION_DELTA], 18, &delta) ||
        delta >= 1000000000000000000) {
        ctl_error("--delta is a number between 0 and 1 with at most eighteen decimals");
        return CTL_USAGE;
    }
    if (!ledger_grant_init(grant, epsilon, delta, window, error, sizeof(error))) {
        ctl_error("%s", error);
        return CTL_USAGE;
    }
    return CTL_OK;
}

enum ctl_exit ctl_budget_grant(struct ctl *ctl)
{
    const char *analyst = ctl->arguments[0];
    const char *dataset = ctl->arguments[1];
    struct ledger_grant grant;
    struct ledger_call call;
    const char *why;
    enum ctl_exit exit_code = read_grant(ctl, &grant);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (!ctl_name_usable(dataset, false, &why)) {
        ctl_error("\"%s\" cannot be a dataset's name: %s", dataset, why);
        return CTL_USAGE;
    }
    if (!dataset_is_configured(ctl, dataset)) {
        return CTL_REFUSED;
    }
    exit_code = ctl_connect(ctl, true);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    ledger_grant_call(&call, analyst, dataset, &grant);
    PGresult *result = ctl_call(ctl, &call);
    if (!result) {
        return CTL_REFUSED;
    }
    const char *word = ledger_admin_word(result);
    bool cap_set = strcmp(word, "ok") == 0 && strcmp(PQgetvalue(result, 0, 1), "t") == 0;
    exit_code = strcmp(word, "ok") == 0 ? CTL_OK : CTL_REFUSED;
    if (exit_code != CTL_OK) {
        ctl_error("there is no analyst %s", analyst);
    }
    PQclear(result);
    if (cap_set) {
        fprintf(stderr, "The first grant on %s: its analysts together may spend the same amount.\n",
                dataset);
    }
    if (exit_code == CTL_OK) {
        ledger_budgets_call(&call, analyst, dataset);
        exit_code = ctl_show(ctl, &call, false);
    }
    return exit_code;
}

enum ctl_exit ctl_budget_show(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_budgets_call(&call, ctl->n_arguments > 0 ? ctl->arguments[0] : NULL,
                        ctl->n_arguments > 1 ? ctl->arguments[1] : NULL);
    return ctl_show(ctl, &call, false);
}
