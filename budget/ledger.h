#ifndef BUDGET_LEDGER_H
#define BUDGET_LEDGER_H

/*
 * The ledger's statements: each is one call of a routine in schema_charge.sql, one transaction.
 * This file builds the call and reads its result; who sends it (the proxy's event loop, pgveilctl)
 * is not its concern. No SQL of the ledger is written anywhere else.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

enum { LEDGER_PARAMS_MAX = 16, LEDGER_TEXT_MAX = 64 };

/* A statement with text parameters; values point into text[], into owned[] or at the caller's
 * strings, which must outlive the sending. */
struct ledger_call {
    const char *sql;
    int n_params;
    const char *values[LEDGER_PARAMS_MAX];
    char text[LEDGER_PARAMS_MAX][LEDGER_TEXT_MAX];
    char *owned[LEDGER_PARAMS_MAX]; /* freed by ledger_call_free; NULL where there is nothing */
};

/* For the calls that say so: frees what they own, after the sending. */
void ledger_call_free(struct ledger_call *call);

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
    char epsilon[32], delta[32]; /* as granted, decimal */
    char cap_mode[8];            /* gdp, zcdp, pure */
    /* In 1e-12: mu^2, in mode zcdp twice rho; in mode pure the cap is 0 and epsilon alone counts.
     */
    uint64_t mu2_cap_pico, mu2_spent_pico;
    char spent_share[24]; /* of the budget, a decimal, rounded up; above 1 only after a smaller
                             grant */
    dp_atto delta_keys_cap, delta_conv, delta_spent;
    dp_nano epsilon_cap, epsilon_spent;
    bool all_pure;
    char window[8], window_ends[40]; /* "none", "day", ..; "" or ISO time */
    /* The cap that all analysts of the dataset share; false: none is enforced. */
    bool dataset_capped;
    uint64_t dataset_mu2_cap_pico, dataset_mu2_spent_pico;
    uint64_t booked_mu2_pico;  /* by this charge: the larger of its price and the minimum */
    uint64_t minimum_mu2_pico; /* a measured statement costs at least this */
    /* Whose account refuses (exceeded, frozen): "analyst", "group", "dataset", "database" (an
     * account on another dataset over the same database) or "". */
    char refused_by[12];
};

/* What remains under the own grant and the dataset's cap together. */
uint64_t ledger_account_remaining_mu2(const struct ledger_account *account);

/* One release of a charge. */
struct ledger_release {
    struct dp_charge charge; /* what is to be paid for it now */
    const char *measures;    /* the public integers of its noise: a JSON array, for the journal */
    /* Of its draw, hexadecimal: two releases with the same fingerprint are drawn from the same rows
     * by the same law (identities of the measures, calibrations, threshold or coins, and the key
     * list they are measured on), so that the draw of the one may stand for the other's. NULL: its
     * draw is never another analyst's. */
    const char *fingerprint;
};

/* One charge of an analyst; everything is borrowed. */
struct ledger_charge {
    const char *request_id; /* UUID text */
    const char *analyst;
    const char *epoch;       /* "hour", "day", "week", "month" or "none" (policy_epoch_name) */
    const char *fingerprint; /* the statement's */
    const struct ledger_release *releases; /* those that measure nothing are left out */
    size_t n_releases;                     /* > 0 */
};
/* The charge as a batch takes it: text from malloc. */
char *ledger_charge_text(const struct ledger_charge *charge);

enum { LEDGER_BATCH_MAX = 64 };
/*
 * Debits up to LEDGER_BATCH_MAX charges on one dataset, one after the other, each or none of it;
 * durable before it answers. An error is one of all of them: nothing was debited then. Must be sent
 * outside any transaction block and not in a pipeline, as it commits itself. The same request id
 * with the same releases debits once, whatever batch it comes in; within a batch all are different.
 * Free the call.
 *
 * Adoption: where a release's very draw was kept for another analyst in this epoch, the charge
 * takes it over. The price of the analyst is that of a draw of his own; accounts that he shares and
 * that were debited for the draw already are not debited again.
 */
void ledger_charges_call(struct ledger_call *call, const char *dataset, const char *const *charges,
                         size_t n);
/* The answers of the n charges, a result of one row each, in their order: for ledger_charge_result,
 * then PQclear. False (and none made) where the result is not that of n charges. */
bool ledger_charges_split(const PGresult *result, PGresult **answers, size_t n);
/* account may be NULL; the state after the call where it is known, else left as it was. adopted
 * (NULL: not wanted) has an entry for each of the n_releases: where it is not 0, the release takes
 * over that draw. It must not be measured then: ledger_adopted_call has its answers. */
enum ledger_outcome ledger_charge_result(const PGresult *result, struct ledger_account *account,
                                         uint64_t *adopted, size_t n_releases);

/* The answer was given (resolved), or the measurement failed (counts towards a freeze). Bookkeeping
 * only: the charge stands either way. */
void ledger_resolve_call(struct ledger_call *call, const char *request_id, bool answered);

/* In the results account is left as it was where nothing is known of it. */
void ledger_account_call(struct ledger_call *call, const char *analyst, const char *dataset);
enum ledger_outcome ledger_account_result(const PGresult *result, struct ledger_account *account);

/* All accounts of the analyst, a row each (PQntuples), in the order of the datasets' names. */
void ledger_accounts_call(struct ledger_call *call, const char *analyst);
enum ledger_outcome ledger_accounts_result(const PGresult *result, int row,
                                           struct ledger_account *account);

enum { LEDGER_HISTORY_MAX = 10000 };
/* The analyst's last LEDGER_HISTORY_MAX charges for dp.history, newest last; text columns in the
 * order of dp.history: at (ISO, UTC), statement (fingerprint), epsilon ("" where not pure),
 * mu2_pico (as booked), delta, share (of the own budget), state (charged, answered, failed). */
void ledger_history_call(struct ledger_call *call, const char *analyst, const char *dataset);

/* What a login needs: SCRAM verifier and enabled. One row or none. The datasets granted are the
 * analyst's accounts. */
void ledger_login_call(struct ledger_call *call, const char *analyst);
struct ledger_login {
    bool known, enabled;
    char verifier[256]; /* SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey */
};
/* LEDGER_OK with known = false where the ledger has no such name. Holds a secret: wipe it. */
enum ledger_outcome ledger_login_result(const PGresult *result, struct ledger_login *login);

/* The dataset's row, made when it is first asked for: an opaque identity, and the secret seed that
 * orders a unit's groups. */
void ledger_dataset_call(struct ledger_call *call, const char *dataset);
struct ledger_dataset {
    char instance[37]; /* UUID text */
    int64_t hash_seed; /* secret */
};
enum ledger_outcome ledger_dataset_result(const PGresult *result, struct ledger_dataset *dataset);

/* Notes that the dataset is served over a database, known by a name that tells it from others; to
 * be sent before the dataset is open. From then on what is spent on other datasets over it counts
 * on this one too, and the other way round; *siblings names them, separated by commas (borrowed
 * from the result). */
void ledger_serve_call(struct ledger_call *call, const char *dataset, const char *database);
enum ledger_outcome ledger_serve_result(const PGresult *result, const char **siblings);

/* The journal's newest entry. Who notes it outside the ledger can tell later whether the ledger
 * lost entries since, as one restored from an older backup has. */
struct ledger_head {
    uint64_t seq;  /* 0: no entry yet */
    char hash[65]; /* hexadecimal */
};
void ledger_head_call(struct ledger_call *call);
enum ledger_outcome ledger_head_result(const PGresult *result, struct ledger_head *head);
/* Whether the journal still holds the entry that was noted. */
void ledger_continues_call(struct ledger_call *call, const struct ledger_head *noted);
enum ledger_outcome ledger_continues_result(const PGresult *result, bool *continues);
/* The server's settings by which it may lose in a crash what it has confirmed: "fsync = off, ...";
 * "" where there is none. */
enum { LEDGER_NOT_DURABLE_SIZE = 128 };
void ledger_not_durable_call(struct ledger_call *call);
enum ledger_outcome ledger_not_durable_result(const PGresult *result,
                                              char settings[LEDGER_NOT_DURABLE_SIZE]);

/* Creates or migrates the schema; idempotent. The whole script, to be sent as one simple query
 * (PQexec), which makes it one transaction. Fails where the ledger's schema is newer. */
const char *ledger_schema_sql(void);

#endif
