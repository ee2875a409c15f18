/* pgveilctl setting ...: the ledger's settings, for all datasets or for one. */
#include <inttypes.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

/* What weakens the ledger's bookkeeping is confirmed: a smaller minimum, a higher limit of
 * failures. How much is kept of answers is a matter of disk and price. */
static const struct {
    const char *name;
    int weaker; /* 1: more is, -1: less is, 0: neither */
} settings[] = {{"minimum_mu2_pico", -1}, {"failures_max", 1}, {"kept_bytes_max", 0}};

static int find_setting(const char *name)
{
    for (int i = 0; i < (int)(sizeof(settings) / sizeof(settings[0])); i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return i;
        }
    }
    ctl_error("there is no setting %s; there are minimum_mu2_pico, failures_max and kept_bytes_max",
              name);
    return -1;
}

/* The dataset that the command is about; "" for all. NULL with the reason printed. */
static const char *scope(struct ctl *ctl)
{
    const char *dataset = ctl->option[CTL_OPTION_DATASET];
    const char *why;
    if (!dataset) {
        return "";
    }
    if (!ctl_name_usable(dataset, false, &why)) {
        ctl_error("\"%s\" cannot be a dataset's name: %s", dataset, why);
        return NULL;
    }
    return ctl_dataset_configured(ctl, dataset) ? dataset : NULL;
}

/* The value in force; false where the ledger does not say. */
static bool read_value(struct ctl *ctl, const char *name, const char *dataset, uint64_t *value)
{
    struct ledger_call call;
    ledger_setting_call(&call, name, dataset);
    PGresult *result = ctl_call(ctl, &call);
    bool ok = result && PQntuples(result) == 1 && !PQgetisnull(result, 0, 0) &&
              ctl_read_amount(PQgetvalue(result, 0, 0), 0, value);
    PQclear(result);
    return ok;
}

static enum ctl_exit show_settings(struct ctl *ctl, const char *dataset)
{
    struct ledger_call call;
    ledger_settings_call(&call, dataset[0] ? dataset : NULL);
    return ctl_show(ctl, &call, false);
}

/* value NULL: take the dataset's own away, or set the first one for all. */
static enum ctl_exit change(struct ctl *ctl, const char *name, const char *dataset,
                            const uint64_t *value)
{
    struct ledger_call call;
    char what[200];
    snprintf(what, sizeof(what), "setting %s%s%s", name, dataset[0] ? " of " : "", dataset);
    if (!ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_setting_set_call(&call, name, dataset, value);
    enum ctl_exit exit_code = ctl_change(ctl, &call, what, value ? "set" : "reset");
    if (exit_code == CTL_OK) {
        exit_code = show_settings(ctl, dataset);
    }
    ctl_finish_change(ctl);
    return exit_code;
}

enum ctl_exit ctl_setting_list(struct ctl *ctl)
{
    const char *dataset = ctl->n_arguments > 0 ? ctl->arguments[0] : NULL;
    enum ctl_exit exit_code = ctl_check_known(ctl, CTL_DATASET, dataset);
    return exit_code == CTL_OK ? show_settings(ctl, dataset ? dataset : "") : exit_code;
}

enum ctl_exit ctl_setting_set(struct ctl *ctl)
{
    const char *name = ctl->arguments[0];
    int which = find_setting(name);
    const char *dataset = which >= 0 ? scope(ctl) : NULL;
    enum ctl_exit exit_code = CTL_OK;
    uint64_t value;
    uint64_t present;
    if (!dataset) {
        return which < 0 ? CTL_USAGE : CTL_REFUSED;
    }
    if (!ctl_read_amount(ctl->arguments[1], 0, &value)) {
        ctl_error("%s is a whole number, at least 1", name);
        return CTL_USAGE;
    }
    if (!read_value(ctl, name, dataset, &present)) {
        ctl_error("the ledger has no value for %s", name);
        return CTL_REFUSED;
    }
    bool weaker = (settings[which].weaker > 0 && value > present) ||
                  (settings[which].weaker < 0 && value < present);
    if (weaker && !ctl_confirm(ctl, &exit_code, "This weakens %s from %" PRIu64 " to %" PRIu64 ".",
                               name, present, value)) {
        return exit_code;
    }
    return change(ctl, name, dataset, &value);
}

enum ctl_exit ctl_setting_reset(struct ctl *ctl)
{
    const char *name = ctl->arguments[0];
    int which = find_setting(name);
    const char *dataset = which >= 0 ? scope(ctl) : NULL;
    enum ctl_exit exit_code = CTL_OK;
    if (!dataset) {
        return which < 0 ? CTL_USAGE : CTL_REFUSED;
    }
    if (!ctl_confirm(ctl, &exit_code, "Give %s its %s value?", name,
                     dataset[0] ? "general" : "first")) {
        return exit_code;
    }
    return change(ctl, name, dataset, NULL);
}
