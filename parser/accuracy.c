/*
 * Accuracy first (ALGORITHMS 8): with dp.max_error every count and every sum of a release gets the
 * cheapest noise that stays within that half-width with probability dp.confidence, in each group.
 * What it costs is then as if dp.epsilon had been set to it, and at most the policy's largest.
 */
#include <string.h>

#include "mechanisms/accuracy.h"
#include "parser/node.h"
#include "parser/price.h"

enum { LIMIT_SCALE = 18, EPSILON_SCALE = 9 };

/* Does an aggregate need bounds of which nobody has asked yet whether they are kept? */
static bool may_find_bounds(const struct level *level)
{
    bool bought = false;
    for (size_t i = 0; i < level->aggregates.n; i++)
        bought |= level->aggregates.items[i].bought;
    return bought && level->compile->request->may_know_more;
}

bool accuracy_decides(const struct level *level)
{
    return level->compile->request->settings->max_error.digits > 0 && level->aggregates.n > 0 &&
           !may_find_bounds(level);
}

static bool refuse_aggregate(struct level *level, const struct level_aggregate *aggregate)
{
    struct compile *c = level->compile;
    if (aggregate->kind == AGGREGATE_QUANTILE)
        return compile_refuse(
            c, node_location(aggregate->node), "0A000", "dp.max_error is for counts and sums",
            arena_printf(c->arena,
                         "The error of %s is a number of ranks, not of units of the value.",
                         aggregate->described),
            "RESET dp.max_error and set dp.epsilon; EXPLAIN shows the error in ranks.");
    return compile_refuse(
        c, node_location(aggregate->node), "0A000", "dp.max_error is for counts and sums",
        arena_printf(c->arena, "The error of %s depends on answers that are not known yet.",
                     aggregate->described),
        "Ask for sum and count and divide them, or RESET dp.max_error and set dp.epsilon.");
}

static const char *print(struct arena *arena, const struct dp_decimal *value)
{
    char text[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal shortest = dp_decimal_normalize(value);
    dp_decimal_print(&shortest, text);
    return arena_strdup(arena, text);
}

static bool refuse_limit(struct level *level, const char *described)
{
    struct compile *c = level->compile;
    return compile_refuse(
        c, -1, "22023", arena_printf(c->arena, "no noise fits %s at this dp.max_error", described),
        arena_printf(c->arena, "dp.max_error is %s.",
                     print(c->arena, &c->request->settings->max_error)),
        "EXPLAIN after RESET dp.max_error shows the error that dp.epsilon buys: ask for one nearer to "
        "it.");
}

/* Per measure the half-width that it must keep; zero: none. */
struct limits {
    struct dp_decimal measure[MEASURES_MAX];
};

static void tighten(struct dp_decimal *limit, const struct dp_decimal *other)
{
    if (limit->digits == 0 || dp_decimal_compare(other, limit) < 0)
        *limit = *other;
}

static bool find_limits(struct level *level, struct limits *limits)
{
    const struct dp_decimal *wanted = &level->compile->request->settings->max_error;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        const struct level_aggregate *aggregate = &level->aggregates.items[i];
        struct dp_decimal limit = *wanted, size = dp_decimal_abs(&aggregate->low);
        switch (aggregate->kind) {
        case AGGREGATE_COUNT:
        case AGGREGATE_UNITS:
        case AGGREGATE_DISTINCT:
            tighten(&limits->measure[aggregate->count], wanted);
            break;
        case AGGREGATE_SUM:
            /* The sum of a constant is that constant times the count. */
            if (aggregate->sum < 0 && size.digits != 0 &&
                (!dp_decimal_divide(wanted, &size, LIMIT_SCALE, false, &limit) ||
                 limit.digits == 0))
                return refuse_limit(level, aggregate->described);
            tighten(&limits->measure[aggregate->sum < 0 ? aggregate->count : aggregate->sum],
                    &limit);
            break;
        case AGGREGATE_AVG:
        case AGGREGATE_VARIANCE:
        case AGGREGATE_QUANTILE:
        default:
            return refuse_aggregate(level, aggregate);
        }
    }
    return true;
}

static bool add_amount(struct level *level, const struct dp_calibration *calibration,
                       uint64_t *total)
{
    uint64_t part = level->laplace ? calibration->charge.epsilon : calibration->charge.mu2_pico;
    return !__builtin_add_overflow(*total, part, total);
}

/* The number of units that only decides about keys: half of what the answers cost, a third of all.
 */
static bool calibrate_rest(struct level *level, const struct limits *limits, uint64_t *total)
{
    uint64_t share = *total / 2;
    for (size_t i = 0; i < level->n_measures; i++) {
        struct level_measure *measure = &level->measures[i];
        struct price_sensitivity s;
        if (limits->measure[i].digits > 0)
            continue;
        if (!price_sensitivity(level, measure, &s) ||
            !(level->laplace ? dp_calibrate_laplace : dp_calibrate_gaussian)(
                &s.delta, s.floating ? NULL : &s.natural, s.groups, share, &measure->calibration) ||
            !add_amount(level, &measure->calibration, total))
            return price_refuse_noise(level, measure->described);
    }
    return true;
}

/* In pico mu^2, or nano epsilon with Laplace noise. */
static bool calibrate(struct level *level, const struct limits *limits, uint64_t *total)
{
    double beta = level->compile->request->settings->beta;
    *total = 0;
    for (size_t i = 0; i < level->n_measures; i++) {
        struct level_measure *measure = &level->measures[i];
        struct price_sensitivity s;
        if (limits->measure[i].digits == 0)
            continue;
        if (!price_sensitivity(level, measure, &s))
            return price_refuse_noise(level, measure->described);
        if (!(level->laplace ? dp_calibrate_laplace_within : dp_calibrate_gaussian_within)(
                &s.delta, s.floating ? NULL : &s.natural, s.groups, &limits->measure[i], beta,
                &measure->calibration) ||
            !add_amount(level, &measure->calibration, total))
            return refuse_limit(level, measure->described);
    }
    return calibrate_rest(level, limits, total);
}

/* The smallest epsilon that allows mu^2; zero: none below a million. */
static dp_nano epsilon_of(uint64_t mu2_pico, dp_atto delta)
{
    dp_nano low = 0, high = (dp_nano)1000000 * 1000000000;
    uint64_t cap = 0;
    if (!dp_mu2_cap(high, delta, &cap) || cap < mu2_pico)
        high = (dp_nano)1000 * 1000000000;
    if (!dp_mu2_cap(high, delta, &cap) || cap < mu2_pico)
        return 0;
    while (high - low > 1) {
        dp_nano middle = low + (high - low) / 2;
        if (dp_mu2_cap(middle, delta, &cap) && cap >= mu2_pico)
            high = middle;
        else
            low = middle;
    }
    return high;
}

static bool check_price(struct level *level, uint64_t total)
{
    struct compile *c = level->compile;
    const struct plan_settings *settings = c->request->settings;
    uint64_t cap = settings->epsilon_max;
    if (!level->laplace && !dp_mu2_cap(settings->epsilon_max, settings->delta_conv, &cap))
        cap = 0;
    level->epsilon = level->laplace ? total : epsilon_of(total, settings->delta_conv);
    if (total <= cap)
        return true;
    struct dp_decimal most = {(__int128)settings->epsilon_max, EPSILON_SCALE};
    struct dp_decimal needed = {(__int128)level->epsilon, EPSILON_SCALE};
    const char *price = level->epsilon == 0
                            ? "more than can be granted"
                            : arena_printf(c->arena, "an epsilon of %s", print(c->arena, &needed));
    return compile_refuse(
        c, -1, "22023",
        arena_printf(c->arena, "dp.max_error = %s costs more than a release may",
                     print(c->arena, &settings->max_error)),
        arena_printf(c->arena, "It needs %s; at most %s is allowed here.", price,
                     print(c->arena, &most)),
        "Allow a larger error or a lower dp.confidence, or ask for less at once.");
}

/* What an error costs follows from the bounds. */
static bool check_bounds(struct level *level)
{
    for (size_t i = 0; i < level->aggregates.n; i++)
        if (level->aggregates.items[i].bought)
            return compile_refuse(
                level->compile, node_location(level->aggregates.items[i].node), "0A000",
                "dp.max_error needs bounds that are known",
                arena_printf(level->compile->arena, "Those of %s are yet to be found.",
                             level->aggregates.items[i].described),
                "RESET dp.max_error and ask once with dp.epsilon: the bounds are then found and "
                "kept.");
    return true;
}

bool accuracy_release(struct level *level)
{
    struct compile *c = level->compile;
    struct limits limits = {0};
    uint64_t total = 0;
    if (!check_bounds(level))
        return false;
    if (!find_limits(level, &limits))
        return false;
    /* What plain epsilon would have to pay is what the choice is about. */
    level->laplace = c->request->settings->automatic || c->request->settings->laplace;
    bool done = calibrate(level, &limits, &total);
    if (c->request->settings->automatic &&
        (!done || mechanism_choose(level, total) == DP_GAUSSIAN)) {
        memset(&c->refusal, 0, sizeof c->refusal);
        level->laplace = false;
        done = calibrate(level, &limits, &total);
    }
    return done && check_price(level, total);
}
