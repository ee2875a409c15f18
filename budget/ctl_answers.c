/* pgveilctl answers ...: what the ledger keeps for analysts to have again. */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"

enum ctl_exit ctl_answers_list(struct ctl *ctl)
{
    struct ledger_call call;
    const char *dataset = ctl->n_arguments > 0 ? ctl->arguments[0] : NULL;
    const char *analyst = ctl->option[CTL_OPTION_ANALYST];
    ledger_answers_list_call(&call, dataset, analyst);
    PGresult *answers = ctl_call(ctl, &call);
    bool ok = answers && ctl_check_empty(ctl, answers, CTL_ANALYST, analyst, dataset) &&
              ctl_print_result(ctl, answers, false);
    PQclear(answers);
    return ok ? CTL_OK : CTL_REFUSED;
}

/* What is to be forgotten: "kept draws of census that ana paid for". */
static void describe(const struct ctl *ctl, char *text, size_t size)
{
    const char *analyst = ctl->option[CTL_OPTION_ANALYST];
    const char *draw = ctl->option[CTL_OPTION_DRAW];
    snprintf(text, size, "%s%.20s of %.63s%s%.63s%s", draw ? "draw " : "kept draws",
             draw ? draw : "", ctl->arguments[0], analyst ? " that " : "", analyst ? analyst : "",
             analyst ? " paid for" : "");
}

static bool read_draw(const char *text, uint64_t *draw)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0') {
        ctl_error("--draw is a number, as `answers list` shows it");
        return false;
    }
    *draw = strtoull(text, NULL, 10);
    return true;
}

enum ctl_exit ctl_answers_forget(struct ctl *ctl)
{
    struct ledger_call call;
    enum ctl_exit exit_code;
    char what[256], done[64];
    uint64_t draw = 0;
    const char *given = ctl->option[CTL_OPTION_DRAW];
    if (given && !read_draw(given, &draw)) {
        return CTL_USAGE;
    }
    if (ctl_check_known(ctl, CTL_DATASET, ctl->arguments[0]) != CTL_OK ||
        ctl_check_known(ctl, CTL_ANALYST, ctl->option[CTL_OPTION_ANALYST]) != CTL_OK) {
        return CTL_REFUSED;
    }
    describe(ctl, what, sizeof(what));
    if (!ctl_confirm(ctl, &exit_code, "Forget %s? Who asks again pays again.", what)) {
        return exit_code;
    }
    if (!ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_answers_forget_call(&call, ctl->arguments[0], ctl->option[CTL_OPTION_ANALYST],
                               given ? &draw : NULL);
    PGresult *result = ctl_call(ctl, &call);
    exit_code = result ? CTL_OK : CTL_REFUSED;
    if (result && strcmp(ledger_admin_word(result), "ok") == 0) {
        snprintf(done, sizeof(done), "%.20s forgotten", PQgetvalue(result, 0, 1));
        fprintf(stderr, "%s: %s\n", what, done);
    } else if (result) {
        ctl_error("nothing is kept to forget: %s", what);
        exit_code = CTL_REFUSED;
    }
    PQclear(result);
    ctl_finish_change(ctl);
    return exit_code;
}
