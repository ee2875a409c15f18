/*
 * Aggregates of a group of one unit's rows. A value must be a function of the multiset of the rows,
 * and total: numbers are clamped to their range row by row, floating point is summed as numeric,
 * and NaN counts as NULL.
 */
#include <string.h>

#include "parser/expr_internal.h"
#include "parser/node.h"
#include "parser/per_unit.h"
#include "parser/walk.h"

struct argument {
    const struct expr *expr; /* NULL: the row itself */
    const char *sql;         /* NULL where the row does not count */
    uint32_t type;
    bool bounded;
    struct dp_decimal low, high;
};

static bool has_nan(uint32_t type)
{
    return type == TYPE_FLOAT4 || type == TYPE_FLOAT8 || type == TYPE_NUMERIC;
}

static bool is_float(uint32_t type)
{
    return type == TYPE_FLOAT4 || type == TYPE_FLOAT8;
}

static bool read_argument(struct unit_group *group, PgQuery__FuncCall *call,
                          struct argument *argument)
{
    static const char *const fields[] = {"funcname",     "args",       "agg_filter", "agg_star",
                                         "agg_distinct", "funcformat", NULL};
    struct level *level = group->level;
    struct arena *arena = level->compile->arena;
    const struct expr *condition = NULL;
    if (walk_unexpected_field(&call->base, fields) != NULL ||
        call->n_args != (call->agg_star ? 0 : 1))
        return unit_group_refuse(
            group, call->location, "an aggregate of this form",
            "count, sum, avg, min, max, bool_and and bool_or take one argument.");
    if (call->agg_filter != NULL)
        condition = level_compile(level, call->agg_filter, true);
    if (!call->agg_star)
        argument->expr = level_compile(level, call->args[0], false);
    if ((call->agg_filter != NULL && condition == NULL) ||
        (!call->agg_star && argument->expr == NULL))
        return false;
    argument->sql = "1";
    if (argument->expr != NULL) {
        argument->type = expr_type(argument->expr)->oid;
        argument->sql = unit_group_written(group, argument->expr);
        argument->bounded = expr_bounds(argument->expr, &argument->low, &argument->high);
    }
    if (has_nan(argument->type))
        argument->sql = arena_printf(arena, "NULLIF(%s, 'NaN'::pg_catalog.%s)", argument->sql,
                                     argument->type == TYPE_NUMERIC  ? "numeric"
                                     : argument->type == TYPE_FLOAT8 ? "float8"
                                                                     : "float4");
    if (condition != NULL)
        argument->sql = arena_printf(arena, "CASE WHEN %s THEN %s END",
                                     unit_group_written(group, condition), argument->sql);
    return true;
}

static const char *number(struct arena *arena, const struct dp_decimal *value)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, digits);
    return arena_strdup(arena, digits);
}

/* The argument within its range, as numeric or int8: sums of it are exact and cannot fail. */
static bool clamped(struct unit_group *group, const PgQuery__FuncCall *call,
                    struct argument *argument, const char **sql)
{
    struct arena *arena = group->level->compile->arena;
    if (!expr_type_is_number(argument->type))
        return unit_group_refuse(group, call->location, "a sum of values that are not numbers",
                                 "Sum or average a number.");
    if (!argument->bounded && expr_type_is_integer(argument->type)) {
        *sql = arena_printf(arena, "(%s)::pg_catalog.int8", argument->sql);
        return true;
    }
    struct dp_decimal most = {(__int128)1000000000000000, 0};
    struct dp_decimal low = dp_decimal_abs(&argument->low), high = dp_decimal_abs(&argument->high);
    if (!argument->bounded || dp_decimal_compare(&low, &most) > 0 ||
        dp_decimal_compare(&high, &most) > 0)
        return unit_group_refuse(
            group, call->location, "a sum of values without bounds",
            "Clamp them, for example sum(least(greatest(x, 0), 100)), or use a column "
            "with declared bounds.");
    /* Clamped before it becomes numeric, which has no infinity on every server. LEAST and GREATEST
     * pass over NULL, which does not count. */
    const char *type = is_float(argument->type) ? "float8" : "numeric";
    *sql = arena_printf(arena,
                        "CASE WHEN (%s) IS NOT NULL THEN LEAST(GREATEST((%s)::pg_catalog.%s, "
                        "'%s'::pg_catalog.%s), '%s'::pg_catalog.%s)%s END",
                        argument->sql, argument->sql, type, number(arena, &argument->low), type,
                        number(arena, &argument->high), type,
                        is_float(argument->type) ? "::pg_catalog.numeric" : "");
    return true;
}

/* The range of a sum of one to `rows` values. */
static bool sum_range(const struct unit_group *group, const struct argument *argument,
                      struct dp_decimal *low, struct dp_decimal *high)
{
    struct dp_decimal rows = {(__int128)group->level->source.rows, 0};
    *low = argument->low;
    *high = argument->high;
    if (!argument->bounded || rows.digits == 0)
        return false;
    if (low->digits < 0 && !dp_decimal_multiply(low, &rows, low))
        return false;
    return high->digits <= 0 || dp_decimal_multiply(high, &rows, high);
}

/* Numeric to the type that PostgreSQL's aggregate has. Rounded before: a number too small for the
 * type would be an error. */
static const char *as_type(struct arena *arena, const char *sql, uint32_t type)
{
    if (type == TYPE_FLOAT4)
        return arena_printf(arena, "pg_catalog.round(%s, 30)::pg_catalog.float4", sql);
    if (type == TYPE_FLOAT8)
        return arena_printf(arena, "pg_catalog.round(%s, 100)::pg_catalog.float8", sql);
    if (type == TYPE_INT8)
        return arena_printf(arena,
                            "LEAST(GREATEST(%s, '-9223372036854775808'::pg_catalog.numeric), "
                            "'9223372036854775807'::pg_catalog.numeric)::pg_catalog.int8",
                            sql);
    return sql;
}

static bool write_sum(struct unit_group *group, const PgQuery__FuncCall *call,
                      struct argument *argument, struct catalog_column *column, const char **sql)
{
    struct arena *arena = group->level->compile->arena;
    struct dp_decimal low, high;
    const char *values;
    if (!clamped(group, call, argument, &values))
        return false;
    uint32_t type = argument->type == TYPE_INT2 || argument->type == TYPE_INT4 ? TYPE_INT8
                    : is_float(argument->type)                                 ? argument->type
                                                                               : TYPE_NUMERIC;
    column->type = expr_builtin(&group->level->scope, type, -1);
    *sql = as_type(arena, arena_printf(arena, "pg_catalog.sum(%s)", values), type);
    unit_group_bound(column, arena, sum_range(group, argument, &low, &high), &low, &high);
    return true;
}

static bool write_avg(struct unit_group *group, const PgQuery__FuncCall *call,
                      struct argument *argument, struct catalog_column *column, const char **sql)
{
    struct arena *arena = group->level->compile->arena;
    const char *values;
    if (!clamped(group, call, argument, &values))
        return false;
    uint32_t type = is_float(argument->type) ? TYPE_FLOAT8 : TYPE_NUMERIC;
    column->type = expr_builtin(&group->level->scope, type, -1);
    *sql = as_type(arena, arena_printf(arena, "pg_catalog.avg(%s)", values), type);
    unit_group_bound(column, arena, argument->bounded, &argument->low, &argument->high);
    return true;
}

static bool write_extreme(struct unit_group *group, const PgQuery__FuncCall *call, const char *name,
                          struct argument *argument, struct catalog_column *column,
                          const char **sql)
{
    struct arena *arena = group->level->compile->arena;
    uint32_t type = argument->type;
    if (!expr_type_is_number(type) && type != TYPE_DATE && type != TYPE_TIMESTAMP &&
        type != TYPE_TIMESTAMPTZ)
        return unit_group_refuse(group, call->location, "the least or greatest of such values",
                                 "min and max take numbers, dates and timestamps here.");
    column->type = expr_builtin(&group->level->scope, type, -1);
    *sql = arena_printf(arena, "pg_catalog.%s(%s)", name, argument->sql);
    /* 1.0 and 1.00 are equal, and so are 0 and -0: which one is the least is left to chance. */
    if (type == TYPE_NUMERIC)
        *sql = arena_printf(arena, "pg_catalog.trim_scale(%s)", *sql);
    if (is_float(type))
        *sql = arena_printf(arena, "%s OPERATOR(pg_catalog.+) '0'::pg_catalog.%s", *sql,
                            type == TYPE_FLOAT8 ? "float8" : "float4");
    unit_group_bound(column, arena, argument->bounded, &argument->low, &argument->high);
    return true;
}

static bool write_count(struct unit_group *group, const PgQuery__FuncCall *call,
                        struct argument *argument, struct catalog_column *column, const char **sql)
{
    struct arena *arena = group->level->compile->arena;
    struct dp_decimal low = dp_decimal_from_int(0);
    struct dp_decimal high = {(__int128)group->level->source.rows, 0};
    bool every = call->agg_star && call->agg_filter == NULL;
    column->type = expr_builtin(&group->level->scope, TYPE_INT8, -1);
    column->not_null = true;
    if (every)
        low.digits = 1;
    if (call->agg_distinct) {
        struct text key = text_new(arena);
        if (call->agg_filter != NULL)
            return unit_group_refuse(group, call->location, "count(DISTINCT ...) with FILTER",
                                     "Put the condition into a CASE.");
        if (!expr_write_key(&group->level->scope, argument->expr, call->location, &key))
            return false;
        argument->sql = key.data;
    }
    *sql = every ? "pg_catalog.count(*)"
                 : arena_printf(arena, "pg_catalog.count(%s%s)",
                                call->agg_distinct ? "DISTINCT " : "", argument->sql);
    unit_group_bound(column, arena, high.digits > 0, &low, &high);
    return true;
}

static bool write_bool(struct unit_group *group, const PgQuery__FuncCall *call, const char *name,
                       const struct argument *argument, struct catalog_column *column,
                       const char **sql)
{
    if (argument->type != TYPE_BOOL)
        return unit_group_refuse(group, call->location, "such an argument",
                                 "bool_and and bool_or take a "
                                 "condition.");
    column->type = expr_builtin(&group->level->scope, TYPE_BOOL, -1);
    *sql = arena_printf(group->level->compile->arena, "pg_catalog.%s(%s)", name, argument->sql);
    return true;
}

static bool write_aggregate(struct unit_group *group, PgQuery__FuncCall *call,
                            struct catalog_column *column, const char **sql)
{
    bool builtin = false;
    const char *name = node_function_name(call, &builtin);
    struct argument argument = {0};
    if (!builtin || name == NULL || call->agg_within_group)
        name = "";
    bool count = strcmp(name, "count") == 0;
    if (call->agg_distinct && !count)
        return unit_group_refuse(group, call->location, "DISTINCT in such an aggregate",
                                 "count(DISTINCT column) counts different values.");
    if (call->agg_star && !count)
        name = "";
    if (!read_argument(group, call, &argument))
        return false;
    if (count)
        return write_count(group, call, &argument, column, sql);
    if (strcmp(name, "sum") == 0)
        return write_sum(group, call, &argument, column, sql);
    if (strcmp(name, "avg") == 0)
        return write_avg(group, call, &argument, column, sql);
    if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0)
        return write_extreme(group, call, name, &argument, column, sql);
    if (strcmp(name, "bool_and") == 0 || strcmp(name, "bool_or") == 0 || strcmp(name, "every") == 0)
        return write_bool(group, call, name, &argument, column, sql);
    return unit_group_refuse(
        group, call->location, "this aggregate",
        "count, sum, avg, min, max, bool_and and bool_or are supported, with FILTER.");
}

/* Number of the aggregate's column; -1: refused or pending. */
int unit_group_aggregate(struct unit_group *group, PgQuery__Node *node)
{
    struct arena *arena = group->level->compile->arena;
    const char *sql = NULL;
    for (size_t i = 0; i < group->aggregates.n; i++)
        if (walk_equal(&group->aggregates.items[i]->base, &node->base))
            return (int)(group->level->n_keys + i);
    struct catalog_column column = {.name = arena_printf(arena, "a%zu", group->aggregates.n + 1),
                                    .deterministic = true};
    if (group->aggregates.n == AGGREGATES_MAX) {
        unit_group_refuse(group, node_location(node), "so many aggregates", "Split the query.");
        return -1;
    }
    if (!write_aggregate(group, node->func_call, &column, &sql))
        return -1;
    const PgQuery__Node *copy = (const PgQuery__Node *)walk_copy(arena, &node->base);
    VECTOR_PUSH(arena, &group->aggregates, copy);
    unit_group_add(group, column, sql);
    return (int)group->columns.n - 1;
}
