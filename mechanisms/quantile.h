#ifndef MECHANISMS_QUANTILE_H
#define MECHANISMS_QUANTILE_H

/*
 * Quantiles from one histogram by the exponential mechanism (ALGORITHMS 6.1, 6.2), sampled exactly.
 * The histogram holds integer weights; a unit spreads at most unit_weight over the bins. The answer
 * is a bin; its edges are public.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/rng.h"

enum {
    DP_QUANTILES_MAX = 1024,
    DP_QUANTILE_BINS_MAX = 65536,
    DP_QUANTILE_SEPARATE_MAX = 8,
    DP_UNIT_WEIGHT_MAX = 1 << 22,
    DP_RANK_DENOMINATOR_MAX = 1 << 16
};

/* What the quantiles of one release cost and how sharp they are. */
struct dp_quantile_plan {
    uint64_t unit_weight; /* W, 1 to DP_UNIT_WEIGHT_MAX */
    size_t n;             /* quantiles */
    unsigned levels;      /* charges of one group: n, or the depth of the recursion */
    dp_nano half_range;   /* R / 2: each score times its rate changes by at most this */
    struct dp_charge charge;
};

/* n quantiles of each of `groups` groups for at most mu2_pico. Up to DP_QUANTILE_SEPARATE_MAX are
 * drawn one by one, more by recursion, whose levels cost one charge each. False where out of range.
 */
bool dp_plan_quantiles(size_t n, uint64_t unit_weight, uint64_t groups, uint64_t mu2_pico,
                       struct dp_quantile_plan *out);
/* The same for at most epsilon in all. */
bool dp_plan_quantiles_pure(size_t n, uint64_t unit_weight, uint64_t groups, dp_nano epsilon,
                            struct dp_quantile_plan *out);
/* The same as strong as half_range, whatever that costs. */
bool dp_plan_quantiles_strong(size_t n, uint64_t unit_weight, uint64_t groups, dp_nano half_range,
                              struct dp_quantile_plan *out);

/* The charge of n quantiles of each of `groups` groups, from the integers in use: what the plans
 * above fill in, and what an auditor of the journal checks. False where out of range. */
bool dp_quantile_charge(size_t n, uint64_t groups, dp_nano half_range, struct dp_charge *charge);

/* A rank: numerator / denominator of the weight, denominator at most DP_RANK_DENOMINATOR_MAX, plus
 * units_offset times the unit weight. MAX is 1/1 with a negative offset, MIN 0/1 with a positive
 * one (dp_extreme_offset). */
struct dp_rank {
    uint32_t numerator, denominator;
    int64_t units_offset;
};

/* How many units from the end the robust MIN and MAX of a plan are taken so that the empty bins
 * beyond the data attract with a probability of about 2 %: ceil(ln(n_bins / 0.02) / rate). */
int64_t dp_extreme_offset(const struct dp_quantile_plan *plan, size_t n_bins);

/* Units of rank that a quantile of this rank is off by with probability beta at most, where the
 * histogram is fine: ln(1 / beta) / rate. With recursion, where errors of earlier draws come on
 * top, the figure of the worst of plan->n ranks at equal distances, whichever is asked for. */
double dp_quantile_error(const struct dp_quantile_plan *plan, const struct dp_rank *rank,
                         double beta);

/* For each of n ranks the R / 2 of a draw of that rank alone whose dp_quantile_error is that of the
 * plan's draw of it, rounded down: so sharp is the draw, by whatever plan it was had. */
void dp_quantile_strengths(const struct dp_quantile_plan *plan, const struct dp_rank *ranks,
                           size_t n, dp_nano *strengths);

/* Draws plan->n quantiles: bins[i] in [0, n_bins) for ranks[i], the bin that holds the rank scoring
 * best. weights are exact and private; the sum is below 2^62. With more than
 * DP_QUANTILE_SEPARATE_MAX, ranks must ascend, share one denominator and have no offset. False
 * without entropy. */
bool dp_draw_quantiles(const struct dp_rng *rng, const struct dp_quantile_plan *plan,
                       const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                       uint32_t *bins);

/* The bin that holds the rank, exactly and without noise (where two bins meet, the lower, as
 * PostgreSQL's percentile_disc); among equals the first that holds any weight: for tests. False
 * without memory. */
bool dp_best_bin(const struct dp_quantile_plan *plan, const uint64_t *weights, size_t n_bins,
                 const struct dp_rank *rank, uint32_t *bin);

#endif
