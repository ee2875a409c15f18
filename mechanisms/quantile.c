/*
 * score(b) = |denominator * F(b) - target|, F(b) the weight below bin b, or the target's distance
 * from the interval of denominator * F(b) and denominator * F(b + 1); P(b) is proportional to
 * e^(-m score(b) / 2^50). Adding one unit changes the scores within a range of
 * 2 W max(numerator, denominator - numerator), so m follows from R / 2 by one exact division.
 */
#include "mechanisms/quantile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/normal.h"
#include "mechanisms/sampler.h"
#include "mechanisms/wide.h"

/* One draw: which bins, and the scores' parameters. below[b] is the weight under bin b of the whole
 * histogram, one entry more than bins. */
struct draw {
    const uint64_t *below;
    size_t first, end; /* bins [first, end) */
    uint64_t denominator;
    __int128 target;
    uint64_t m;
    bool values;
};

/* A part of the recursion: ranks [first_rank, end_rank) lie in bins [first, end), where the
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
    const uint64_t *below;
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

static unsigned __int128 score(const struct draw *draw, size_t bin)
{
    __int128 below = (__int128)(draw->below[bin] - draw->below[draw->first]);
    __int128 distance = (__int128)draw->denominator * below - draw->target;
    if (draw->values && distance < 0) {
        __int128 upto = (__int128)(draw->below[bin + 1] - draw->below[draw->first]);
        distance = draw->target - (__int128)draw->denominator * upto;
        return distance < 0 ? 0 : (unsigned __int128)distance;
    }
    return (unsigned __int128)(distance < 0 ? -distance : distance);
}

static size_t best_bin(const struct draw *draw)
{
    size_t best = draw->first;
    for (size_t bin = draw->first; bin < draw->end; bin++) {
        if (score(draw, bin) < score(draw, best)) {
            best = bin;
        }
    }
    return best;
}

/* True with probability e^(-m excess / 2^50). Where the exponent would exceed 2^120 it is taken for
 * 2^120: both probabilities are below e^(-2^69). */
static bool accept(const struct dp_rng *rng, uint64_t m, unsigned __int128 excess, bool *accepted)
{
    const unsigned __int128 limit = (unsigned __int128)1 << 120;
    unsigned __int128 exponent = excess > limit / m ? limit : excess * m;
    return dp_sample_bernoulli_exp(rng, exponent, DP_BASE_BITS, accepted);
}

/* Uniform proposals until one is accepted; how many it takes depends on the weights. */
static bool draw_bin(const struct dp_rng *rng, const struct draw *draw, size_t *bin)
{
    unsigned __int128 best = score(draw, best_bin(draw));
    for (;;) {
        unsigned __int128 offset;
        bool accepted;
        if (!dp_sample_below(rng, draw->end - draw->first, &offset)) {
            return false;
        }
        size_t proposal = draw->first + (size_t)offset;
        if (!accept(rng, draw->m, score(draw, proposal) - best, &accepted)) {
            return false;
        }
        if (accepted) {
            *bin = proposal;
            return true;
        }
    }
}

static struct draw whole(const struct dp_quantile_plan *plan, const uint64_t *below, size_t n_bins,
                         const struct dp_rank *rank)
{
    __int128 offset = (__int128)rank->units_offset * (__int128)plan->unit_weight;
    return (struct draw){.below = below,
                         .end = n_bins,
                         .denominator = rank->denominator,
                         .target = (__int128)rank->numerator * (__int128)below[n_bins] +
                                   offset * (__int128)rank->denominator,
                         .m = rate(plan, larger_side(rank->numerator, rank->denominator)),
                         .values = plan->values};
}

/* The middle rank of the stretch, then both halves of the bins at its answer. */
static bool draw_stretch(const struct job *job, struct stretch stretch)
{
    if (stretch.first_rank == stretch.end_rank) {
        return true;
    }
    if (stretch.end - stretch.first <= 1) { /* nothing left to choose: no look at the data */
        for (size_t i = stretch.first_rank; i < stretch.end_rank; i++) {
            job->bins[i] = (uint32_t)stretch.first;
        }
        return true;
    }
    size_t middle = stretch.first_rank + (stretch.end_rank - stretch.first_rank) / 2;
    uint64_t numerator = job->ranks[middle].numerator - stretch.low;
    uint64_t denominator = stretch.high - stretch.low;
    __int128 weight = (__int128)(job->below[stretch.end] - job->below[stretch.first]);
    struct draw draw = {.below = job->below,
                        .first = stretch.first,
                        .end = stretch.end,
                        .denominator = denominator,
                        .target = (__int128)numerator * weight,
                        .m = rate(job->plan, larger_side(numerator, denominator))};
    size_t answer;
    if (!draw_bin(job->rng, &draw, &answer)) {
        return false;
    }
    job->bins[middle] = (uint32_t)answer;
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
        struct job job = {rng, plan, below, ranks, bins};
        struct stretch all = {.end = n_bins, .end_rank = plan->n, .high = ranks[0].denominator};
        drawn = draw_stretch(&job, all);
    } else {
        for (size_t i = 0; drawn && i < plan->n; i++) {
            struct draw draw = whole(plan, below, n_bins, &ranks[i]);
            size_t bin = 0;
            drawn = draw_bin(rng, &draw, &bin);
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
    struct draw draw = whole(plan, below, n_bins, rank);
    size_t best = best_bin(&draw);
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
