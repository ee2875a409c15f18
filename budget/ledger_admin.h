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

/* What a cap is counted in: squared Gaussian-DP parameters, zero-concentrated DP, or epsilon alone.
 */
enum ledger_mode { LEDGER_GDP, LEDGER_ZCDP, LEDGER_PURE, LEDGER_MODES };
bool ledger_mode_parse(const char *text, enum ledger_mode *mode);
const char *ledger_mode_name(enum ledger_mode mode);

/* A grant in the ledger's integers, delta split as ALGORITHMS 5.5 demands. */
struct ledger_grant {
    dp_nano epsilon;
    dp_atto delta, delta_conv, delta_keys;
    enum ledger_mode mode;
    uint64_t cap_pico;  /* of mu^2, or of twice rho; 0 in mode pure */
    const char *window; /* none, day, week, month; borrowed */
};

/* Splits delta and computes the cap. False with a text in error where the two cannot be granted. */
bool ledger_grant_init(struct ledger_grant *grant, dp_nano epsilon, dp_atto delta,
                       enum ledger_mode mode, const char *window, char *error, size_t size);

/* The first word of the result: "ok", or why not ("unknown", "exists"). "" where it makes no sense.
 */
const char *ledger_admin_word(const PGresult *result);

/* One row, the schema's version; an error where there is no schema. */
void ledger_version_call(struct ledger_call *call);
enum { LEDGER_SCHEMA_VERSION = 3 };

/* Results: ok, exists, unknown. The verifier is a SCRAM verifier. */
void ledger_analyst_add_call(struct ledger_call *call, const char *name, const char *verifier);
void ledger_analyst_passwd_call(struct ledger_call *call, const char *name, const char *verifier);
void ledger_analyst_enable_call(struct ledger_call *call, const char *name, bool enabled);
void ledger_analyst_remove_call(struct ledger_call *call, const char *name);
/* Table: analyst, enabled, datasets, groups, created_at; name NULL: all. Here and below lists of
 * names are JSON arrays; in words they are text, with a comma between two. */
void ledger_analysts_call(struct ledger_call *call, const char *name);
void ledger_analysts_in_words_call(struct ledger_call *call);
/* Results as above: exists (is a member), unknown (no such analyst, or no member). */
void ledger_member_call(struct ledger_call *call, const char *group, const char *analyst,
                        bool joins);
/* Table: group_name, analysts, capped_datasets. */
void ledger_groups_call(struct ledger_call *call);

/* The DBA's word about a ledger that does not hold the entry noted elsewhere. Result: ok. */
void ledger_accept_call(struct ledger_call *call, const struct ledger_head *noted);

/* holder is "analyst", "group" or "dataset" (then name is ""). Result: ok or unknown (no such
 * analyst), and whether the dataset's cap was set too ("t", "f"). */
void ledger_grant_call(struct ledger_call *call, const char *holder, const char *name,
                       const char *dataset, const struct ledger_grant *grant);
/* change is revoke, freeze, unfreeze, reset, enforce or release. Result: ok, unknown. */
void ledger_change_call(struct ledger_call *call, const char *holder, const char *name,
                        const char *dataset, const char *change);
/* Table of accounts; NULL: of all analysts and groups, of all datasets. */
enum ledger_budget_column {
    BUDGET_HOLDER,
    BUDGET_NAME,
    BUDGET_DATASET,
    BUDGET_EPSILON,
    BUDGET_DELTA,
    BUDGET_MODE,
    BUDGET_WINDOW,
    BUDGET_WINDOW_ENDS,
    BUDGET_SPENT,
    BUDGET_REMAINING,
    BUDGET_SPENT_PICO,
    BUDGET_CAP_PICO,
    BUDGET_SPENT_DELTA,
    BUDGET_CAP_DELTA,
    BUDGET_CHARGES,
    BUDGET_UNRESOLVED,
    BUDGET_STATE
};
void ledger_budgets_call(struct ledger_call *call, const char *name, const char *dataset);
/* Table of the accounts that must admit a charge; their caps and what is spent in 1e-12 of the
 * cap's currency and in 1e-9 of epsilon. One row has "true" for own: the grant itself. */
enum ledger_limit_column {
    LIMIT_HOLDER,
    LIMIT_NAME,
    LIMIT_DATASET,
    LIMIT_MODE,
    LIMIT_CAP,
    LIMIT_SPENT,
    LIMIT_CAP_EPSILON,
    LIMIT_SPENT_EPSILON,
    LIMIT_ALL_PURE,
    LIMIT_OWN
};
void ledger_limits_call(struct ledger_call *call, const char *analyst, const char *dataset);
/* Table: setting, dataset ("": all), in_force, first_value; dataset NULL: of all. */
void ledger_settings_call(struct ledger_call *call, const char *dataset);
/* One row: the value in force for the dataset ("": for those without one of their own). */
void ledger_setting_call(struct ledger_call *call, const char *name, const char *dataset);
/* value NULL: the first one again, or for one dataset none of its own. Result: ok, or unknown (no
 * such setting, or nothing to take away). */
void ledger_setting_set_call(struct ledger_call *call, const char *name, const char *dataset,
                             const uint64_t *value);
/* Table of one column: the names that the ledger knows of a kind: analyst, group, dataset, or
 * holder for analysts and groups. */
void ledger_names_call(struct ledger_call *call, const char *kind);
/* The name of that kind that this one, not known yet, looks like; no row where there is none. */
void ledger_alike_call(struct ledger_call *call, const char *kind, const char *name);
/* Table: dataset, instance, analysts, charges, cap. */
void ledger_datasets_call(struct ledger_call *call);

/* Table of one row; STATUS_ENTRIES is the last seq. */
enum ledger_status_column { STATUS_SCHEMA, STATUS_ENTRIES, STATUS_LAST, STATUS_HEAD };
void ledger_status_call(struct ledger_call *call);

enum ledger_entry_column {
    ENTRY_SEQ,
    ENTRY_AT,
    ENTRY_KIND,
    ENTRY_REQUEST,
    ENTRY_ANALYST,
    ENTRY_DATASET,
    ENTRY_MU2_PICO,
    ENTRY_ZCDP_PICO,
    ENTRY_DELTA,
    ENTRY_EPSILON,
    ENTRY_STATE,
    ENTRY_FINGERPRINT,
    ENTRY_DETAIL,
    ENTRY_DEBITED,
    ENTRY_PREV_HASH,
    ENTRY_HASH
};
/* Journal entries after seq `after`, ascending: the first `limit`, or the last where newest is set.
 * NULL: of all analysts, of all datasets. */
void ledger_entries_call(struct ledger_call *call, const char *name, const char *dataset,
                         uint64_t after, uint64_t limit, bool newest);
/* The seq of the entry that a seq or request id names; no row where there is none. */
void ledger_entry_call(struct ledger_call *call, const char *key);

/* Table: draw, dataset, analysts (who paid), charged_at, entry (of the journal), n_answers,
 * n_groups, mu2_pico, delta, epsilon; NULL: of all datasets, of all analysts. */
void ledger_answers_list_call(struct ledger_call *call, const char *dataset, const char *analyst);
/* analyst NULL: of all; draw NULL: all. Result: ok or unknown (none is kept), and how many. */
void ledger_answers_forget_call(struct ledger_call *call, const char *dataset, const char *analyst,
                                const uint64_t *draw);

/* Findings (seq, finding) about the entries from..to of the journal; no rows where all is well. */
void ledger_check_journal_call(struct ledger_call *call, uint64_t from, uint64_t to);
/* Findings about everything else; head_seq 0: no head was noted. */
void ledger_check_state_call(struct ledger_call *call, uint64_t head_seq, const char *head_hash);

#endif
