#include "tests/support/charge.h"

#include <stdlib.h>

PGresult *charge_alone(PGconn *ledger, const char *dataset, const struct ledger_charge *charge)
{
    struct ledger_call call;
    PGresult *answer;
    char *text = ledger_charge_text(charge);
    const char *const charges[] = {text};
    ledger_charges_call(&call, dataset, charges, 1);
    PGresult *result =
        PQexecParams(ledger, call.sql, call.n_params, NULL, call.values, NULL, NULL, 0);
    ledger_call_free(&call);
    free(text);
    if (!ledger_charges_split(result, &answer, 1))
        return result;
    PQclear(result);
    return answer;
}
