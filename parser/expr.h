#ifndef PARSER_EXPR_H
#define PARSER_EXPR_H

/*
 * Typed scalar expressions over the columns of private rows: compiled from libpg_query's nodes by
 * the allow-list (expr_operators.c, expr_functions.c, expr_casts.c), written back as SQL that is
 * total (no value of any column makes it fail) and fully qualified. Types follow PostgreSQL's own
 * resolution, so that what the twin described is what comes out. Bounds are propagated by interval
 * arithmetic.
 *
 * Where PostgreSQL would raise, the SQL is NULL: integers, casts, dates and intervals out of range,
 * division by zero, floating point overflow and underflow. It is NULL as well, where PostgreSQL has
 * a value, for
 *   - NaN divided by zero;
 *   - arithmetic on unconstrained numeric of 10^100 and more, or of more than 100 decimal places;
 *   - || , lower, upper, initcap, ILIKE and keys made of a text of more than a million bytes;
 *   - time stamps shifted to within a year of the type's ends, and differences beyond the year
 *     285000;
 *   - date_trunc before 4000 BC, and casts between the two types of time stamp on the type's first
 *     and last day.
 * Conditions, COALESCE, GREATEST and LEAST around it see that NULL.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/decimal.h"
#include "parser/arena.h"
#include "parser/catalog.h"
#include "parser/parser.h"
#include "parser/refusal.h"

struct level;
struct PgQuery__Node; /* libpg_query's node; nothing else of it is visible here */

/* A relation in the FROM clause as the expressions see it. */
struct scope_relation {
    const char *alias;     /* name that qualifies its columns in the analyst's text */
    const char *sql_alias; /* name in the measurement SQL */
    const struct catalog_table *table;
    bool nullable; /* on the null-extended side of an outer join */
};

struct scope {
    struct arena *arena;
    const struct catalog *catalog;
    const struct plan_request *request; /* parameters and constants */
    size_t n_relations;
    const struct scope_relation *relations;
    struct refusal *refusal; /* first refusal wins */
    const char *source;      /* the statement's whole text, for character positions */
    /* Constants whose canonical form is still wanted (PLAN_WANTS_CONSTANTS). */
    struct sql_constant *wanted;
    size_t n_wanted, capacity_wanted;
    /* Parameters of the measurement SQL, in order of first use: $1, $2, ... */
    struct sql_value *params;
    size_t n_params, capacity_params;
    bool uses_time_zone;
    int depth;
    struct level
        *finder; /* auto_bounds.h: columns have bounds that are found; NULL: they have none */
};

struct expr; /* immutable, in the scope's arena */

/* NULL with the refusal set where the expression is not allowed. Refuses aggregates, windows,
 * subqueries, and every node or set field it does not know. */
const struct expr *expr_compile(struct scope *scope, const struct PgQuery__Node *node);
/* Same, and the result must be boolean (PostgreSQL's own message otherwise comes from the twin). */
const struct expr *expr_compile_condition(struct scope *scope, const struct PgQuery__Node *node);

const struct catalog_type *expr_type(const struct expr *expr);
bool expr_not_null(const struct expr *expr);
bool expr_is_constant(const struct expr *expr); /* no column in it */
/* Same meaning by structure: used to find group keys in the select list. */
bool expr_equal(const struct expr *a, const struct expr *b);
/* The plain column it is, and the relation's index; NULL where it is more than that. */
const struct catalog_column *expr_column(const struct expr *expr, size_t *relation);

/* Finite range of the value when every column is clamped to its bounds; false: none. */
bool expr_bounds(const struct expr *expr, struct dp_decimal *low, struct dp_decimal *high);
/* Digits after the point that represent every value of the expression exactly: 0 for integers, s
 * for numeric(p,s), -1 where there is no such number (floating point, unconstrained numeric). */
int expr_scale(const struct expr *expr);

/* Total SQL of the expression's type. Parameters are added to the scope when compiled. */
void expr_write(const struct expr *expr, struct text *out);

/* As a group key: canonical text in which equal means identical, or a refusal where the type has no
 * such form (DESIGN 2). */
bool expr_write_key(struct scope *scope, const struct expr *expr, int location, struct text *out);

#endif
