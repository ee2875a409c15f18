/* Conversion of zero-concentrated DP, by bisection over the ledger's own integers. Every judgement
 * is made with a margin far above the rounding of long doubles, against the analyst. */
#include "budget/accountant.h"

#include <math.h>

static const dp_nano epsilon_nano_max = 1000000000000;
static const uint64_t cap_pico_max = 10000000000000000;
static const long double margin = 1e-12L;

/* Logarithm of the delta that order a gives; smooth, with one minimum in a. */
static long double log_delta(long double rho, long double epsilon, long double a)
{
    return (a - 1.0L) * (a * rho - epsilon) + a * log1pl(-1.0L / a) - logl(a - 1.0L);
}

/* The smallest log_delta over orders, searched over log(a - 1) by golden sections. */
static long double least_log_delta(long double rho, long double epsilon)
{
    static const long double golden = 0.61803398874989484820L;
    /* The minimum lies near a = (epsilon / rho + 1) / 2, or 1 / sqrt(2 rho) where epsilon is small
     * beside sqrt(rho); a - 1 is searched far on both sides. */
    long double low = -20.0L;
    long double high = logl(epsilon / rho + 1.0L / sqrtl(rho) + 10.0L) + 5.0L;
    for (int i = 0; i < 200; i++) {
        long double left = high - golden * (high - low);
        long double right = low + golden * (high - low);
        if (log_delta(rho, epsilon, 1.0L + expl(left)) <
            log_delta(rho, epsilon, 1.0L + expl(right))) {
            high = right;
        } else {
            low = left;
        }
    }
    return log_delta(rho, epsilon, 1.0L + expl(low));
}

bool accountant_zcdp_cap(dp_nano epsilon, dp_atto delta, uint64_t *cap_pico)
{
    if (epsilon == 0 || epsilon > epsilon_nano_max || delta == 0 || delta >= 1000000000000000000) {
        return false;
    }
    long double epsilon_value = (long double)epsilon * 1e-9L;
    long double log_target = logl((long double)delta * 1e-18L);
    uint64_t low = 0;
    uint64_t high = cap_pico_max;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        long double found = least_log_delta((long double)middle * 0.5e-12L, epsilon_value);
        if (found + margin * (1.0L + fabsl(found)) <= log_target) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *cap_pico = low;
    return low > 0 && high < cap_pico_max;
}
