#ifndef PROXY_DISTRIBUTION_H
#define PROXY_DISTRIBUTION_H

/*
 * A distribution that is noised as a whole (mechanisms/cdf.h), or was before: for
 * proxy/release_quantiles.c. What is read from it is post-processing of its noisy integers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/noise.h"
#include "mechanisms/quantile.h"

struct distribution;

/* Units spread unit_weight over n_bins; the calibration is one of dp_cdf_init for them, as the
 * planner has seen to. */
struct distribution *distribution_new(size_t n_bins, uint64_t unit_weight,
                                      const struct dp_calibration *calibration);
/* Accepts NULL. */
void distribution_free(struct distribution *distribution);

/* Noise for the exact weights: n_bins noisy integers. False without entropy. */
bool distribution_draw(struct distribution *distribution, struct dp_noise *noise,
                       const uint64_t *weights, __int128 *noisy);
/* Takes noisy integers up, to be read. */
void distribution_take(struct distribution *distribution, const __int128 *noisy);
/* The bin that holds the rank, which has no offset. */
uint32_t distribution_bin(const struct distribution *distribution, const struct dp_rank *rank);

#endif
