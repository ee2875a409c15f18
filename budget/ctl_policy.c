/* pgveilctl policy ... */
#include <stdlib.h>

#include "budget/ctl.h"
#include "config/config.h"
#include "config/policy.h"

static bool check_file(const char *path, const char *dataset)
{
    struct config_error error;
    struct policy *policy = policy_read(path, &error);
    if (!policy) {
        ctl_error("%s: %s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text);
        return false;
    }
    size_t n_public = 0;
    for (size_t i = 0; i < policy->n_tables; i++) {
        n_public += policy->tables[i].is_public ? 1 : 0;
    }
    printf("%s%s%s: good: %zu private and %zu public tables, version %.12s\n",
           dataset ? dataset : "", dataset ? ": " : "", path, policy->n_tables - n_public, n_public,
           policy->version);
    policy_free(policy);
    return true;
}

enum ctl_exit ctl_policy_check(struct ctl *ctl)
{
    struct config_error error;
    bool ok = true;
    if (ctl->n_arguments == 1) {
        return check_file(ctl->arguments[0], NULL) ? CTL_OK : CTL_REFUSED;
    }
    struct config *config = config_read(ctl_config_path(ctl), &error);
    if (!config) {
        ctl_error("%s: %s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text);
        return CTL_REFUSED;
    }
    for (size_t i = 0; i < config->n_datasets; i++) {
        ok = check_file(config->datasets[i].policy, config->datasets[i].name) && ok;
    }
    config_free(config);
    return ok ? CTL_OK : CTL_REFUSED;
}
