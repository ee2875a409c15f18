/* Parameters of a call: text that lives in the call or at the caller's. Fields of a result. */
#include "budget/ledger_call.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

void ledger_call_owned(struct ledger_call *call, char *value)
{
    assert(call->n_params < LEDGER_PARAMS_MAX && value != NULL);
    call->owned[call->n_params] = value;
    ledger_call_text(call, value);
}

void ledger_call_free(struct ledger_call *call)
{
    for (int i = 0; i < call->n_params; i++) {
        free(call->owned[i]);
        call->owned[i] = NULL;
    }
}

bool ledger_has_rows(const PGresult *result, int columns, int rows_min)
{
    return result && PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == columns &&
           PQntuples(result) >= rows_min;
}

bool ledger_read_text(const PGresult *result, int row, int column, char *out, size_t size)
{
    size_t length = (size_t)PQgetlength(result, row, column);
    if (PQgetisnull(result, row, column) || length >= size) {
        return false;
    }
    memcpy(out, PQgetvalue(result, row, column), length);
    out[length] = '\0';
    return strlen(out) == length;
}

bool ledger_read_unsigned(const PGresult *result, int row, int column, uint64_t *out)
{
    char text[24];
    if (!ledger_read_text(result, row, column, text, sizeof(text)) || text[0] == '\0' ||
        strlen(text) > 19 || strspn(text, "0123456789") != strlen(text)) {
        return false;
    }
    *out = strtoull(text, NULL, 10);
    return true;
}

bool ledger_read_bool(const PGresult *result, int row, int column, bool *out)
{
    char text[2];
    if (!ledger_read_text(result, row, column, text, sizeof(text))) {
        return false;
    }
    *out = text[0] == 't';
    return text[0] == 't' || text[0] == 'f';
}
