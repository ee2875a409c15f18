/* Conversions between (epsilon, delta), pure epsilon and squared Gaussian-DP parameters. The result
 * is found by bisection over the ledger's own integers, and each candidate is judged with the error
 * bound of normal.h added against it: what is returned is on the safe side whatever the rounding
 * did. */
#include "mechanisms/calibrate.h"
#include "mechanisms/normal.h"

/* Squares of mu up to 10^4, epsilons up to 1000: beyond both, privacy has no meaning. */
static const uint64_t mu2_pico_max = 10000000000000000;
static const uint64_t epsilon_nano_max = 1000000000000;

/* Bound of the relative error of the expressions below: a few roundings beside normal.h's own, and
 * the argument's error times its size (mechanisms/proofs/calibrate.md). */
static const long double margin = 4.0L * DP_NORMAL_ERROR;

/* Largest k <= mu2_pico_max for which holds(k), which is true up to some point and false beyond. */
static uint64_t bisect(bool holds(uint64_t, long double, long double), long double a, long double b)
{
    uint64_t low = 0;
    uint64_t high = mu2_pico_max + 1;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (holds(middle, a, b)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Statements of a session ask for the same few values again and again, and a bisection takes as
 * long as the rest of planning. An entry is the result of the very same call: equal arguments,
 * equal result. Of the thread, so that it needs no lock. */
struct known {
    bool (*holds)(uint64_t, long double, long double);
    uint64_t a, b, result;
};
enum { KNOWN_MAX = 64 };
static _Thread_local struct known known[KNOWN_MAX];

/* bisect of a in 1e-9 and b in 1e-18. */
static uint64_t bisect_once(bool holds(uint64_t, long double, long double), uint64_t a, uint64_t b)
{
    uint64_t hash = (a * 0x9e3779b97f4a7c15 ^ b) * 0xbf58476d1ce4e5b9;
    struct known *entry = &known[(hash >> 32) % KNOWN_MAX];
    if (entry->holds != holds || entry->a != a || entry->b != b) {
        *entry = (struct known){holds, a, b,
                                bisect(holds, (long double)a / 1e9L, (long double)b / 1e18L)};
    }
    return entry->result;
}

/* An upper bound of delta for which mu-Gaussian DP implies (epsilon, delta)-DP is at most delta:
 * P(N > a) - e^epsilon P(N > b) with a, b = epsilon/mu -+ mu/2, and e^epsilon density(b) =
 * density(a). */
static bool within_delta(uint64_t mu2_pico, long double epsilon, long double delta)
{
    long double mu = dp_sqrt((long double)mu2_pico) * 1e-6L;
    long double a = epsilon / mu - 0.5L * mu;
    long double b = a + mu;
    if (a >= 100.0L) {
        return true; /* P(N > 100) is below 10^-2000 */
    }
    long double tail_a = dp_normal_tail(a);
    long double tail_b = dp_normal_density(a) * dp_normal_mills(b);
    return tail_a - tail_b + (tail_a + tail_b) * margin <= delta;
}

bool dp_mu2_cap(dp_nano epsilon, dp_atto delta, uint64_t *mu2_pico)
{
    if (epsilon == 0 || epsilon > epsilon_nano_max || delta == 0 || delta >= 1000000000000000000) {
        return false;
    }
    *mu2_pico = bisect_once(within_delta, epsilon, delta);
    return *mu2_pico > 0 && *mu2_pico < mu2_pico_max;
}

/* mu^2 is certainly too small for epsilon-DP: P(0 < N < mu/2) < tanh(epsilon/2) / 2, where the tail
 * of both sides is compared for large epsilon so that nothing cancels. */
static bool below_pure(uint64_t mu2_pico, long double epsilon, long double unused)
{
    (void)unused;
    long double half_mu = dp_sqrt((long double)mu2_pico) * 0.5e-6L;
    if (epsilon < 1.0L) {
        long double e = dp_expm1(epsilon);
        return dp_normal_central(half_mu) < 0.5L * e / (e + 2.0L) * (1.0L + margin);
    }
    return dp_normal_tail(half_mu) * (1.0L + margin) > 1.0L / (1.0L + dp_exp(epsilon));
}

bool dp_mu2_of_pure(dp_nano epsilon, uint64_t *mu2_pico)
{
    if (epsilon > epsilon_nano_max) {
        return false;
    }
    *mu2_pico = epsilon == 0 ? 0 : bisect_once(below_pure, epsilon, 0) + 1;
    return *mu2_pico <= mu2_pico_max;
}

bool dp_pure_of_mu2(uint64_t mu2_pico, dp_nano *epsilon)
{
    if (mu2_pico > mu2_pico_max) {
        mu2_pico = mu2_pico_max;
    }
    /* epsilon = log(Phi(mu/2) / Phi(-mu/2)), judged by the charge itself */
    long double half_mu = dp_sqrt((long double)mu2_pico) * 0.5e-6L;
    long double guess =
        dp_log1p(2.0L * dp_normal_central(half_mu) / dp_normal_tail(half_mu)) * 1e9L;
    dp_nano candidate =
        guess >= (long double)epsilon_nano_max ? epsilon_nano_max : (dp_nano)guess + 1;
    uint64_t charge;
    while (candidate > 0 && (!dp_mu2_of_pure(candidate, &charge) || charge > mu2_pico)) {
        candidate--;
    }
    *epsilon = candidate;
    return candidate > 0;
}
