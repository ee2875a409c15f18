#ifndef MECHANISMS_CALIBRATE_H
#define MECHANISMS_CALIBRATE_H

/*
 * From a sensitivity and a budget to the two integers that fix a measurement's noise: the grid and
 * the divisor m of the base laws (ALGORITHMS 1.4). The charge is computed from the integers in use
 * and rounded up. The mathematics and its sources: docs/guarantee.md and mechanisms/proofs/.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/decimal.h"

typedef uint64_t dp_nano; /* epsilon in units of 1e-9 */
typedef uint64_t dp_atto; /* delta in units of 1e-18 */

/* One grid unit is 10^-scale10 * 2^exp2. */
struct dp_grid {
    int scale10;
    int exp2;
};

enum dp_mechanism { DP_LAPLACE, DP_GAUSSIAN };

/* What a release costs in every currency of the ledger. */
struct dp_charge {
    uint64_t mu2_pico;  /* squared Gaussian-DP parameter, units of 1e-12 */
    dp_atto delta_atto; /* probability spent on private keys */
    dp_nano epsilon;    /* sum of pure epsilons; meaningless unless pure */
    bool pure;          /* every measurement is pure DP */
};

struct dp_calibration {
    enum dp_mechanism mechanism;
    struct dp_grid grid;
    uint64_t delta_grid; /* per-coordinate sensitivity of one unit, grid units */
    uint64_t groups;     /* L0: coordinates that one unit can touch */
    uint64_t m;          /* divisor: Gaussian sigma or Laplace scale is 2^50 / m grid units */
    struct dp_charge charge;
};

/*
 * delta is the most that one unit moves one coordinate; groups (>= 1) how many coordinates it can
 * move; natural the grid on which the values lie exactly, NULL for floating point. The Gaussian
 * spends at most mu2_pico, the Laplace at most epsilon. False where no m in [2^19, 2^62) meets the
 * request (delta too large or too small for the budget).
 */
bool dp_calibrate_gaussian(const struct dp_decimal *delta, const struct dp_grid *natural,
                           uint64_t groups, uint64_t mu2_pico, struct dp_calibration *out);
bool dp_calibrate_laplace(const struct dp_decimal *delta, const struct dp_grid *natural,
                          uint64_t groups, dp_nano epsilon, struct dp_calibration *out);

/* The charge of a calibration recomputed from its integers m, delta_grid and groups, rounded up:
 * what the calibrations above fill in, and what an auditor of the journal checks. False where it
 * does not fit. */
bool dp_gaussian_charge(const struct dp_calibration *calibration, struct dp_charge *charge);
bool dp_laplace_charge(const struct dp_calibration *calibration, struct dp_charge *charge);

/* Half-width in grid units that the noise stays within with probability 1 - beta (ALGORITHMS 8). */
double dp_calibration_halfwidth(const struct dp_calibration *calibration, double beta);

/* Key threshold (ALGORITHMS 3.2 for Gaussian, 3.5 for Laplace counts): keep a group iff its noisy
 * unit count is >= the result. minimum_units >= 1 is the policy's minimum. False where units does
 * not count units one by one, or delta is zero or above one half. */
bool dp_key_threshold(const struct dp_calibration *units, dp_atto delta, uint64_t minimum_units,
                      int64_t *threshold);

/* Probability per group, rounded down, such that `groups` independent leaks of that probability
 * happen with at most delta: 1 - (1 - delta)^(1/groups). delta below one half. */
long double dp_key_delta(dp_atto delta, uint64_t groups);

/* ALGORITHMS 4.2 and 5.3: largest mu^2 whose Gaussian DP implies (epsilon, delta)-DP, rounded down;
 * the mu^2 that an epsilon-DP mechanism costs, rounded up. False where out of range. */
bool dp_mu2_cap(dp_nano epsilon, dp_atto delta, uint64_t *mu2_pico);
bool dp_mu2_of_pure(dp_nano epsilon, uint64_t *mu2_pico);
/* The largest epsilon whose dp_mu2_of_pure is at most mu2_pico; false where there is none. */
bool dp_pure_of_mu2(uint64_t mu2_pico, dp_nano *epsilon);

/* 10^-scale10 * 2^exp2 * count as an exact decimal; false where it needs more digits than a
 * decimal has. */
bool dp_grid_value(const struct dp_grid *grid, __int128 count, struct dp_decimal *out);

/* The same value exactly, as plain text with as many places as the grid has (equal for every count
 * of one grid), and a NUL. Returns the length. |exp2| <= 256. */
enum { DP_GRID_TEXT_MAX = 512 };
size_t dp_grid_print(const struct dp_grid *grid, __int128 count, char text[DP_GRID_TEXT_MAX]);

#endif
