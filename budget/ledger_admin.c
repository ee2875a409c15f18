/* Calls of the functions in schema.sql that only the DBA's tool needs. */
#include "budget/ledger_admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "budget/ledger_call.h"

/* Set aside for what numerical approximations could miss: 1e-12. */
static const dp_atto delta_numeric = 1000000;

bool ledger_grant_init(struct ledger_grant *grant, dp_nano epsilon, dp_atto delta,
                       const char *window, char *error, size_t size)
{
    memset(grant, 0, sizeof(*grant));
    grant->epsilon = epsilon;
    grant->delta = delta;
    grant->window = window;
    /* A tenth, rounded up, pays for private keys and for what numbers could miss. */
    dp_atto tenth = delta / 10 + (delta % 10 != 0);
    if (tenth < delta_numeric) {
        snprintf(error, size,
                 "delta is too small: a tenth of it must hold 1e-12, so grant at least 1e-11");
        return false;
    }
    grant->delta_conv = delta - tenth;
    grant->delta_keys = tenth - delta_numeric;
    if (!dp_mu2_cap(epsilon, grant->delta_conv, &grant->mu2_cap_pico) ||
        grant->mu2_cap_pico > INT64_MAX) {
        snprintf(error, size,
                 "no budget follows from this epsilon and delta: epsilon must lie between 1e-9 and "
                 "1000, delta between 1e-11 and 1, and not both at their ends");
        return false;
    }
    return true;
}

const char *ledger_admin_word(const PGresult *result)
{
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
        PQnfields(result) < 1) {
        return "";
    }
    return PQgetvalue(result, 0, 0);
}

void ledger_version_call(struct ledger_call *call)
{
    ledger_call_begin(call,
                      "SELECT pg_catalog.max(v.version)::pg_catalog.text FROM pgveil.version v");
}

void ledger_analyst_add_call(struct ledger_call *call, const char *name, const char *verifier)
{
    ledger_call_begin(call, "SELECT pgveil.analyst_add($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, verifier);
}

void ledger_analyst_passwd_call(struct ledger_call *call, const char *name, const char *verifier)
{
    ledger_call_begin(call,
                      "SELECT pgveil.analyst_passwd($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, verifier);
}

void ledger_analyst_enable_call(struct ledger_call *call, const char *name, bool enabled)
{
    ledger_call_begin(call,
                      "SELECT pgveil.analyst_enable($1::pg_catalog.text, $2::pg_catalog.bool)");
    ledger_call_text(call, name);
    ledger_call_bool(call, enabled);
}

void ledger_analysts_call(struct ledger_call *call, const char *name)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.analysts($1::pg_catalog.text)");
    ledger_call_text(call, name);
}

void ledger_grant_call(struct ledger_call *call, const char *analyst, const char *dataset,
                       const struct ledger_grant *grant)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.grant_budget($1::pg_catalog.text, $2::pg_catalog.text,"
                      " $3::pg_catalog.int8, $4::pg_catalog.int8, $5::pg_catalog.int8,"
                      " $6::pg_catalog.int8, $7::pg_catalog.int8, $8::pg_catalog.text)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
    ledger_call_integer(call, grant->epsilon);
    ledger_call_integer(call, grant->delta);
    ledger_call_integer(call, grant->mu2_cap_pico);
    ledger_call_integer(call, grant->delta_conv);
    ledger_call_integer(call, grant->delta_keys);
    ledger_call_text(call, grant->window);
}

void ledger_budgets_call(struct ledger_call *call, const char *analyst, const char *dataset)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.budgets($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
}

void ledger_status_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.status()");
}
