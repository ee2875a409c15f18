#ifndef BUDGET_LEDGER_H
#define BUDGET_LEDGER_H

/*
 * The ledger's statements: each is one call of a function in schema.sql, one durable transaction.
 * This file builds the call and reads its result; who sends it (the proxy's event loop, pgveilctl)
 * is not its concern. No SQL of the ledger is written anywhere else.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

enum { LEDGER_PARAMS_MAX = 16, LEDGER_TEXT_MAX = 64 };

/* A statement with text parameters; values point into text[] or at the caller's strings, which must
 * outlive the sending. */
struct ledger_call {
    const char *sql;
    int n_params;
    const char *values[LEDGER_PARAMS_MAX];
    char text[LEDGER_PARAMS_MAX][LEDGER_TEXT_MAX];
};

enum ledger_outcome {
    LEDGER_OK,
    LEDGER_EXCEEDED,   /* the budget does not suffice: nothing was debited */
    LEDGER_NO_ACCOUNT, /* no grant for this analyst and dataset */
    LEDGER_FROZEN,     /* the account is frozen, or the analyst disabled */
    LEDGER_FAILED      /* no answer, or one that makes no sense: treat as not answered */
};

/* What an account holds; the numbers of dp.budget. */
struct ledger_account {
    char dataset[64];
    char epsilon[32], delta[32];                    /* as granted, decimal */
    uint64_t mu2_cap_pico, mu2_spent_pico;
    dp_atto delta_keys_cap, delta_conv, delta_spent;
    dp_nano epsilon_cap, epsilon_spent;
    bool all_pure;
    char window[8], window_ends[40];                /* "none", "day", ..; "" or ISO time */
};

/* One idempotent debit: the same request_id (UUID text) debits once. fingerprint and
 * mechanism_json are kept in the journal. */
void ledger_charge_call(struct ledger_call *call, const char *request_id, const char *analyst,
                        const char *dataset, const struct dp_charge *charge,
                        const char *fingerprint, const char *mechanism_json);
/* account may be NULL; filled with the state after the call where it is known. */
enum ledger_outcome ledger_charge_result(const PGresult *result, struct ledger_account *account);

/* The answer was given (resolved), or the measurement failed (counts towards a freeze). Bookkeeping
 * only: the charge stands either way. */
void ledger_resolve_call(struct ledger_call *call, const char *request_id, bool answered);

void ledger_account_call(struct ledger_call *call, const char *analyst, const char *dataset);
enum ledger_outcome ledger_account_result(const PGresult *result, struct ledger_account *account);

/* The analyst's charges for dp.history, newest last; result columns in the order of dp.history. */
void ledger_history_call(struct ledger_call *call, const char *analyst, const char *dataset);

/* What a login needs: SCRAM verifier, enabled, and the datasets granted. One row or none. */
void ledger_login_call(struct ledger_call *call, const char *analyst);
struct ledger_login {
    bool known, enabled;
    char verifier[256]; /* SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
};
enum ledger_outcome ledger_login_result(const PGresult *result, struct ledger_login *login);

/* Creates or migrates the schema; idempotent. sql is the whole script. */
const char *ledger_schema_sql(void);

#endif
