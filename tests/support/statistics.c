#include "tests/support/statistics.h"

#include <math.h>

/* Regularised upper incomplete gamma function. */
static double upper_gamma(double a, double x)
{
    double log_front = a * log(x) - x - lgamma(a);
    if (x < a + 1) { /* series of the lower one */
        double term = 1 / a;
        double sum = term;
        for (int n = 1; n < 20000 && term > sum * 1e-17; n++) {
            term *= x / (a + n);
            sum += term;
        }
        return 1 - sum * exp(log_front);
    }
    double b = x + 1 - a; /* Lentz's method for the continued fraction */
    double c = 1e300;
    double d = 1 / b;
    double h = d;
    for (int n = 1; n < 20000; n++) {
        double an = -n * (n - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15) {
            break;
        }
    }
    return h * exp(log_front);
}

double chi_square_tail(double chi2, double df)
{
    return chi2 <= 0 ? 1 : upper_gamma(df / 2, chi2 / 2);
}

static double beta_fraction(double a, double b, double x)
{
    double c = 1;
    double d = 1 / (1 - (a + b) * x / (a + 1));
    double h = d;
    for (int m = 1; m < 20000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / (1 + even * d);
        c = 1 + even / c;
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / (1 + odd * d);
        c = 1 + odd / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15) {
            break;
        }
    }
    return h;
}

/* Regularised incomplete beta function. */
static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) {
        return front * beta_fraction(a, b, x) / a;
    }
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double binomial_at_least(uint64_t k, uint64_t n, double p)
{
    return k == 0 ? 1 : incomplete_beta((double)k, (double)(n - k + 1), p);
}

double binomial_at_most(uint64_t k, uint64_t n, double p)
{
    return k >= n ? 1 : incomplete_beta((double)(n - k), (double)(k + 1), 1 - p);
}

double binomial_lower(uint64_t k, uint64_t n, double alpha)
{
    double low = 0;
    double high = 1;
    for (int i = 0; i < 100; i++) {
        double p = (low + high) / 2;
        if (binomial_at_least(k, n, p) < alpha) {
            low = p;
        } else {
            high = p;
        }
    }
    return low;
}

double binomial_upper(uint64_t k, uint64_t n, double alpha)
{
    return 1 - binomial_lower(n - k, n, alpha);
}

double normal_below(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

double normal_quantile(double p)
{
    double low = -40;
    double high = 40;
    for (int i = 0; i < 200; i++) {
        double x = (low + high) / 2;
        if (normal_below(x) < p) {
            low = x;
        } else {
            high = x;
        }
    }
    return low;
}

double chi_square_of_cells(const double *seen, const double *expected, size_t n)
{
    double chi2 = 0;
    double merged_seen = 0;
    double merged_expected = 0;
    int cells = 0;
    for (size_t i = 0; i < n; i++) {
        merged_seen += seen[i];
        merged_expected += expected[i];
        double left = 0;
        for (size_t j = i + 1; j < n && left < 20; j++) {
            left += expected[j];
        }
        if (merged_expected >= 20 && (left >= 20 || i + 1 == n)) {
            chi2 +=
                (merged_seen - merged_expected) * (merged_seen - merged_expected) / merged_expected;
            merged_seen = 0;
            merged_expected = 0;
            cells++;
        }
    }
    return chi_square_tail(chi2, cells - 1);
}
