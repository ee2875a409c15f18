#include "parser/rotated.h"

#include <assert.h>
#include <math.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/sharing.h"

static double as_double(const struct dp_decimal *value)
{
    double result = (double)value->digits;
    for (int i = 0; i < value->scale; i++)
        result /= 10;
    return result;
}

/* The low end on the grid of the values, so that they stay integers. */
static bool lower_end(const struct level_measure *sum, struct dp_decimal *out)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    *out = sum->low;
    return sum->floating || sum->low.scale <= sum->scale ||
           dp_decimal_divide(&sum->low, &one, sum->scale, false, out);
}

static void make_pair(struct level *level, const struct level_aggregate *aggregate)
{
    struct level_measure *sum = &level->measures[aggregate->sum];
    struct level_measure *count = &level->measures[aggregate->count];
    struct dp_decimal low, offset;
    if (sum->rotated || count->rotated || !lower_end(sum, &low) ||
        !dp_decimal_subtract(&low, &sum->middle, &offset))
        return;
    sum->centre = sum->middle;
    sum->middle = low;
    sum->rotated = count->rotated = true;
    sum->partner = (size_t)aggregate->count;
    count->partner = (size_t)aggregate->sum;
    count->kind = MEASURE_COMPLEMENT;
    count->value = sum->value;
    count->floating = sum->floating;
}

void rotated_choose(struct level *level)
{
    bool private_keys = level->n_keys > 0 && !level->public_keys;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        const struct level_aggregate *aggregate = &level->aggregates.items[i];
        if (aggregate->sum >= 0 && aggregate->count >= (private_keys ? 1 : 0))
            make_pair(level, aggregate);
    }
}

bool rotated_calibrate(struct level *level, struct level_measure *measure, dp_nano epsilon)
{
    struct level_measure *complement = &level->measures[measure->partner];
    struct price_sensitivity s;
    if (!price_sensitivity(level, measure, &s) ||
        !dp_calibrate_rotated_pair(&measure->middle, &measure->high, level->bounding.delta,
                                   s.floating ? NULL : &s.natural, s.groups, epsilon,
                                   &measure->calibration))
        return price_refuse_noise(level, measure->described);
    complement->calibration = measure->calibration;
    complement->calibration.charge = (struct dp_charge){.pure = true};
    return true;
}

/* high - low in grid units. */
static __int128 width_steps(const struct level_measure *sum)
{
    return sum->most[1];
}

static double width(const struct level_measure *sum)
{
    return (double)width_steps(sum) * dp_grid_unit(&sum->calibration.grid);
}

static const char *literal(struct arena *arena, const struct dp_decimal *value, bool floating)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, digits);
    return arena_printf(arena, "'%s'::pg_catalog.%s", digits, floating ? "float8" : "numeric");
}

static const char *width_sql(struct arena *arena, const struct level_measure *sum)
{
    struct dp_decimal value;
    if (!sum->floating && dp_grid_value(&sum->calibration.grid, width_steps(sum), &value))
        return literal(arena, &value, false);
    return arena_printf(arena, "'%.17g'::pg_catalog.%s", width(sum),
                        sum->floating ? "float8" : "numeric");
}

/* (A + B) / width. */
static const char *count_sql(const struct level *level, const struct level_measure *sum)
{
    struct arena *arena = level->compile->arena;
    size_t own = (size_t)(sum - level->measures);
    const char *quotient =
        arena_printf(arena, "((r.m%zu OPERATOR(pg_catalog.+) r.m%zu) OPERATOR(pg_catalog./) %s)",
                     own + 1, sum->partner + 1, width_sql(arena, sum));
    return sum->floating ? arena_printf(arena, "%s::pg_catalog.numeric", quotient)
                         : arena_printf(arena, "pg_catalog.trim_scale(%s)", quotient);
}

/* B + (low - centre) * count */
static const char *sum_sql(const struct level *level, const struct level_measure *sum)
{
    struct arena *arena = level->compile->arena;
    struct dp_decimal offset;
    bool possible = dp_decimal_subtract(&sum->middle, &sum->centre, &offset);
    assert(possible); /* or it would not have been made a pair */
    return arena_printf(arena, "(r.m%zu OPERATOR(pg_catalog.+) (%s OPERATOR(pg_catalog.*) %s%s))",
                        (size_t)(sum - level->measures) + 1, literal(arena, &offset, sum->floating),
                        count_sql(level, sum), sum->floating ? "::pg_catalog.float8" : "");
}

bool rotated_any(const struct level *level)
{
    bool any = false;
    for (size_t i = 0; i < level->n_measures; i++)
        any |= level->measures[i].rotated;
    return any;
}

void rotated_write_values(const struct level *level, struct text *out)
{
    size_t first = level->release->n_hidden;
    for (size_t i = first; i < level->n_measures; i++) {
        const struct level_measure *own = &level->measures[i];
        text_add(out, i == first ? "" : ", ");
        if (!own->rotated)
            text_printf(out, "r.m%zu", i + 1);
        else if (own->kind == MEASURE_COMPLEMENT)
            text_add(out, count_sql(level, &level->measures[own->partner]));
        else
            text_add(out, sum_sql(level, own));
        text_printf(out, " AS m%zu", i + 1);
    }
}

/* Of one measurement as it is drawn. */
static double drawn(const struct level_measure *measure)
{
    return dp_calibration_stddev(&measure->calibration) * dp_grid_unit(&measure->calibration.grid);
}

/* With f = (low - centre + factor) / width, sum + factor * count holds 1 + f times B's noise and f
 * times A's. */
void rotated_parts(const struct level *level, int sum, double factor, double parts[2])
{
    const struct level_measure *own = &level->measures[sum];
    double f = (as_double(&own->middle) - as_double(&own->centre) + factor) / width(own);
    parts[0] = fabs(1 + f) * drawn(own);
    parts[1] = fabs(f) * drawn(own);
}

double rotated_deviation(const struct level *level, int measure)
{
    double parts[2];
    if (measure < 0)
        return 0;
    const struct level_measure *own = &level->measures[measure];
    if (!own->rotated)
        return drawn(own);
    if (own->kind == MEASURE_COMPLEMENT)
        return sqrt(2) * drawn(own) / width(&level->measures[own->partner]);
    rotated_parts(level, measure, 0, parts);
    return hypot(parts[0], parts[1]);
}
