#include "mechanisms/bounds.h"

#include <assert.h>

#include "mechanisms/normal.h"

/* 2^(r/4) with six places; what matters is that one number clamps and calibrates. */
static const int64_t quarter_powers[4] = {1000000, 1189207, 1414214, 1681793};

static double power2(int exponent)
{
    double result = 1.0;
    for (int i = 0; i < exponent; i++) {
        result *= 2.0;
    }
    return result;
}

static double clamp_value(int j)
{
    return power2(j / 4) * (double)quarter_powers[j % 4] * 1e-6;
}

void dp_bound_shares(uint64_t mu2_pico, uint64_t *histogram, uint64_t *sum)
{
    *histogram = mu2_pico / 5;
    *sum = mu2_pico - *histogram;
}

/* Expected excess over the clamp of a total that is uniform in (a, b]. */
static double excess(double clamp, double a, double b)
{
    if (clamp <= a) {
        return (a + b) / 2 - clamp;
    }
    return clamp < b ? (b - clamp) * (b - clamp) / (2 * (b - a)) : 0.0;
}

/* The right-most bin that stands out of the noise, moved on while the next one may be more than
 * noise; -1: none. */
static int last_bin(const double noisy[DP_BOUND_BINS], double stddev)
{
    double threshold = stddev * (double)dp_normal_tail_inverse(1e-9L / DP_BOUND_BINS);
    int last = -1;
    for (int i = 0; i < DP_BOUND_BINS; i++) {
        last = noisy[i] > threshold ? i : last;
    }
    while (last >= 0 && last + 1 < DP_BOUND_BINS && noisy[last + 1] > 1.5 * stddev) {
        last++; /* a false step costs at most a factor of two */
    }
    return last;
}

int dp_choose_bound(const double noisy[DP_BOUND_BINS], double stddev, double sum_mu)
{
    assert(stddev > 0.0 && sum_mu > 0.0);
    int last = last_bin(noisy, stddev);
    int best = -1;
    double best_error = 0.0;
    for (int j = 0; last >= 0 && j <= 4 * last; j++) {
        double clamp = clamp_value(j);
        double bias = 0.0;
        for (int i = 0; i <= last; i++) {
            double low = i == 0 ? 0.0 : power2(i - 1);
            bias += noisy[i] > 0.0 ? noisy[i] * excess(clamp, low, power2(i)) : 0.0;
        }
        double noise = clamp / sum_mu;
        double error = bias * bias + noise * noise;
        if (best < 0 || error < best_error) {
            best = j;
            best_error = error;
        }
    }
    return best;
}

bool dp_bound_clamp(int j, int exponent, struct dp_decimal *out)
{
    assert(j >= 0 && j < DP_BOUND_CLAMPS);
    struct dp_grid grid = {.scale10 = 6, .exp2 = j / 4 + exponent};
    struct dp_decimal value;
    if (grid.exp2 < -256 || grid.exp2 > 256 ||
        !dp_grid_value(&grid, quarter_powers[j % 4], &value)) {
        return false;
    }
    *out = dp_decimal_normalize(&value);
    return true;
}
