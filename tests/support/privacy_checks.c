/* Does what is released cost no more than what is charged? Exactly, by summing the laws on small
 * domains, and from outside, by looking at outputs alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/sampler.h"
#include "tests/support/mechanism_checks.h"
#include "tests/support/statistics.h"
#include "tests/support/tape_rng.h"

static const struct dp_grid unit_grid = {.scale10 = 0, .exp2 = 0};

/* Law of the noise, from the definition. */
static long double noise_probability(const struct dp_calibration *c, int64_t k)
{
    long double s = (long double)c->m / 0x1p50L;
    long double x = (long double)(k < 0 ? -k : k);
    if (c->mechanism == DP_LAPLACE) {
        return expl(-s * x) * -expm1l(-s) / (1 + expl(-s));
    }
    return (erfcl((x - 0.5L) * s / sqrtl(2)) - erfcl((x + 0.5L) * s / sqrtl(2))) / 2;
}

/* P(noise >= k) for k >= 1. */
static long double noise_tail(const struct dp_calibration *c, int64_t k)
{
    long double s = (long double)c->m / 0x1p50L;
    if (c->mechanism == DP_LAPLACE) {
        return expl(-s * (long double)k) / (1 + expl(-s));
    }
    return erfcl(((long double)k - 0.5L) * s / sqrtl(2)) / 2;
}

static long double gaussian_delta(long double mu, long double epsilon)
{
    return (erfcl((epsilon / mu - mu / 2) / sqrtl(2)) -
            expl(epsilon) * erfcl((epsilon / mu + mu / 2) / sqrtl(2))) /
           2;
}

/* The integers mean what the request meant: sensitivity covered, m odd, as large as it may be. */
static bool calibration_is_exact(const struct implementation *i)
{
    static const char *const deltas[] = {"1", "3", "0.5", "1000.25", "123456789"};
    static const uint64_t budgets[] = {1000000, 50000000, 10000000000, 419549658558};
    for (int d = 0; d < 5; d++) {
        for (int b = 0; b < 4; b++) {
            for (uint64_t groups = 1; groups < 10; groups += 4) {
                struct dp_decimal delta;
                struct dp_calibration c;
                if (!dp_decimal_parse(deltas[d], strlen(deltas[d]), &delta) ||
                    !i->calibrate_gaussian(&delta, &unit_grid, groups, budgets[b], &c)) {
                    return false;
                }
                long double grid = ldexpl(1, c.grid.exp2);
                long double spent = (long double)groups *
                                    powl((long double)c.delta_grid * (long double)c.m / 0x1p50L, 2);
                long double more =
                    (long double)groups *
                    powl((long double)c.delta_grid * (long double)(c.m + 2) / 0x1p50L, 2);
                long double request = (long double)budgets[b] * 1e-12L;
                bool exact = c.m % 2 == 1 &&
                             (long double)c.delta_grid * grid >= strtold(deltas[d], NULL) &&
                             spent <= request * (1 + 1e-17L) && more > request * (1 - 1e-17L) &&
                             (long double)c.charge.mu2_pico >= spent * 1e12L * (1 - 1e-17L);
                if (!exact) {
                    printf("  delta %s, mu^2 %lu, groups %lu: m %lu\n", deltas[d],
                           (unsigned long)budgets[b], (unsigned long)groups, (unsigned long)c.m);
                    return false;
                }
            }
        }
    }
    return true;
}

/* Sum over all outputs of max(0, P(k) - e^epsilon P(k - delta)): what one unit can show. */
static long double hockey_stick(const struct dp_calibration *c, int64_t delta, long double epsilon)
{
    long double sum = 0;
    long double factor = expl(epsilon);
    int64_t reach = (int64_t)(60 * 0x1p50L / (long double)c->m) + 50 + delta;
    for (int64_t k = -reach; k <= reach; k++) {
        long double excess = noise_probability(c, k) - factor * noise_probability(c, k - delta);
        sum += excess > 0 ? excess : 0;
    }
    return sum;
}

/* All (epsilon, delta) on a small domain, summed exactly: the rounded Gaussian shows no more than
 * the mu that is charged, the discrete Laplace never more than its epsilon. */
static bool noise_hides_one_unit(const struct implementation *i)
{
    for (int64_t delta = 1; delta <= 5; delta += 2) {
        struct dp_decimal sensitivity = dp_decimal_from_int(delta);
        for (uint64_t budget = 1000000000; budget < 5000000000000; budget *= 13) {
            struct dp_calibration g, l;
            dp_nano epsilon_nano = budget / 1000;
            if (!i->calibrate_gaussian(&sensitivity, &unit_grid, 1, budget, &g) ||
                !i->calibrate_laplace(&sensitivity, &unit_grid, 1, epsilon_nano, &l)) {
                return false;
            }
            long double mu = sqrtl((long double)g.charge.mu2_pico) * 1e-6L;
            for (long double epsilon = 0; epsilon < 6; epsilon = epsilon * 2 + 0.01L) {
                if (hockey_stick(&g, delta, epsilon) > gaussian_delta(mu, epsilon) + 1e-16L) {
                    printf("  mu %Lg, epsilon %Lg, sensitivity %ld\n", mu, epsilon, (long)delta);
                    return false;
                }
            }
            long double charged = (long double)l.charge.epsilon * 1e-9L;
            if (hockey_stick(&l, delta, charged * (1 + 1e-15L)) > 1e-17L ||
                charged > (long double)epsilon_nano * 1e-9L) {
                printf("  epsilon %Lg, sensitivity %ld\n", charged, (long)delta);
                return false;
            }
        }
    }
    return true;
}

/* A thresholded count (nothing below the threshold) of n and n + 1 units: all epsilons, summed. A
 * group of no units is not there at all. */
static long double thresholded_delta(const struct dp_calibration *c, int64_t threshold, int64_t n,
                                     bool arriving, long double epsilon)
{
    int64_t a = arriving ? n + 1 : n; /* the database whose excess is summed */
    int64_t b = arriving ? n : n + 1;
    long double hidden_a = a == 0 ? 1 : 1 - noise_tail(c, threshold - a);
    long double hidden_b = b == 0 ? 1 : 1 - noise_tail(c, threshold - b);
    long double factor = expl(epsilon);
    long double sum = fmaxl(0, hidden_a - factor * hidden_b);
    int64_t reach = threshold + (int64_t)(60 * 0x1p50L / (long double)c->m) + 50;
    for (int64_t y = threshold; y <= reach; y++) {
        long double p = a == 0 ? 0 : noise_probability(c, y - a);
        long double q = b == 0 ? 0 : noise_probability(c, y - b);
        sum += fmaxl(0, p - factor * q);
    }
    return sum;
}

static bool threshold_hides_a_single_unit(const struct implementation *i)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    static const dp_atto deltas[] = {100000000, 1000000000000, 100000000000000};
    for (int d = 0; d < 3; d++) {
        for (uint64_t groups = 1; groups < 9; groups *= 4) {
            struct dp_calibration c;
            int64_t t;
            if (!i->calibrate_gaussian(&one, &unit_grid, groups, 200000000000, &c) ||
                !i->key_threshold(&c, deltas[d], 1, &t)) {
                return false;
            }
            long double delta = (long double)deltas[d] * 1e-18L;
            long double each = -expm1l(log1pl(-delta) / (long double)groups);
            long double mu = (long double)c.m / 0x1p50L;
            if (noise_tail(&c, t - 1) > each) {
                printf("  one unit shows with %Lg > %Lg\n", noise_tail(&c, t - 1), each);
                return false;
            }
            for (int64_t n = 0; n < 2 * t; n += n < 3 ? 1 : 5) {
                for (long double epsilon = 0; epsilon < 4; epsilon = epsilon * 2 + 0.05L) {
                    long double limit = gaussian_delta(mu, epsilon) + each + 1e-16L;
                    if (n + 1 < t && (thresholded_delta(&c, t, n, true, epsilon) > limit ||
                                      thresholded_delta(&c, t, n, false, epsilon) > limit)) {
                        printf("  n %ld, epsilon %Lg\n", (long)n, epsilon);
                        return false;
                    }
                }
            }
        }
    }
    return true;
}

enum { AUDIT_RUNS = 100000 };

/* How often a release of the exact total exceeds the limit. */
static uint64_t exceeds(bool draw(const struct dp_rng *, uint64_t, int64_t *), uint64_t m,
                        int64_t total, int64_t limit, uint32_t seed)
{
    struct tape tape;
    struct dp_rng rng = stat_rng(&tape, seed);
    uint64_t count = 0;
    for (int run = 0; run < AUDIT_RUNS; run++) {
        int64_t noise;
        if (!draw(&rng, m, &noise)) {
            return 0;
        }
        count += total + noise > limit;
    }
    return count;
}

/* Neighbouring totals 0 and 4, 10^5 runs each: from outputs alone, a bound of mu that is too high
 * with a probability below ALPHA (Clopper and Pearson) must not exceed what is charged, and must
 * come near. */
static bool audit_gaussian(const struct implementation *i)
{
    struct dp_decimal delta = dp_decimal_from_int(4);
    struct dp_calibration c;
    if (!i->calibrate_gaussian(&delta, &unit_grid, 1, 1000000000000, &c)) {
        return false;
    }
    uint64_t without = exceeds(i->gaussian, c.m, 0, 2, 700);
    uint64_t with = exceeds(i->gaussian, c.m, 4, 2, 701);
    double mu = normal_quantile(binomial_lower(with, AUDIT_RUNS, ALPHA / 2)) -
                normal_quantile(binomial_upper(without, AUDIT_RUNS, ALPHA / 2));
    double charged = sqrt((double)c.charge.mu2_pico) * 1e-6;
    printf("  mu is above %.4f, charged %.4f\n", mu, charged);
    return mu <= charged && mu > 0.9 * charged;
}

static bool audit_laplace(const struct implementation *i)
{
    struct dp_decimal delta = dp_decimal_from_int(4);
    struct dp_calibration c;
    if (!i->calibrate_laplace(&delta, &unit_grid, 1, 1000000000, &c)) {
        return false;
    }
    uint64_t without = exceeds(i->laplace, c.m, 0, 3, 702);
    uint64_t with = exceeds(i->laplace, c.m, 4, 3, 703);
    double epsilon = log(binomial_lower(with, AUDIT_RUNS, ALPHA / 2) /
                         binomial_upper(without, AUDIT_RUNS, ALPHA / 2));
    double charged = (double)c.charge.epsilon * 1e-9;
    printf("  epsilon is above %.4f, charged %.4f\n", epsilon, charged);
    return epsilon <= charged && epsilon > 0.9 * charged;
}

/* The zero is no likelier than the law says: the event {0} tells neighbours apart by e^epsilon
 * only. */
static bool audit_zero(const struct implementation *i)
{
    const uint64_t m = (uint64_t)1 << 50; /* epsilon 1 a unit */
    uint64_t at[2];
    for (uint32_t total = 0; total < 2; total++) {
        struct tape tape;
        struct dp_rng rng = stat_rng(&tape, 704 + total);
        at[total] = 0;
        for (int run = 0; run < AUDIT_RUNS; run++) {
            int64_t noise;
            if (!i->laplace(&rng, m, &noise)) {
                return false;
            }
            at[total] += (int64_t)total + noise == 0;
        }
    }
    double epsilon = log(binomial_lower(at[0], AUDIT_RUNS, ALPHA / 2) /
                         binomial_upper(at[1], AUDIT_RUNS, ALPHA / 2));
    printf("  epsilon is above %.4f, charged 1\n", epsilon);
    return epsilon <= 1 && epsilon > 0.9;
}

/* A group of one unit, against none: how often it is published must not show to be above delta. */
static bool audit_keys(const struct implementation *i)
{
    struct dp_keep_table table;
    struct tape tape;
    struct dp_rng rng = stat_rng(&tape, 706);
    uint64_t kept = 0;
    if (!dp_keep_table_pure(1000000000, 10000000000000000, 1, 1, &table)) {
        return false;
    }
    for (int run = 0; run < AUDIT_RUNS; run++) {
        bool yes;
        if (!i->keep(&rng, &table, 1, &yes)) {
            kept = AUDIT_RUNS;
            break;
        }
        kept += yes;
    }
    dp_keep_table_clear(&table);
    double probability = binomial_lower(kept, AUDIT_RUNS, ALPHA);
    printf("  delta is above %.5f, charged 0.01\n", probability);
    return probability <= 0.01 && probability > 0.008;
}

/* Two histograms that differ by one unit near the end, which draws the median away from the last
 * bin: by e^1.69 of the e^2 that are paid for. */
static bool audit_quantile(const struct implementation *i)
{
    const uint64_t histograms[2][8] = {{1, 0, 0, 0, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0, 1, 0}};
    const struct dp_rank median = {.numerator = 1, .denominator = 2};
    struct dp_quantile_plan plan;
    uint64_t last[2] = {0};
    if (!dp_plan_quantiles_pure(1, 1, 1, 2000000000, &plan)) {
        return false;
    }
    for (uint32_t h = 0; h < 2; h++) {
        struct tape tape;
        struct dp_rng rng = stat_rng(&tape, 707 + h);
        for (int run = 0; run < AUDIT_RUNS; run++) {
            uint32_t bin;
            if (!i->quantiles(&rng, &plan, histograms[h], 8, &median, &bin)) {
                return false;
            }
            last[h] += bin == 7;
        }
    }
    double epsilon = log(binomial_lower(last[0], AUDIT_RUNS, ALPHA / 2) /
                         binomial_upper(last[1], AUDIT_RUNS, ALPHA / 2));
    double charged = (double)plan.charge.epsilon * 1e-9;
    printf("  epsilon is above %.4f, charged %.4f\n", epsilon, charged);
    return epsilon <= charged && epsilon > 0.75 * charged;
}

const struct check privacy_checks[] = {
    {"calibration_is_exact", calibration_is_exact},
    {"noise_hides_one_unit", noise_hides_one_unit},
    {"threshold_hides_a_single_unit", threshold_hides_a_single_unit},
    {"audit_gaussian", audit_gaussian},
    {"audit_laplace", audit_laplace},
    {"audit_zero", audit_zero},
    {"audit_keys", audit_keys},
    {"audit_quantile", audit_quantile},
    {NULL, NULL},
};
