#ifndef MECHANISMS_BOUNDS_H
#define MECHANISMS_BOUNDS_H

/*
 * Automatic bounds (ALGORITHMS 7, Rule C) for a non-negative number per unit: a noisy histogram of
 * the numbers by powers of two chooses the clamp, and the rest of the budget releases what is
 * clamped. What is done here sees the noisy histogram only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

enum { DP_BOUND_BINS = 41, DP_BOUND_CLAMPS = 161 };

/* Shares of a budget, in mu^2 or in plain epsilon: one fifth finds the clamp, the rest releases the
 * sum. */
void dp_bound_shares(uint64_t budget, uint64_t *histogram, uint64_t *sum);

/*
 * noisy[i]: units whose total, in units of 2^exponent, lies in (2^(i-1), 2^i], with zeros in bin 0;
 * each has Gaussian noise of the standard deviation stddev. sum_mu is mu of the budget that is left
 * for the sum. Returns j: the clamp is dp_bound_clamp(j). -1 where no bin stands out: the policy's
 * default.
 */
int dp_choose_bound(const double noisy[DP_BOUND_BINS], double stddev, double sum_mu);

/* What a noisy histogram says. -1: no bin stands out. */
struct dp_found_bound {
    int bin;   /* the last that stands out, extended: its numbers end at 2^bin */
    int clamp; /* dp_bound_clamp(clamp) is the best bound of a sum; at most 2^bin */
};

/*
 * The same from the histogram's calibration: one of counts of units, with either noise, as
 * dp_calibrate_gaussian and dp_calibrate_laplace make it. The sum for which the clamp is best is
 * the one that costs four times what the histogram cost, in mu^2 or in epsilon (dp_bound_shares),
 * so that the choice follows from the histogram alone, whatever is asked later.
 */
struct dp_found_bound dp_find_bound(const struct dp_calibration *histogram,
                                    const __int128 noisy[DP_BOUND_BINS]);

/* Clamp j of 0..160: about 2^(j/4) times 2^exponent, exactly the decimal that goes into the SQL and
 * into the sensitivity. False where it is no decimal. */
bool dp_bound_clamp(int j, int exponent, struct dp_decimal *out);

#endif
