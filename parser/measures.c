/*
 * From the aggregates of a level to the measures that they share: COUNT, SUM and AVG of one column
 * need at most one count and one sum. A sum that stands beside a count of the same rows is measured
 * centred: the middle of its range is subtracted from every value, which halves the noise of the
 * pair.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/distinct.h"
#include "parser/price.h"
#include "parser/quantile.h"
#include "parser/variance.h"

/* Shares of the budget: a column has six, however many measures it needs. */
enum { SHARE_WHOLE = 6, SHARE_HALF = 3, SHARE_THIRD = 2, SHARE_AVG_COUNT = 2, SHARE_AVG_SUM = 4 };

static bool same_argument(const struct level_aggregate *a, const struct expr *expr,
                          const struct expr *condition)
{
    bool expressions =
        a->expr == NULL || expr == NULL ? a->expr == expr : expr_equal(a->expr, expr);
    bool conditions = a->condition == NULL || condition == NULL
                          ? a->condition == condition
                          : expr_equal(a->condition, condition);
    return expressions && conditions;
}

/* Types with a NaN, which counts as NULL. */
static bool has_nan(uint32_t type)
{
    return type == TYPE_FLOAT4 || type == TYPE_FLOAT8 || type == TYPE_NUMERIC;
}

/* What a count of the expression really counts: NULL where it counts every row. */
static const struct expr *counted(const struct expr *expr)
{
    if (expr == NULL || (expr_not_null(expr) && !has_nan(expr_type(expr)->oid)))
        return NULL;
    return expr;
}

static bool same_expr(const struct expr *a, const struct expr *b)
{
    return a == NULL || b == NULL ? a == b : expr_equal(a, b);
}

static int add_value(struct level *level, const struct expr *expr, const struct expr *condition,
                     bool summed, size_t measure)
{
    struct row_value value = {
        .expr = expr, .condition = condition, .summed = summed, .measure = measure};
    VECTOR_PUSH(level->compile->arena, &level->values, value);
    return (int)level->values.n - 1;
}

/* Any column of the rows that is not null exactly where the row counts will do. */
static int find_value(struct level *level, const struct expr *expr, const struct expr *condition)
{
    if (expr == NULL && condition == NULL)
        return -1;
    for (size_t i = 0; i < level->values.n; i++) {
        const struct row_value *value = &level->values.items[i];
        const struct expr *other = value->summed ? counted(value->expr) : value->expr;
        if (value->distinct == NULL && same_expr(other, expr) &&
            same_expr(value->condition, condition))
            return (int)i;
    }
    return add_value(level, expr, condition, false, 0);
}

static int add_measure(struct level *level, enum measure_kind kind, int value, const char *text)
{
    if (level->n_measures == MEASURES_MAX) {
        compile_refuse(level->compile, -1, "54001", "too many aggregates in one query",
                       "More than 64 different values would be measured.", "Split the query.");
        return -1;
    }
    level->measures[level->n_measures] =
        (struct level_measure){.kind = kind, .value = value, .described = text};
    return (int)level->n_measures++;
}

static int find_measure(struct level *level, enum measure_kind kind, int value, const char *text)
{
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].kind == kind && level->measures[i].value == value)
            return (int)i;
    return add_measure(level, kind, value, text);
}

static int count_measure(struct level *level, const struct level_aggregate *aggregate)
{
    int value = find_value(level, counted(aggregate->expr), aggregate->condition);
    /* Where a unit has one row, rows are units. */
    bool units = aggregate->kind == AGGREGATE_UNITS || (value < 0 && level->source.rows == 1);
    const char *text =
        aggregate->kind == AGGREGATE_COUNT || aggregate->kind == AGGREGATE_UNITS
            ? aggregate->described
            : arena_printf(level->compile->arena, "count for %s", aggregate->described);
    return find_measure(level, units ? MEASURE_UNITS : MEASURE_COUNT, value, text);
}

static int distinct_measure(struct level *level, const struct level_aggregate *aggregate)
{
    struct row_value value = {.expr = aggregate->expr,
                              .condition = aggregate->condition,
                              .distinct = aggregate->distinct,
                              .possible = distinct_possible(aggregate->expr)};
    for (size_t i = 0; i < level->values.n; i++) {
        const struct row_value *other = &level->values.items[i];
        if (other->distinct != NULL && same_expr(other->expr, value.expr) &&
            same_expr(other->condition, value.condition))
            return find_measure(level, MEASURE_DISTINCT, (int)i, aggregate->described);
    }
    VECTOR_PUSH(level->compile->arena, &level->values, value);
    return add_measure(level, MEASURE_DISTINCT, (int)level->values.n - 1, aggregate->described);
}

/* COUNT in one of its forms: its own answer is all that it needs. */
static bool is_count(const struct level_aggregate *aggregate)
{
    return aggregate->kind == AGGREGATE_COUNT || aggregate->kind == AGGREGATE_UNITS ||
           aggregate->kind == AGGREGATE_DISTINCT;
}

static void raise_weight(struct level *level, int measure, unsigned weight)
{
    if (level->measures[measure].weight < weight)
        level->measures[measure].weight = weight;
}

/* Are the rows of this sum also counted for the analyst, by COUNT or AVG? */
static bool is_paired(struct level *level, const struct level_aggregate *sum, bool *counted_too)
{
    bool paired = *counted_too = level->pairs_sums;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        const struct level_aggregate *other = &level->aggregates.items[i];
        if ((other->kind == AGGREGATE_AVG || other->kind == AGGREGATE_VARIANCE) &&
            same_argument(other, sum->expr, sum->condition))
            paired = true;
        if (other->kind == AGGREGATE_SUM && same_argument(other, sum->expr, sum->condition))
            *counted_too = true;
        if ((other->kind == AGGREGATE_COUNT ||
             (other->kind == AGGREGATE_UNITS && level->source.rows == 1)) &&
            same_expr(counted(other->expr), counted(sum->expr)) &&
            same_expr(other->condition, sum->condition))
            paired = *counted_too = true;
    }
    return paired;
}

static int sum_measure(struct level *level, const struct level_aggregate *aggregate, bool centred)
{
    for (size_t i = 0; i < level->n_measures; i++) {
        const struct level_measure *measure = &level->measures[i];
        if (measure->kind == MEASURE_SUM && !measure->squared &&
            same_expr(level->values.items[measure->value].expr, aggregate->expr) &&
            same_expr(level->values.items[measure->value].condition, aggregate->condition))
            return (int)i;
    }
    int value = add_value(level, aggregate->expr, aggregate->condition, true, level->n_measures);
    int index = add_measure(level, MEASURE_SUM, value, aggregate->described);
    if (index < 0)
        return -1;
    struct level_measure *measure = &level->measures[index];
    measure->low = aggregate->low;
    measure->high = aggregate->high;
    measure->middle = centred ? aggregate->middle : dp_decimal_from_int(0);
    measure->bought = aggregate->bought;
    measure->scale = aggregate->scale;
    measure->floating = aggregate->scale < 0;
    return index;
}

/* Is there a variance of the same rows? */
static bool is_spread(const struct level *level, const struct level_aggregate *sum)
{
    for (size_t i = 0; i < level->aggregates.n; i++)
        if (level->aggregates.items[i].kind == AGGREGATE_VARIANCE &&
            same_argument(&level->aggregates.items[i], sum->expr, sum->condition))
            return true;
    return false;
}

/* SUM, AVG or a variance: its measures and their shares. */
static bool sum_aggregate(struct level *level, struct level_aggregate *aggregate)
{
    bool counted_too = false;
    /* Where the error is fixed, a sum of its own costs least. */
    bool paired = is_paired(level, aggregate, &counted_too) && !accuracy_decides(level);
    bool constant = dp_decimal_compare(&aggregate->low, &aggregate->high) == 0;
    if (!paired && !constant)
        aggregate->middle = dp_decimal_from_int(0);
    else if (constant)
        aggregate->middle = aggregate->low;
    if (!constant) {
        aggregate->sum = sum_measure(level, aggregate, paired);
        if (aggregate->sum < 0)
            return false;
    }
    if (paired || constant) {
        aggregate->count = count_measure(level, aggregate);
        if (aggregate->count < 0)
            return false;
    }
    if (constant)
        return true;
    if (paired && is_spread(level, aggregate)) {
        raise_weight(level, aggregate->sum, SHARE_THIRD);
        raise_weight(level, aggregate->count, SHARE_THIRD);
        if (aggregate->kind != AGGREGATE_VARIANCE)
            return true;
        if (!variance_squares(level, aggregate))
            return false;
        raise_weight(level, aggregate->squares, SHARE_THIRD);
        return true;
    }
    raise_weight(level, aggregate->sum,
                 !paired       ? SHARE_WHOLE
                 : counted_too ? SHARE_HALF
                               : SHARE_AVG_SUM);
    if (paired)
        raise_weight(level, aggregate->count, counted_too ? SHARE_HALF : SHARE_AVG_COUNT);
    return true;
}

/* Counts that no sum shares have a whole share; the number of units that decides about private
 * keys a third of all. */
static void finish_weights(struct level *level, bool private_keys)
{
    unsigned sum = 0;
    for (size_t i = 0; i < level->aggregates.n; i++)
        if (level->aggregates.items[i].count >= 0 &&
            level->measures[level->aggregates.items[i].count].weight == 0)
            level->measures[level->aggregates.items[i].count].weight = SHARE_WHOLE;
    for (size_t i = 0; i < level->histograms.n; i++)
        level->histograms.items[i].weight = SHARE_WHOLE;
    if (!private_keys || level->measures[0].weight > 0)
        return;
    for (size_t i = 1; i < level->n_measures; i++) {
        sum += level->measures[i].weight;
        level->measures[i].weight *= 2;
    }
    for (size_t i = 0; i < level->histograms.n; i++) {
        sum += level->histograms.items[i].weight;
        level->histograms.items[i].weight *= 2;
    }
    level->measures[0].weight = sum == 0 ? 1 : sum;
}

bool measures_choose(struct level *level)
{
    bool private_keys = level->n_keys > 0 && !level->public_keys;
    if (private_keys && find_measure(level, MEASURE_UNITS, -1, "units of a group") < 0)
        return false;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        struct level_aggregate *aggregate = &level->aggregates.items[i];
        if (!is_count(aggregate) &&
            !(aggregate->kind == AGGREGATE_QUANTILE ? quantile_share : sum_aggregate)(level,
                                                                                      aggregate))
            return false;
    }
    for (size_t i = 0; i < level->aggregates.n; i++) {
        struct level_aggregate *aggregate = &level->aggregates.items[i];
        if (!is_count(aggregate))
            continue;
        aggregate->count = aggregate->kind == AGGREGATE_DISTINCT
                               ? distinct_measure(level, aggregate)
                               : count_measure(level, aggregate);
        if (aggregate->count < 0)
            return false;
    }
    if (level->n_keys == 0 && level->n_measures == 0 && level->histograms.n == 0) {
        /* A query that aggregates nothing must still be one row. */
        int index = find_measure(level, MEASURE_COUNT, -1, "rows");
        level->measures[index].weight = SHARE_WHOLE;
    }
    finish_weights(level, private_keys);
    return true;
}
