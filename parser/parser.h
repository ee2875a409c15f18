#ifndef PARSER_PARSER_H
#define PARSER_PARSER_H

/*
 * The door to parser/: text -> classified statements -> plan. Pure: no sockets, no clock.
 * Everything is refused that is not on an allow-list.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/sharing.h"
#include "parser/catalog.h"
#include "parser/plan.h"
#include "parser/refusal.h"

enum statement_class {
    STATEMENT_RELAY,    /* touches no protected relation: to the twin as it is */
    STATEMENT_REFUSED,  /* see refusal */
    STATEMENT_CANDIDATE /* names what may be a private table: resolve the names, then plan */
};

/* What a statement does to the transaction; the session needs it to split several statements. */
enum statement_transaction { TRANSACTION_NONE, TRANSACTION_BEGIN, TRANSACTION_END };

struct statement_name {
    const char *schema; /* NULL: found by the session's search_path */
    const char *name;
};

struct statement {
    enum statement_class class;
    enum statement_transaction transaction;
    size_t location, length; /* bytes of the text */
    struct refusal refusal;
    size_t n_names; /* STATEMENT_CANDIDATE: relations to be resolved on the twin */
    const struct statement_name *names;
};

struct parsed; /* owns its memory; opaque */

struct parser_limits {
    size_t text_bytes_max, tokens_max, depth_max;
};

/*
 * Classifies a text (UTF-8, NUL-terminated) against the names in the catalogue. Always returns an
 * object. What libpg_query cannot parse is one STATEMENT_RELAY with parsed_is_unparsable(): the
 * twin says what is wrong. Above a limit: one STATEMENT_REFUSED (54001).
 */
struct parsed *parser_parse(const char *text, const struct catalog *catalog,
                            const struct parser_limits *limits);
void parsed_free(struct parsed *parsed);
size_t parsed_count(const struct parsed *parsed); /* 0: an empty query */
const struct statement *parsed_statement(const struct parsed *parsed, size_t index);
bool parsed_is_unparsable(const struct parsed *parsed);

struct plan_settings {
    dp_nano epsilon;    /* per release */
    dp_atto delta;      /* per release with private keys */
    dp_atto delta_conv; /* the account's; epsilon stands for mu_max(epsilon, delta_conv) */
    bool laplace; /* dp.mechanism, unless automatic: then what the account has spent decides */
    bool automatic;
    struct dp_account_state account;
    struct dp_decimal max_error; /* half-width of counts and sums that replaces epsilon; 0: none */
    dp_nano epsilon_max;         /* the most that max_error may stand for */
    double beta;                 /* 1 - dp.confidence */
    uint64_t groups_max;         /* most rows of a domain */
    uint64_t work_max;           /* most joined rows per unit (rows times fan-out) */
    const char *time_zone;       /* of the session; NULL: UTC */
};

/* A draw that the analyst has paid for, without its values: what is planned depends on nothing that
 * was drawn but on the groups that were told. */
struct kept_answer {
    uint64_t id; /* > 0 */
    const char *identity;
    const char *since; /* when it was charged: ISO, UTC */
    struct dp_calibration calibration;
    size_t n_groups;
    bool keys_only; /* the groups alone were told, no values */
    /* Private keys: the answer that told the groups, this one or another; 0: none did. keys: of
     * the one that did, row by row; NULL: else. */
    uint64_t keys_of;
    const char *const *keys;
    /* Public keys of a measure that adds up over groups: struct measure's family, and the keys as
     * in struct release, in their order. NULL and 0: else. */
    const char *family;
    size_t n_fold_keys;
    const char *const *fold_keys;
};

/* What is known of the bounds of a column: the noisy numbers of their release (plan.n_bounds), of
 * an earlier statement or (paid_here) of this one; noisy NULL: paid here and not to be used. */
struct plan_histogram {
    const char *identity;
    bool paid_here;
    struct dp_calibration calibration;
    size_t n;
    const __int128 *noisy;
};

struct plan_request {
    const struct catalog *catalog;
    const uint32_t *resolved_oids; /* per name of the statement: twin oid, 0: not found */
    const struct plan_settings *settings;
    size_t n_params;
    const struct sql_value *params; /* the client's, $1..; NULL text: NULL */
    size_t n_constants;
    const struct sql_constant *constants; /* canonical forms asked for by an earlier call */
    bool asks_for_kept;                   /* what is kept will be asked for: plan.also is wanted */
    size_t n_kept;
    const struct kept_answer *kept; /* of the identities of an earlier plan of the same statement */
    size_t n_histograms;
    const struct plan_histogram *histograms;
    /* Kept answers were not looked up yet, and will be: nothing is refused for bounds that may be
     * among them, and the plan (plan.provisional) says no more than what to look for. */
    bool may_know_more;
};

/* A literal whose meaning depends on the session (DateStyle, TimeZone, IntervalStyle). */
struct sql_constant {
    uint32_t type;
    const char *literal;   /* as the analyst wrote it, unquoted */
    const char *canonical; /* ISO text from the twin; NULL while wanted */
};

enum plan_result {
    PLAN_READY,          /* *plan is set; borrowed from parsed */
    PLAN_NOT_PRIVATE,    /* no resolved name is private: relay */
    PLAN_REFUSED,        /* *refusal is set */
    PLAN_WANTS_CONSTANTS /* *wanted, *n_wanted: ask the twin for these and call again */
};

/* What is handed out (plan, wanted) is valid until the next parser_plan of the same parsed has
 * returned, or parsed_free. The same statement may be planned any number of times. */
enum plan_result parser_plan(struct parsed *parsed, size_t index,
                             const struct plan_request *request, const struct plan **plan,
                             struct refusal *refusal, const struct sql_constant **wanted,
                             size_t *n_wanted);

#endif
