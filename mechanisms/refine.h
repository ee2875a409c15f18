#ifndef MECHANISMS_REFINE_H
#define MECHANISMS_REFINE_H

/*
 * Lossless refinement (ALGORITHMS 5.2 corollary a, 9): Gaussian draws of one quantity add up by
 * their squared divisors, and so do their charges, so that a higher precision costs no more than
 * what is missing. Everything here is made from public integers and from values that are already
 * released.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

/*
 * What n >= 1 Gaussian draws with the divisors m, all of the grid, sensitivity and groups of kept,
 * are worth together: *together has the grid and sensitivity of kept, the divisor
 * floor(sqrt(sum of m^2)) and that precision's charge. False where kept is not Gaussian or the
 * numbers do not fit.
 */
bool dp_draws_together(const struct dp_calibration *kept, const uint64_t *m, size_t n,
                       struct dp_calibration *together);

/*
 * The divisor whose noise is as wide as that of the mean of such draws (dp_combine_draws), their
 * rounding to the grid and that of the mean included: what is said of the answer's error. That of
 * a single draw is its own; where there is none, what dp_draws_together says.
 */
uint64_t dp_draws_stated(const uint64_t *m, size_t n, uint64_t together);

/* The divisor that draws have to reach together so that no more is stated of their mean than of one
 * draw with the divisor m; m where there is none. */
uint64_t dp_refine_target(uint64_t m);

/*
 * The cheapest further draw *rest on the same grid with which the value is as precise as *wanted
 * asks; rest->m is 0 where nothing is missing. *together: the precision of all then. rounds: values
 * do not lie on the grid, so that noise must stay much wider than its unit. False where it cannot
 * be had by another draw: one of the two is not Gaussian, the grids do not fit, or the numbers are
 * out of range.
 */
bool dp_refine(const struct dp_calibration *wanted, const struct dp_calibration *kept, bool rounds,
               const uint64_t *m, size_t n, struct dp_calibration *rest,
               struct dp_calibration *together);

/*
 * What the sum of the values of cells >= 1 groups is worth where each has independent noise of the
 * Gaussian calibration *cell: *sum has its grid, sensitivity and groups, and the largest divisor m
 * whose noise is no narrower than the sum's. Rounding adds 1/12 to the variance of every cell but
 * to that of one divisor only once, so that (2^50 / m)^2 = cells (2^50 / cell->m)^2 + (cells - 1)
 * / 12. Its charge is that precision's. False where *cell is not Gaussian or m is out of range.
 */
bool dp_draw_of_cells(const struct dp_calibration *cell, uint64_t cells,
                      struct dp_calibration *sum);

/* The values of n >= 1 draws weighted by their m^2, rounded to the nearest grid unit, halves away
 * from zero. m > 0, |values| < 2^126. */
__int128 dp_combine_draws(const uint64_t *m, const __int128 *values, size_t n);

#endif
