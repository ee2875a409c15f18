/*
 * From a share of the budget to draws. The extremes are drawn apart from the other ranks: more than
 * a few of those are drawn by recursion, which knows no offset, or read from the whole
 * distribution, noised once (mechanisms/cdf.h), where that has the smaller error. Public numbers
 * decide.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/cdf.h"
#include "parser/price.h"
#include "parser/quantile.h"

/* Weight of a unit; where the whole distribution is noised, fewer parts, so that noise and weights
 * fit one grid. */
enum { UNIT_WEIGHT = 1 << 20, WHOLE_UNIT_WEIGHT = 1 << 10 };
enum { DRAW_INNER, DRAW_EXTREME };

/* Noising a distribution takes time by the square of its bins, for each group: a fifth of a second
 * at most. */
static const uint64_t whole_steps_max = UINT64_C(1) << 26;

/* The draws of a histogram while they are made. */
struct drawing {
    const struct level *level;
    const struct level_histogram *histogram;
    size_t n[HISTOGRAM_DRAWS_MAX];
    struct release_draw draws[HISTOGRAM_DRAWS_MAX];
    struct dp_rank *ranks[HISTOGRAM_DRAWS_MAX];
    double whole_stddev; /* units of rank */
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

/* The ranks of one kind, in order. */
static size_t gather(struct arena *arena, const struct level_histogram *histogram, bool extremes,
                     struct dp_rank **out)
{
    size_t n = 0;
    struct dp_rank *ranks = arena_alloc(arena, (histogram->ranks.n + 1) * sizeof *ranks);
    for (size_t i = 0; i < histogram->ranks.n; i++)
        if (is_extreme(&histogram->ranks.items[i]) == extremes)
            ranks[n++] = histogram->ranks.items[i];
    qsort(ranks, n, sizeof *ranks, compare_ranks);
    *out = ranks;
    return n > DP_QUANTILE_SEPARATE_MAX ? share_denominator(ranks, n) : n;
}

/* Where among the drawn ranks the asked one is: the nearest, which is itself but for the rounding
 * of share_denominator. */
static size_t nearest(const struct dp_rank *drawn, size_t n, const struct dp_rank *rank)
{
    size_t best = 0;
    double least = 2, wanted = (double)rank->numerator / rank->denominator;
    for (size_t i = 0; i < n; i++) {
        double found = (double)drawn[i].numerator / drawn[i].denominator;
        double distance = found < wanted ? wanted - found : found - wanted;
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

static bool plan_draw(const struct drawing *drawing, int kind, uint64_t weight, uint64_t share,
                      struct dp_quantile_plan *plan)
{
    const struct level *level = drawing->level;
    return (level->laplace ? dp_plan_quantiles_pure : dp_plan_quantiles)(
        drawing->n[kind], weight, level->bounding.unit_groups, share, plan);
}

/* Half-width of what is read from a distribution at a rank: the noise of the weight below and that
 * of the total. */
static double whole_error(double stddev, const struct dp_rank *rank, double beta)
{
    return dp_two_sided_z(beta) * stddev * hypot(1, (double)rank->numerator / rank->denominator);
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
        !dp_cdf_init(drawing->histogram->bins.n, WHOLE_UNIT_WEIGHT, level->bounding.unit_groups,
                     share, &cdf))
        return;
    double stddev = dp_cdf_stddev(&cdf, cdf.n_bins - 1) / WHOLE_UNIT_WEIGHT;
    const struct dp_rank *last = &drawing->ranks[DRAW_INNER][n - 1];
    if (stddev > 0 && cdf.calibration.charge.mu2_pico <= share &&
        whole_error(stddev, last, beta) < dp_quantile_error(&draw->plan, last, beta)) {
        drawing->whole_stddev = stddev;
        draw->whole = cdf.calibration;
        draw->whole_mu2_pico = share;
        draw->plan = (struct dp_quantile_plan){
            .unit_weight = WHOLE_UNIT_WEIGHT, .n = n, .charge = cdf.calibration.charge};
    }
    dp_cdf_clear(&cdf);
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
           plan_draw(drawing, DRAW_EXTREME, WHOLE_UNIT_WEIGHT, part[DRAW_EXTREME],
                     &drawing->draws[DRAW_EXTREME].plan);
}

static void find_offsets(struct drawing *drawing)
{
    for (size_t i = 0; i < drawing->n[DRAW_EXTREME]; i++) {
        struct dp_rank *rank = &drawing->ranks[DRAW_EXTREME][i];
        int64_t offset =
            dp_extreme_offset(&drawing->draws[DRAW_EXTREME].plan, drawing->histogram->bins.n);
        rank->units_offset = rank->numerator == 0 ? offset : -offset;
    }
}

void quantile_sharpen(struct level_histogram *histogram, struct release_draw *draw, uint64_t m)
{
    struct dp_rank *ranks = (struct dp_rank *)(uintptr_t)draw->ranks; /* the level's own */
    if (draw->whole.m != 0) {
        histogram->whole_stddev *= (double)draw->whole.m / (double)m;
        draw->whole.m = m;
        return;
    }
    draw->plan.half_range = m;
    for (size_t i = 0; i < draw->plan.n; i++)
        if (is_extreme(&ranks[i])) {
            int64_t offset = dp_extreme_offset(&draw->plan, histogram->bins.n);
            ranks[i].units_offset = ranks[i].numerator == 0 ? offset : -offset;
        }
}

static void find_places(const struct drawing *drawing, struct level_histogram *histogram)
{
    struct arena *arena = drawing->level->compile->arena;
    histogram->places = arena_alloc(arena, (histogram->ranks.n + 1) * sizeof *histogram->places);
    for (size_t i = 0; i < histogram->ranks.n; i++) {
        const struct dp_rank *rank = &histogram->ranks.items[i];
        int kind = is_extreme(rank) ? DRAW_EXTREME : DRAW_INNER;
        histogram->places[i] = nearest(drawing->ranks[kind], drawing->n[kind], rank) +
                               (kind == DRAW_EXTREME ? drawing->n[DRAW_INNER] : 0);
    }
}

bool quantile_price(struct level *level, struct level_histogram *histogram, uint64_t share)
{
    struct arena *arena = level->compile->arena;
    struct drawing drawing = {.level = level, .histogram = histogram};
    for (int i = 0; i < HISTOGRAM_DRAWS_MAX; i++)
        drawing.n[i] = gather(arena, histogram, i == DRAW_EXTREME, &drawing.ranks[i]);
    if (!plan_draws(&drawing, share))
        return price_refuse_noise(level, histogram->described);
    find_offsets(&drawing);
    find_places(&drawing, histogram);
    histogram->whole_stddev = drawing.whole_stddev;
    histogram->n_draws = 0;
    histogram->charge = (struct dp_charge){.pure = true};
    for (size_t i = 0; i < HISTOGRAM_DRAWS_MAX; i++) {
        if (drawing.n[i] == 0)
            continue;
        drawing.draws[i].ranks = drawing.ranks[i];
        histogram->draws[histogram->n_draws++] = drawing.draws[i];
        if (!price_add(&histogram->charge, &drawing.draws[i].plan.charge))
            return price_refuse_noise(level, histogram->described);
    }
    return true;
}

/* --- errors -------------------------------------------------------------------------------------
 */

/* Of the asked rank as it is drawn. */
static double rank_error(const struct level *level, const struct level_histogram *histogram,
                         size_t index)
{
    double beta = level->compile->request->settings->beta;
    size_t place = histogram->places[index];
    const struct release_draw *draw = histogram->draws;
    for (; place >= draw->plan.n; draw++)
        place -= draw->plan.n;
    if (draw->whole.m != 0)
        return whole_error(histogram->whole_stddev, &draw->ranks[place], beta);
    return dp_quantile_error(&draw->plan, &draw->ranks[place], beta);
}

double quantile_error(const struct level *level, const struct level_aggregate *aggregate)
{
    const struct level_quantile *quantile = &aggregate->quantile;
    const struct level_histogram *histogram = &level->histograms.items[quantile->histogram];
    double most = 0;
    for (size_t i = 0; i < quantile->n_ranks; i++)
        most =
            fmax(most, rank_error(level, histogram, quantile_find(histogram, &quantile->ranks[i])));
    return most;
}
