/* Series with positive terms and a continued fraction, each summed until further terms are below
 * the precision of the type. long double has at least 64 bits on the platforms that we build for.
 */
#include "mechanisms/normal.h"

#include <assert.h>
#include <float.h>
#include <stdbool.h>

_Static_assert(LDBL_MANT_DIG >= 64, "calibration needs a long double of 64 bits");

/* ln 2 in two parts: the first has trailing zeros, so that its multiples are exact. */
static const long double ln2_high = 0x1.62e42fefap-1L;
static const long double ln2_low = 0x1.cf79abc9e3b39803f2f6af40f343267p-40L;
static const long double inverse_sqrt_2pi = 0.398942280401432677939946059934381868L;

/* 2^k, exact in the range of the type. */
static long double power2(int k)
{
    long double base = k < 0 ? 0.5L : 2.0L;
    long double result = 1.0L;
    for (unsigned n = k < 0 ? (unsigned)-k : (unsigned)k; n != 0; n >>= 1) {
        if (n & 1) {
            result *= base;
        }
        base *= n > 1 ? base : 1.0L;
    }
    return result;
}

/* Taylor series of e^r - 1 for |r| < 0.35. */
static long double expm1_series(long double r)
{
    long double sum = 0.0L;
    for (int n = 28; n >= 1; n--) {
        sum = (1.0L + sum) * r / (long double)n;
    }
    return sum;
}

long double dp_exp(long double x)
{
    assert(x >= -11000.0L && x <= 11000.0L);
    int k = (int)(x * 1.44269504088896340736L + (x < 0 ? -0.5L : 0.5L));
    long double r = (x - (long double)k * ln2_high) - (long double)k * ln2_low;
    return (1.0L + expm1_series(r)) * power2(k);
}

long double dp_expm1(long double x)
{
    return x > -0.34L && x < 0.34L ? expm1_series(x) : dp_exp(x) - 1.0L;
}

/* 2 atanh(z) for |z| < 1/3: log((1 + z) / (1 - z)). */
static long double log_series(long double z)
{
    long double square = z * z;
    long double sum = 0.0L;
    for (int n = 33; n >= 1; n -= 2) {
        sum = sum * square + 1.0L / (long double)n;
    }
    return 2.0L * z * sum;
}

long double dp_log(long double x)
{
    assert(x > 0.0L && x <= LDBL_MAX);
    int k = 0;
    while (x >= 0x1p64L) {
        x *= 0x1p-64L;
        k += 64;
    }
    while (x < 0x1p-64L) {
        x *= 0x1p64L;
        k -= 64;
    }
    for (; x > 1.4142135623730950488L; k++) {
        x *= 0.5L;
    }
    for (; x < 0.70710678118654752440L; k--) {
        x *= 2.0L;
    }
    long double small = log_series((x - 1.0L) / (x + 1.0L));
    return (long double)k * ln2_high + ((long double)k * ln2_low + small);
}

long double dp_log1p(long double x)
{
    assert(x > -0.5L);
    return x < 0.5L ? log_series(x / (2.0L + x)) : dp_log(1.0L + x);
}

long double dp_sqrt(long double x)
{
    assert(x >= 0.0L && x <= LDBL_MAX);
    if (x == 0.0L) {
        return 0.0L;
    }
    int k = 0;
    for (; x >= 4.0L; k++) {
        x *= 0.25L;
    }
    for (; x < 1.0L; k--) {
        x *= 4.0L;
    }
    long double root = 0.5L * (1.0L + x);
    for (int i = 0; i < 7; i++) { /* Newton; four steps already reach the last bit */
        root = 0.5L * (root + x / root);
    }
    return root * power2(k);
}

long double dp_normal_density(long double x)
{
    return inverse_sqrt_2pi * dp_exp(-0.5L * x * x);
}

/* P(0 < N < x) / density(x) = x + x^3/3 + x^5/(3*5) + ..; all terms positive. */
static long double central_ratio(long double x)
{
    long double term = x;
    long double sum = x;
    for (int n = 3; term > sum * 0x1p-70L; n += 2) {
        term *= x * x / (long double)n;
        sum += term;
    }
    return sum;
}

long double dp_normal_mills(long double x)
{
    assert(x >= 0.0L);
    if (x < 1.0L) {
        return 0.5L / dp_normal_density(x) - central_ratio(x);
    }
    /* 1/(x + 1/(x + 2/(x + 3/(x + ..)))), error below e^(-2 x sqrt(2 terms)) */
    int terms = x < 2.0L ? 600 : x < 6.0L ? 160 : 40;
    long double tail = x;
    for (int n = terms; n >= 1; n--) {
        tail = x + (long double)n / tail;
    }
    return 1.0L / tail;
}

long double dp_normal_tail(long double x)
{
    assert(x >= -100.0L && x <= 100.0L);
    if (x < 0.0L) {
        return x > -1.0L ? 0.5L + dp_normal_central(-x) : 1.0L - dp_normal_tail(-x);
    }
    return dp_normal_density(x) * dp_normal_mills(x);
}

long double dp_normal_central(long double x)
{
    assert(x >= 0.0L && x <= 100.0L);
    return x < 2.0L ? dp_normal_density(x) * central_ratio(x) : 0.5L - dp_normal_tail(x);
}

long double dp_normal_tail_inverse(long double p)
{
    assert(p >= 1e-300L && p < 1.0L);
    if (p > 0.5L) {
        return -dp_normal_tail_inverse(1.0L - p);
    }
    /* Newton on log P(N > x), which is concave and decreasing with derivative -1 / mills. From the
     * right of the root, where P(N > x) <= e^(-x^2/2) puts the start, it never crosses the root. */
    long double log_p = dp_log(p);
    long double x = dp_sqrt(-2.0L * log_p);
    for (int i = 0; i < 200; i++) {
        long double mills = dp_normal_mills(x);
        long double step = (dp_log(dp_normal_density(x) * mills) - log_p) * mills;
        x = x + step < 0.0L ? 0.0L : x + step;
        long double size = step < 0.0L ? -step : step;
        if (size <= 0x1p-60L * (1.0L + x)) {
            break;
        }
    }
    return x;
}
