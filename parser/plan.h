#ifndef PARSER_PLAN_H
#define PARSER_PLAN_H

/*
 * A private statement, compiled: what to measure, what it costs, and the final statement in which
 * each release is a relation. Plain data, read-only once built, owned by the statement's arena.
 * Nothing here depends on a protected row.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/partition.h"
#include "mechanisms/quantile.h"
#include "parser/arena.h"
#include "parser/catalog.h"

/* A value in text form; every client value and constant has passed the twin's input functions. */
struct sql_value {
    uint32_t type;    /* oid on the protected server; TYPE_TEXT for enum labels */
    const char *text; /* canonical text; NULL: the SQL NULL */
};

enum { HISTOGRAM_DRAWS_MAX = 2 };

enum measure_kind {
    MEASURE_UNITS,    /* number of units: count(DISTINCT unit) */
    MEASURE_COUNT,    /* rows */
    MEASURE_SUM,      /* rows' grid integers */
    MEASURE_DISTINCT, /* different values */
    /* Rows times the width of a range, less the sum of another measure. One unit moves the two
     * together by no more than their one sensitivity, so that the other's charge covers both. */
    MEASURE_COMPLEMENT
};

/* Most groups of an answer whose groups are added up. */
enum { FOLD_GROUPS_MAX = 1 << 20 };

/* A draw that was paid for before: number in the request's kept answers, and its weight's root. */
struct kept_draw {
    size_t answer;
    uint64_t m;
    /* Where the answer has finer groups (fold.h): its group i is a part of this one's group
     * fold[i], for n_fold groups, and the values of the parts are added up. NULL: the groups are
     * the same. */
    const uint32_t *fold;
    size_t n_fold;
};

/* One coordinate per group. The columns of the measurement's result after the keys are the measures
 * that are drawn, in order: exact integers in grid units, as text. */
struct measure {
    enum measure_kind kind;
    struct dp_calibration calibration; /* of the value that is handed over */
    /* What is drawn for it; m = 0: nothing. The value is the draw and the kept ones together, all
     * of the calibration's grid, each with the weight m^2 (mechanisms/refine.h). */
    struct dp_calibration draw;
    size_t n_kept;
    const struct kept_draw *kept;
    /* MEASURE_COMPLEMENT: the other measure. Its own charge is zero: the two are drawn together,
     * and given again together or not at all. */
    size_t completes;
    bool floating;         /* handed to the twin as float8 instead of numeric */
    const char *described; /* "count(*)", in the analyst's names */
    /* What is measured, whatever the noise: SHA-256, hexadecimal. NULL: never kept. */
    const char *identity;
    /* The same of the measure without any key, where that is the sum over all groups (fold.h);
     * NULL: it is not, or that is not known. */
    const char *family;
};

struct release_key {
    const char *type; /* SQL text of the key's type on the twin */
};

/* Quantiles that are had together from a group's histogram: drawn one by one or by recursion; or,
 * where whole.m is not zero, read from the distribution, which is noised once with this calibration
 * (dp_cdf_restore). plan then only counts: unit_weight, n, charge. */
struct release_draw {
    struct dp_quantile_plan plan;
    const struct dp_rank *ranks; /* plan.n of them */
    struct dp_calibration whole;
    /* Noisy distributions from before with which the draw is put together, of the same matrix and
     * each with the weight m^2, and what all of them are worth; none: the draw alone. */
    size_t n_kept;
    const struct kept_draw *kept;
    struct dp_calibration together;
};

enum value_source {
    VALUE_DRAWN, /* now, by draw number `from` */
    VALUE_KEPT,  /* before: the request's kept answer `from` is a bin of each group */
    /* Before: read from the histogram's kept distributions, of which `from` is the oldest. */
    VALUE_OF_KEPT_DISTRIBUTION
};

/* One quantile that is handed over, and where it comes from. */
struct release_value {
    struct dp_rank rank; /* as it is had: recursions round ranks to one denominator */
    enum value_source source;
    size_t from, place; /* place: of the rank, in a draw that is no distribution */
    /* How sharp: the noise of the distribution; or, the strength in the divisor's place, of a draw
     * of this rank alone with the same error (dp_quantile_strengths), whose charge is not filled
     * in. What it is kept as. */
    struct dp_calibration sharpness;
    const char *identity; /* of the distribution's quantile, as of a measure; NULL: never kept */
};

/* Kept answers, each a noisy distribution of each group, put together as those of a draw are. */
enum { DISTRIBUTIONS_MAX = 32 };
struct kept_distribution {
    size_t n_kept;
    const struct kept_draw *kept;
    struct dp_calibration together;
};

/* The weight of a unit in a distribution that is noised as a whole: few parts, so that noise and
 * weights fit one grid. */
enum { DISTRIBUTION_UNIT_WEIGHT = 1 << 10 };

/* The distribution of one argument in each group, and what is drawn from it: bins, or the noisy
 * distribution as a whole. */
struct release_histogram {
    /* Keys as text, bin, weight of the bin, ordered by key, then bin; empty bins are left out. A
     * unit weighs unit_weight in each of at most `groups` groups. The parameters are the release's,
     * sql_proved is as there. */
    const char *sql, *sql_proved;
    uint32_t n_bins;
    uint64_t unit_weight, groups;
    /* A bin's value is (first + bin * width) * grid: its lower edge. */
    struct dp_grid grid;
    __int128 first, width;
    bool floating;  /* handed to the twin as float8 instead of numeric */
    size_t n_draws; /* 0: nothing is measured */
    struct release_draw draws[HISTOGRAM_DRAWS_MAX];
    size_t n_values;
    const struct release_value *values;
    /* Of the noisy distribution, all groups one after the other, which is kept if it is drawn;
     * NULL: it is too large for that, and its quantiles are kept one by one. */
    const char *distribution;
    struct kept_distribution kept; /* that values are read from */
    const char *described;
};

struct release {
    /* Measurement SQL: keys as text, then the measures as integers, ordered by key. sql is sound as
     * it is; sql_proved (NULL: none) only in a snapshot in which proof_sql returns a single true.
     * Both enforce the same sensitivity. NULL where nothing is drawn. */
    const char *sql, *sql_proved, *proof_sql;
    size_t n_params;
    const struct sql_value *params; /* $1.. of sql and sql_proved */
    bool uses_time_zone;            /* the analyst's TimeZone must be set for the measurement */

    size_t n_keys;
    const struct release_key *keys;
    /* Public keys: every row of the domain appears, in this order; n_domain rows of n_keys texts
     * (NULL: SQL NULL). With n_keys > 0 and domain NULL the keys are private. */
    size_t n_domain;
    const char *const *domain;
    /* Public keys: which column each is and which groups it makes, n_keys digests (fold.h). NULL:
     * no measure has a family, or there is no key. */
    const char *const *fold_keys;
    /* Private keys that the analyst was told before: the domain is the list of the kept answer
     * keys_of, rows of other groups are ignored, and no group is chosen anew. 0: not so. */
    uint64_t keys_of;
    /* Private keys: measure 0 is MEASURE_UNITS and a group is kept iff its noisy value reaches it.
     */
    int64_t key_threshold;
    /* Private keys of which nothing but the keys is wanted; NULL: else. A group is kept by dp_keep
     * of its exact number of units, the only measure, which gets no noise and is never handed over.
     */
    const struct dp_keep_table *keep;

    /* No measure and no histogram: the domain alone is asked for. */
    size_t n_measures;
    const struct measure *measures;
    size_t n_drawn;  /* measures that are drawn */
    size_t n_hidden; /* the first so many are not handed over: they only choose the keys */
    size_t n_histograms;
    const struct release_histogram *histograms; /* drawn always, once the groups are known */
    struct dp_charge charge;                    /* of what is drawn */
    /* SHA-256, hexadecimal, of the rows, the measures, their noise and the keys' rule: releases
     * with the same fingerprint are drawn by the same law. NULL: the law was not known when
     * the price was, because bounds had to be found first. */
    const char *fingerprint;
    const char *mechanism_json; /* public integers of what is drawn, for the journal */
};

enum relation_kind { RELATION_RELEASE, RELATION_BUDGET, RELATION_HISTORY };

/*
 * A relation of the final statement, fed as arrays from parameter first_param on.
 * RELATION_RELEASE: n_keys arrays of type bytea[] (UTF-8 text of the key, NULL: SQL NULL), then one
 * numeric[] or float8[] (measure.floating) per measure that is not hidden, values = noisy * grid,
 * then one per quantile of each histogram, in order.
 * RELATION_BUDGET, RELATION_HISTORY: bytea[] of UTF-8 per column, in the order of the twin's
 * dp.budget and dp.history.
 */
struct plan_relation {
    enum relation_kind kind;
    const struct release *release; /* RELATION_RELEASE only */
    size_t n_columns;
    unsigned first_param;
};

/* Is anything asked of the protected server for it? */
bool release_is_measured(const struct release *release);

enum plan_shape {
    PLAN_ROWS,    /* the final statement returns rows */
    PLAN_COMMAND, /* it is a utility around the query: DECLARE CURSOR, CREATE TEMP TABLE AS */
    PLAN_COPY,    /* it is COPY (query) TO STDOUT, which takes no parameters: see PLAN_ARRAY */
    PLAN_EXPLAIN  /* spend nothing: answer with `explain` */
};

/* Where the final statement can have no parameter number n, this string constant stands in its
 * place, once, to be replaced by an array's text: numbers, or strings as x and hexadecimal digits
 * (-: NULL). */
#define PLAN_ARRAY "'pgveil array %u'"

struct plan {
    enum plan_shape shape;
    const char *database; /* the catalogue's: what is measured of another is no answer */
    /* Asks for no row (LIMIT 0, WHERE false): private tables are empty relations in final_sql, and
     * there is no release to feed. */
    bool probe;
    size_t n_relations;
    const struct plan_relation *relations;
    /* The first so many relations are releases of bounds of columns that the statement buys
     * (parser/auto_bounds.h): no columns of the final statement. They are measured before the rest;
     * the noisy numbers of their one measure, in the order of the domain, go into
     * plan_request.histograms, and the statement is planned again: the same relations, measures and
     * price, other clamps. */
    size_t n_bounds;
    bool provisional;      /* plan_request.may_know_more: to be planned again */
    const char *final_sql; /* ASCII; $1..$n_client are the client's parameters */
    unsigned n_client_params;
    struct dp_charge charge; /* of all releases */
    /* SHA-256 of the canonical releases, hexadecimal. */
    const char *fingerprint;
    /* What could answer as well, beside the identities of the measures: identities of other forms
     * of them, and FAMILY:KEY:KEY.. for kept answers of that family with at least those keys. */
    size_t n_also;
    const char *const *also;
    size_t n_explain;
    const char *const *explain; /* text lines; the caller adds those about the budget */
    const char *explain_json;   /* same facts; NULL unless EXPLAIN (FORMAT JSON) */
};

#endif
