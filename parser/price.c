/*
 * From the budget of a release to the noise of its measures: shares, grids, sensitivities, charges.
 * Everything here follows from the statement, the policy and the settings.
 */
#include "parser/price.h"

#include <string.h>

#include "mechanisms/bounds.h"
#include "parser/quantile.h"
#include "parser/rotated.h"

bool price_refuse_noise(struct level *level, const char *described)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, -1, "0A000", arena_printf(c->arena, "no noise fits %s at this epsilon", described),
        "The range of the values is too large, or too small, for the noise that the budget allows.",
        "Clamp the values to a smaller range, or set dp.epsilon higher.");
}

const struct dp_calibration *price_fixed_by(const struct level_measure *measure)
{
    return measure->bought ? &measure->priced : &measure->draw;
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

bool price_sensitivity(const struct level *level, const struct level_measure *measure,
                       struct price_sensitivity *out)
{
    const struct bounding *bounding = &level->bounding;
    *out = (struct price_sensitivity){
        .delta = dp_decimal_from_int(1),
        .groups = measure->kind == MEASURE_UNITS ? bounding->unit_groups : bounding->groups,
        .floating = measure->floating,
    };
    if (measure->kind == MEASURE_COUNT)
        out->delta.digits = (__int128)bounding->delta;
    if (measure->kind == MEASURE_DISTINCT) {
        uint64_t delta;
        bounding_at_most(bounding, level->values.items[measure->value].possible, &delta,
                         &out->groups);
        out->delta.digits = (__int128)delta;
    }
    if (measure->kind != MEASURE_SUM)
        return true;
    out->natural.scale10 = measure->scale;
    return sum_sensitivity(level, measure, &out->delta);
}

/* Its noise for the share, and what it costs. */
static bool calibrate(struct level *level, struct level_measure *measure, uint64_t share)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    const struct dp_grid ones = {0, 0};
    struct price_sensitivity s;
    if (!price_sensitivity(level, measure, &s))
        return price_refuse_noise(level, measure->described);
    if (measure->bought) {
        if (!(level->laplace ? dp_calibrate_laplace : dp_calibrate_gaussian)(
                &one, &ones, s.groups, share, &measure->priced))
            return price_refuse_noise(level, measure->described);
        share = level->laplace ? measure->priced.charge.epsilon : measure->priced.charge.mu2_pico;
    }
    if (measure->rotated) {
        if (!rotated_calibrate(level, measure, share))
            return false;
    } else if (!(level->laplace ? dp_calibrate_laplace
                                : dp_calibrate_gaussian)(&s.delta, s.floating ? NULL : &s.natural,
                                                         s.groups, share, &measure->calibration)) {
        return price_refuse_noise(level, measure->described);
    }
    return true;
}

/* Each measure by its weight; before them the bounds that are bought. */
static bool share_out(struct level *level)
{
    const struct plan_settings *settings = level->compile->request->settings;
    uint64_t total = settings->epsilon;
    uint64_t histograms = 0;
    unsigned weights = 0;
    level->epsilon = settings->epsilon;
    level->laplace = mechanism_choose(level, settings->epsilon) == DP_LAPLACE;
    if (!level->laplace && !dp_mu2_cap(settings->epsilon, settings->delta_conv, &total))
        return compile_refuse(level->compile, -1, "22023", "dp.epsilon is out of range", NULL,
                              NULL);
    if (auto_bounds_bought(level) > 0)
        dp_bound_shares(total, &histograms, &total);
    for (size_t i = 0; i < level->n_measures; i++)
        weights += level->measures[i].weight;
    if (level->laplace)
        rotated_choose(level);
    for (size_t i = 0; i < level->histograms.n; i++)
        weights += level->histograms.items[i].weight;
    for (size_t i = 0; i < level->n_measures; i++) {
        struct level_measure *measure = &level->measures[i];
        unsigned weight =
            measure->weight + (measure->rotated ? level->measures[measure->partner].weight : 0);
        uint64_t share = (uint64_t)((unsigned __int128)total * weight / weights);
        if (measure->kind != MEASURE_COMPLEMENT && !calibrate(level, measure, share))
            return false;
    }
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct level_histogram *histogram = &level->histograms.items[i];
        if (!quantile_price(level, histogram,
                            (uint64_t)((unsigned __int128)total * histogram->weight / weights)))
            return false;
    }
    return auto_bounds_price(level, histograms) ||
           price_refuse_noise(level, level->measures[0].described);
}

bool price_add(struct dp_charge *charge, const struct dp_charge *part)
{
    charge->pure = charge->pure && part->pure;
    return !__builtin_add_overflow(charge->mu2_pico, part->mu2_pico, &charge->mu2_pico) &&
           (!part->pure ||
            !__builtin_add_overflow(charge->epsilon, part->epsilon, &charge->epsilon));
}

/* One release, one charge: squared Gaussian parameters add, and so do pure epsilons. Quantiles are
 * pure whatever the noise of what stands beside them. */
static bool add_up(struct level *level)
{
    const struct plan_settings *settings = level->compile->request->settings;
    struct dp_charge charge = {.pure = true};
    bool fits = true;
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].draw.m != 0)
            fits = fits && price_add(&charge, &price_fixed_by(&level->measures[i])->charge);
    for (size_t i = 0; i < level->histograms.n; i++) {
        const struct level_histogram *histogram = &level->histograms.items[i];
        for (size_t n = 0; n < histogram->n_draws; n++)
            fits = fits && price_add(&charge, &histogram->draws[n].plan.charge);
    }
    /* Together they are epsilon-DP as well: the smaller of the two prices. */
    uint64_t together = charge.mu2_pico;
    charge.epsilon = charge.pure ? charge.epsilon : 0;
    if (!fits || (charge.pure && charge.epsilon > 0 && !dp_mu2_of_pure(charge.epsilon, &together)))
        return price_refuse_noise(level, level->n_measures > 0
                                             ? level->measures[0].described
                                             : level->histograms.items[0].described);
    charge.mu2_pico = together < charge.mu2_pico ? together : charge.mu2_pico;
    if (reuse_draws_keys(level))
        charge.delta_atto = settings->delta;
    level->release->charge = charge;
    return true;
}

/* Of a delta, in 1e-18. */
static const dp_atto delta_half = 500000000000000000;

static bool find_threshold(struct level *level)
{
    struct compile *c = level->compile;
    if (!reuse_draws_keys(level))
        return true;
    dp_atto delta = c->request->settings->delta;
    if (delta == 0 || delta >= delta_half)
        return compile_refuse(c, -1, "0A000",
                              delta == 0 ? "private keys need a positive dp.delta"
                                         : "private keys need a dp.delta below one half",
                              "The group keys have no declared domain, and delta pays for the "
                              "choice of the groups that appear.",
                              "Set dp.delta, or group by columns with a declared domain.");
    if (!dp_key_threshold(&level->measures[0].calibration, delta, c->catalog->policy->minimum_units,
                          &level->release->key_threshold))
        return compile_refuse(
            c, -1, "0A000", "dp.epsilon is too large to choose groups",
            "So little noise could not hide whether a group has one person or none.",
            "Set dp.epsilon lower, or group by columns with a declared domain.");
    return true;
}

static bool price_once(struct level *level)
{
    if (!(accuracy_decides(level) ? accuracy_release(level) : share_out(level)))
        return false;
    identity_find(level);
    reuse_settle(level);
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].kind == MEASURE_SUM &&
            (level->measures[i].draw.m != 0 || level->measures[i].rotated) &&
            !find_steps(&level->measures[i]))
            return price_refuse_noise(level, level->measures[i].described);
    for (size_t i = 0; i < level->n_measures; i++)
        if (level->measures[i].rotated && level->measures[i].kind == MEASURE_SUM &&
            level->measures[i].most[1] == 0)
            return price_refuse_noise(level, level->measures[i].described);
    if (!find_threshold(level) || !add_up(level))
        return false;
    keys_choose_rule(level);
    return true;
}

static bool is_free(const struct level *level)
{
    const struct dp_charge *charge = &level->release->charge;
    return charge->mu2_pico == 0 && charge->delta_atto == 0;
}

/* From the start again, with this mechanism. */
static bool price_again(struct level *level, const struct level *start,
                        const struct release *release, enum level_mechanism mechanism)
{
    memset(&level->compile->refusal, 0, sizeof level->compile->refusal);
    *level = *start;
    *level->release = *release;
    level->forced = mechanism;
    return price_once(level);
}

/* Where the account is to choose the mechanism, it would choose another one once it has paid: what
 * was paid for with either is given again. */
bool price_release(struct level *level)
{
    const struct plan_request *request = level->compile->request;
    if (!request->settings->automatic || auto_bounds_bought(level) > 0 ||
        (request->n_kept == 0 && !request->asks_for_kept))
        return price_once(level);
    struct level *start = arena_alloc(level->compile->arena, sizeof *start);
    const struct release release = *level->release;
    *start = *level;
    if (!price_once(level))
        return false;
    if (is_free(level))
        return true;
    enum level_mechanism chosen = level->laplace ? FORCED_LAPLACE : FORCED_GAUSSIAN;
    enum level_mechanism other = level->laplace ? FORCED_GAUSSIAN : FORCED_LAPLACE;
    if (price_again(level, start, &release, other)) {
        if (is_free(level))
            return true;
        reuse_note(level);
    }
    return price_again(level, start, &release, chosen);
}
