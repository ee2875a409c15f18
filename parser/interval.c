/*
 * Counts and sums have the half-width of their own noise, exactly; a sum that is measured about the
 * middle of its range adds the noise of its count. Averages have Fieller's interval, the whole
 * range where the count is not clearly above zero.
 */
#include "parser/interval.h"

#include <math.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "parser/node.h"
#include "parser/quantile.h"
#include "parser/rotated.h"
#include "parser/walk.h"

double interval_number(const struct dp_decimal *value)
{
    double result = (double)value->digits;
    for (int i = 0; i < value->scale; i++)
        result /= 10;
    return result;
}

static double beta_of(const struct level *level)
{
    return level->compile->request->settings->beta;
}

/* Has any value Laplace noise? What is kept may have other noise than what is drawn; the wider
 * tails then hold for both. */
static bool has_laplace(const struct level *level)
{
    bool any = false;
    for (size_t i = 0; i < level->n_measures; i++)
        any |= level->measures[i].calibration.mechanism == DP_LAPLACE;
    return any;
}

/* P(|X + Y| > t) for independent Laplace variables of scales a >= b > 0. */
static double laplace_pair_tail(double a, double b, double t)
{
    if (a - b < 1e-6 * a)
        return (1 + t / (2 * a)) * exp(-t / a);
    return (a * a * exp(-t / a) - b * b * exp(-t / b)) / (a * a - b * b);
}

/* Half-width of the sum of two noises of the level's mechanism, from their standard deviations. */
static double pair_width(const struct level *level, double first, double second)
{
    double beta = beta_of(level);
    if (!has_laplace(level))
        return dp_two_sided_z(beta) * hypot(first, second);
    double a = fmax(first, second) / sqrt(2), b = fmin(first, second) / sqrt(2);
    double low = 0, high = 2 * a * (1 - log(beta)) + 2 * a;
    for (int i = 0; i < 100; i++) {
        double middle = low + (high - low) / 2;
        *(laplace_pair_tail(a, b, middle) > beta ? &low : &high) = middle;
    }
    return high;
}

double interval_count_factor(const struct level_aggregate *aggregate)
{
    return interval_number(aggregate->sum < 0 ? &aggregate->low : &aggregate->middle);
}

double interval_z(const struct level *level, double beta)
{
    double z = dp_two_sided_z(beta);
    return level->laplace ? fmax(z, -log(beta) / sqrt(2)) : z;
}

static double ratio_z(const struct level *level)
{
    return interval_z(level, beta_of(level));
}

/* Half-width of a measure's own noise. */
static double width(const struct level *level, int measure)
{
    const struct level_measure *own = &level->measures[measure];
    double half = dp_calibration_halfwidth(&own->calibration, beta_of(level)) *
                  dp_grid_unit(&own->calibration.grid);
    if (own->kind != MEASURE_COMPLEMENT)
        return half;
    double part = rotated_deviation(level, measure) / sqrt(2);
    return pair_width(level, part, part);
}

/* Of sum + factor * count. */
static double sum_width(const struct level *level, const struct level_aggregate *aggregate)
{
    double factor = interval_count_factor(aggregate), parts[2];
    if (aggregate->sum < 0)
        return factor == 0 ? 0 : fabs(factor) * width(level, aggregate->count);
    if (level->measures[aggregate->sum].rotated) {
        rotated_parts(level, aggregate->sum, factor, parts);
        return parts[1] == 0 ? width(level, aggregate->sum) : pair_width(level, parts[0], parts[1]);
    }
    if (aggregate->count < 0 || factor == 0)
        return width(level, aggregate->sum);
    parts[0] = rotated_deviation(level, aggregate->sum);
    parts[1] = factor * rotated_deviation(level, aggregate->count);
    if (level->measures[aggregate->count].rotated) /* two noises already */
        return ratio_z(level) * hypot(parts[0], parts[1]);
    return pair_width(level, parts[0], fabs(parts[1]));
}

static double average_width(const struct level *level, const struct level_aggregate *aggregate)
{
    double low = interval_number(&aggregate->low), high = interval_number(&aggregate->high);
    double sum = rotated_deviation(level, aggregate->sum),
           count = rotated_deviation(level, aggregate->count);
    double assumed = INTERVAL_ASSUMED_COUNT, limit = ratio_z(level) * count;
    if (aggregate->sum < 0)
        return 0;
    if (assumed <= limit)
        return high - low;
    return fmin(high - low, ratio_z(level) * sum / sqrt(assumed * assumed - limit * limit));
}

/* Of a variance of a quarter of its range, and of its root: the first derivatives. */
static double variance_width(const struct level *level, const struct level_aggregate *aggregate)
{
    if (aggregate->squares < 0)
        return 0;
    double range = interval_number(&level->measures[aggregate->squares].high);
    double moment = hypot(rotated_deviation(level, aggregate->squares),
                          range / 4 * rotated_deviation(level, aggregate->count));
    double half = fmin(range, ratio_z(level) * moment / INTERVAL_ASSUMED_COUNT);
    return aggregate->root ? fmin(sqrt(range), half / sqrt(range)) : half;
}

double interval_halfwidth(const struct level *level, const struct level_aggregate *aggregate)
{
    switch (aggregate->kind) {
    case AGGREGATE_COUNT:
    case AGGREGATE_UNITS:
    case AGGREGATE_DISTINCT:
        return width(level, aggregate->count);
    case AGGREGATE_SUM:
        return sum_width(level, aggregate);
    case AGGREGATE_AVG:
        return average_width(level, aggregate);
    case AGGREGATE_VARIANCE:
        return variance_width(level, aggregate);
    case AGGREGATE_QUANTILE:
        return quantile_error(level, aggregate);
    }
    return 0;
}

/* --- after the answer ---------------------------------------------------------------------------
 */

bool interval_is(const PgQuery__Node *node, enum interval_kind *what)
{
    static const char *const names[] = {"interval_low", "interval_high", "stddev"};
    if (node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL)
        return false;
    const PgQuery__FuncCall *call = node->func_call;
    bool own = node_function_in_schema(call, "dp");
    const char *name = node_string(call->funcname[call->n_funcname - 1]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0 &&
            (own || (call->n_funcname == 1 && i != INTERVAL_STDDEV))) {
            *what = (enum interval_kind)i;
            return true;
        }
    return false;
}

int interval_add(struct level *level, const PgQuery__Node *node, enum interval_kind what)
{
    static const char *const fields[] = {"funcname", "args", "funcformat", NULL};
    struct compile *c = level->compile;
    PgQuery__FuncCall *call = node->func_call;
    if (walk_unexpected_field(&call->base, fields) != NULL || call->n_args != 1 ||
        !aggregate_is(call->args[0])) {
        compile_refuse(c, call->location, "0A000",
                       "an interval of such an argument is not supported",
                       "dp.interval_low, dp.interval_high and dp.stddev take an aggregate of the "
                       "same query level.",
                       "Write, for example, dp.interval_low(sum(x)), and compute with the result.");
        return -1;
    }
    int aggregate = aggregate_add(level, call->args[0]);
    if (aggregate < 0)
        return -1;
    if (level->aggregates.items[aggregate].kind == AGGREGATE_QUANTILE) {
        compile_refuse(c, call->location, "0A000", "the interval of a quantile is not supported",
                       "Its error is a number of ranks, not of units of the value.",
                       "EXPLAIN shows the error in ranks: ask for the quantiles on both sides, for "
                       "example percentile_disc(ARRAY[0.45, 0.5, 0.55]).");
        return -1;
    }
    for (size_t i = 0; i < level->intervals.n; i++)
        if (level->intervals.items[i].aggregate == (size_t)aggregate &&
            level->intervals.items[i].what == (int)what)
            return (int)i;
    struct level_interval interval = {(size_t)aggregate, (int)what};
    VECTOR_PUSH(c->arena, &level->intervals, interval);
    return (int)level->intervals.n - 1;
}

static bool check_left(void *context, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage **child)
{
    struct compile *c = context;
    enum interval_kind what;
    (void)field;
    if ((*child)->descriptor == &pg_query__node__descriptor &&
        interval_is((const PgQuery__Node *)*child, &what))
        return compile_refuse(c, ((const PgQuery__Node *)*child)->func_call->location, "0A000",
                              "an interval of something else than a private aggregate is not "
                              "supported",
                              "dp.interval_low, dp.interval_high and dp.stddev stand in the SELECT "
                              "that reads the private table.",
                              "Put them beside the aggregate and use their columns here.");
    return walk_children(*child, check_left, c);
}

bool interval_none_left(struct compile *c, ProtobufCMessage *statement)
{
    return c->probe || walk_children(statement, check_left, c);
}
