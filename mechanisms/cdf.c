#include "mechanisms/cdf.h"

#include <assert.h>
#include <stdlib.h>

#include "mechanisms/normal.h"
#include "mechanisms/wide.h"

enum { MATRIX_BITS_MIN = 10, MATRIX_BITS_MAX = 20, UNIT_WEIGHT_MAX = 1 << 22, SIGMA_BITS = 30 };

/* Column r_0 = 1, r_k = r_(k-1) (2k - 1) / (2k), times 2^bits and rounded. */
static void fill_column(struct dp_cdf *cdf)
{
    long double r = 1.0L;
    for (size_t k = 0; k < cdf->n_bins; k++) {
        if (k > 0) {
            r *= (long double)(2 * k - 1) / (long double)(2 * k);
        }
        cdf->column[k] = (int64_t)(r * (long double)((int64_t)1 << cdf->matrix_bits) + 0.5L);
    }
}

/* ceil(norm of the first column) * W: no column is longer, and a unit's spread is an average of
 * columns, so that this bounds what it adds to y (in L2). */
static uint64_t sensitivity(const struct dp_cdf *cdf)
{
    uint64_t square = 0;
    for (size_t k = 0; k < cdf->n_bins; k++) {
        square += (uint64_t)(cdf->column[k] * cdf->column[k]);
    }
    uint64_t root = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint64_t candidate = root | (uint64_t)1 << bit;
        if (candidate * candidate <= square) {
            root = candidate;
        }
    }
    root += root * root < square;
    return root * cdf->unit_weight;
}

/* Calibrates on the natural grid: false where the noise would need a coarser one, since rounding
 * every coordinate of y would add to the norm. */
static bool calibrate(struct dp_cdf *cdf, uint64_t groups, uint64_t mu2_pico)
{
    const struct dp_grid natural = {.scale10 = 0, .exp2 = 0};
    struct dp_decimal delta = dp_decimal_from_int((long long)sensitivity(cdf));
    return dp_calibrate_gaussian(&delta, &natural, groups, mu2_pico, &cdf->calibration) &&
           cdf->calibration.grid.exp2 == 0;
}

/* An empty matrix; false where out of range or out of memory. */
static bool begin(size_t n_bins, uint64_t unit_weight, struct dp_cdf *out)
{
    *out = (struct dp_cdf){.n_bins = n_bins, .unit_weight = unit_weight};
    if (n_bins == 0 || n_bins > DP_CDF_BINS_MAX || unit_weight == 0 ||
        unit_weight > UNIT_WEIGHT_MAX) {
        return false;
    }
    out->column = calloc(n_bins, sizeof(*out->column));
    return out->column != NULL;
}

bool dp_cdf_init(size_t n_bins, uint64_t unit_weight, uint64_t groups, uint64_t mu2_pico,
                 struct dp_cdf *out)
{
    bool done = begin(n_bins, unit_weight, out) && groups > 0 && mu2_pico > 0;
    /* The finest matrix whose noise still fits the natural grid. */
    for (int bits = MATRIX_BITS_MAX; done && bits >= MATRIX_BITS_MIN; bits--) {
        out->matrix_bits = bits;
        fill_column(out);
        if (calibrate(out, groups, mu2_pico)) {
            return true;
        }
    }
    dp_cdf_clear(out);
    return false;
}

bool dp_cdf_restore(size_t n_bins, uint64_t unit_weight, const struct dp_calibration *calibration,
                    struct dp_cdf *out)
{
    bool done = begin(n_bins, unit_weight, out) && calibration->mechanism == DP_GAUSSIAN &&
                calibration->grid.scale10 == 0 && calibration->grid.exp2 == 0 && calibration->m > 0;
    /* The norm doubles from bit to bit. */
    for (int bits = MATRIX_BITS_MAX; done && bits >= MATRIX_BITS_MIN; bits--) {
        out->matrix_bits = bits;
        fill_column(out);
        if (sensitivity(out) == calibration->delta_grid) {
            out->calibration = *calibration;
            return true;
        }
    }
    dp_cdf_clear(out);
    return false;
}

void dp_cdf_clear(struct dp_cdf *cdf)
{
    free(cdf->column);
    *cdf = (struct dp_cdf){.column = NULL};
}

void dp_cdf_encode(const struct dp_cdf *cdf, const uint64_t *weights, __int128 *y)
{
    /* 2^20 2^64 2^13: no sum of products leaves 128 bits, whatever the weights are. */
    for (size_t b = 0; b < cdf->n_bins; b++) {
        __int128 sum = 0;
        for (size_t k = 0; k <= b; k++) {
            sum += (__int128)cdf->column[k] * (__int128)weights[b - k];
        }
        y[b] = sum;
    }
}

void dp_cdf_decode(const struct dp_cdf *cdf, const __int128 *noisy, double *work, double *prefix)
{
    /* Forward substitution in C, then sums. */
    double diagonal = (double)cdf->column[0];
    double sum = 0.0;
    for (size_t b = 0; b < cdf->n_bins; b++) {
        double rest = (double)noisy[b];
        for (size_t k = 1; k <= b; k++) {
            rest -= (double)cdf->column[k] * work[b - k];
        }
        work[b] = rest / diagonal;
        sum += work[b];
        prefix[b] = sum;
    }
}

double dp_cdf_stddev(const struct dp_cdf *cdf, size_t bin)
{
    assert(bin < cdf->n_bins);
    /* prefix = A C^-1 y: coefficient k is the sum of the first k + 1 of the inverse's column. */
    double sigma = 0x1p50 / (double)cdf->calibration.m;
    double *inverse = malloc((bin + 1) * sizeof(*inverse));
    if (inverse == NULL) {
        return -1.0;
    }
    double sum = 0.0;
    double square = 0.0;
    for (size_t b = 0; b <= bin; b++) {
        double rest = b == 0 ? 1.0 : 0.0;
        for (size_t k = 1; k <= b; k++) {
            rest -= (double)cdf->column[k] * inverse[b - k];
        }
        inverse[b] = rest / (double)cdf->column[0];
        sum += inverse[b];
        square += sum * sum;
    }
    free(inverse);
    return sigma * (double)dp_sqrt((long double)square);
}

void dp_make_monotone(double *values, size_t *ends, size_t n)
{
    /* Pool adjacent violators: block i of equal values ends before ends[i]. */
    size_t n_blocks = 0;
    for (size_t i = 0; i < n; i++) {
        double value = values[i];
        size_t start = i;
        while (n_blocks > 0 && values[n_blocks - 1] > value) {
            size_t first = n_blocks > 1 ? ends[n_blocks - 2] : 0;
            double weight = (double)(start - first);
            double own = (double)(i + 1 - start);
            value = (values[n_blocks - 1] * weight + value * own) / (weight + own);
            start = first;
            n_blocks--;
        }
        values[n_blocks] = value;
        ends[n_blocks++] = i + 1;
    }
    for (size_t block = n_blocks; block-- > 0;) {
        size_t first = block > 0 ? ends[block - 1] : 0;
        double value = values[block];
        for (size_t i = ends[block]; i-- > first;) {
            values[i] = value;
        }
    }
}

size_t dp_cdf_quantile(const double *prefix, size_t n_bins, double fraction)
{
    double target = fraction * prefix[n_bins - 1];
    size_t low = 0;
    size_t high = n_bins - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (prefix[middle] >= target) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}
