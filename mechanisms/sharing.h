#ifndef MECHANISMS_SHARING_H
#define MECHANISMS_SHARING_H

/*
 * How one release's budget is divided among its measurements (ALGORITHMS 4.3), and which mechanism
 * it takes. Public facts only. Amounts are pico mu^2 or nano epsilon alike: both add up.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"

/* What is asked of one aggregated column. */
struct dp_wanted {
    bool count, sum, mean, variance; /* variance stands for standard deviations too */
};

/* Shares of the column's three possible measurements; 0: not measured. */
struct dp_shares {
    uint64_t count, sum, squares;
};

enum dp_keys {
    DP_KEYS_PUBLIC,         /* no unit count is measured */
    DP_KEYS_PRIVATE,        /* the unit count only decides about keys */
    DP_KEYS_PRIVATE_COUNTED /* the unit count is an answer as well */
};

/*
 * Divides total: *units for the unit count, shares[i] for column i. Columns share alike; the parts
 * add up to no more than the total. A column of which only the sum is wanted is measured uncentred,
 * every other sum about the middle of its bounds. False where a measurement would get nothing.
 */
bool dp_share(uint64_t total, enum dp_keys keys, size_t n, const struct dp_wanted wanted[],
              uint64_t *units, struct dp_shares shares[]);

/*
 * The rotated pair for a mean under pure DP: instead of count and sum, measure A = sum(high - x)
 * and B = sum(x - low), each with this Laplace calibration. A unit moves A and B together by at
 * most rows * (high - low), so that the one charge covers both. B's integers must be width - A's,
 * row by row: rounding the two apart would add one. The grid is that of the bounds' difference.
 */
bool dp_calibrate_rotated_pair(const struct dp_decimal *low, const struct dp_decimal *high,
                               uint64_t rows, const struct dp_grid *natural, uint64_t groups,
                               dp_nano epsilon, struct dp_calibration *out);

/* Count and sum about the middle from noisy A and B (grid units, width = (high - low) in the same):
 * count = *count_times_width / width, centred sum = *twice_centred / 2 grid units. */
void dp_rotated_pair_values(__int128 a, __int128 b, __int128 *count_times_width,
                            __int128 *twice_centred);

/* What dp.mechanism = auto looks at: the account as the ledger has it. */
struct dp_account_state {
    uint64_t mu2_cap_pico, mu2_spent_pico;
    dp_nano epsilon_cap, epsilon_spent;
    bool all_pure;
};

/* The mechanism under which the rest of the account admits more releases like this one: epsilon in
 * all, coordinates = measurements times groups that one unit touches. Laplace only where the
 * account can still pay in plain epsilon. */
enum dp_mechanism dp_choose_mechanism(const struct dp_account_state *account, dp_nano epsilon,
                                      uint64_t coordinates);

#endif
