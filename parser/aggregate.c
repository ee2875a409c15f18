/* The aggregates of a level: which there are, of what, and within which range. */
#include <ctype.h>
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/ownership.h"
#include "parser/quantile.h"
#include "parser/span.h"
#include "parser/variance.h"
#include "parser/walk.h"

/* Digits kept of values that have no exact decimal scale of their own. */
enum { NUMERIC_SCALE = 8, NUMERIC_SCALE_MAX = 15 };

static const char *const supported[] = {
    "count", "sum", "avg", "variance", "var_samp", "var_pop", "stddev", "stddev_pop", "stddev_samp",
};
static const char *const unsupported[] = {
    "array_agg",      "bit_and",         "bit_or",     "bit_xor",
    "bool_and",       "bool_or",         "corr",       "covar_pop",
    "covar_samp",     "cume_dist",       "dense_rank", "every",
    "json_agg",       "json_object_agg", "jsonb_agg",  "jsonb_object_agg",
    "mode",           "percent_rank",    "range_agg",  "range_intersect_agg",
    "rank",           "regr_avgx",       "regr_avgy",  "regr_count",
    "regr_intercept", "regr_r2",         "regr_slope", "regr_sxx",
    "regr_sxy",       "regr_syy",        "string_agg", "xmlagg"};

static bool listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

bool aggregate_is(const PgQuery__Node *node)
{
    if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL || node->func_call->over != NULL)
        return false;
    const PgQuery__FuncCall *call = node->func_call;
    bool builtin = false;
    const char *name = node_function_name(call, &builtin);
    if (call->agg_star || call->agg_distinct || call->agg_within_group ||
        call->agg_filter != NULL || call->n_agg_order > 0)
        return true;
    return name != NULL && builtin &&
           (quantile_is(name) || listed(supported, sizeof supported / sizeof supported[0], name) ||
            listed(unsupported, sizeof unsupported / sizeof unsupported[0], name));
}

/* The call as the analyst wrote it, from its name to its closing bracket (that of WITHIN GROUP, if
 * there is one), blanks folded. */
static const char *described(struct level *level, const PgQuery__FuncCall *call, const char *name)
{
    enum { LONGEST = 80 };
    struct compile *c = level->compile;
    const char *start = call->location >= 0 ? c->source + call->location : "";
    char text[LONGEST + 1];
    size_t length = 0;
    int depth = 0, brackets = call->agg_within_group ? 2 : 1;
    char quote = '\0';
    for (const char *p = start; *p != '\0' && length < LONGEST; p++) {
        if (isspace((unsigned char)*p) && quote == '\0' &&
            (length == 0 || text[length - 1] == ' ' || text[length - 1] == '('))
            continue;
        text[length++] = isspace((unsigned char)*p) ? ' ' : *p;
        if (quote != '\0')
            quote = *p == quote ? '\0' : quote;
        else if (*p == '\'' || *p == '"')
            quote = *p;
        else if (*p == '(')
            depth++;
        else if (*p == ')' && --depth == 0 && --brackets == 0)
            return arena_strndup(c->arena, text, length);
    }
    return arena_printf(c->arena, "%s(...)", name);
}

static const char *const call_fields[] = {"funcname",     "args",       "agg_filter", "agg_star",
                                          "agg_distinct", "funcformat", NULL};

static bool refuse_aggregate(struct level *level, const PgQuery__FuncCall *call, const char *what,
                             const char *hint)
{
    struct compile *c = level->compile;
    return compile_refuse(c, call->location, "0A000",
                          arena_printf(c->arena, "%s is not supported over private rows", what),
                          arena_printf(c->arena, "The query calls %s.", what), hint);
}

/* count(DISTINCT unit): the units themselves. */
static bool is_unit(const struct level *level, const PgQuery__Node *node)
{
    size_t relation;
    int column;
    if (!from_column(level, node, &relation, &column))
        return false;
    const struct scope_relation *found = &level->source.relations[relation];
    return !found->nullable && found->table->unit_column == column &&
           ownership_is_direct(level->compile->catalog, found->table);
}

static bool check_call(struct level *level, const PgQuery__FuncCall *call, const char *name)
{
    struct compile *c = level->compile;
    if (name == NULL || !listed(supported, sizeof supported / sizeof supported[0], name))
        return refuse_aggregate(level, call,
                                arena_printf(c->arena, "%s()", name == NULL ? "" : name),
                                "count, sum, avg, variances, standard deviations, min, max, "
                                "percentile_cont and percentile_disc are supported, with FILTER "
                                "and CASE.");
    if (walk_unexpected_field(&call->base, call_fields) != NULL)
        return refuse_aggregate(level, call, "ORDER BY or WITHIN GROUP in an aggregate",
                                "Leave it out: the order does not change a count or a sum.");
    if (call->agg_distinct && strcmp(name, "count") != 0)
        return refuse_aggregate(level, call, arena_printf(c->arena, "%s(DISTINCT ...)", name),
                                "count(DISTINCT column) counts different values.");
    if (call->n_args != (call->agg_star ? 0 : 1))
        return refuse_aggregate(level, call, "an aggregate with such arguments",
                                "count, sum, avg and variances take one argument.");
    return true;
}

/* There is a sum and an average of intervals, and no variance. */
static bool is_summable(const struct level_aggregate *aggregate)
{
    uint32_t type = aggregate->type;
    if (type == TYPE_INTERVAL)
        return aggregate->kind != AGGREGATE_VARIANCE;
    return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8 || type == TYPE_NUMERIC ||
           type == TYPE_FLOAT4 || type == TYPE_FLOAT8;
}

/* Range, grid and middle of what is summed. */
static bool find_range(struct level *level, const PgQuery__FuncCall *call,
                       struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    if (!is_summable(aggregate))
        return refuse_aggregate(level, call, "a sum of such values",
                                "Sum or average a number or an interval, for example "
                                "extract(year from column).");
    if (c->pending) /* for constants that may be the bounds */
        return true;
    if (!expr_bounds(aggregate->expr, &aggregate->low, &aggregate->high))
        return compile_refuse(
            c, call->location, "0A000",
            arena_printf(c->arena, "%s has no finite bounds", aggregate->described),
            "One person's value could be anything, so that no noise would hide it.",
            "Clamp the value, for example sum(least(greatest(x, 0), 100)), or use a column with "
            "declared bounds.");
    /* Not measured where the range is one value: that must not depend on what is found. */
    const struct dp_decimal one = dp_decimal_from_int(1);
    if (aggregate->bought && dp_decimal_compare(&aggregate->low, &aggregate->high) == 0 &&
        !dp_decimal_add(&aggregate->high, &one, &aggregate->high))
        return refuse_aggregate(level, call, "a sum of so large a range",
                                "Clamp it to a smaller one.");
    int scale = expr_scale(aggregate->expr);
    if (aggregate->type == TYPE_INTERVAL) {
        scale = SPAN_SCALE;
        if (!span_seconds(&aggregate->low) || !span_seconds(&aggregate->high))
            return refuse_aggregate(level, call, "a sum of so long intervals",
                                    "Clamp them to a smaller range.");
    }
    bool floating = aggregate->type == TYPE_FLOAT4 || aggregate->type == TYPE_FLOAT8;
    if (!floating && scale < 0)
        scale = NUMERIC_SCALE;
    aggregate->scale = floating ? -1 : scale > NUMERIC_SCALE_MAX ? NUMERIC_SCALE_MAX : scale;
    struct dp_decimal both, two = dp_decimal_from_int(2);
    int digits =
        aggregate->low.scale > aggregate->high.scale ? aggregate->low.scale : aggregate->high.scale;
    digits = digits < DP_DECIMAL_SCALE_MAX ? digits + 1 : digits;
    if (!dp_decimal_add(&aggregate->low, &aggregate->high, &both) ||
        !dp_decimal_divide(&both, &two, floating ? digits : aggregate->scale, false,
                           &aggregate->middle))
        return refuse_aggregate(level, call, "a sum of so large a range",
                                "Clamp it to a smaller one.");
    return true;
}

static bool compile_argument(struct level *level, PgQuery__FuncCall *call,
                             struct level_aggregate *aggregate)
{
    bool has_argument = call->n_args > 0 && aggregate->kind != AGGREGATE_UNITS;
    /* Both, even if one waits for constants: the twin is asked once for all of a statement. */
    if (call->agg_filter != NULL)
        aggregate->condition = level_compile(level, call->agg_filter, true);
    if (has_argument)
        aggregate->expr =
            aggregate->kind == AGGREGATE_COUNT || aggregate->kind == AGGREGATE_DISTINCT
                ? level_compile(level, call->args[0], false)
                : auto_bounds_compile(level, call->args[0], &aggregate->bought);
    if ((call->agg_filter != NULL && aggregate->condition == NULL) ||
        (has_argument && aggregate->expr == NULL))
        return false;
    if (!has_argument)
        return true;
    aggregate->type = expr_type(aggregate->expr)->oid;
    if (aggregate->kind == AGGREGATE_DISTINCT) {
        if (aggregate->type == TYPE_INTERVAL) /* equal ones can have different forms */
            return refuse_aggregate(level, call, "count(DISTINCT) of intervals",
                                    "Count numbers made of them: count(DISTINCT extract(epoch "
                                    "FROM ...)).");
        struct text key = text_new(level->compile->arena);
        bool written = expr_write_key(&level->scope, aggregate->expr, call->location, &key);
        aggregate->distinct = key.data;
        return written;
    }
    return aggregate->kind == AGGREGATE_COUNT || find_range(level, call, aggregate);
}

int aggregate_add(struct level *level, PgQuery__Node *node)
{
    struct compile *c = level->compile;
    PgQuery__FuncCall *call = node->func_call;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        if (!walk_equal(&level->aggregates.items[i].node->base, &node->base))
            continue;
        level->aggregates.items[i].uses++;
        return (int)i;
    }
    if (level->aggregates.n == AGGREGATES_MAX) {
        compile_refuse(c, call->location, "54001", "too many aggregates in one query",
                       "The query has more than 256 different ones.", "Split the query.");
        return -1;
    }
    bool builtin = false;
    const char *name = node_function_name(call, &builtin);
    struct level_aggregate aggregate = {
        .node = node, .count = -1, .sum = -1, .squares = -1, .uses = 1};
    aggregate.described = described(level, call, name == NULL ? "" : name);
    if (builtin && quantile_is(name)) {
        if (!quantile_compile(level, call, name, &aggregate))
            return -1;
        VECTOR_PUSH(c->arena, &level->aggregates, aggregate);
        return (int)level->aggregates.n - 1;
    }
    if (!check_call(level, call, builtin ? name : NULL))
        return -1;
    aggregate.kind = strcmp(name, "sum") == 0        ? AGGREGATE_SUM
                     : strcmp(name, "avg") == 0      ? AGGREGATE_AVG
                     : !call->agg_distinct           ? AGGREGATE_COUNT
                     : is_unit(level, call->args[0]) ? AGGREGATE_UNITS
                                                     : AGGREGATE_DISTINCT;
    variance_named(name, &aggregate);
    if (!compile_argument(level, call, &aggregate))
        return -1;
    VECTOR_PUSH(c->arena, &level->aggregates, aggregate);
    return (int)level->aggregates.n - 1;
}
