/* pgveilctl init, status, dataset list, version. */
#include <stdlib.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "config/version.h"

static const char version[] = PGVEIL_VERSION;

enum ctl_exit ctl_init(struct ctl *ctl)
{
    enum ctl_exit exit_code = ctl_connect(ctl, false);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    PGresult *result = PQsendQuery(ctl->ledger, ledger_schema_sql())
                           ? ctl_await(ctl->ledger, ctl->command->name)
                           : NULL;
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        ctl_error("the ledger's schema cannot be made: %s", PQerrorMessage(ctl->ledger));
        exit_code = CTL_REFUSED;
    } else {
        fputs("the ledger is ready\n", stderr);
    }
    PQclear(result);
    return exit_code;
}

enum ctl_exit ctl_status(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_status_call(&call);
    return ctl_show(ctl, &call, true);
}

enum ctl_exit ctl_dataset_list(struct ctl *ctl)
{
    struct ledger_call call;
    ledger_datasets_call(&call);
    return ctl_show(ctl, &call, false);
}

enum ctl_exit ctl_version(struct ctl *ctl)
{
    static const char *const columns[] = {"pgveilctl", "ledger_schema"};
    char schema[16];
    PGresult *result = ctl_new_result(2, columns);
    snprintf(schema, sizeof(schema), "%d", LEDGER_SCHEMA_VERSION);
    bool ok = result && ctl_set_value(result, 0, 0, version) &&
              ctl_set_value(result, 0, 1, schema) && ctl_print_result(ctl, result, true);
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}
