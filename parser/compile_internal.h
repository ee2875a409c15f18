#ifndef PARSER_COMPILE_INTERNAL_H
#define PARSER_COMPILE_INTERNAL_H

/*
 * What the compiler's files share. The way of a statement:
 *
 *   compile.c      walks the tree with the names in scope and finds the levels over private rows
 *   views.c        views of the policy, expanded
 *   from.c         a level's FROM: relations and joins; columns.c: its columns, qualified
 *   derived.c      subqueries that only filter and compute, flattened
 *   semi_join.c    EXISTS and IN, as joins
 *   per_unit.c     subqueries that put together rows of one unit: tables of the compiler's own
 *   correlation.c  subqueries beside a release stand alone
 *   ownership.c    who owns a joined row: unit, path to the root, rows of a unit, fan-out
 *   level.c        a level's keys and aggregates, and what is left for the twin
 *   aggregate.c    which aggregates there are, of what range
 *   measures.c     aggregates -> measures that share
 *   variance.c     variances: a third measure, of squares
 *   quantile.c     quantiles, MIN and MAX: histograms instead of measures; bins.c: their bins
 *   fraction.c     which quantiles are asked for; quantile_price.c: how they are drawn;
 *                  quantile_error.c: how far they may be off
 *   auto_bounds.c  bounds of columns that are found and not declared
 *   bounding.c     which bounds the measurement enforces, and the sensitivity that they give
 *   price.c        shares of the budget, grids, noise
 *   span.c         intervals as numbers of seconds
 *   rotated.c      count and sum in one, where the noise is Laplace
 *   mechanism.c    Laplace or Gaussian; accuracy.c: the noise that an error allows
 *   keys.c         which private keys appear where nothing else is wanted
 *   interval.c     how far an answer may be off; interval_sql.c: beside the answer
 *   measurement.c  the SQL of a release, histogram.c of its histograms
 *   proof.c        what the shorter form of both relies on
 *   distinct.c     different values, as many of a unit as count
 *   identity.c     what a measure is, whatever its noise; part.c: a level with some measures alone
 *   reuse.c        what of it the analyst has paid for already; fold.c: in finer groups
 *   final.c        the relation of a release in the final statement
 *   explain.c      the plan in words; fingerprint.c: its identity
 */
#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parser/auto_bounds.h"
#include "parser/bins.h"
#include "parser/compile.h"
#include "parser/expr.h"
#include "parser/names.h"

/* A growing array in an arena. */
#define VECTOR(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, capacity;                                                                        \
    }
#define VECTOR_PUSH(arena, vector, item)                                                           \
    do {                                                                                           \
        if ((vector)->n == (vector)->capacity) {                                                   \
            size_t capacity_ = (vector)->capacity == 0 ? 4 : 2 * (vector)->capacity;               \
            void *items_ = arena_alloc((arena), capacity_ * sizeof *(vector)->items);              \
            if ((vector)->n > 0)                                                                   \
                memcpy(items_, (vector)->items, (vector)->n * sizeof *(vector)->items);            \
            (vector)->items = items_;                                                              \
            (vector)->capacity = capacity_;                                                        \
        }                                                                                          \
        (vector)->items[(vector)->n++] = (item);                                                   \
    } while (0)

enum {
    KEYS_MAX = 32,
    MEASURES_MAX = 64,
    HISTOGRAMS_MAX = 16,
    LEVEL_QUANTILES_MAX = 1024, /* different ones of all histograms of a level */
    AGGREGATES_MAX = 256,
    RELATIONS_MAX = 16,
    COPIED_MAX = 200000,  /* parts of expressions that stand for columns of subqueries */
    UNIT_GROUPS_MAX = 64, /* each reads its tables on its own */
    LOOKED_MAX = 1000000  /* items of FROM, each as often as WITH queries name it */
};

/* What a name of the statement stands for. */
enum name_kind {
    NAME_OTHER, /* the analyst's own, or of the twin's catalogue */
    NAME_PRIVATE,
    NAME_PUBLIC,
    NAME_HIDDEN,
    NAME_VIEW, /* to be expanded */
    NAME_BUDGET,
    NAME_HISTORY
};
struct resolved_name {
    enum name_kind kind;
    const struct catalog_table *table; /* private and public */
};

/* SQL text that becomes the subquery of a FROM item once all releases are known. */
struct fragment {
    PgQuery__RangeSubselect *place;
    const char *sql;
};

struct level;

/* One compiled statement. */
struct compile {
    struct arena *arena;
    const struct plan_request *request;
    const struct catalog *catalog;
    const char *source;
    const struct statement_name *names;
    size_t n_names;
    struct resolved_name *resolved;
    struct refusal refusal;
    bool pending; /* something waits for constants of the twin */
    VECTOR(struct sql_constant) wanted;
    VECTOR(struct plan_relation) relations;
    VECTOR(struct level *) levels; /* one per release, in order */
    VECTOR(struct auto_column) automatic;
    VECTOR(struct fragment) fragments;
    VECTOR(const char *) also;              /* identities, for the plan */
    VECTOR(struct deviation) deviations;    /* known so far (quantile_error.c) */
    const struct kept_answer **kept_sorted; /* by identity (reuse.c); NULL: not sorted yet */
    unsigned next_param;
    size_t copied, n_views, n_groups, n_aliases; /* so far */
    size_t *looked;                              /* at items of FROM, for the unit (per_unit.c) */
    enum plan_shape shape;
    bool probe;
};

/* FROM of a level. A right join is a left join with its sides exchanged. */
enum join_kind { JOIN_NONE, JOIN_INNER, JOIN_LEFT, JOIN_DERIVED };
typedef VECTOR(PgQuery__Node *) node_list;
struct named_node {
    const char *name;
    PgQuery__Node *node; /* qualified; to be copied where it is used */
};
typedef VECTOR(struct named_node) named_node_list;
struct join {
    enum join_kind kind;
    size_t relation;           /* JOIN_NONE */
    struct join *left, *right; /* else; JOIN_DERIVED has only a left one: what the subquery reads */
    int location;
    node_list on; /* AND-ed conditions, qualified */
    VECTOR(const struct expr *) conditions;
    /* Conditions of flattened subqueries below, on their way up to a WHERE or ON. */
    node_list filters;
    const char *alias;       /* JOIN_DERIVED: the analyst's name of the subquery */
    named_node_list columns; /* JOIN_DERIVED: its columns; else those merged by USING */
};

/* Two columns that are equal in every row that is kept and in which a relation of the set (a bit
 * each) is not null-extended: the condition of an outer join says nothing about its preserved side.
 */
struct equality {
    size_t relation[2];
    int column[2];
    unsigned holds_for;
};
typedef VECTOR(struct equality) equality_list;

/* What must be seen in the catalogue before sql_proved may run. */
struct proof {
    const struct catalog_table *table;
    const struct catalog_unique *unique;           /* or */
    const struct catalog_foreign_key *foreign_key; /* or */
};

/* Rows of a level, before any bound. */
struct source {
    size_t n_relations;
    struct scope_relation relations[RELATIONS_MAX];
    const PgQuery__RangeVar *ranges[RELATIONS_MAX];
    struct join *root;
    struct join *written;  /* as the analyst wrote it, where names are looked up: root without the
                              tables that lead to the unit */
    node_list where_nodes; /* AND-ed conditions, qualified */
    VECTOR(const struct expr *) where;

    /* ownership.c */
    size_t unit_relation; /* whose unit column owns the row */
    const char *unit_sql;
    const struct catalog_table
        *missing_root;               /* reference to be checked by a semi-join; NULL: none */
    uint64_t rows;                   /* C: most rows of one unit; 0: not bounded */
    uint64_t groups, rows_per_group; /* declared; 0: not */
    bool unit_unique;                /* one row a unit, given the proofs */
    bool root_proved;                /* missing_root is proved by a foreign key */
    VECTOR(struct proof) proofs;
};

struct level_key {
    PgQuery__Node *node; /* qualified */
    const struct expr *expr;
    const char *sql;                     /* canonical text */
    const struct catalog_column *domain; /* column with a declared domain; NULL: none */
};

/* A column of the rows: what one row adds to a measure, an integer but for distinct values. */
struct row_value {
    const struct expr *expr;      /* NULL: the row itself */
    const struct expr *condition; /* FILTER; NULL: none */
    bool summed;                  /* grid integers; else 1 where the row counts */
    size_t measure;               /* summed: its measure */
    const char *distinct;         /* the value itself, as canonical text; NULL: not wanted */
    uint64_t possible;            /* distinct: how many values there can be; 0: not known */
    const struct bins *bins;      /* the number of the argument's bin instead; NULL: no */
};

/* A measure before and after calibration. */
struct level_measure {
    enum measure_kind kind;
    int value; /* index of the row value; -1: every row */
    const char *described;
    unsigned weight; /* share of the budget */
    bool bought;     /* its range follows from bounds that the same statement buys */
    /* MEASURE_SUM */
    struct dp_decimal low, high, middle; /* middle: subtracted from every value */
    bool squared; /* the values are squares of the argument's distances from a middle */
    struct dp_decimal argument_low, argument_high, argument_middle;
    int scale; /* digits after the point; -1: none (floating point) */
    bool floating;
    __int128 most[2]; /* clamp of a row's grid integer, below and above */
    /* rotated.h: partner is the other measure of the pair, centre what a sum is about once it is
     * put together again. */
    bool rotated;
    size_t partner;
    struct dp_decimal centre;
    struct dp_calibration calibration; /* of its value: what the rest of the plan goes by */
    const char *identity;              /* NULL: none, never kept */
    const char *family;                /* fold.h; NULL: none */
    /* reuse.c */
    struct dp_calibration wanted; /* what the request would buy if nothing were kept */
    struct dp_calibration draw;   /* what is drawn; m = 0: nothing */
    struct dp_calibration have;   /* what is kept; m = 0: nothing */
    size_t n_kept;
    const struct kept_draw *kept;
    /* bought: the integers that fix the price, those of a measure of size one for the same share.
     * The noise then costs no more, whatever the range. */
    struct dp_calibration priced;
};

enum aggregate_kind {
    AGGREGATE_COUNT,
    AGGREGATE_UNITS,
    AGGREGATE_DISTINCT,
    AGGREGATE_SUM,
    AGGREGATE_AVG,
    AGGREGATE_VARIANCE,
    AGGREGATE_QUANTILE
};
/* AGGREGATE_QUANTILE: which ones of which histogram. */
struct level_quantile {
    int histogram;
    size_t n_ranks;
    struct dp_rank *ranks; /* 0/1 stands for MIN, 1/1 for MAX: offsets come with the price */
    bool array;            /* the answer is one */
    bool continuous;       /* percentile_cont: of type float8 */
};
struct level_aggregate {
    PgQuery__Node *node; /* as written, qualified: its identity */
    enum aggregate_kind kind;
    const struct expr *expr, *condition;
    uint32_t type;           /* of the argument */
    int count, sum, squares; /* measures; -1: not needed */
    bool sample, root;       /* AGGREGATE_VARIANCE: divided by n - 1, a standard deviation */
    const char *distinct;    /* AGGREGATE_DISTINCT: the argument as canonical text */
    struct dp_decimal low, high, middle;
    int scale;
    bool bought; /* the range follows from bounds that the same statement buys */
    struct level_quantile quantile;
    const char *described;
    size_t uses; /* places in the statement */
};

/* The distribution of one argument, and what is drawn from it. */
struct level_histogram {
    const struct expr *expr, *condition;
    struct bins bins;
    bool bought; /* their range follows from bounds that the same statement buys */
    const char *described;
    unsigned weight; /* share of the budget */
    VECTOR(struct dp_rank) ranks;
    /* quantile_price.c: what the request would buy, of each rank, and its draws. recursion: that of
     * the ranks which are read from the distribution instead, as it errs less; n = 0: none. */
    size_t n_wanted;
    struct release_draw wanted[HISTOGRAM_DRAWS_MAX];
    struct release_value *wanted_values;
    struct dp_quantile_plan recursion;
    struct dp_charge charge;
    /* identity.c */
    const char **identities; /* of each rank; NULL: never kept */
    const char *distribution;
    /* reuse_draws.c: where each rank comes from, and what is drawn */
    struct release_value *values;
    struct kept_distribution kept;
    size_t n_draws;
    struct release_draw draws[HISTOGRAM_DRAWS_MAX];
    uint64_t unit_weight;
    const char *sql, *sql_proved;
};

/* Deviation of what is read from a noised distribution, in people, times the noise's m. */
struct deviation {
    size_t n_bins;
    uint64_t delta_grid;
    double of_one;
};

/* fold.h: a column by which kept answers may be grouped and this level is not. */
struct fold_column {
    const char *digest;
    const struct catalog_column *column;
};
/* fold.h: of a kept answer with these keys. */
struct fold_map {
    const struct kept_answer *kept;
    const uint32_t *groups; /* the group of the level for each group of the answer */
    const char *columns;    /* "smsa, region" */
};

/* A column about an aggregate's error (interval.h). */
struct level_interval {
    size_t aggregate;
    int what; /* enum interval_kind */
};

/* What the measurement enforces. */
struct bounding {
    uint64_t cut;         /* rows of a unit that are kept; 0: not cut */
    uint64_t window;      /* groups of a unit that are kept; 0: all */
    uint64_t per_group;   /* rows of a unit and group, by weight; 0: not weighted */
    uint64_t delta;       /* rows by which one unit moves one group */
    uint64_t groups;      /* groups times delta^2 bounds the square of the change of a row count */
    uint64_t unit_groups; /* groups of which one unit moves the number of units */
    bool window_proved;   /* the window is not needed where the proofs hold */
};

struct level {
    struct compile *compile;
    PgQuery__SelectStmt *select;
    const struct cte_scope *ctes;
    bool per_unit; /* its groups are parts of units: nothing of it is released */
    struct scope scope;
    struct source source;
    size_t n_keys;
    struct level_key keys[KEYS_MAX];
    bool public_keys;
    VECTOR(struct row_value) values;
    size_t n_measures;
    struct level_measure measures[MEASURES_MAX];
    VECTOR(struct level_histogram) histograms;
    VECTOR(struct level_aggregate) aggregates;
    VECTOR(struct level_interval) intervals;
    struct bounding bounding;
    bool pairs_sums;                /* reuse_forms.c: every sum is measured beside its count */
    bool averages, averages_known;  /* auto_bounds.c: some aggregate is neither count nor sum */
    bool bought;                    /* auto_bounds.c: of the argument that is compiled */
    bool found;                     /* auto_bounds.c: some bounds were bought before */
    const struct kept_answer *list; /* private keys that were told before; NULL: none */
    const char *const *fold_keys;   /* fold.h: digests of the public keys; NULL: none */
    VECTOR(struct fold_column) fold_columns;
    VECTOR(struct fold_map) fold_maps;
    enum level_mechanism { NOT_FORCED, FORCED_LAPLACE, FORCED_GAUSSIAN } forced; /* price.c */
    bool laplace;                                                                /* its mechanism */
    dp_nano epsilon;   /* what it costs; with Gaussian noise by mu_max(epsilon, delta_conv) */
    const char *alias; /* of the release in the final statement */
    struct release *release;
    unsigned first_param;
};

/* Does the query's FROM name a private table? */
bool compile_reads_private(const struct compile *c, const struct cte_scope *ctes,
                           const PgQuery__SelectStmt *select);
/* Does the query keep private rows as rows: private tables in FROM, nothing that puts rows
 * together? */
bool compile_is_rows(const struct compile *c, const struct cte_scope *ctes,
                     PgQuery__SelectStmt *select);

/* Refuses at a node's or an offset's position; always false. */
bool compile_refuse(struct compile *c, int location, const char *sqlstate, const char *message,
                    const char *detail, const char *hint);

/* What the relation's name stands for. */
const struct resolved_name *compile_resolve(const struct compile *c,
                                            const PgQuery__RangeVar *range);

/* NULL: refused, or pending constants. */
const struct expr *level_compile(struct level *level, PgQuery__Node *node, bool condition);

/* views.c: all views that FROM names, in joins and in subqueries there, become subqueries. */
bool views_expand(struct compile *c, const struct cte_scope *ctes, PgQuery__SelectStmt *select);
/* Refuses relations of other databases, and takes this one's name out. */
bool views_clear_databases(struct compile *c, ProtobufCMessage *statement);
/* Relations that a definition names, and what they stand for. */
bool views_is_of_definition(const PgQuery__RangeVar *range);
/* The relation is the twin's to read. */
void views_leave_definition(PgQuery__RangeVar *range);
struct resolved_name *views_resolve(const struct compile *c, const PgQuery__RangeVar *range);

/* from.c */
bool from_build(struct level *level);
struct join *from_build_list(struct level *level, PgQuery__Node **items, size_t n);
struct join *from_build_item(struct level *level, PgQuery__Node *node);
/* A relation of the level; alias is made unique. NULL where refused. */
struct join *from_add_table(struct level *level, const struct catalog_table *table,
                            const char *alias, const PgQuery__RangeVar *range);
struct join *from_new_join(struct level *level, enum join_kind kind, int location);
void from_split_and(struct level *level, PgQuery__Node *node, node_list *out);
void from_write(const struct level *level, const struct join *join, struct text *out);
void from_write_table(const struct catalog_table *table, struct text *out);

/* derived.c: NULL where refused. */
struct join *derived_build(struct level *level, PgQuery__RangeSubselect *range);
struct join *derived_build_cte(struct level *level, const PgQuery__RangeVar *range,
                               const struct cte_scope *cte);
/* A select list's constant, typed as a column of a subquery. */
PgQuery__Node *derived_typed_constant(struct arena *arena, PgQuery__Node *node);
/* A refusal where a column of a subquery calls what is neither an aggregate nor known. */
bool derived_check_calls(struct level *level, PgQuery__Node *node);
/* Are all columns of the flattened subqueries plain columns, and so NULL in a null-extended row? */
bool derived_is_plain(const struct join *join);

/* semi_join.c: EXISTS, NOT EXISTS and IN over private rows become joins with the units found. */
void semi_joins_rewrite(struct compile *c, const struct cte_scope *ctes,
                        PgQuery__SelectStmt *select);

/* per_unit.c: a subquery over private rows that groups by the unit. Is it one, as far as names
 * tell?
 */
bool per_unit_is(const struct compile *c, const struct cte_scope *ctes,
                 const PgQuery__SelectStmt *select);
/* NULL where refused. */
struct join *per_unit_build(struct level *level, PgQuery__SelectStmt *select, const char *alias,
                            int location);

/* columns.c */
int from_column_index(const struct catalog_table *table, const char *name);
/* How many columns of the join have the name, and what the first one is. */
int from_lookup(const struct level *level, const struct join *join, const char *name,
                PgQuery__Node **node);
/* The relation or subquery that qualifies the reference; NULL: none. */
const struct join *from_named(const struct level *level, const struct join *scope,
                              const PgQuery__ColumnRef *ref);
/* All columns, in order, but those of the names in except (may be NULL). */
void from_all_columns(const struct level *level, const struct join *join,
                      const named_node_list *except, named_node_list *out);
/* Makes every column of the node (or of all below) relation.column of this level. */
bool from_qualify(struct level *level, const struct join *scope, PgQuery__Node **slot);
/* The same for what stays for the twin, where subqueries may stand. */
bool from_qualify_output(struct level *level, PgQuery__Node **slot);
/* The input column that an unqualified name is; false: none. */
bool from_has_column(const struct level *level, const char *name);
/* The relation and column of a qualified column node; false where it is something else. */
bool from_column(const struct level *level, const PgQuery__Node *node, size_t *relation,
                 int *column);

/* correlation.c: refuses a subquery that refers to columns of the level. */
bool correlation_check(struct level *level, PgQuery__Node *subquery);

/* ownership.c */
bool ownership_find(struct level *level);

/* aggregate.c */
bool aggregate_is(const PgQuery__Node *node);
/* Index of the aggregate in the level; -1: refused or pending. */
int aggregate_add(struct level *level, PgQuery__Node *node);

/* measures.c: turns the aggregates into measures. */
bool measures_choose(struct level *level);

/* level.c */
/* FROM, WHERE and the keys of a level: its first half. */
bool level_read(struct level *level);
bool level_is_aggregated(const PgQuery__SelectStmt *select);
bool level_compile_release(struct compile *c, PgQuery__SelectStmt *select,
                           const struct cte_scope *ctes);

/* bounding.c */
bool bounding_choose(struct level *level);
/* Where at most so many of a unit's things count in a group: *delta by which one unit moves the
 * group's number of them, and *groups for the norm, as in struct bounding. */
void bounding_at_most(const struct bounding *bounding, uint64_t most, uint64_t *delta,
                      uint64_t *groups);

/* price.c */
bool price_release(struct level *level);

/* measurement.c */
/* FROM and WHERE: the rows that have an owner; root: whose owner the table of units must know. */
void measurement_write_from(const struct level *level, bool root, struct text *out);
bool measurement_write(struct level *level);
/* The form that relies on no proof, with $1.. the scope's parameters and the next one the seed. */
const char *measurement_text(struct level *level);
const char *measurement_histogram_text(const struct level *level,
                                       const struct level_histogram *histogram);

/* part.c: a copy with the chosen measures and their values alone. */
struct level *level_part(const struct level *level, const bool *chosen);

/* reuse_forms.c: chooses and prices the measures, in the form that is paid for if there is one. */
bool reuse_choose(struct level *level);
/* What is kept of the level as it is can be had by these: for the plan's `also`. */
void reuse_note(struct level *level);
/* The same of finer groups alone. */
void reuse_note_finer(struct level *level);
/* reuse.c: settles what is kept of each measure and what is drawn. */
void reuse_settle(struct level *level);
/* Are private keys chosen by this release? */
bool reuse_draws_keys(const struct level *level);
/* How much of an aggregate was paid for before; *since: when the oldest part of it was (NULL: none
 * was). */
enum reuse_extent { REUSE_NONE, REUSE_PART, REUSE_ALL };
enum reuse_extent reuse_of(const struct level *level, const struct level_aggregate *aggregate,
                           const char **since);

/* reuse_draws.c: ranks by which an aggregate of quantiles may be off where all of them are had from
 * what is kept, though the request would buy sharper ones of some; negative: it is not so. */
double reuse_kept_error(const struct level *level, const struct level_aggregate *aggregate);

/* identity.c: of every measure that may be kept. */
void identity_find(struct level *level);

/* proof.c: of the foreign keys of the level's proofs, and of the unique indexes too where asked. */
const char *proof_write(const struct level *level, bool unique);

/* final.c */
/* same: the level whose release this one's is; NULL: none. */
void final_release(struct level *level, const struct level *same, PgQuery__RangeSubselect *place);
void final_ledger(struct compile *c, enum relation_kind kind, PgQuery__RangeSubselect *place);
void final_empty(struct compile *c, const struct catalog_table *table,
                 PgQuery__RangeSubselect *place);
bool final_graft(struct compile *c);

/* probe.c */
bool probe_is(const PgQuery__SelectStmt *top);

/* explain.c */
void explain_plan(const struct compile *c, struct plan *plan, bool json);
/* fingerprint.c */
const char *fingerprint_releases(const struct compile *c);
const char *fingerprint_release(const struct level *level);
const char *fingerprint_mechanisms(const struct level *level);
/* The same two of a release of bounds. */
const char *fingerprint_bounds(const struct compile *c, const struct measure *measure);
const char *fingerprint_bounds_mechanism(const struct compile *c, const struct measure *measure);

#endif
