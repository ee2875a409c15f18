/*
 * Another implementation of mechanisms/noise.h for the meaning tests: the draw is always zero, so
 * that an answer can be compared with PostgreSQL's. Linked into tests/pgveil-zero-noise alone.
 */
#include "mechanisms/noise.h"

#include <stdlib.h>

struct dp_noise {
    int zero_noise;
};

struct dp_noise *dp_noise_new(void)
{
    return calloc(1, sizeof(struct dp_noise));
}

void dp_noise_free(struct dp_noise *noise)
{
    free(noise);
}

bool dp_noise_add(struct dp_noise *noise, const struct dp_calibration *calibration, __int128 total,
                  __int128 *noisy)
{
    (void)calibration;
    *noisy = total + noise->zero_noise;
    return true;
}

bool dp_noise_keep(struct dp_noise *noise, const struct dp_keep_table *table, uint64_t units,
                   bool *kept)
{
    (void)noise;
    *kept = units > table->offset;
    return true;
}

bool dp_noise_quantiles(struct dp_noise *noise, const struct dp_quantile_plan *plan,
                        const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                        uint32_t *bins)
{
    (void)noise;
    for (size_t i = 0; i < plan->n; i++) {
        if (!dp_best_bin(plan, weights, n_bins, &ranks[i], &bins[i])) {
            return false;
        }
    }
    return true;
}

bool dp_noise_refill(struct dp_noise *noise)
{
    (void)noise;
    return true;
}

bool dp_noise_wants_refill(const struct dp_noise *noise)
{
    (void)noise;
    return false;
}
