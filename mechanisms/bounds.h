#ifndef MECHANISMS_BOUNDS_H
#define MECHANISMS_BOUNDS_H

/*
 * Automatic bounds (ALGORITHMS 7, Rule C) for a non-negative total per unit: a noisy histogram of
 * the totals by powers of two chooses the clamp, and the rest of the budget releases the clamped
 * sum. What is done here sees the noisy histogram only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

enum { DP_BOUND_BINS = 41, DP_BOUND_CLAMPS = 161 };

/* Shares of the budget mu^2: one fifth finds the clamp, the rest releases the sum. */
void dp_bound_shares(uint64_t mu2_pico, uint64_t *histogram, uint64_t *sum);

/*
 * noisy[i]: units whose total, in units of 2^exponent, lies in (2^(i-1), 2^i], with zeros in bin 0;
 * each has Gaussian noise of the standard deviation stddev. sum_mu is mu of the budget that is left
 * for the sum. Returns j: the clamp is dp_bound_clamp(j). -1 where no bin stands out: the policy's
 * default.
 */
int dp_choose_bound(const double noisy[DP_BOUND_BINS], double stddev, double sum_mu);

/* Clamp j of 0..160: about 2^(j/4) times 2^exponent, exactly the decimal that goes into the SQL and
 * into the sensitivity. False where it is no decimal. */
bool dp_bound_clamp(int j, int exponent, struct dp_decimal *out);

#endif
