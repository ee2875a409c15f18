/*
 * Sums, averages and counts from each other. The measures of a release are chosen by what stands in
 * it: a sum alone is measured from zero, a sum beside its count about the middle of its range. What
 * was paid for in the one form answers the other question as well, where it is precise enough:
 *
 *   SUM  from a count and a sum about the middle: middle * count + sum
 *   AVG  from a count and a sum that were measured with other shares
 *
 * Precise enough is what is no worse than what the request would buy, to a part in a hundred; for
 * an average at the end of the range, where its error is largest. Only what is free is taken; what
 * would have to be paid for is measured as it always is.
 */
#include <math.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "parser/auto_bounds.h"
#include "parser/fold.h"
#include "parser/price.h"
#include "parser/reuse.h"

/* A part in a hundred: a count is drawn in whole numbers, whose rounding its sum feels. */
static const double slack = 1.01;

static double as_double(const struct dp_decimal *value)
{
    double result = (double)value->digits;
    for (int i = 0; i < value->scale; i++)
        result /= 10;
    return result;
}

static double deviation(const struct dp_calibration *calibration)
{
    return dp_calibration_stddev(calibration) * dp_grid_unit(&calibration->grid);
}

/* Of the aggregate, from one calibration of each of the level's measures. */
static double error_of(const struct level_aggregate *aggregate,
                       const struct dp_calibration *calibrations)
{
    double sum = aggregate->sum < 0 ? 0 : deviation(&calibrations[aggregate->sum]);
    double count = aggregate->count < 0 ? 0 : deviation(&calibrations[aggregate->count]);
    double low = as_double(&aggregate->low), high = as_double(&aggregate->high);
    double middle = as_double(&aggregate->middle);
    double farthest = fmax(fabs(middle - low), fabs(high - middle));
    return hypot(sum, count * (aggregate->kind == AGGREGATE_AVG   ? farthest
                               : aggregate->kind == AGGREGATE_SUM ? middle
                                                                  : 1));
}

static bool reads(const struct level_aggregate *aggregate, size_t measure)
{
    return aggregate->count == (int)measure || aggregate->sum == (int)measure ||
           aggregate->squares == (int)measure;
}

/* Are all that read the measure as precise as the request asks from what is kept alone? */
static bool suffices(const struct level *level, size_t measure, const struct dp_calibration *wanted,
                     const struct dp_calibration *kept)
{
    bool read = false;
    for (size_t i = 0; i < level->aggregates.n; i++) {
        const struct level_aggregate *aggregate = &level->aggregates.items[i];
        if (!reads(aggregate, measure))
            continue;
        read = true;
        for (size_t n = 0; n < level->n_measures; n++)
            if (reads(aggregate, n) && kept[n].m == 0)
                return false;
        if (aggregate->kind == AGGREGATE_VARIANCE ||
            error_of(aggregate, kept) > slack * error_of(aggregate, wanted))
            return false;
    }
    return read;
}

void reuse_relax(struct level *level)
{
    struct dp_calibration wanted[MEASURES_MAX], kept[MEASURES_MAX];
    for (size_t i = 0; i < level->n_measures; i++) {
        const struct level_measure *measure = &level->measures[i];
        if (measure->rotated) /* its counts and sums are not what is measured */
            return;
        wanted[i] = measure->wanted;
        kept[i] = measure->draw.m == 0 ? measure->calibration : measure->have;
    }
    for (size_t i = 0; i < level->n_measures; i++) {
        struct level_measure *measure = &level->measures[i];
        if (measure->draw.m == 0 || measure->n_kept == 0 || !suffices(level, i, wanted, kept))
            continue;
        measure->calibration = measure->have;
        measure->draw = (struct dp_calibration){.m = 0};
    }
}

/* A level before its measures are chosen. */
struct start {
    struct level level;
    struct release release;
    struct level_aggregate *aggregates;
};

static void remember(const struct level *level, struct start *start)
{
    size_t size = level->aggregates.n * sizeof *start->aggregates;
    start->level = *level;
    start->release = *level->release;
    start->aggregates = arena_alloc(level->compile->arena, size + 1);
    if (size > 0)
        memcpy(start->aggregates, level->aggregates.items, size);
}

static void go_back(struct level *level, const struct start *start)
{
    *level = start->level;
    *level->release = start->release;
    if (level->aggregates.n > 0)
        memcpy(level->aggregates.items, start->aggregates,
               level->aggregates.n * sizeof *start->aggregates);
    memset(&level->compile->refusal, 0, sizeof level->compile->refusal);
}

static bool choose(struct level *level)
{
    return measures_choose(level) && price_release(level);
}

static bool is_free(const struct level *level)
{
    const struct release *release = level->release;
    return release->charge.mu2_pico == 0 && release->charge.delta_atto == 0;
}

/* Is there a sum that would be measured from zero, and could be had from a pair? */
static bool has_lone_sum(const struct level *level)
{
    bool found = false;
    for (size_t i = 0; i < level->aggregates.n; i++)
        found |= level->aggregates.items[i].kind == AGGREGATE_SUM &&
                 level->aggregates.items[i].sum >= 0 && level->aggregates.items[i].count < 0;
    return found && auto_bounds_bought(level) == 0;
}

static void note(struct compile *c, const char *identity)
{
    if (identity != NULL && c->request->asks_for_kept)
        VECTOR_PUSH(c->arena, &c->also, identity);
}

void reuse_note_finer(struct level *level)
{
    for (size_t i = 0; i < level->n_measures; i++)
        note(level->compile, fold_wish(level, &level->measures[i]));
}

void reuse_note(struct level *level)
{
    struct compile *c = level->compile;
    for (size_t i = 0; i < level->n_measures; i++)
        note(c, level->measures[i].identity);
    reuse_note_finer(level);
    for (size_t i = 0; i < level->histograms.n; i++) {
        const struct level_histogram *histogram = &level->histograms.items[i];
        for (size_t n = 0; n < histogram->ranks.n; n++)
            note(c, histogram->identities[n]);
        note(c, histogram->distribution);
    }
}

bool reuse_choose(struct level *level)
{
    struct arena *arena = level->compile->arena;
    if (level->compile->request->n_kept == 0 && !level->compile->request->asks_for_kept)
        return choose(level);
    struct start *start = arena_alloc(arena, sizeof *start);
    double *errors = arena_alloc(arena, (level->aggregates.n + 1) * sizeof *errors);
    struct dp_calibration calibrations[MEASURES_MAX];
    remember(level, start);
    if (!choose(level))
        return false;
    if (is_free(level) || !has_lone_sum(level))
        return true;
    for (size_t i = 0; i < level->n_measures; i++)
        calibrations[i] = level->measures[i].wanted;
    for (size_t i = 0; i < level->aggregates.n; i++)
        errors[i] = error_of(&level->aggregates.items[i], calibrations);
    go_back(level, start);
    level->pairs_sums = true;
    bool taken = choose(level);
    if (taken)
        reuse_note(level);
    taken = taken && is_free(level);
    for (size_t i = 0; taken && i < level->n_measures; i++)
        calibrations[i] = level->measures[i].calibration;
    for (size_t i = 0; taken && i < level->aggregates.n; i++)
        taken = level->aggregates.items[i].kind != AGGREGATE_SUM ||
                error_of(&level->aggregates.items[i], calibrations) <= slack * errors[i];
    if (taken)
        return true;
    go_back(level, start);
    return choose(level);
}
