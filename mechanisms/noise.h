#ifndef MECHANISMS_NOISE_H
#define MECHANISMS_NOISE_H

/*
 * The only source of noise: a pool of samples of the two base laws, filled off the answer's path,
 * each used once and wiped (ALGORITHMS 1.3). The test build links another implementation of this
 * header (tests/support/zero_noise.c); the shipped programs have no way to choose.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

struct dp_noise;

/* Runs the self tests, seeds the generator and fills the pool. NULL without entropy or memory, or
 * where a self test fails. */
struct dp_noise *dp_noise_new(void);
void dp_noise_free(struct dp_noise *noise);

/* total + one fresh draw, in grid units of the calibration. False without entropy: nothing may
 * be released then. */
bool dp_noise_add(struct dp_noise *noise, const struct dp_calibration *calibration, __int128 total,
                  __int128 *noisy);

/* Fills what was used; called when the program has nothing to answer. False without entropy. */
bool dp_noise_refill(struct dp_noise *noise);

#endif
