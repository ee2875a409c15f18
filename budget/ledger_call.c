/* Parameters of a call: text that lives in the call or at the caller's. */
#include "budget/ledger_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void ledger_call_begin(struct ledger_call *call, const char *sql)
{
    memset(call, 0, sizeof(*call));
    call->sql = sql;
}

void ledger_call_text(struct ledger_call *call, const char *value)
{
    assert(call->n_params < LEDGER_PARAMS_MAX);
    call->values[call->n_params++] = value;
}

void ledger_call_integer(struct ledger_call *call, uint64_t value)
{
    assert(call->n_params < LEDGER_PARAMS_MAX);
    char *text = call->text[call->n_params];
    snprintf(text, LEDGER_TEXT_MAX, "%" PRIu64, value);
    ledger_call_text(call, text);
}

void ledger_call_bool(struct ledger_call *call, bool value)
{
    ledger_call_text(call, value ? "t" : "f");
}
