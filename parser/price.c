/*
 * From the budget of a release to the noise of its measures: shares, grids, sensitivities, charges.
 * Everything here follows from the statement, the policy and the settings.
 */
#include <string.h>

#include "parser/compile_internal.h"

static bool refuse_noise(struct level *level, const struct level_measure *measure)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, -1, "0A000",
        arena_printf(c->arena, "no noise fits %s at this epsilon", measure->described),
        "The range of the values is too large, or too small, for the noise that the budget allows.",
        "Clamp the values to a smaller range, or set dp.epsilon higher.");
}

/* Rows times the largest distance from the middle. */
static bool sum_sensitivity(const struct level *level, const struct level_measure *measure,
                            struct dp_decimal *out)
{
    struct dp_decimal below, above, rows = {(__int128)level->bounding.delta, 0};
    if (!dp_decimal_subtract(&measure->middle, &measure->low, &below) ||
        !dp_decimal_subtract(&measure->high, &measure->middle, &above))
        return false;
    below = dp_decimal_abs(&below);
    above = dp_decimal_abs(&above);
    const struct dp_decimal *most = dp_decimal_compare(&below, &above) > 0 ? &below : &above;
    return dp_decimal_multiply(most, &rows, out);
}

/* distance / grid, rounded down: what one row may add, so that all rows of a unit together stay
 * within the calibrated sensitivity. */
static bool grid_steps(const struct dp_grid *grid, const struct dp_decimal *distance, __int128 *out)
{
    struct dp_decimal scaled = *distance, factor = {1, 0};
    if (grid->exp2 > 120 || grid->exp2 < -120 || grid->scale10 > DP_DECIMAL_SCALE_MAX)
        return false;
    for (int i = 0; i < grid->scale10; i++)
        factor.digits *= 10;
    if (!dp_decimal_multiply(&scaled, &factor, &scaled))
        return false;
    factor.digits = (__int128)1 << (grid->exp2 < 0 ? -grid->exp2 : grid->exp2);
    if (grid->exp2 < 0 && !dp_decimal_multiply(&scaled, &factor, &scaled))
        return false;
    struct dp_decimal one = {1, 0}, steps;
    if (!dp_decimal_divide(&scaled, grid->exp2 < 0 ? &one : &factor, 0, false, &steps))
        return false;
    *out = steps.digits;
    return true;
}

/* Smallest and largest grid integer of a row. Both keep the sign of their end: a range that does
 * not hold the middle (a sum that is not centred) has them on one side. */
static bool find_steps(struct level_measure *measure)
{
    struct dp_decimal below, above;
    if (!dp_decimal_subtract(&measure->middle, &measure->low, &below) ||
        !dp_decimal_subtract(&measure->high, &measure->middle, &above))
        return false;
    struct dp_decimal distance[2] = {below, above};
    for (int side = 0; side < 2; side++) {
        struct dp_decimal size = dp_decimal_abs(&distance[side]);
        __int128 steps;
        if (!grid_steps(&measure->calibration.grid, &size, &steps) || steps > (__int128)1 << 62)
            return false;
        bool negative = (distance[side].digits < 0) != (side == 0);
        measure->most[side] = negative ? -steps : steps;
    }
    return true;
}

static bool calibrate(struct level *level, struct level_measure *measure, uint64_t total,
                      unsigned weights)
{
    const struct plan_settings *settings = level->compile->request->settings;
    struct dp_decimal delta = dp_decimal_from_int(1);
    struct dp_grid natural = {0, 0};
    uint64_t groups =
        measure->kind == MEASURE_UNITS ? level->bounding.unit_groups : level->bounding.groups;
    if (measure->kind == MEASURE_COUNT)
        delta.digits = (__int128)level->bounding.delta;
    if (measure->kind == MEASURE_SUM) {
        natural.scale10 = measure->scale;
        if (!sum_sensitivity(level, measure, &delta))
            return refuse_noise(level, measure);
    }
    uint64_t share = (uint64_t)((unsigned __int128)total * measure->weight / weights);
    const struct dp_grid *grid = measure->floating ? NULL : &natural;
    bool done = settings->laplace
                    ? dp_calibrate_laplace(&delta, grid, groups, share, &measure->calibration)
                    : dp_calibrate_gaussian(&delta, grid, groups, share, &measure->calibration);
    if (!done || (measure->kind == MEASURE_SUM && !find_steps(measure)))
        return refuse_noise(level, measure);
    return true;
}

/* One release, one charge: squared Gaussian parameters add, and so do pure epsilons. */
static bool add_up(struct level *level)
{
    const struct plan_settings *settings = level->compile->request->settings;
    struct dp_charge charge = {.pure = settings->laplace};
    for (size_t i = 0; i < level->n_measures; i++) {
        const struct dp_charge *part = &level->measures[i].calibration.charge;
        if (__builtin_add_overflow(charge.mu2_pico, part->mu2_pico, &charge.mu2_pico) ||
            (charge.pure && __builtin_add_overflow(charge.epsilon, part->epsilon, &charge.epsilon)))
            return refuse_noise(level, &level->measures[i]);
    }
    if (charge.pure && charge.epsilon > 0 && !dp_mu2_of_pure(charge.epsilon, &charge.mu2_pico))
        return refuse_noise(level, &level->measures[0]);
    if (level->n_keys > 0 && !level->public_keys)
        charge.delta_atto = settings->delta;
    level->release->charge = charge;
    return true;
}

static bool find_threshold(struct level *level)
{
    struct compile *c = level->compile;
    if (level->n_keys == 0 || level->public_keys)
        return true;
    if (!dp_key_threshold(&level->measures[0].calibration, c->request->settings->delta,
                          c->catalog->policy->minimum_units, &level->release->key_threshold))
        return compile_refuse(c, -1, "0A000", "private keys need a positive dp.delta",
                              "The group keys have no declared domain, and delta pays for the "
                              "choice of the groups that appear.",
                              "Set dp.delta, or group by columns with a declared domain.");
    return true;
}

bool price_release(struct level *level)
{
    struct compile *c = level->compile;
    const struct plan_settings *settings = c->request->settings;
    unsigned weights = 0;
    uint64_t total = settings->epsilon;
    for (size_t i = 0; i < level->n_measures; i++)
        weights += level->measures[i].weight;
    if (settings->laplace && level->n_keys > 0 && !level->public_keys)
        return compile_refuse(c, -1, "0A000", "private keys are not supported with Laplace noise",
                              "The group keys have no declared domain.",
                              "SET dp.mechanism = 'auto', or group by columns with a domain.");
    if (!settings->laplace && !dp_mu2_cap(settings->epsilon, settings->delta_conv, &total))
        return compile_refuse(c, -1, "22023", "dp.epsilon is out of range", NULL, NULL);
    for (size_t i = 0; i < level->n_measures; i++)
        if (!calibrate(level, &level->measures[i], total, weights))
            return false;
    return find_threshold(level) && add_up(level);
}
