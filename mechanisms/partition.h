#ifndef MECHANISMS_PARTITION_H
#define MECHANISMS_PARTITION_H

/*
 * Partition selection where only the keys are wanted (ALGORITHMS 3.1, 3.4): the probability of
 * publishing a group of n units, as a table of integers made from public numbers. What is done with
 * the true count is one look-up and one comparison. Where counts are wanted as well,
 * dp_key_threshold on the noisy count is the better rule.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/rng.h"

/* Limits of the tables' sizes, so that making one takes a fifth of a second at most. */
enum { DP_KEEP_ENTRIES_MAX = 1 << 20, DP_KEEP_ENTRIES_GAUSSIAN_MAX = 1 << 14 };

/* keep[n - offset] / 2^64 is the probability of keeping n units; fewer than offset are never kept,
 * n - offset >= n_entries always. */
struct dp_keep_table {
    uint64_t *keep; /* owned */
    size_t n_entries;
    uint64_t offset;         /* minimum_units - 1 */
    struct dp_charge charge; /* of the whole selection, for a unit that touches `groups` keys */
};

/* The optimal (epsilon, delta) rule of accounts that pay in plain epsilon. False where out of
 * range, out of memory or the table would exceed its limit; *out is then empty. */
bool dp_keep_table_pure(dp_nano epsilon, dp_atto delta, uint64_t groups, uint64_t minimum_units,
                        struct dp_keep_table *out);
/* The optimal rule among those that cost mu^2 and delta. */
bool dp_keep_table_gaussian(uint64_t mu2_pico, dp_atto delta, uint64_t groups,
                            uint64_t minimum_units, struct dp_keep_table *out);
void dp_keep_table_clear(struct dp_keep_table *table);

/* One coin for a group of so many units, always one word whatever the count. False without entropy.
 */
bool dp_keep(const struct dp_rng *rng, const struct dp_keep_table *table, uint64_t units,
             bool *kept);

#endif
