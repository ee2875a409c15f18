/*
 * From a call to ranks of a histogram, from a share of the budget to draws, and from the drawn bins
 * to the answer. The extremes are drawn apart from the other ranks: more than a few of those are
 * drawn by recursion, which halves the bins and knows no offset.
 */
#include "parser/quantile.h"

#include <stdlib.h>
#include <string.h>

#include "parser/node.h"
#include "parser/price.h"
#include "parser/walk.h"

static const char *const names[] = {"percentile_cont", "percentile_disc", "min", "max"};

bool quantile_is(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* --- the call -----------------------------------------------------------------------------------
 */

static bool check_call(struct level *level, const PgQuery__FuncCall *call, const char *name)
{
    static const char *const extreme[] = {"funcname",     "args",       "agg_filter",
                                          "agg_distinct", "funcformat", NULL};
    static const char *const ordered[] = {
        "funcname", "args", "agg_order", "agg_filter", "agg_within_group", "funcformat", NULL};
    struct compile *c = level->compile;
    bool percentile = strncmp(name, "percentile", 10) == 0;
    const char *what = walk_unexpected_field(&call->base, percentile ? ordered : extreme);
    if (what == NULL && call->n_args == 1 &&
        (!percentile || (call->agg_within_group && call->n_agg_order == 1)))
        return true;
    return compile_refuse(
        c, call->location, "0A000",
        arena_printf(c->arena, "%s in this form is not supported over private rows", name),
        "It takes one argument, and percentiles one column in WITHIN GROUP (ORDER BY ...).",
        percentile ? "Write, for example, percentile_cont(0.5) WITHIN GROUP (ORDER BY x)."
                   : "Write, for example, max(x) FILTER (WHERE ...).");
}

static bool is_bounded_type(uint32_t type)
{
    return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8 || type == TYPE_NUMERIC ||
           type == TYPE_FLOAT4 || type == TYPE_FLOAT8 || type == TYPE_DATE ||
           type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMPTZ;
}

static bool is_time(uint32_t type)
{
    return type == TYPE_DATE || type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMPTZ;
}

static bool check_type(struct level *level, const PgQuery__FuncCall *call, const char *name,
                       const struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    if (!is_bounded_type(aggregate->type))
        return compile_refuse(
            c, call->location, "0A000",
            arena_printf(c->arena, "%s of such values is not supported over private rows", name),
            "Quantiles are drawn from numbers, dates and time stamps with bounds; any other answer "
            "would be one person's own value.",
            "Take the quantile of a number or a date, or GROUP BY the column to see which values "
            "are frequent.");
    if (aggregate->quantile.continuous && is_time(aggregate->type))
        return compile_refuse(
            c, call->location, "42883", "percentile_cont has no form for dates and time stamps",
            "PostgreSQL interpolates between numbers and intervals only.", "Use percentile_disc.");
    return true;
}

static bool check_range(struct level *level, const PgQuery__FuncCall *call,
                        struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    struct bins bins;
    if (!expr_bounds(aggregate->expr, &aggregate->low, &aggregate->high))
        return compile_refuse(
            c, call->location, "0A000",
            arena_printf(c->arena, "%s has no finite bounds", aggregate->described),
            "The answer is drawn from a range that has to be known before.",
            "Clamp the value, for example with least(greatest(x, 0), 100), or use a column with "
            "declared bounds.");
    if (!bins_choose(aggregate->type, &aggregate->low, &aggregate->high,
                     expr_scale(aggregate->expr), &bins))
        return compile_refuse(
            c, call->location, "0A000",
            arena_printf(c->arena, "the range of %s is too large", aggregate->described),
            "It cannot be cut into bins.", "Clamp the value to a smaller range.");
    return true;
}

/* Fractions count from the other end. */
static void reverse(struct level_quantile *quantile)
{
    for (size_t i = 0; i < quantile->n_ranks; i++)
        quantile->ranks[i].numerator =
            quantile->ranks[i].denominator - quantile->ranks[i].numerator;
}

static bool compile_extreme(struct level *level, const char *name,
                            struct level_aggregate *aggregate)
{
    struct level_quantile *quantile = &aggregate->quantile;
    quantile->ranks = arena_alloc(level->compile->arena, sizeof *quantile->ranks);
    quantile->ranks[0] =
        (struct dp_rank){.numerator = strcmp(name, "max") == 0 ? 1 : 0, .denominator = 1};
    quantile->n_ranks = 1;
    return true;
}

bool quantile_compile(struct level *level, PgQuery__FuncCall *call, const char *name,
                      struct level_aggregate *aggregate)
{
    aggregate->kind = AGGREGATE_QUANTILE;
    aggregate->quantile.continuous = strcmp(name, "percentile_cont") == 0;
    if (!check_call(level, call, name))
        return false;
    const PgQuery__SortBy *sort = call->agg_within_group ? call->agg_order[0]->sort_by : NULL;
    PgQuery__Node *argument = sort != NULL ? sort->node : call->args[0];
    if (sort != NULL && sort->n_use_op > 0)
        return compile_refuse(level->compile, call->location, "0A000",
                              "ORDER BY ... USING is not supported over private rows", NULL,
                              "Write ASC or DESC.");
    if (call->agg_filter != NULL)
        aggregate->condition = level_compile(level, call->agg_filter, true);
    aggregate->expr = auto_bounds_compile(level, argument, &aggregate->bought);
    if (level->compile->pending || aggregate->expr == NULL ||
        (call->agg_filter != NULL && aggregate->condition == NULL))
        return false; /* without its constants the argument has no bounds yet */
    aggregate->type = expr_type(aggregate->expr)->oid;
    if (!check_type(level, call, name, aggregate) || !check_range(level, call, aggregate))
        return false;
    if (!(sort != NULL ? fraction_compile(level, call, aggregate)
                       : compile_extreme(level, name, aggregate)))
        return false;
    if (sort != NULL && sort->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC)
        reverse(&aggregate->quantile);
    return true;
}

/* --- sharing ------------------------------------------------------------------------------------
 */

static bool same(const struct expr *a, const struct expr *b)
{
    return a == NULL || b == NULL ? a == b : expr_equal(a, b);
}

static int find_histogram(struct level *level, const struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < level->histograms.n; i++)
        if (same(level->histograms.items[i].expr, aggregate->expr) &&
            same(level->histograms.items[i].condition, aggregate->condition))
            return (int)i;
    if (level->histograms.n == HISTOGRAMS_MAX) {
        compile_refuse(
            c, node_location(aggregate->node), "54001", "too many aggregates in one query",
            "Quantiles of more than 16 different arguments would be measured.", "Split the query.");
        return -1;
    }
    struct level_histogram histogram = {.expr = aggregate->expr,
                                        .condition = aggregate->condition,
                                        .bought = aggregate->bought,
                                        .described = aggregate->described};
    bool cut = bins_choose(aggregate->type, &aggregate->low, &aggregate->high,
                           expr_scale(aggregate->expr), &histogram.bins);
    if (!cut) /* checked when the call was compiled */
        return -1;
    VECTOR_PUSH(c->arena, &level->histograms, histogram);
    return (int)level->histograms.n - 1;
}

size_t quantile_find(const struct level_histogram *histogram, const struct dp_rank *rank)
{
    size_t i = 0;
    while (i < histogram->ranks.n &&
           (uint64_t)histogram->ranks.items[i].numerator * rank->denominator !=
               (uint64_t)rank->numerator * histogram->ranks.items[i].denominator)
        i++;
    return i;
}

/* Different quantiles of a level. Those of declared groups are drawn in any case, at a cost of
 * about ten microseconds each: two seconds of work, in slices. */
static size_t quantiles_max(const struct level *level)
{
    const size_t values = 200000, least = DP_QUANTILE_SEPARATE_MAX;
    if (level->n_keys == 0)
        return LEVEL_QUANTILES_MAX;
    size_t each = level->public_keys ? values / level->release->n_domain : MEASURES_MAX;
    return each < least ? least : each > LEVEL_QUANTILES_MAX ? LEVEL_QUANTILES_MAX : each;
}

bool quantile_share(struct level *level, struct level_aggregate *aggregate)
{
    struct level_quantile *quantile = &aggregate->quantile;
    quantile->histogram = find_histogram(level, aggregate);
    if (quantile->histogram < 0)
        return false;
    struct level_histogram *histogram = &level->histograms.items[quantile->histogram];
    for (size_t i = 0; i < quantile->n_ranks; i++)
        if (quantile_find(histogram, &quantile->ranks[i]) == histogram->ranks.n)
            VECTOR_PUSH(level->compile->arena, &histogram->ranks, quantile->ranks[i]);
    size_t most = quantiles_max(level);
    if (quantile_columns(level) <= most)
        return true;
    return compile_refuse(
        level->compile, node_location(aggregate->node), "54001", "too many quantiles",
        arena_printf(level->compile->arena,
                     "In so many groups a query may ask for %zu different ones.", most),
        "Split the query, or ask for fewer groups.");
}

static size_t count_before(const struct level *level, size_t histogram)
{
    size_t n = 0;
    for (size_t i = 0; i < histogram; i++)
        n += level->histograms.items[i].ranks.n;
    return n;
}

size_t quantile_columns(const struct level *level)
{
    return count_before(level, level->histograms.n);
}

/* --- the answer ---------------------------------------------------------------------------------
 */

const char *quantile_sql(const struct level *level, const struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    const struct level_quantile *quantile = &aggregate->quantile;
    const struct level_histogram *histogram = &level->histograms.items[quantile->histogram];
    size_t first = count_before(level, (size_t)quantile->histogram);
    struct text out = text_new(arena);
    text_add(&out, quantile->array ? "ARRAY[" : "");
    for (size_t i = 0; i < quantile->n_ranks; i++) {
        size_t place = quantile_find(histogram, &quantile->ranks[i]);
        const char *value = bins_value_sql(&histogram->bins,
                                           arena_printf(arena, "u.q%zu", first + place + 1), arena);
        text_printf(&out, "%s%s%s", i == 0 ? "" : ", ", value,
                    quantile->continuous ? "::pg_catalog.float8" : "");
    }
    text_add(&out, quantile->array ? "]" : "");
    return out.data;
}
