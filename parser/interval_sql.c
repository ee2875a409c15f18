/*
 * Intervals beside the answer. Counts and sums: the value and the half-width of its noise.
 * Averages: Fieller's interval. Variances: what Fieller's intervals of the mean of the squares and
 * of the mean leave, where both hold together.
 */
#include <math.h>

#include "parser/interval.h"
#include "parser/rotated.h"
#include "parser/variance.h"

static const char *number(struct arena *arena, double value)
{
    return arena_printf(arena, "'%.17g'::pg_catalog.float8", value);
}

/* Bracketed: qualified operators all have one precedence. */
static const char *op(struct arena *arena, const char *left, const char *name, const char *right)
{
    return arena_printf(arena, "(%s OPERATOR(pg_catalog.%s) %s)", left, name, right);
}

static const char *measure(struct arena *arena, int index)
{
    return arena_printf(arena, "u.m%d::pg_catalog.float8", index + 1);
}

/* The released value of a count or sum. */
static const char *value_sql(struct arena *arena, const struct level_aggregate *aggregate)
{
    if (aggregate->kind == AGGREGATE_COUNT || aggregate->kind == AGGREGATE_UNITS ||
        aggregate->kind == AGGREGATE_DISTINCT)
        return measure(arena, aggregate->count);
    if (aggregate->sum >= 0 && aggregate->count < 0)
        return measure(arena, aggregate->sum);
    const struct dp_decimal *factor = aggregate->sum < 0 ? &aggregate->low : &aggregate->middle;
    const char *counted =
        op(arena, number(arena, interval_number(factor)), "*", measure(arena, aggregate->count));
    return aggregate->sum < 0 ? counted : op(arena, counted, "+", measure(arena, aggregate->sum));
}

/* Standard deviation of sum + factor * count. */
static double sum_deviation(const struct level *level, const struct level_aggregate *aggregate)
{
    double parts[2] = {rotated_deviation(level, aggregate->sum),
                       interval_count_factor(aggregate) *
                           rotated_deviation(level, aggregate->count)};
    if (aggregate->sum >= 0 && level->measures[aggregate->sum].rotated)
        rotated_parts(level, aggregate->sum, interval_count_factor(aggregate), parts);
    return hypot(parts[0], parts[1]);
}

/* sum / count from released values and the deviations of their noises. */
struct ratio {
    int sum, count;
    double sum_deviation, count_deviation, z;
    double middle, low, high; /* of the ratio: what the sum is about, and its range */
};

static const char *has_count(struct arena *arena, const struct ratio *ratio)
{
    return op(arena, measure(arena, ratio->count), ">",
              number(arena, 1.000001 * ratio->z * ratio->count_deviation));
}

/* Fieller: with S, C and variances v, a = C^2 - z^2 vC, the ends are
 * (S C -+ z sqrt(vS a + vC S^2)) / a about the middle; a is clearly positive, or the range is all
 * that can be said. */
static const char *ratio_end(struct arena *arena, const struct ratio *ratio, bool upper)
{
    const char *s = measure(arena, ratio->sum), *c = measure(arena, ratio->count);
    double vc = ratio->count_deviation * ratio->count_deviation;
    double vs = ratio->sum_deviation * ratio->sum_deviation;
    const char *a = op(arena, op(arena, c, "*", c), "-", number(arena, ratio->z * ratio->z * vc));
    const char *spread = op(arena, op(arena, number(arena, vs), "*", a), "+",
                            op(arena, number(arena, vc), "*", op(arena, s, "*", s)));
    const char *root =
        op(arena, number(arena, ratio->z), "*", arena_printf(arena, "pg_catalog.sqrt%s", spread));
    const char *end = op(arena, op(arena, s, "*", c), upper ? "+" : "-", root);
    end = op(arena, number(arena, ratio->middle), "+", op(arena, end, "/", a));
    return arena_printf(arena, "CASE WHEN %s THEN LEAST(GREATEST(%s, %s), %s) ELSE %s END",
                        has_count(arena, ratio), end, number(arena, ratio->low),
                        number(arena, ratio->high),
                        number(arena, upper ? ratio->high : ratio->low));
}

static struct ratio mean_of(const struct level *level, const struct level_aggregate *aggregate,
                            double beta)
{
    return (struct ratio){
        .sum = aggregate->sum,
        .count = aggregate->count,
        .sum_deviation = rotated_deviation(level, aggregate->sum),
        .count_deviation = rotated_deviation(level, aggregate->count),
        .z = interval_z(level, beta),
        .middle = interval_number(&aggregate->middle),
        .low = interval_number(&aggregate->low),
        .high = interval_number(&aggregate->high),
    };
}

/* sqrt(vS + vC (S / C)^2) / C, the first derivatives; half the range where that says nothing. */
static const char *mean_deviation(struct arena *arena, const struct ratio *ratio)
{
    const char *s = measure(arena, ratio->sum), *c = measure(arena, ratio->count);
    double vc = ratio->count_deviation * ratio->count_deviation;
    double vs = ratio->sum_deviation * ratio->sum_deviation;
    const char *half = number(arena, (ratio->high - ratio->low) / 2);
    const char *spread = op(arena, number(arena, vc), "*", op(arena, s, "*", s));
    spread = op(arena, number(arena, vs), "+", op(arena, spread, "/", op(arena, c, "*", c)));
    return arena_printf(
        arena, "CASE WHEN %s THEN LEAST(%s, %s) ELSE %s END", has_count(arena, ratio),
        op(arena, arena_printf(arena, "pg_catalog.sqrt%s", spread), "/", c), half, half);
}

/* n / (n - 1), at most 2: of two rows. */
static const char *sample_factor(struct arena *arena, const char *n)
{
    const char *one = number(arena, 1), *two = number(arena, 2);
    return arena_printf(arena, "CASE WHEN %s THEN %s ELSE %s END", op(arena, n, ">=", two),
                        op(arena, n, "/", op(arena, n, "-", one)), two);
}

/*
 * Of (mean of the squares) - (mean)^2, both about the middle of the range: with probability 1 -
 * beta both lie within their Fieller intervals of 0.49 beta, and the count, of which n / (n - 1) is
 * made, within that of 0.02 beta.
 */
static const char *variance_end(const struct level *level, const struct level_aggregate *aggregate,
                                bool upper)
{
    struct arena *arena = level->compile->arena;
    double beta = level->compile->request->settings->beta, middle;
    const struct level_measure *squares = &level->measures[aggregate->squares];
    struct ratio mean = mean_of(level, aggregate, 0.49 * beta), moment = mean;
    middle = mean.middle;
    mean.middle = 0;
    mean.low -= middle;
    mean.high -= middle;
    moment.sum = aggregate->squares;
    moment.sum_deviation = rotated_deviation(level, aggregate->squares);
    moment.middle = interval_number(&squares->middle);
    moment.low = 0;
    moment.high = interval_number(&squares->high);
    const char *low = ratio_end(arena, &mean, false), *high = ratio_end(arena, &mean, true);
    const char *zero = number(arena, 0);
    /* The square of the mean that leaves most, or least. */
    const char *minus = arena_printf(arena, "(OPERATOR(pg_catalog.-) %s)",
                                     arena_printf(arena, "(%s)", upper ? high : low));
    const char *square =
        arena_printf(arena, "GREATEST(%s, %s, %s)", upper ? low : high, minus, zero);
    square = op(arena, square, "*", square);
    const char *end = arena_printf(arena, "LEAST(GREATEST(%s, %s), %s)",
                                   op(arena, ratio_end(arena, &moment, upper), "-", square), zero,
                                   number(arena, moment.high));
    if (aggregate->sample) {
        double reach = interval_z(level, 0.02 * beta) * mean.count_deviation;
        const char *n =
            op(arena, measure(arena, aggregate->count), upper ? "-" : "+", number(arena, reach));
        end = op(arena, arena_printf(arena, "(%s)", sample_factor(arena, n)), "*", end);
    }
    return aggregate->root ? arena_printf(arena, "pg_catalog.sqrt(%s)", end) : end;
}

/* sqrt(vQ + 4 m^2 vS + (2 m^2 - q)^2 vC) / C with q = Q / C, m = S / C: the first derivatives. Of a
 * root r of a variance V: sqrt(V + that) - sqrt(V). */
static const char *variance_deviation(const struct level *level,
                                      const struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    const struct ratio mean = mean_of(level, aggregate, level->compile->request->settings->beta);
    double vs = mean.sum_deviation * mean.sum_deviation;
    double vc = mean.count_deviation * mean.count_deviation;
    double dq = rotated_deviation(level, aggregate->squares);
    double most = interval_number(&level->measures[aggregate->squares].high);
    const char *c = measure(arena, aggregate->count);
    const char *m = op(arena, measure(arena, aggregate->sum), "/", c);
    const char *q = op(arena, measure(arena, aggregate->squares), "/", c);
    const char *m2 = op(arena, m, "*", m);
    const char *slope = op(arena, op(arena, number(arena, 2), "*", m2), "-", q);
    const char *spread =
        op(arena, number(arena, dq * dq), "+", op(arena, number(arena, 4 * vs), "*", m2));
    spread =
        op(arena, spread, "+", op(arena, number(arena, vc), "*", op(arena, slope, "*", slope)));
    const char *half = number(arena, most / 2);
    const char *deviation = arena_printf(
        arena, "(CASE WHEN %s THEN LEAST(%s, %s) ELSE %s END)", has_count(arena, &mean),
        op(arena, arena_printf(arena, "pg_catalog.sqrt%s", spread), "/", c), half, half);
    if (!aggregate->root)
        return deviation;
    const char *value =
        arena_printf(arena, "(%s)::pg_catalog.float8", variance_sql(level, aggregate));
    value = op(arena, value, "*", value);
    return op(arena, arena_printf(arena, "pg_catalog.sqrt%s", op(arena, value, "+", deviation)),
              "-", arena_printf(arena, "pg_catalog.sqrt%s", value));
}

static const char *variance_interval(const struct level *level,
                                     const struct level_aggregate *aggregate,
                                     enum interval_kind what)
{
    if (aggregate->squares < 0) /* all values are the same */
        return number(level->compile->arena, 0);
    return what == INTERVAL_STDDEV ? variance_deviation(level, aggregate)
                                   : variance_end(level, aggregate, what == INTERVAL_HIGH);
}

static const char *average_interval(const struct level *level,
                                    const struct level_aggregate *aggregate,
                                    enum interval_kind what)
{
    struct arena *arena = level->compile->arena;
    if (aggregate->sum < 0) /* all values are the same */
        return number(arena, what == INTERVAL_STDDEV ? 0 : interval_number(&aggregate->low));
    const struct ratio mean = mean_of(level, aggregate, level->compile->request->settings->beta);
    return what == INTERVAL_STDDEV ? mean_deviation(arena, &mean)
                                   : ratio_end(arena, &mean, what == INTERVAL_HIGH);
}

const char *interval_sql(const struct level *level, const struct level_interval *interval)
{
    struct arena *arena = level->compile->arena;
    const struct level_aggregate *aggregate = &level->aggregates.items[interval->aggregate];
    enum interval_kind what = (enum interval_kind)interval->what;
    if (aggregate->kind == AGGREGATE_AVG)
        return average_interval(level, aggregate, what);
    if (aggregate->kind == AGGREGATE_VARIANCE)
        return variance_interval(level, aggregate, what);
    if (what != INTERVAL_STDDEV)
        return op(arena, value_sql(arena, aggregate), what == INTERVAL_LOW ? "-" : "+",
                  number(arena, interval_halfwidth(level, aggregate)));
    if (aggregate->kind != AGGREGATE_SUM)
        return number(arena, rotated_deviation(level, aggregate->count));
    return number(arena, sum_deviation(level, aggregate));
}
