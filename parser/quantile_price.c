/*
 * From a share of the budget to what the request would buy, if nothing were paid for. The extremes
 * are drawn apart from the other ranks: more than a few of those are drawn by recursion, which
 * knows no offset, or read from the whole distribution, noised once (mechanisms/cdf.h), where that
 * has the smaller error. Public numbers decide.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/cdf.h"
#include "parser/price.h"
#include "parser/quantile.h"

/* Weight of a unit where bins are drawn. */
enum { UNIT_WEIGHT = 1 << 20 };
enum { DRAW_INNER, DRAW_EXTREME };

/* Noising a distribution takes time by the square of its bins, for each group: a fifth of a second
 * at most. */
static const uint64_t whole_steps_max = UINT64_C(1) << 26;

/* The draws of a histogram while they are made. */
struct drawing {
    const struct level *level;
    struct level_histogram *histogram;
    size_t n[HISTOGRAM_DRAWS_MAX];
    struct release_draw draws[HISTOGRAM_DRAWS_MAX];
    struct dp_rank *ranks[HISTOGRAM_DRAWS_MAX];
};

static bool is_extreme(const struct dp_rank *rank)
{
    return rank->numerator == 0 || rank->numerator == rank->denominator;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct dp_rank *left = a, *right = b;
    uint64_t x = (uint64_t)left->numerator * right->denominator;
    uint64_t y = (uint64_t)right->numerator * left->denominator;
    return x < y ? -1 : x > y;
}

static uint64_t common_factor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* One denominator for all, as the recursion wants it; where there is no small one, the nearest
 * sixty-five-thousandth. Equal ones then become one; the number of those that are left. */
static size_t share_denominator(struct dp_rank *ranks, size_t n)
{
    uint64_t denominator = 1;
    for (size_t i = 0; i < n && denominator <= DP_RANK_DENOMINATOR_MAX; i++)
        denominator *= ranks[i].denominator / common_factor(denominator, ranks[i].denominator);
    if (denominator > DP_RANK_DENOMINATOR_MAX)
        denominator = DP_RANK_DENOMINATOR_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t half = ranks[i].denominator / 2;
        uint64_t numerator = (ranks[i].numerator * denominator + half) / ranks[i].denominator;
        numerator = numerator == 0 ? 1 : numerator == denominator ? denominator - 1 : numerator;
        if (kept > 0 && ranks[kept - 1].numerator == numerator)
            continue;
        ranks[kept++] = (struct dp_rank){(uint32_t)numerator, (uint32_t)denominator, 0};
    }
    return kept;
}

/* The ranks of one kind, which are in order. */
static size_t gather(struct arena *arena, const struct level_histogram *histogram, bool extremes,
                     struct dp_rank **out)
{
    size_t n = 0;
    struct dp_rank *ranks = arena_alloc(arena, (histogram->ranks.n + 1) * sizeof *ranks);
    for (size_t i = 0; i < histogram->ranks.n; i++)
        if (is_extreme(&histogram->ranks.items[i]) == extremes)
            ranks[n++] = histogram->ranks.items[i];
    *out = ranks;
    return n > DP_QUANTILE_SEPARATE_MAX ? share_denominator(ranks, n) : n;
}

/* Where among the drawn ranks, which are in order, the asked one is: the nearest, which is itself
 * but for the rounding of share_denominator. */
static size_t nearest(const struct dp_rank *drawn, size_t n, const struct dp_rank *rank)
{
    size_t low = 0, high = n - 1; /* the first that is no lower, or the last */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ranks(&drawn[middle], rank) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    double wanted = (double)rank->numerator / rank->denominator;
    double above = (double)drawn[low].numerator / drawn[low].denominator - wanted;
    double below =
        low == 0 ? 2 : wanted - (double)drawn[low - 1].numerator / drawn[low - 1].denominator;
    return fabs(above) <= fabs(below) ? low : low - 1;
}

static bool plan_draw(const struct drawing *drawing, int kind, uint64_t weight, uint64_t share,
                      struct dp_quantile_plan *plan)
{
    const struct level *level = drawing->level;
    return (level->laplace ? dp_plan_quantiles_pure : dp_plan_quantiles)(
        drawing->n[kind], weight, level->bounding.unit_groups, share, plan);
}

static bool is_quick(const struct drawing *drawing)
{
    const struct level *level = drawing->level;
    uint64_t groups = level->n_keys == 0 ? 1 : level->release->n_domain;
    uint64_t bins = drawing->histogram->bins.n, steps;
    return (level->n_keys == 0 || level->public_keys) && bins <= DP_CDF_BINS_MAX &&
           !__builtin_mul_overflow(bins * bins, groups, &steps) && steps <= whole_steps_max;
}

/* Reads the ranks from the whole distribution if that has the smaller error than their own plan.
 * Not where the bins follow from bounds that are bought with it: its price depends on how many
 * there are. */
static void choose_whole(struct drawing *drawing, uint64_t share)
{
    struct release_draw *draw = &drawing->draws[DRAW_INNER];
    size_t n = drawing->n[DRAW_INNER];
    const struct level *level = drawing->level;
    double beta = level->compile->request->settings->beta;
    struct dp_cdf cdf;
    if (n <= DP_QUANTILE_SEPARATE_MAX || level->laplace || drawing->histogram->bought ||
        !is_quick(drawing) ||
        !dp_cdf_init(drawing->histogram->bins.n, DISTRIBUTION_UNIT_WEIGHT,
                     level->bounding.unit_groups, share, &cdf))
        return;
    const struct dp_calibration whole = cdf.calibration;
    dp_cdf_clear(&cdf);
    const struct dp_rank *last = &drawing->ranks[DRAW_INNER][n - 1];
    double error = quantile_error_of(level, drawing->histogram, &whole, last);
    if (whole.charge.mu2_pico > share || error < 0 ||
        error >= dp_quantile_error(&draw->plan, last, beta))
        return;
    drawing->histogram->recursion = draw->plan;
    draw->whole = whole;
    draw->plan = (struct dp_quantile_plan){
        .unit_weight = DISTRIBUTION_UNIT_WEIGHT, .n = n, .charge = whole.charge};
}

/* Both kinds with the same strength: each pays for its levels. */
static bool plan_draws(struct drawing *drawing, uint64_t share)
{
    uint64_t part[HISTOGRAM_DRAWS_MAX] = {0}, weight = UNIT_WEIGHT;
    unsigned levels = 0;
    for (int i = 0; i < HISTOGRAM_DRAWS_MAX; i++) {
        if (drawing->n[i] > 0 && !plan_draw(drawing, i, weight, share, &drawing->draws[i].plan))
            return false;
        levels += drawing->draws[i].plan.levels;
    }
    for (int i = 0; i < HISTOGRAM_DRAWS_MAX; i++) {
        struct dp_quantile_plan *plan = &drawing->draws[i].plan;
        part[i] = (uint64_t)((unsigned __int128)share * plan->levels / levels);
        if (drawing->n[i] > 0 && !plan_draw(drawing, i, weight, part[i], plan))
            return false;
    }
    choose_whole(drawing, part[DRAW_INNER]);
    return drawing->draws[DRAW_INNER].whole.m == 0 || drawing->n[DRAW_EXTREME] == 0 ||
           plan_draw(drawing, DRAW_EXTREME, DISTRIBUTION_UNIT_WEIGHT, part[DRAW_EXTREME],
                     &drawing->draws[DRAW_EXTREME].plan);
}

/* Extremes are as many people from the end as the draw is sharp. */
static void find_offset(const struct level_histogram *histogram,
                        const struct dp_calibration *sharpness, struct dp_rank *rank)
{
    const struct dp_quantile_plan plan = {.n = 1, .half_range = sharpness->m};
    if (!is_extreme(rank) || sharpness->mechanism != DP_LAPLACE)
        return;
    int64_t offset = dp_extreme_offset(&plan, histogram->bins.n);
    rank->units_offset = rank->numerator == 0 ? offset : -offset;
}

void quantile_keep(const struct level_histogram *histogram, enum value_source source, size_t kept,
                   const struct dp_calibration *sharpness, struct release_value *value)
{
    value->source = source;
    value->from = kept;
    value->place = 0;
    value->sharpness = *sharpness;
    find_offset(histogram, sharpness, &value->rank);
}

/* What each rank of a draw is kept as; a distribution is all of its ranks' alike. */
static void find_sharpness(const struct level *level, const struct release_draw *draw,
                           struct dp_calibration *out)
{
    dp_nano *strengths = arena_alloc(level->compile->arena, (draw->plan.n + 1) * sizeof *strengths);
    if (draw->whole.m == 0)
        dp_quantile_strengths(&draw->plan, draw->ranks, draw->plan.n, strengths);
    for (size_t i = 0; i < draw->plan.n; i++) {
        out[i] = draw->n_kept > 0 ? draw->together : draw->whole;
        if (draw->whole.m != 0)
            continue;
        out[i] = (struct dp_calibration){.mechanism = DP_LAPLACE,
                                         .delta_grid = 1,
                                         .groups = level->bounding.unit_groups,
                                         .m = strengths[i]};
    }
}

void quantile_find_sharpness(const struct level *level, const struct level_histogram *histogram,
                             const struct release_draw *draw, size_t number,
                             struct release_value *values)
{
    struct dp_calibration *sharpness =
        arena_alloc(level->compile->arena, (draw->plan.n + 1) * sizeof *sharpness);
    find_sharpness(level, draw, sharpness);
    for (size_t i = 0; i < histogram->ranks.n; i++) {
        struct release_value *value = &values[i];
        if (value->source != VALUE_DRAWN || value->from != number)
            continue;
        value->sharpness = sharpness[value->place];
        find_offset(histogram, &value->sharpness, &value->rank);
    }
}

void quantile_find_values(const struct level *level, const struct level_histogram *histogram,
                          struct release_draw *draw, size_t number, struct release_value *values)
{
    for (size_t i = 0; i < histogram->ranks.n; i++) {
        struct release_value *value = &values[i];
        if (value->source != VALUE_DRAWN || value->from != number)
            continue;
        value->place = nearest(draw->ranks, draw->plan.n, &histogram->ranks.items[i]);
        value->rank = draw->whole.m != 0 ? histogram->ranks.items[i] : draw->ranks[value->place];
    }
    quantile_find_sharpness(level, histogram, draw, number, values);
    struct dp_rank *ranks = arena_alloc(level->compile->arena, (draw->plan.n + 1) * sizeof *ranks);
    memcpy(ranks, draw->ranks, draw->plan.n * sizeof *ranks);
    for (size_t i = 0; i < histogram->ranks.n && draw->whole.m == 0; i++)
        if (values[i].source == VALUE_DRAWN && values[i].from == number)
            ranks[values[i].place] = values[i].rank;
    draw->ranks = ranks;
}

bool quantile_price(struct level *level, struct level_histogram *histogram, uint64_t share)
{
    struct arena *arena = level->compile->arena;
    struct drawing drawing = {.level = level, .histogram = histogram};
    /* What is asked in another order is the same. */
    qsort(histogram->ranks.items, histogram->ranks.n, sizeof *histogram->ranks.items,
          compare_ranks);
    for (int i = 0; i < HISTOGRAM_DRAWS_MAX; i++)
        drawing.n[i] = gather(arena, histogram, i == DRAW_EXTREME, &drawing.ranks[i]);
    histogram->recursion = (struct dp_quantile_plan){.n = 0};
    if (!plan_draws(&drawing, share))
        return price_refuse_noise(level, histogram->described);
    histogram->n_wanted = 0;
    histogram->charge = (struct dp_charge){.pure = true};
    histogram->wanted_values =
        arena_alloc(arena, (histogram->ranks.n + 1) * sizeof *histogram->wanted_values);
    for (size_t kind = 0; kind < HISTOGRAM_DRAWS_MAX; kind++) {
        if (drawing.n[kind] == 0)
            continue;
        size_t number = histogram->n_wanted++;
        for (size_t i = 0; i < histogram->ranks.n; i++)
            if (is_extreme(&histogram->ranks.items[i]) == (kind == DRAW_EXTREME))
                histogram->wanted_values[i] = (struct release_value){.from = number};
        drawing.draws[kind].ranks = drawing.ranks[kind];
        histogram->wanted[number] = drawing.draws[kind];
        if (!price_add(&histogram->charge, &drawing.draws[kind].plan.charge))
            return price_refuse_noise(level, histogram->described);
    }
    for (size_t i = 0; i < histogram->n_wanted; i++)
        quantile_find_values(level, histogram, &histogram->wanted[i], i, histogram->wanted_values);
    histogram->unit_weight = histogram->wanted[0].plan.unit_weight;
    return true;
}

bool quantile_price_rest(const struct level *level, const struct level_histogram *histogram,
                         size_t number, const bool *missing, const double *errors,
                         struct release_draw *out)
{
    struct arena *arena = level->compile->arena;
    const struct release_draw *wanted = &histogram->wanted[number];
    const struct release_value *values = histogram->wanted_values;
    double *allowed = arena_alloc(arena, (wanted->plan.n + 1) * sizeof *allowed);
    struct dp_rank *ranks = arena_alloc(arena, (wanted->plan.n + 1) * sizeof *ranks);
    const dp_nano one = 1000000000;
    double half_range = 0;
    size_t n = 0;
    for (size_t i = 0; i < wanted->plan.n; i++)
        allowed[i] = HUGE_VAL;
    for (size_t i = 0; i < histogram->ranks.n; i++)
        if (values[i].from == number && missing[i])
            allowed[values[i].place] = fmin(allowed[values[i].place], errors[i]);
    for (size_t i = 0; i < wanted->plan.n; i++)
        if (allowed[i] < HUGE_VAL) {
            allowed[n] = allowed[i];
            ranks[n++] = wanted->ranks[i];
        }
    *out = (struct release_draw){.ranks = ranks};
    struct dp_calibration *sharpness = arena_alloc(arena, (n + 1) * sizeof *sharpness);
    if (n == 0 || !dp_plan_quantiles_strong(n, wanted->plan.unit_weight,
                                            level->bounding.unit_groups, one, &out->plan))
        return false;
    find_sharpness(level, out, sharpness);
    for (size_t i = 0; i < n; i++)
        half_range =
            fmax(half_range, (double)one / allowed[i] *
                                 quantile_error_of(level, histogram, &sharpness[i], &ranks[i]));
    /* A hair less, so that what is an integer stays it. */
    return half_range < 1e18 &&
           dp_plan_quantiles_strong(n, wanted->plan.unit_weight, level->bounding.unit_groups,
                                    (dp_nano)ceil(half_range * (1 - 1e-9)), &out->plan);
}
