#include "proxy/distribution.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/cdf.h"

struct distribution {
    struct dp_cdf cdf;
    __int128 *exact; /* n_bins each */
    double *work, *prefix;
    size_t *ends;
};

struct distribution *distribution_new(size_t n_bins, uint64_t unit_weight,
                                      const struct dp_calibration *calibration)
{
    struct distribution *distribution = calloc(1, sizeof *distribution);
    assert(distribution != NULL);
    bool known = dp_cdf_restore(n_bins, unit_weight, calibration, &distribution->cdf);
    assert(known);
    distribution->exact = calloc(n_bins, sizeof *distribution->exact);
    distribution->work = calloc(n_bins, sizeof *distribution->work);
    distribution->prefix = calloc(n_bins, sizeof *distribution->prefix);
    distribution->ends = calloc(n_bins, sizeof *distribution->ends);
    assert(distribution->exact && distribution->work && distribution->prefix && distribution->ends);
    return distribution;
}

void distribution_free(struct distribution *distribution)
{
    if (distribution == NULL)
        return;
    dp_cdf_clear(&distribution->cdf);
    free(distribution->exact);
    free(distribution->work);
    free(distribution->prefix);
    free(distribution->ends);
    free(distribution);
}

bool distribution_draw(struct distribution *distribution, struct dp_noise *noise,
                       const uint64_t *weights, __int128 *noisy)
{
    const struct dp_cdf *cdf = &distribution->cdf;
    bool drawn = true;
    dp_cdf_encode(cdf, weights, distribution->exact);
    for (size_t i = 0; i < cdf->n_bins && drawn; i++)
        drawn = dp_noise_add(noise, &cdf->calibration, distribution->exact[i], &noisy[i]);
    explicit_bzero(distribution->exact, cdf->n_bins * sizeof *distribution->exact);
    return drawn;
}

void distribution_take(struct distribution *distribution, const __int128 *noisy)
{
    const struct dp_cdf *cdf = &distribution->cdf;
    dp_cdf_decode(cdf, noisy, distribution->work, distribution->prefix);
    dp_make_monotone(distribution->prefix, distribution->ends, cdf->n_bins);
}

uint32_t distribution_bin(const struct distribution *distribution, const struct dp_rank *rank)
{
    double fraction = (double)rank->numerator / rank->denominator;
    /* A little less: rounding must not carry a rank beyond the bin that ends with it. */
    return (uint32_t)dp_cdf_quantile(distribution->prefix, distribution->cdf.n_bins,
                                     fraction * (1 - 1e-12));
}
