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
#include "mechanisms/partition.h"
#include "mechanisms/quantile.h"

struct dp_noise;

/* Runs the self tests, seeds the generator and puts a first few thousand samples into the pool; the
 * rest comes by dp_noise_refill. NULL without entropy or memory, or where a self test fails. One
 * thread; a child process that uses the pool finds it empty and draws its own. */
struct dp_noise *dp_noise_new(void);
void dp_noise_free(struct dp_noise *noise);

/* total + one fresh draw, in grid units of the calibration; |total| above 2^100 is clamped. An
 * empty pool draws on the spot (about a microsecond). False without entropy: nothing may be
 * released then. */
bool dp_noise_add(struct dp_noise *noise, const struct dp_calibration *calibration, __int128 total,
                  __int128 *noisy);

/* The two releases that are drawn instead of being given noise: dp_keep for a group of so many
 * units, and dp_draw_quantiles. False without entropy: nothing may be released then. */
bool dp_noise_keep(struct dp_noise *noise, const struct dp_keep_table *table, uint64_t units,
                   bool *kept);
bool dp_noise_quantiles(struct dp_noise *noise, const struct dp_quantile_plan *plan,
                        const uint64_t *weights, size_t n_bins, const struct dp_rank *ranks,
                        uint32_t *bins);

/* Replaces what was used, a slice of about 1,000 samples of each law (below a millisecond) a call;
 * called when the program has nothing to answer, again as long as dp_noise_wants_refill. Fresh
 * entropy is mixed in each time. False without entropy. */
bool dp_noise_refill(struct dp_noise *noise);
bool dp_noise_wants_refill(const struct dp_noise *noise);

#endif
