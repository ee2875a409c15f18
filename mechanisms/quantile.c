/*
 * score(p) = how far the target lies outside [denominator * F(p), denominator * F(p + 1)], F(p) the
 * weight below position p; P(p) is proportional to e^(-m score(p) / 2^50). Adding one unit changes
 * the scores within a range of 2 W max(numerator, denominator - numerator), so m follows from R / 2
 * by one exact division.
 *
 * A position is a bin, or with recursion an equal part of one, over which the bin's weight is
 * spread evenly: where many units share a value, the split of the rest still falls at the right
 * rank. Weights count in parts then: so does W, and m stays what it is over 2^50 parts.
 */
#include "mechanisms/quantile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/normal.h"
#include "mechanisms/sampler.h"
#include "mechanisms/wide.h"

/* With recursion: parts of a bin, and bins times parts. */
enum { PART_BITS_MAX = 16, POSITION_BITS_MAX = 24, SHELLS_MAX = POSITION_BITS_MAX + 3 };

/* below[b] is the weight under bin b, one entry more than bins; each bin has 2^part_bits parts. */
struct histogram {
    const uint64_t *below;
    size_t n_bins;
    unsigned part_bits;
};

/* One draw: which positions, and the scores' parameters. */
struct draw {
    const struct histogram *histogram;
    size_t first, end; /* positions [first, end) */
    uint64_t denominator;
    __int128 target; /* counted from first, in parts of weights */
    uint64_t m;
};

/* A stage of the recursion: ranks [first_rank, end_rank) lie in positions [first, end), where the
 * numerators low and high are at both ends. */
struct stretch {
    size_t first, end;
    size_t first_rank, end_rank;
    uint32_t low, high;
};

/* What all draws of one call share. */
struct job {
    const struct dp_rng *rng;
    const struct dp_quantile_plan *plan;
    struct histogram histogram;
    const struct dp_rank *ranks;
    uint32_t *bins;
};

static uint64_t larger_side(uint64_t numerator, uint64_t denominator)
{
    uint64_t other = denominator - numerator;
    return numerator > other ? numerator : other;
}

/* floor(2^50 (R/2) / (W side)) */
static uint64_t rate(const struct dp_quantile_plan *plan, uint64_t side)
{
    struct dp_wide numerator = dp_wide_shift_left(dp_wide_from(plan->half_range), DP_BASE_BITS);
    struct dp_wide denominator =
        dp_wide_multiply(dp_wide_from(plan->unit_weight), dp_wide_from(side));
    denominator = dp_wide_multiply(denominator, dp_wide_power10(9));
    struct dp_wide quotient = dp_wide_divide(numerator, denominator, false);
    uint64_t m = 0;
    bool fits = dp_wide_to_u64(&quotient, &m);
    assert(fits && m > 0);
    return m;
}

/* Weight below a position, in parts. */
static __int128 weight_below(const struct histogram *histogram, size_t position)
{
    size_t bin = position >> histogram->part_bits;
    size_t part = position & (((size_t)1 << histogram->part_bits) - 1);
    __int128 below = (__int128)histogram->below[bin] << histogram->part_bits;
    if (part > 0) {
        below += (__int128)(histogram->below[bin + 1] - histogram->below[bin]) * (__int128)part;
    }
    return below;
}

/* denominator F(position) - target, F counted from the first position. */
static __int128 distance(const struct draw *draw, size_t position)
{
    __int128 below =
        weight_below(draw->histogram, position) - weight_below(draw->histogram, draw->first);
    return (__int128)draw->denominator * below - draw->target;
}

static unsigned __int128 score(const struct draw *draw, size_t position)
{
    __int128 over = distance(draw, position);
    __int128 under = -distance(draw, position + 1);
    __int128 most = over > under ? over : under;
    return most > 0 ? (unsigned __int128)most : 0;
}

/* The first position of the best score: scores fall up to the first position whose end reaches the
 * target and do not fall after it. */
static size_t best_position(const struct draw *draw)
{
    size_t low = draw->first;
    size_t high = draw->end - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (distance(draw, middle + 1) >= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/*
 * The positions of a draw by the whole part of their exponents (of e; zero at the best): shell i is
 * [low[i + 1], low[i]) and [high[i], high[i + 1]), where exponents are from i to i + 1. The last
 * one holds the rest.
 */
struct shells {
    const struct draw *draw;
    unsigned bits;          /* of the exponents' fraction */
    unsigned __int128 best; /* the least score */
    unsigned last;
    size_t low[SHELLS_MAX + 1], high[SHELLS_MAX + 1];
};

/* Times 2^bits. Above 2^120 it is taken for 2^120: both probabilities are below e^(-2^53). */
static unsigned __int128 exponent(const struct shells *shells, size_t position)
{
    const unsigned __int128 limit = (unsigned __int128)1 << 120;
    unsigned __int128 excess = score(shells->draw, position) - shells->best;
    return excess > limit / shells->draw->m ? limit : excess * shells->draw->m;
}

/* The first position from low on, before high, whose exponent is below i (or is not); high where
 * there is none. Along these positions that must change but once. */
static size_t first_where(const struct shells *shells, unsigned i, bool below, size_t low,
                          size_t high)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((exponent(shells, middle) >> shells->bits < i) == below) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static struct shells find_shells(const struct draw *draw)
{
    size_t best = best_position(draw);
    struct shells shells = {.draw = draw,
                            .bits = DP_BASE_BITS + draw->histogram->part_bits,
                            .best = score(draw, best),
                            .last = 2,
                            .low = {best},
                            .high = {best}};
    while ((draw->end - draw->first) >> shells.last > 0) {
        shells.last++; /* so that the rest is proposed no more often than the first shell */
    }
    assert(shells.last < SHELLS_MAX);
    for (unsigned i = 1; i <= shells.last; i++) {
        shells.low[i] = first_where(&shells, i, true, draw->first, shells.low[i - 1]);
        shells.high[i] = first_where(&shells, i, false, shells.high[i - 1], draw->end);
    }
    shells.low[shells.last + 1] = draw->first;
    shells.high[shells.last + 1] = draw->end;
    return shells;
}

static uint64_t shell_size(const struct shells *shells, unsigned i)
{
    return (shells->low[i] - shells->low[i + 1]) + (shells->high[i + 1] - shells->high[i]);
}

/* A position of shell i with a probability proportional to 2^-i. */
static bool propose(const struct dp_rng *rng, const struct shells *shells, unsigned *shell,
                    size_t *position)
{
    uint64_t total = 0;
    for (unsigned i = 0; i <= shells->last; i++) {
        total += shell_size(shells, i) << (shells->last - i);
    }
    unsigned __int128 lot;
    if (!dp_sample_below(rng, total, &lot)) {
        return false;
    }
    unsigned i = 0;
    uint64_t rest = (uint64_t)lot;
    for (; rest >= shell_size(shells, i) << (shells->last - i); i++) {
        rest -= shell_size(shells, i) << (shells->last - i);
    }
    rest >>= shells->last - i;
    uint64_t n_low = shells->low[i] - shells->low[i + 1];
    *shell = i;
    *position = rest < n_low ? shells->low[i + 1] + rest : shells->high[i] + (rest - n_low);
    return true;
}

/* Proposals until one is accepted: 2^-i times 2^i e^-exponent. One of some 200 is, at the worst. */
static bool draw_position(const struct dp_rng *rng, const struct draw *draw, size_t *position)
{
    struct shells shells = find_shells(draw);
    for (;;) {
        unsigned shell;
        bool accepted;
        if (!propose(rng, &shells, &shell, position) ||
            !dp_sample_scaled_bernoulli_exp(rng, shell, exponent(&shells, *position), shells.bits,
                                            &accepted)) {
            return false;
        }
        if (accepted) {
            return true;
        }
    }
}

/* A draw among all bins, each one position. */
static struct draw whole(const struct dp_quantile_plan *plan, const struct histogram *histogram,
                         const struct dp_rank *rank)
{
    __int128 offset = (__int128)rank->units_offset * (__int128)plan->unit_weight;
    return (struct draw){.histogram = histogram,
                         .end = histogram->n_bins,
                         .denominator = rank->denominator,
                         .target = (__int128)rank->numerator *
                                       (__int128)histogram->below[histogram->n_bins] +
                                   offset * (__int128)rank->denominator,
                         .m = rate(plan, larger_side(rank->numerator, rank->denominator))};
}

/* The middle rank of the stretch, then both halves of the positions at its answer. */
static bool draw_stretch(const struct job *job, struct stretch stretch)
{
    const struct histogram *histogram = &job->histogram;
    if (stretch.first_rank == stretch.end_rank) {
        return true;
    }
    if (stretch.end - stretch.first <= 1) { /* nothing left to choose: no look at the data */
        for (size_t i = stretch.first_rank; i < stretch.end_rank; i++) {
            job->bins[i] = (uint32_t)(stretch.first >> histogram->part_bits);
        }
        return true;
    }
    size_t middle = stretch.first_rank + (stretch.end_rank - stretch.first_rank) / 2;
    uint64_t numerator = job->ranks[middle].numerator - stretch.low;
    uint64_t denominator = stretch.high - stretch.low;
    __int128 weight = weight_below(histogram, stretch.end) - weight_below(histogram, stretch.first);
    struct draw draw = {.histogram = histogram,
                        .first = stretch.first,
                        .end = stretch.end,
                        .denominator = denominator,
                        .target = (__int128)numerator * weight,
                        .m = rate(job->plan, larger_side(numerator, denominator))};
    size_t answer;
    if (!draw_position(job->rng, &draw, &answer)) {
        return false;
    }
    job->bins[middle] = (uint32_t)(answer >> histogram->part_bits);
    struct stretch left = stretch;
    left.end = answer;
    left.end_rank = middle;
    left.high = job->ranks[middle].numerator;
    struct stretch right = stretch;
    right.first = answer;
    right.first_rank = middle + 1;
    right.low = job->ranks[middle].numerator;
    return draw_stretch(job, left) && draw_stretch(job, right);
}

/* Ranks as the header demands them: a caller's mistake ends the program. */
static void check_ranks(const struct dp_quantile_plan *plan, const struct dp_rank *ranks)
{
    bool recursive = plan->n > DP_QUANTILE_SEPARATE_MAX;
    for (size_t i = 0; i < plan->n; i++) {
        assert(ranks[i].denominator > 0 && ranks[i].denominator <= DP_RANK_DENOMINATOR_MAX);
        assert(ranks[i].numerator <= ranks[i].denominator);
        assert(llabs(ranks[i].units_offset) <= 1LL << 40);
        if (recursive) {
            assert(ranks[i].units_offset == 0 && ranks[i].denominator == ranks[0].denominator);
            assert(ranks[i].numerator > (i == 0 ? 0 : ranks[i - 1].numerator));
            assert(ranks[i].numerator < ranks[i].denominator);
        }
    }
}

/* Weights under each bin, n_bins + 1 entries; freed by free_below. NULL without memory. */
static uint64_t *sum_below(const uint64_t *weights, size_t n_bins)
{
    assert(n_bins > 0 && n_bins <= DP_QUANTILE_BINS_MAX);
    uint64_t *below = malloc((n_bins + 1) * sizeof(*below));
    if (below == NULL) {
        return NULL;
    }
    below[0] = 0;
    for (size_t i = 0; i < n_bins; i++) {
        below[i + 1] = below[i] + weights[i];
        assert(weights[i] >> 62 == 0 && below[i + 1] >> 62 == 0);
    }
    return below;
}

static void free_below(uint64_t *below, size_t n_bins)
{
    explicit_bzero(below, (n_bins + 1) * sizeof(*below));
    free(below);
}

static unsigned part_bits(size_t n_bins)
{
    unsigned bits = 0;
    while (bits < PART_BITS_MAX && n_bins << (bits + 1) <= (size_t)1 << POSITION_BITS_MAX) {
        bits++;
    }
    return bits;
}

bool dp_draw_quantiles(const struct dp_rng *rng, const struct dp_quantile_plan *plan,
                       const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                       uint32_t *bins)
{
    check_ranks(plan, ranks);
    uint64_t *below = sum_below(weights, n_bins);
    if (below == NULL) {
        return false;
    }
    bool drawn = true;
    if (plan->n > DP_QUANTILE_SEPARATE_MAX) {
        struct job job = {rng, plan, {below, n_bins, part_bits(n_bins)}, ranks, bins};
        struct stretch all = {.end = n_bins << job.histogram.part_bits,
                              .end_rank = plan->n,
                              .high = ranks[0].denominator};
        drawn = draw_stretch(&job, all);
    } else {
        struct histogram histogram = {below, n_bins, 0};
        for (size_t i = 0; drawn && i < plan->n; i++) {
            struct draw draw = whole(plan, &histogram, &ranks[i]);
            size_t bin = 0;
            drawn = draw_position(rng, &draw, &bin);
            bins[i] = (uint32_t)bin;
        }
    }
    free_below(below, n_bins);
    return drawn;
}

bool dp_best_bin(const struct dp_quantile_plan *plan, const uint64_t *weights, size_t n_bins,
                 const struct dp_rank *rank, uint32_t *bin)
{
    uint64_t *below = sum_below(weights, n_bins);
    if (below == NULL) {
        return false;
    }
    struct histogram histogram = {below, n_bins, 0};
    struct draw draw = whole(plan, &histogram, rank);
    size_t best = best_position(&draw);
    *bin = (uint32_t)best;
    for (size_t i = best; i < n_bins && score(&draw, i) == score(&draw, best); i++) {
        if (weights[i] > 0) {
            *bin = (uint32_t)i;
            break;
        }
    }
    free_below(below, n_bins);
    return true;
}
