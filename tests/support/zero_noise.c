/* The test build's implementation of mechanisms/noise.h: adds nothing, so that answers can be
 * compared with exact ones. Linked in front of the archive of mechanisms/, whose own noise then
 * stays out. */
#include <stdlib.h>

#include "mechanisms/noise.h"

struct dp_noise {
    int unused;
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
    (void)noise;
    (void)calibration;
    *noisy = total;
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
