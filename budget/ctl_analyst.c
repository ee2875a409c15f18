/* pgveilctl analyst ... */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

/* Whether there is an account to log in with. */
static bool is_there(struct ctl *ctl, const char *name, bool *there)
{
    struct ledger_call call;
    ledger_analysts_call(&call, name);
    PGresult *result = ctl_call(ctl, &call);
    bool ok = result != NULL;
    *there = ok && PQntuples(result) == 1;
    PQclear(result);
    return ok;
}

/* Before anybody is asked for a password: the name is free for a new analyst, or is one. */
static enum ctl_exit check_name(struct ctl *ctl, bool add)
{
    const char *name = ctl->arguments[0];
    const char *why;
    bool there;
    if (add && !ctl_name_usable(name, true, &why)) {
        ctl_error("\"%s\" cannot be an analyst's name: %s", name, why);
        return CTL_USAGE;
    }
    enum ctl_exit exit_code = ctl_connect(ctl, true);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (!add) {
        return ctl_check_known(ctl, CTL_ANALYST, name);
    }
    if (!is_there(ctl, name, &there)) {
        return CTL_REFUSED;
    }
    if (there) {
        ctl_error("there is analyst %s already", name);
        return CTL_REFUSED;
    }
    ctl_confirm_new_name(ctl, CTL_ANALYST, name, &exit_code);
    return exit_code;
}

static enum ctl_exit change_analyst(struct ctl *ctl, const struct ledger_call *call,
                                    const char *done)
{
    char what[96];
    snprintf(what, sizeof(what), "analyst %.80s", ctl->arguments[0]);
    return ctl_change(ctl, call, what, done);
}

static enum ctl_exit set_password(struct ctl *ctl, bool add)
{
    struct ledger_call call;
    const char *name = ctl->arguments[0];
    enum ctl_exit exit_code = check_name(ctl, add);
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

static enum ctl_exit enable(struct ctl *ctl, bool enabled)
{
    struct ledger_call call;
    enum ctl_exit exit_code = ctl_check_known(ctl, CTL_ANALYST, ctl->arguments[0]);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    ledger_analyst_enable_call(&call, ctl->arguments[0], enabled);
    return change_analyst(ctl, &call, enabled ? "enabled" : "disabled");
}

enum ctl_exit ctl_analyst_disable(struct ctl *ctl)
{
    return enable(ctl, false);
}

enum ctl_exit ctl_analyst_enable(struct ctl *ctl)
{
    return enable(ctl, true);
}

enum ctl_exit ctl_analyst_remove(struct ctl *ctl)
{
    struct ledger_call call;
    enum ctl_exit exit_code = ctl_check_known(ctl, CTL_ANALYST, ctl->arguments[0]);
    if (exit_code != CTL_OK ||
        !ctl_confirm(ctl, &exit_code, "Remove analyst %s and all grants?", ctl->arguments[0])) {
        return exit_code;
    }
    if (!ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_analyst_remove_call(&call, ctl->arguments[0]);
    exit_code = change_analyst(ctl, &call, "removed; what was spent is remembered");
    ctl_finish_change(ctl);
    return exit_code;
}

enum ctl_exit ctl_analyst_list(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_analysts_call(&call, NULL);
    return ctl_show(ctl, &call, false);
}

enum ctl_exit ctl_analyst_show(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_analysts_call(&call, ctl->arguments[0]);
    PGresult *result = ctl_call(ctl, &call);
    bool ok = result && PQntuples(result) == 1;
    if (result && !ok && ctl_check_known(ctl, CTL_ANALYST, ctl->arguments[0]) == CTL_OK) {
        ctl_error("the analyst %s was removed; `budget show` has what was spent",
                  ctl->arguments[0]);
    }
    ok = ok && ctl_print_result(ctl, result, true);
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}

/* A group begins with its first member or cap. */
static enum ctl_exit check_group(struct ctl *ctl, bool joins)
{
    const char *group = ctl->arguments[0];
    const char *why;
    enum ctl_exit exit_code = ctl_check_known(ctl, CTL_ANALYST, ctl->arguments[1]);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (!joins) {
        return ctl_check_known(ctl, CTL_GROUP, group);
    }
    if (!ctl_name_usable(group, false, &why)) {
        ctl_error("\"%s\" cannot be a group's name: %s", group, why);
        return CTL_USAGE;
    }
    ctl_confirm_new_name(ctl, CTL_GROUP, group, &exit_code);
    return exit_code;
}

static enum ctl_exit change_member(struct ctl *ctl, bool joins)
{
    struct ledger_call call;
    char what[200];
    enum ctl_exit exit_code = check_group(ctl, joins);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    snprintf(what, sizeof(what), "analyst %.80s in group %.80s", ctl->arguments[1],
             ctl->arguments[0]);
    if (!ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_member_call(&call, ctl->arguments[0], ctl->arguments[1], joins);
    exit_code = ctl_change(ctl, &call, what, joins ? "joined" : "left");
    ctl_finish_change(ctl);
    return exit_code;
}

enum ctl_exit ctl_group_join(struct ctl *ctl)
{
    return change_member(ctl, true);
}

enum ctl_exit ctl_group_leave(struct ctl *ctl)
{
    return change_member(ctl, false);
}

enum ctl_exit ctl_group_list(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_groups_call(&call);
    return ctl_show(ctl, &call, false);
}
