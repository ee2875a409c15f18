#include "mechanisms/bounds.h"

#include <assert.h>

#include "mechanisms/accuracy.h"
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

void dp_bound_shares(uint64_t budget, uint64_t *histogram, uint64_t *sum)
{
    *histogram = budget / 5;
    *sum = budget - *histogram;
}

/* Expected excess over the clamp of a total that is uniform in (a, b]. */
static double excess(double clamp, double a, double b)
{
    if (clamp <= a) {
        return (a + b) / 2 - clamp;
    }
    return clamp < b ? (b - clamp) * (b - clamp) / (2 * (b - a)) : 0.0;
}

/* Above the threshold a bin stands out: no empty histogram has such a bin but with probability
 * 1e-9.
 */
struct noise {
    double threshold, stddev;
};

static const long double chance_per_bin = 1e-9L / DP_BOUND_BINS;

/* The right-most bin that stands out of the noise, moved on while the next one may be more than
 * noise; -1: none. */
static int last_bin(const double noisy[DP_BOUND_BINS], const struct noise *noise)
{
    int last = -1;
    for (int i = 0; i < DP_BOUND_BINS; i++) {
        last = noisy[i] > noise->threshold ? i : last;
    }
    while (last >= 0 && last + 1 < DP_BOUND_BINS && noisy[last + 1] > 1.5 * noise->stddev) {
        last++; /* a false step costs at most a factor of two */
    }
    return last;
}

static struct dp_found_bound choose(const double noisy[DP_BOUND_BINS], const struct noise *noise,
                                    double sum_mu)
{
    struct dp_found_bound found = {last_bin(noisy, noise), -1};
    double best_error = 0.0;
    for (int j = 0; found.bin >= 0 && j <= 4 * found.bin; j++) {
        double clamp = clamp_value(j);
        double bias = 0.0;
        for (int i = 0; i <= found.bin; i++) {
            double low = i == 0 ? 0.0 : power2(i - 1);
            bias += noisy[i] > 0.0 ? noisy[i] * excess(clamp, low, power2(i)) : 0.0;
        }
        double spread = clamp / sum_mu;
        double error = bias * bias + spread * spread;
        if (found.clamp < 0 || error < best_error) {
            found.clamp = j;
            best_error = error;
        }
    }
    return found;
}

int dp_choose_bound(const double noisy[DP_BOUND_BINS], double stddev, double sum_mu)
{
    assert(stddev > 0.0 && sum_mu > 0.0);
    const struct noise noise = {stddev * (double)dp_normal_tail_inverse(chance_per_bin), stddev};
    return choose(noisy, &noise, sum_mu).clamp;
}

struct dp_found_bound dp_find_bound(const struct dp_calibration *histogram,
                                    const __int128 noisy[DP_BOUND_BINS])
{
    assert(histogram->m > 0 && histogram->groups > 0 && histogram->delta_grid == 1 &&
           histogram->grid.scale10 == 0 && histogram->grid.exp2 == 0);
    const double rate = (double)histogram->m / 0x1p50, groups = (double)histogram->groups;
    struct noise noise = {.stddev = dp_calibration_stddev(histogram)};
    double values[DP_BOUND_BINS], sum_mu;
    for (int i = 0; i < DP_BOUND_BINS; i++) {
        values[i] = (double)noisy[i];
    }
    if (histogram->mechanism == DP_GAUSSIAN) {
        noise.threshold = noise.stddev * (double)dp_normal_tail_inverse(chance_per_bin);
        sum_mu = 2.0 * rate * (double)dp_sqrt(groups); /* 4 mu^2 */
    } else {
        noise.threshold = dp_calibration_halfwidth(histogram, (double)(2.0L * chance_per_bin));
        sum_mu = 4.0 * rate * groups / (double)dp_sqrt(2.0L); /* the same standard deviation */
    }
    return choose(values, &noise, sum_mu);
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
