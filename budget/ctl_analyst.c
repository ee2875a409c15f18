/* pgveilctl analyst ... */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

/* Sends a call that answers with one word, and says in words what it means. */
static enum ctl_exit change_analyst(struct ctl *ctl, const struct ledger_call *call,
                                    const char *done)
{
    const char *name = ctl->arguments[0];
    PGresult *result = ctl_call(ctl, call);
    if (!result) {
        return CTL_REFUSED;
    }
    const char *word = ledger_admin_word(result);
    enum ctl_exit exit_code = CTL_REFUSED;
    if (strcmp(word, "ok") == 0) {
        fprintf(stderr, "analyst %s %s\n", name, done);
        exit_code = CTL_OK;
    } else if (strcmp(word, "exists") == 0) {
        ctl_error("there is an analyst %s already", name);
    } else if (strcmp(word, "unknown") == 0) {
        ctl_error("there is no analyst %s", name);
    } else {
        ctl_error("the ledger gave no usable answer");
    }
    PQclear(result);
    return exit_code;
}

static enum ctl_exit set_password(struct ctl *ctl, bool add)
{
    struct ledger_call call;
    const char *name = ctl->arguments[0];
    const char *why;
    enum ctl_exit exit_code;
    if (!ctl_name_usable(name, true, &why)) {
        ctl_error("\"%s\" cannot be an analyst's name: %s", name, why);
        return CTL_USAGE;
    }
    exit_code = ctl_connect(ctl, true);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    char *verifier = ctl_new_verifier(ctl, name, &exit_code);
    if (!verifier) {
        return exit_code;
    }
    if (add) {
        ledger_analyst_add_call(&call, name, verifier);
    } else {
        ledger_analyst_passwd_call(&call, name, verifier);
    }
    exit_code = change_analyst(ctl, &call, add ? "added" : "has a new password");
    explicit_bzero(verifier, strlen(verifier));
    PQfreemem(verifier);
    return exit_code;
}

enum ctl_exit ctl_analyst_add(struct ctl *ctl)
{
    return set_password(ctl, true);
}

enum ctl_exit ctl_analyst_passwd(struct ctl *ctl)
{
    return set_password(ctl, false);
}

enum ctl_exit ctl_analyst_disable(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_analyst_enable_call(&call, ctl->arguments[0], false);
    return change_analyst(ctl, &call, "disabled");
}

enum ctl_exit ctl_analyst_enable(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_analyst_enable_call(&call, ctl->arguments[0], true);
    return change_analyst(ctl, &call, "enabled");
}

enum ctl_exit ctl_analyst_list(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_analysts_call(&call, NULL);
    return ctl_show(ctl, &call, false);
}
