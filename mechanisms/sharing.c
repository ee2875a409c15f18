#include "mechanisms/sharing.h"

#include <assert.h>

/* Thirds, halves: the table of ALGORITHMS 4.3. */
static struct dp_shares share_column(uint64_t total, const struct dp_wanted *wanted)
{
    if (wanted->variance) {
        return (struct dp_shares){.count = total / 3, .sum = total / 3, .squares = total / 3};
    }
    if (wanted->mean && !wanted->count && !wanted->sum) {
        return (struct dp_shares){.count = total / 3, .sum = total - total / 3};
    }
    if (wanted->mean || (wanted->count && wanted->sum)) {
        return (struct dp_shares){.count = total / 2, .sum = total / 2};
    }
    return wanted->sum ? (struct dp_shares){.sum = total} : (struct dp_shares){.count = total};
}

bool dp_share(uint64_t total, enum dp_keys keys, size_t n, const struct dp_wanted wanted[],
              uint64_t *units, struct dp_shares shares[])
{
    *units = 0;
    uint64_t rest = total;
    uint64_t parts = n;
    if (keys == DP_KEYS_PRIVATE_COUNTED) {
        parts++;
        *units = total / parts;
    } else if (keys == DP_KEYS_PRIVATE) {
        *units = n == 0 ? total : total / 3;
        rest = total - *units;
    }
    if (keys != DP_KEYS_PUBLIC && *units == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        assert(wanted[i].count || wanted[i].sum || wanted[i].mean || wanted[i].variance);
        uint64_t each = rest / parts;
        if (each < 3) {
            return false;
        }
        shares[i] = share_column(each, &wanted[i]);
    }
    return total > 0;
}

bool dp_calibrate_rotated_pair(const struct dp_decimal *low, const struct dp_decimal *high,
                               uint64_t rows, const struct dp_grid *natural, uint64_t groups,
                               dp_nano epsilon, struct dp_calibration *out)
{
    struct dp_decimal width, delta;
    struct dp_decimal count = {.digits = (__int128)rows, .scale = 0};
    return dp_decimal_subtract(high, low, &width) && dp_decimal_multiply(&width, &count, &delta) &&
           dp_calibrate_laplace(&delta, natural, groups, epsilon, out);
}

void dp_rotated_pair_values(__int128 a, __int128 b, __int128 *count_times_width,
                            __int128 *twice_centred)
{
    *count_times_width = a + b;
    *twice_centred = b - a;
}

enum dp_mechanism dp_choose_mechanism(const struct dp_account_state *account, dp_nano epsilon,
                                      uint64_t coordinates)
{
    assert(epsilon > 0 && coordinates > 0);
    if (!account->all_pure || account->epsilon_spent > account->epsilon_cap ||
        account->epsilon_cap - account->epsilon_spent < epsilon) {
        return DP_GAUSSIAN;
    }
    if (account->mu2_spent_pico >= account->mu2_cap_pico) {
        return DP_LAPLACE;
    }
    /* K coordinates: Laplace noise has the variance 2 K^2 / epsilon^2 in each, Gaussian noise K /
     * mu^2; at equal variance a release costs mu^2 = epsilon^2 / (2 K). */
    uint64_t laplace = (account->epsilon_cap - account->epsilon_spent) / epsilon;
    long double each = (long double)epsilon * 1e-9L;
    long double mu2 = each * each / (2.0L * (long double)coordinates);
    long double left = (long double)(account->mu2_cap_pico - account->mu2_spent_pico) * 1e-12L;
    return (long double)laplace >= left / mu2 ? DP_LAPLACE : DP_GAUSSIAN;
}
