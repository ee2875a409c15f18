/* Half-widths and key thresholds: the smallest integer for which an exact tail formula holds. The
 * closed form gives a candidate, the formula itself decides. */
#include <assert.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/normal.h"

static const long double base = 0x1p50L;
/* A scale below 2^-5 of a unit is no noise worth a threshold. */
#define M_MAX ((uint64_t)1 << 55)
static const long double margin = 4.0L * DP_NORMAL_ERROR;

/* P(|noise| > h) <= beta, for h in grid units. */
static bool stays_within(const struct dp_calibration *calibration, long double h, long double beta)
{
    long double m = (long double)calibration->m;
    if (calibration->mechanism == DP_GAUSSIAN) {
        long double x = (h + 0.5L) * m / base;
        return x >= 100.0L || 2.0L * dp_normal_tail(x) <= beta;
    }
    long double exponent = (h + 1.0L) * m / base;
    return exponent > 10000.0L || 2.0L * dp_exp(-exponent) / (1.0L + dp_exp(-m / base)) <= beta;
}

double dp_calibration_halfwidth(const struct dp_calibration *calibration, double beta)
{
    assert(beta > 0.0 && beta < 1.0 && calibration->m > 0);
    long double scale = base / (long double)calibration->m;
    long double b = (long double)beta;
    long double guess;
    if (b < 1e-290L) {
        b = 1e-290L;
    }
    if (calibration->mechanism == DP_GAUSSIAN) {
        guess = scale * dp_normal_tail_inverse(0.5L * b) - 0.5L;
    } else {
        guess = scale * (dp_log(2.0L / b) - dp_log(1.0L + dp_exp(-1.0L / scale))) - 1.0L;
    }
    long double h = guess < 0.0L ? 0.0L : (long double)(int64_t)guess;
    while (h > 0.0L && stays_within(calibration, h - 1.0L, b)) {
        h -= 1.0L;
    }
    while (!stays_within(calibration, h, b)) {
        h += 1.0L;
    }
    return (double)h;
}

long double dp_key_delta(dp_atto delta, uint64_t groups)
{
    assert(delta < 500000000000000000 && groups > 0);
    long double each = dp_log1p(-(long double)delta / 1e18L) / (long double)groups;
    return -dp_expm1(each) * (1.0L - margin);
}

/* P(1 + noise >= t) <= d, for t >= 1. */
static bool hides_one_unit(const struct dp_calibration *units, int64_t t, long double d)
{
    long double m = (long double)units->m;
    if (units->mechanism == DP_GAUSSIAN) {
        return dp_normal_tail(((long double)t - 1.5L) * m / base) * (1.0L + margin) <= d;
    }
    /* q^(t-1) / (1 + q), q = e^(-m/T) */
    long double ratio = m / base;
    long double tail = dp_exp(-(long double)(t - 1) * ratio) / (1.0L + dp_exp(-ratio));
    return tail * (1.0L + margin) <= d;
}

bool dp_key_threshold(const struct dp_calibration *units, dp_atto delta, uint64_t minimum_units,
                      int64_t *threshold)
{
    bool counts_units = units->delta_grid == 1 && units->grid.scale10 == 0 && units->grid.exp2 == 0;
    if (!counts_units || delta == 0 || delta >= 500000000000000000 || minimum_units == 0 ||
        minimum_units > (uint64_t)1 << 62 || units->m >= M_MAX) {
        return false;
    }
    long double d = dp_key_delta(delta, units->groups);
    long double scale = base / (long double)units->m;
    long double guess = units->mechanism == DP_GAUSSIAN
                            ? 1.5L + scale * dp_normal_tail_inverse(d)
                            : 1.0L - scale * (dp_log(d) + dp_log(1.0L + dp_exp(-1.0L / scale)));
    int64_t t = guess < 3.0L ? 1 : (int64_t)guess - 2;
    while (!hides_one_unit(units, t, d)) {
        t++;
    }
    *threshold = t + (int64_t)(minimum_units - 1);
    return true;
}
