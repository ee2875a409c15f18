/*
 * Quantiles that were paid for (parser/quantile.h). Each rank of a distribution is kept alone, so
 * that it answers whatever it is asked together with; or the noisy distribution is kept as a whole,
 * from which every rank can be read (reuse_distribution.c). What errs no more than what the request
 * would buy is given again, the sharpest first. What is missing is drawn alone, with the same
 * error, where that costs less than all of it. Drawn bins do not add up, so that they are not
 * refined.
 *
 * The extremes are not read from a distribution: what they are there is not defined.
 */
#include <math.h>
#include <string.h>

#include "parser/auto_bounds.h"
#include "parser/quantile.h"
#include "parser/reuse.h"

/* Strengths are whole numbers, the least one has seven digits, and recursions round ranks to one
 * denominator. */
static const double slack = 1.0001;

/* How a histogram's ranks are had, an entry of each array for each rank. */
struct sources {
    struct release_value *values;
    double *errors; /* that the request would buy */
    bool *missing;
    struct kept_distribution kept;
    size_t n_draws;
    struct release_draw draws[HISTOGRAM_DRAWS_MAX];
};

/* The plan for the part of its price that kept answers must have had. */
static void relax(const struct level *level, struct release_draw *draw)
{
    double rest = auto_bounds_rest(level);
    uint64_t mu2;
    dp_nano *half_range = &draw->plan.half_range;
    if (rest >= 1)
        return;
    if (draw->whole.m != 0)
        draw->whole.m = (uint64_t)((double)draw->whole.m * sqrt(rest));
    else if (level->laplace)
        *half_range = (dp_nano)((double)*half_range * rest);
    else if (dp_mu2_of_pure(*half_range, &mu2))
        dp_pure_of_mu2((uint64_t)((double)mu2 * rest), half_range);
}

/* Raises the errors of a draw's ranks to those of the draw for that part of its price. */
static void allow(const struct level *level, const struct level_histogram *histogram, size_t number,
                  const struct release_draw *draw, double *errors)
{
    size_t n = histogram->ranks.n;
    struct release_draw relaxed = *draw;
    struct release_value *values = arena_alloc(level->compile->arena, (n + 1) * sizeof *values);
    memcpy(values, histogram->wanted_values, n * sizeof *values);
    relax(level, &relaxed);
    quantile_find_sharpness(level, histogram, &relaxed, number, values);
    for (size_t i = 0; i < n; i++)
        if (values[i].from == number)
            errors[i] = fmax(errors[i], quantile_error_of(level, histogram, &values[i].sharpness,
                                                          &histogram->ranks.items[i]));
}

/* A distribution that is read from now was drawn by recursion when its bounds were bought with it.
 */
static void find_errors(const struct level *level, const struct level_histogram *histogram,
                        double *errors)
{
    for (size_t i = 0; i < histogram->ranks.n; i++)
        errors[i] = 0;
    for (size_t i = 0; i < histogram->n_wanted; i++) {
        const struct release_draw *draw = &histogram->wanted[i];
        allow(level, histogram, i, draw, errors);
        if (draw->whole.m == 0 || auto_bounds_rest(level) >= 1)
            continue;
        struct release_draw recursion = {.plan = histogram->recursion, .ranks = draw->ranks};
        allow(level, histogram, i, &recursion, errors);
    }
}

/* The sharpest kept draw of the rank, of these the newest: into the value, and its error, if that
 * is no larger than *error. */
static bool find_kept(const struct level *level, const struct kept_answer *list,
                      const struct level_histogram *histogram, size_t rank,
                      struct release_value *value, double *error)
{
    size_t n = 0;
    const char *identity = histogram->identities[rank];
    const struct kept_answer *const *found =
        identity == NULL ? NULL : reuse_find(level, identity, &n);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct kept_answer *kept = found[i];
        const struct dp_calibration *sharpness = &kept->calibration;
        if (kept->keys_only || !reuse_is_of_list(kept, list) ||
            kept->n_groups != reuse_groups(level, list) ||
            sharpness->groups != level->bounding.unit_groups || sharpness->grid.scale10 != 0 ||
            sharpness->grid.exp2 != 0)
            continue;
        double own = quantile_error_of(level, histogram, sharpness, &histogram->ranks.items[rank]);
        if (own < 0 || own > *error)
            continue;
        *error = own;
        any = true;
        value->rank = histogram->ranks.items[rank];
        quantile_keep(histogram, VALUE_KEPT, (size_t)(kept - level->compile->request->kept),
                      sharpness, value);
    }
    return any;
}

/* The same of both ways in which the rank can be kept. */
static bool find_any_kept(const struct level *level, const struct kept_answer *list,
                          const struct level_histogram *histogram,
                          const struct kept_distribution *distribution, size_t i,
                          struct release_value *value, double *error)
{
    const struct dp_rank *rank = &histogram->ranks.items[i];
    bool inner = rank->numerator > 0 && rank->numerator < rank->denominator;
    bool kept = find_kept(level, list, histogram, i, value, error);
    if (!inner || distribution->n_kept == 0)
        return kept;
    double own = quantile_error_of(level, histogram, &distribution->together, rank);
    if (own < 0 || own > *error)
        return kept;
    *error = own;
    value->rank = *rank;
    quantile_keep(histogram, VALUE_OF_KEPT_DISTRIBUTION, distribution->kept[0].answer,
                  &distribution->together, value);
    return true;
}

static void find_all_kept(const struct level *level, const struct kept_answer *list,
                          const struct level_histogram *histogram, struct sources *sources)
{
    for (size_t i = 0; i < histogram->ranks.n; i++) {
        double error = sources->errors[i] * slack;
        sources->missing[i] =
            !find_any_kept(level, list, histogram, &sources->kept, i, &sources->values[i], &error);
    }
}

double reuse_kept_error(const struct level *level, const struct level_aggregate *aggregate)
{
    double most = 0;
    bool drawn = false;
    if (aggregate->kind != AGGREGATE_QUANTILE || reuse_draws_keys(level))
        return -1;
    const struct level_histogram *histogram =
        &level->histograms.items[aggregate->quantile.histogram];
    struct kept_distribution distribution;
    reuse_find_distribution(level, level->list, histogram, &distribution);
    for (size_t i = 0; i < aggregate->quantile.n_ranks && !histogram->bought; i++) {
        size_t rank = quantile_find(histogram, &aggregate->quantile.ranks[i]);
        double error = HUGE_VAL;
        struct release_value value;
        if (!find_any_kept(level, level->list, histogram, &distribution, rank, &value, &error))
            return -1;
        drawn = drawn || histogram->values[rank].source == VALUE_DRAWN;
        most = fmax(most, error);
    }
    return drawn ? most : -1;
}

static bool costs_less(const struct dp_charge *a, const struct dp_charge *b)
{
    return a->mu2_pico < b->mu2_pico && (!b->pure || a->epsilon <= b->epsilon);
}

/* The cheapest draw by which the missing ranks of a wanted draw are had as sharp as it: itself, or
 * of them alone (*part), or what their distribution lacks. */
static struct release_draw cheapest(const struct level *level,
                                    const struct level_histogram *histogram, size_t number,
                                    const struct sources *sources, bool *part)
{
    struct release_draw best = histogram->wanted[number], other;
    size_t n_kept = 0;
    *part = false;
    for (size_t i = 0; i < histogram->ranks.n; i++)
        n_kept += histogram->wanted_values[i].from == number && !sources->missing[i];
    if (n_kept > 0 &&
        quantile_price_rest(level, histogram, number, sources->missing, sources->errors, &other) &&
        costs_less(&other.plan.charge, &best.plan.charge)) {
        best = other;
        *part = true;
    }
    if (reuse_refine_distribution(level, histogram, &sources->kept, &histogram->wanted[number],
                                  &other) &&
        other.plan.charge.mu2_pico < best.plan.charge.mu2_pico) {
        best = other;
        *part = false;
    }
    return best;
}

static void draw_rest(const struct level *level, const struct level_histogram *histogram,
                      size_t number, struct sources *sources)
{
    bool any = false, part;
    for (size_t i = 0; i < histogram->ranks.n; i++)
        any = any || (histogram->wanted_values[i].from == number && sources->missing[i]);
    if (!any)
        return;
    sources->draws[sources->n_draws] = cheapest(level, histogram, number, sources, &part);
    for (size_t i = 0; i < histogram->ranks.n; i++)
        if (histogram->wanted_values[i].from == number && (!part || sources->missing[i])) {
            sources->values[i] = histogram->wanted_values[i];
            sources->values[i].from = sources->n_draws;
        }
    quantile_find_values(level, histogram, &sources->draws[sources->n_draws], sources->n_draws,
                         sources->values);
    sources->n_draws++;
}

static void find_sources(const struct level *level, const struct kept_answer *list,
                         const struct level_histogram *histogram, struct sources *sources)
{
    struct arena *arena = level->compile->arena;
    size_t n = histogram->ranks.n;
    *sources = (struct sources){
        .values = arena_alloc(arena, (n + 1) * sizeof *sources->values),
        .errors = arena_alloc(arena, (n + 1) * sizeof *sources->errors),
        .missing = arena_alloc(arena, (n + 1) * sizeof *sources->missing),
    };
    memcpy(sources->values, histogram->wanted_values, n * sizeof *sources->values);
    /* With bounds that are bought the price is fixed before it is known what is measured. */
    if (level->compile->request->n_kept == 0 || histogram->bought ||
        (list == NULL && reuse_draws_keys(level))) {
        sources->n_draws = histogram->n_wanted;
        memcpy(sources->draws, histogram->wanted, sizeof sources->draws);
        return;
    }
    reuse_find_distribution(level, list, histogram, &sources->kept);
    find_errors(level, histogram, sources->errors);
    find_all_kept(level, list, histogram, sources);
    for (size_t i = 0; i < histogram->n_wanted; i++)
        draw_rest(level, histogram, i, sources);
}

uint64_t reuse_draws_price(const struct level *level, const struct kept_answer *list)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct sources sources;
        find_sources(level, list, &level->histograms.items[i], &sources);
        for (size_t n = 0; n < sources.n_draws; n++)
            if (__builtin_add_overflow(sum, sources.draws[n].plan.charge.mu2_pico, &sum))
                return UINT64_MAX;
    }
    return sum;
}

void reuse_draws_settle(struct level *level)
{
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct level_histogram *histogram = &level->histograms.items[i];
        struct sources sources;
        find_sources(level, level->list, histogram, &sources);
        histogram->values = sources.values;
        histogram->kept = sources.kept;
        histogram->n_draws = sources.n_draws;
        memcpy(histogram->draws, sources.draws, sizeof histogram->draws);
        for (size_t n = 0; n < histogram->ranks.n; n++)
            histogram->values[n].identity = histogram->identities[n];
    }
}
