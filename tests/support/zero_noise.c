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

bool dp_noise_refill(struct dp_noise *noise)
{
    (void)noise;
    return true;
}
