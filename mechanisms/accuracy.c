#include "mechanisms/accuracy.h"

#include <assert.h>

#include "mechanisms/normal.h"
#include "mechanisms/sampler.h"
#include "mechanisms/wide.h"

enum { M_BIT_LOW = 19, M_BIT_HIGH = 62 };

static const long double base = 0x1p50L;

/* A calibration's integers with m and the charge still open. */
static bool set_divisor(struct dp_calibration *calibration, uint64_t m)
{
    calibration->m = m;
    return calibration->mechanism == DP_GAUSSIAN
               ? dp_gaussian_charge(calibration, &calibration->charge)
               : dp_laplace_charge(calibration, &calibration->charge);
}

/* The smallest m of the right parity in [2^19, 2^62) whose half-width is at most limit grid units.
 */
static bool smallest_divisor(struct dp_calibration *calibration, double limit, double beta)
{
    uint64_t low = (uint64_t)1 << M_BIT_LOW;
    uint64_t high = ((uint64_t)1 << M_BIT_HIGH) - 1;
    calibration->m = high;
    if (limit < 0.0 || dp_calibration_halfwidth(calibration, beta) > limit) {
        return false;
    }
    while (low < high) {
        calibration->m = low + (high - low) / 2;
        if (dp_calibration_halfwidth(calibration, beta) <= limit) {
            high = calibration->m;
        } else {
            low = calibration->m + 1;
        }
    }
    if (calibration->mechanism == DP_GAUSSIAN) {
        high |= 1; /* odd, and the noise no wider */
    }
    return set_divisor(calibration, high);
}

/* floor(halfwidth / grid) */
static bool in_grid_units(const struct dp_decimal *halfwidth, const struct dp_grid *grid,
                          double *out)
{
    struct dp_wide numerator = dp_wide_multiply(dp_wide_from((unsigned __int128)halfwidth->digits),
                                                dp_wide_power10((unsigned)grid->scale10));
    struct dp_wide denominator = dp_wide_power10((unsigned)halfwidth->scale);
    if (grid->exp2 < 0) {
        numerator = dp_wide_shift_left(numerator, (unsigned)-grid->exp2);
    } else {
        denominator = dp_wide_shift_left(denominator, (unsigned)grid->exp2);
    }
    uint64_t units;
    struct dp_wide quotient = dp_wide_divide(numerator, denominator, false);
    if (!dp_wide_to_u64(&quotient, &units) || units >> 53 != 0) {
        return false;
    }
    *out = (double)units;
    return true;
}

typedef bool calibrate_function(const struct dp_decimal *delta, const struct dp_grid *natural,
                                uint64_t groups, uint64_t budget, struct dp_calibration *out);

/* The grid depends on the noise and the noise on the grid: a budget near the answer gives the grid,
 * and the divisor is then found exactly on it. */
static bool within(calibrate_function *calibrate, uint64_t budget, const struct dp_decimal *delta,
                   const struct dp_grid *natural, uint64_t groups,
                   const struct dp_decimal *halfwidth, double beta, struct dp_calibration *out)
{
    struct dp_calibration result;
    double units;
    if (!calibrate(delta, natural, groups, budget, &result) ||
        !in_grid_units(halfwidth, &result.grid, &units) ||
        !smallest_divisor(&result, units, beta)) {
        return false;
    }
    *out = result;
    return true;
}

static bool valid(const struct dp_decimal *delta, uint64_t groups,
                  const struct dp_decimal *halfwidth, double beta)
{
    return delta->digits > 0 && groups > 0 && halfwidth->digits > 0 && beta >= 1e-18 && beta < 1.0;
}

/* delta / halfwidth, the width in units of the sensitivity. */
static long double ratio(const struct dp_decimal *delta, const struct dp_decimal *halfwidth)
{
    long double value = (long double)delta->digits / (long double)halfwidth->digits;
    for (int i = 0; i < delta->scale; i++) {
        value /= 10.0L;
    }
    for (int i = 0; i < halfwidth->scale; i++) {
        value *= 10.0L;
    }
    return value;
}

/* Between 1 and the most that a calibration may be asked for. */
static uint64_t clamp_budget(long double budget)
{
    return budget < 1.0L ? 1 : budget > 1e18L ? 1000000000000000000 : (uint64_t)budget;
}

bool dp_calibrate_gaussian_within(const struct dp_decimal *delta, const struct dp_grid *natural,
                                  uint64_t groups, const struct dp_decimal *halfwidth, double beta,
                                  struct dp_calibration *out)
{
    if (!valid(delta, groups, halfwidth, beta)) {
        return false;
    }
    /* sigma = h / z, mu = sqrt(L0) delta / sigma */
    long double mu = ratio(delta, halfwidth) * (long double)dp_two_sided_z(beta);
    uint64_t budget = clamp_budget(mu * mu * (long double)groups * 1e12L);
    return within(dp_calibrate_gaussian, budget, delta, natural, groups, halfwidth, beta, out);
}

bool dp_calibrate_laplace_within(const struct dp_decimal *delta, const struct dp_grid *natural,
                                 uint64_t groups, const struct dp_decimal *halfwidth, double beta,
                                 struct dp_calibration *out)
{
    if (!valid(delta, groups, halfwidth, beta)) {
        return false;
    }
    /* scale = h / ln(1 / beta), epsilon = L0 delta / scale */
    long double epsilon =
        ratio(delta, halfwidth) * (long double)groups * -dp_log((long double)beta);
    uint64_t budget = clamp_budget(epsilon * 1e9L);
    return within(dp_calibrate_laplace, budget, delta, natural, groups, halfwidth, beta, out);
}

double dp_calibration_stddev(const struct dp_calibration *calibration)
{
    long double ratio_m = (long double)calibration->m / base;
    if (calibration->mechanism == DP_LAPLACE) {
        /* variance 2 q / (1 - q)^2 */
        long double q = ratio_m > 10000.0L ? 0.0L : dp_exp(-ratio_m);
        long double one_minus_q = ratio_m > 10000.0L ? 1.0L : -dp_expm1(-ratio_m);
        return (double)(dp_sqrt(2.0L * q) / one_minus_q);
    }
    if (ratio_m < 0.5L) { /* sigma above 2: rounding adds 1/12 to twenty digits */
        return (double)dp_sqrt(1.0L / (ratio_m * ratio_m) + 1.0L / 12.0L);
    }
    /* E k^2 = sum over h >= 0 of (2h + 1) P(|noise| > h) */
    long double variance = 0.0L;
    for (int h = 0; h < 200; h++) {
        long double x = ((long double)h + 0.5L) * ratio_m;
        variance += x < 100.0L ? (2.0L * h + 1.0L) * 2.0L * dp_normal_tail(x) : 0.0L;
    }
    return (double)dp_sqrt(variance);
}

double dp_grid_unit(const struct dp_grid *grid)
{
    long double unit = 1.0L;
    for (int i = 0; i < grid->exp2; i++) {
        unit *= 2.0L;
    }
    for (int i = 0; i > grid->exp2; i--) {
        unit *= 0.5L;
    }
    for (int i = 0; i < grid->scale10; i++) {
        unit /= 10.0L;
    }
    return (double)unit;
}

double dp_simultaneous_beta(double beta, uint64_t n)
{
    assert(beta > 0.0 && beta < 1.0 && n > 0);
    long double b = (long double)beta;
    long double log_hit = b < 0.25L ? dp_log1p(-b) : dp_log(1.0L - b);
    return (double)-dp_expm1(log_hit / (long double)n);
}

double dp_two_sided_z(double beta)
{
    assert(beta >= 1e-290 && beta < 1.0);
    return (double)dp_normal_tail_inverse(0.5L * (long double)beta);
}

struct dp_interval dp_fieller(double sum, double sum_variance, double count, double count_variance,
                              double beta, double low, double high)
{
    struct dp_interval all = {.low = low, .high = high};
    long double z = (long double)dp_two_sided_z(beta);
    long double c = (long double)count;
    long double s = (long double)sum;
    long double a = c * c - z * z * (long double)count_variance;
    long double b = s * c;
    long double square = s * s - z * z * (long double)sum_variance;
    long double discriminant = b * b - a * square;
    if (!(a > 0.0L) || c <= 0.0L || !(discriminant >= 0.0L)) {
        return all;
    }
    long double root = dp_sqrt(discriminant);
    long double middle = 0.5L * ((long double)low + (long double)high);
    double left = (double)(middle + (b - root) / a);
    double right = (double)(middle + (b + root) / a);
    struct dp_interval result;
    result.low = left < low ? low : left > high ? high : left;
    result.high = right > high ? high : right < low ? low : right;
    return result;
}

double dp_combine(double first, double first_variance, double second, double second_variance,
                  double *variance)
{
    assert(first_variance > 0.0 && second_variance > 0.0);
    double weight = second_variance / (first_variance + second_variance);
    *variance = weight * first_variance;
    return weight * first + (1.0 - weight) * second;
}
