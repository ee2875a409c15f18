/*
 * How far a quantile may be off, in ranks: the exponential mechanism by its strength, what is read
 * from a noised distribution by the noise of the weight below and that of the total.
 */
#include <math.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/cdf.h"
#include "parser/quantile.h"

/* Deviation of a prefix of the whole distribution, in people; negative: it is none. It takes time
 * by the square of the bins, and is the same for every m. */
static double deviation_of(const struct level *level, size_t n_bins,
                           const struct dp_calibration *noise)
{
    struct compile *c = level->compile;
    struct dp_cdf cdf;
    for (size_t i = 0; i < c->deviations.n; i++)
        if (c->deviations.items[i].n_bins == n_bins &&
            c->deviations.items[i].delta_grid == noise->delta_grid)
            return c->deviations.items[i].of_one / (double)noise->m;
    if (!dp_cdf_restore(n_bins, DISTRIBUTION_UNIT_WEIGHT, noise, &cdf))
        return -1;
    double stddev = dp_cdf_stddev(&cdf, n_bins - 1) / DISTRIBUTION_UNIT_WEIGHT;
    dp_cdf_clear(&cdf);
    const struct deviation deviation = {n_bins, noise->delta_grid, stddev * (double)noise->m};
    if (stddev > 0)
        VECTOR_PUSH(c->arena, &c->deviations, deviation);
    return stddev > 0 ? stddev : -1;
}

double quantile_error_of(const struct level *level, const struct level_histogram *histogram,
                         const struct dp_calibration *sharpness, const struct dp_rank *rank)
{
    double beta = level->compile->request->settings->beta;
    const struct dp_quantile_plan plan = {.n = 1, .half_range = sharpness->m};
    if (sharpness->mechanism == DP_LAPLACE)
        return sharpness->m > 0 ? dp_quantile_error(&plan, rank, beta) : -1;
    double stddev = deviation_of(level, histogram->bins.n, sharpness);
    return stddev < 0 ? -1
                      : dp_two_sided_z(beta) * stddev *
                            hypot(1, (double)rank->numerator / rank->denominator);
}

double quantile_error(const struct level *level, const struct level_aggregate *aggregate)
{
    const struct level_quantile *quantile = &aggregate->quantile;
    const struct level_histogram *histogram = &level->histograms.items[quantile->histogram];
    double most = 0;
    for (size_t i = 0; i < quantile->n_ranks; i++) {
        const struct release_value *value =
            &histogram->values[quantile_find(histogram, &quantile->ranks[i])];
        most = fmax(most, quantile_error_of(level, histogram, &value->sharpness, &value->rank));
    }
    return most;
}
