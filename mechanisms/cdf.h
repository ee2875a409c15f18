#ifndef MECHANISMS_CDF_H
#define MECHANISMS_CDF_H

/*
 * A whole distribution at once (ALGORITHMS 6.3): the square-root factorisation of the prefix sums.
 * Release y = C x + noise for a lower-triangular Toeplitz matrix C of integers whose square is
 * almost the matrix of prefix sums; every prefix sum, and with them any number of quantiles and
 * range counts, follow by post-processing. Every prefix has a standard deviation of about (1 +
 * ln(bins) / pi) / mu.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

enum { DP_CDF_BINS_MAX = 8192 };

struct dp_cdf {
    size_t n_bins;
    uint64_t unit_weight;
    int matrix_bits; /* entries of C are rounded to 2^-matrix_bits */
    int64_t *column; /* first column of C, times 2^matrix_bits; owned */
    struct dp_calibration
        calibration; /* of each coordinate of y, natural grid, delta_grid: L2 norm */
};

/* For units that spread at most unit_weight (1 to 2^22) over the bins of each of `groups`
 * histograms. False where out of range or out of memory; *out is then empty. */
bool dp_cdf_init(size_t n_bins, uint64_t unit_weight, uint64_t groups, uint64_t mu2_pico,
                 struct dp_cdf *out);
/* The one that a calibration of dp_cdf_init belongs to: its delta_grid tells the matrix. False
 * where it is none of such a distribution, or out of memory; *out is then empty. */
bool dp_cdf_restore(size_t n_bins, uint64_t unit_weight, const struct dp_calibration *calibration,
                    struct dp_cdf *out);
void dp_cdf_clear(struct dp_cdf *cdf);

/* y = C x, exactly and for any weights; noise is then added to each coordinate. Quadratic in the
 * bins: 8,192 take about 30 ms, and half of that to decode. */
void dp_cdf_encode(const struct dp_cdf *cdf, const uint64_t *weights, __int128 *y);

/* Post-processing: prefix[b] estimates the weight in bins 0..b, not yet monotone. work has n_bins
 * entries. */
void dp_cdf_decode(const struct dp_cdf *cdf, const __int128 *noisy, double *work, double *prefix);
/* Standard deviation of prefix[bin], weight units. */
double dp_cdf_stddev(const struct dp_cdf *cdf, size_t bin);

/* The closest non-decreasing sequence (least squares), in place; ends has n entries of room. */
void dp_make_monotone(double *values, size_t *ends, size_t n);
/* The first bin whose prefix reaches the fraction of the last prefix; prefix is monotone. */
size_t dp_cdf_quantile(const double *prefix, size_t n_bins, double fraction);

#endif
