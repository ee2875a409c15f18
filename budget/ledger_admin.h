#ifndef BUDGET_LEDGER_ADMIN_H
#define BUDGET_LEDGER_ADMIN_H

/*
 * The ledger's statements that only the DBA's tool sends, built like those of budget/ledger.h. Each
 * result is a table of text columns to be shown as it is, except where a function here reads it.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget/ledger.h"
#include "mechanisms/calibrate.h"

/* A grant in the ledger's integers, delta split as ALGORITHMS 5.5 demands. */
struct ledger_grant {
    dp_nano epsilon;
    dp_atto delta, delta_conv, delta_keys;
    uint64_t mu2_cap_pico;
    const char *window; /* none, day, week, month; borrowed */
};

/* Splits delta and computes the cap of mu^2. False with a text in error where the two cannot be
 * granted. */
bool ledger_grant_init(struct ledger_grant *grant, dp_nano epsilon, dp_atto delta,
                       const char *window, char *error, size_t size);

/* The first word of the result: "ok", or why not ("unknown", "exists"). "" where it makes no sense.
 */
const char *ledger_admin_word(const PGresult *result);

/* One row, the schema's version; an error where there is no schema. */
void ledger_version_call(struct ledger_call *call);
enum { LEDGER_SCHEMA_VERSION = 1 };

/* Results: ok, exists, unknown. The verifier is a SCRAM verifier. */
void ledger_analyst_add_call(struct ledger_call *call, const char *name, const char *verifier);
void ledger_analyst_passwd_call(struct ledger_call *call, const char *name, const char *verifier);
void ledger_analyst_enable_call(struct ledger_call *call, const char *name, bool enabled);
/* Table: analyst, enabled, datasets, created_at; name NULL: all. */
void ledger_analysts_call(struct ledger_call *call, const char *name);

/* Result: ok or unknown (no such analyst), and whether the dataset's cap was set too ("t", "f"). */
void ledger_grant_call(struct ledger_call *call, const char *analyst, const char *dataset,
                       const struct ledger_grant *grant);
/* Table of accounts; NULL: of all analysts, of all datasets. The row of a dataset's cap has no
 * analyst. */
void ledger_budgets_call(struct ledger_call *call, const char *analyst, const char *dataset);

/* Table of one row. */
void ledger_status_call(struct ledger_call *call);

#endif
