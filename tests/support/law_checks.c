/* Do the draws follow their laws? N = 2 million draws for each parameter; chi-square over cells
 * with at least 20 expected finds a relative error of 0.5 % to 1 % in the probabilities with 90 %
 * certainty. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/sampler.h"
#include "tests/support/mechanism_checks.h"
#include "tests/support/statistics.h"
#include "tests/support/tape_rng.h"

enum { CELLS = 2001, CENTRE = 1000 };

static bool product_laplace(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_divisor divisor = dp_divisor_make(m);
    struct dp_base base;
    do {
        if (!dp_sample_base_laplace(rng, &base)) {
            return false;
        }
    } while (!dp_laplace_noise(&divisor, &base, noise));
    return true;
}

static bool product_gaussian(const struct dp_rng *rng, uint64_t m, int64_t *noise)
{
    struct dp_divisor divisor = dp_divisor_make(m);
    struct dp_base base;
    if (!dp_sample_base_gaussian(rng, &base)) {
        return false;
    }
    *noise = dp_gaussian_noise(&divisor, &base);
    return true;
}

const struct implementation product = {.laplace = product_laplace,
                                       .gaussian = product_gaussian,
                                       .calibrate_gaussian = dp_calibrate_gaussian,
                                       .calibrate_laplace = dp_calibrate_laplace,
                                       .key_threshold = dp_key_threshold,
                                       .keep = dp_keep,
                                       .quantiles = dp_draw_quantiles};

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && strcmp(value, "1") == 0;
}

static uint64_t stat_draws(const struct implementation *i)
{
    if (i->draws != 0) {
        return i->draws;
    }
    return is_set("STAT_LONG") || is_set("PGVEIL_TESTS_ALL") ? 20000000 : 2000000;
}

struct dp_rng stat_rng(struct tape *tape, uint32_t seed)
{
    if (is_set("STAT_ENTROPY")) {
        return dp_rng_system;
    }
    return tape_fast(tape, seed);
}

static uint64_t gaussian_m(double sigma)
{
    return (uint64_t)(0x1p50 / sigma) | 1;
}

static double laplace_probability(uint64_t m, double k)
{
    double q = exp(-(double)m / 0x1p50);
    return (1 - q) / (1 + q) * pow(q, fabs(k));
}

static double gaussian_probability(uint64_t m, double k)
{
    double s = (double)m / 0x1p50;
    double x = fabs(k);
    return normal_below(-(x - 0.5) * s) - normal_below(-(x + 0.5) * s);
}

typedef bool draw_function(const struct dp_rng *rng, uint64_t m, int64_t *noise);
typedef double probability_function(uint64_t m, double k);

struct counts {
    draw_function *draw;
    uint64_t m, n;
    double seen[CELLS];
};

/* Counts by value of n draws, what lies beyond the table in its outermost cells. The same draws
 * serve all checks that ask for the same law, m and n. NULL without memory or where a draw fails.
 */
static const struct counts *count_draws(draw_function *draw, uint64_t m, uint64_t n)
{
    enum { KEPT = 16 };
    static struct counts kept[KEPT];
    static size_t n_kept;
    for (size_t i = 0; i < n_kept; i++) {
        if (kept[i].draw == draw && kept[i].m == m && kept[i].n == n) {
            return &kept[i];
        }
    }
    if (n_kept == KEPT) {
        return NULL;
    }
    struct counts *counts = &kept[n_kept++];
    *counts = (struct counts){.draw = draw, .m = m, .n = n};
    struct tape tape;
    struct dp_rng rng = stat_rng(&tape, (uint32_t)(m >> 20) + (uint32_t)n_kept);
    for (uint64_t i = 0; i < n; i++) {
        int64_t noise;
        if (!draw(&rng, m, &noise)) {
            return NULL;
        }
        int64_t cell = noise < -CENTRE ? -CENTRE : noise > CENTRE ? CENTRE : noise;
        counts->seen[cell + CENTRE]++;
    }
    return counts;
}

static bool cells_fit(const struct counts *counts, probability_function *probability)
{
    static double expected[CELLS];
    if (counts == NULL) {
        return false;
    }
    double n = (double)counts->n;
    double inner = 0;
    for (int k = -CENTRE + 1; k < CENTRE; k++) {
        expected[k + CENTRE] = probability(counts->m, k) * n;
        inner += expected[k + CENTRE];
    }
    expected[0] = expected[CELLS - 1] = (n - inner) / 2;
    double p = chi_square_of_cells(counts->seen, expected, CELLS);
    printf("  m %lu: p = %.3g\n", (unsigned long)counts->m, p);
    return p >= ALPHA;
}

static bool laplace_cells(const struct implementation *i)
{
    static const double epsilons[] = {0.05, 0.5, 1, 3};
    bool fit = true;
    for (int e = 0; e < 4; e++) {
        uint64_t m = (uint64_t)(0x1p50 * epsilons[e]);
        fit = cells_fit(count_draws(i->laplace, m, stat_draws(i)), laplace_probability) && fit;
    }
    return fit;
}

static bool gaussian_cells(const struct implementation *i)
{
    static const double sigmas[] = {0.6, 1, 3, 20};
    bool fit = true;
    for (int s = 0; s < 4; s++) {
        uint64_t m = gaussian_m(sigmas[s]);
        fit = cells_fit(count_draws(i->gaussian, m, stat_draws(i)), gaussian_probability) && fit;
    }
    return fit;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov at sqrt(N) D > 2.69: 2 e^(-2 * 2.69^2) = 1e-6. m is the least allowed, so
 * that the noise is the base law itself up to 2^-31 of its scale. */
static bool gaussian_distribution_function(const struct implementation *i)
{
    const uint64_t m = ((uint64_t)1 << 19) + 1;
    uint64_t n = stat_draws(i) / 2;
    struct tape tape;
    struct dp_rng rng = stat_rng(&tape, 300);
    double *values = malloc(n * sizeof(*values));
    double distance = values == NULL ? INFINITY : 0;
    for (uint64_t k = 0; values != NULL && k < n; k++) {
        int64_t noise;
        if (!i->gaussian(&rng, m, &noise)) {
            free(values);
            return false;
        }
        values[k] = (double)noise * (double)m / 0x1p50;
    }
    if (values != NULL) {
        qsort(values, n, sizeof(*values), ascending);
        for (uint64_t k = 0; k < n; k++) {
            double f = normal_below(values[k]);
            distance = fmax(distance, fmax(fabs(f - (double)k / (double)n),
                                           fabs(f - (double)(k + 1) / (double)n)));
        }
    }
    free(values);
    printf("  sqrt(N) D = %.3g\n", sqrt((double)n) * distance);
    return sqrt((double)n) * distance <= 2.69;
}

/* Two-sided exact binomial test of how often |noise| > h, at half-widths as the program states
 * them. */
static bool tails_fit(const struct counts *counts, probability_function *probability,
                      enum dp_mechanism mechanism)
{
    static const double betas[] = {0.05, 0.001, 0.000001};
    if (counts == NULL) {
        return false;
    }
    const struct dp_calibration calibration = {.mechanism = mechanism, .m = counts->m};
    for (int b = 0; b < 3; b++) {
        int h = (int)dp_calibration_halfwidth(&calibration, betas[b]);
        double inside = 0;
        uint64_t outside = 0;
        for (int k = -CENTRE; k <= CENTRE; k++) {
            inside += k >= -h && k <= h ? probability(counts->m, k) : 0;
            outside += k >= -h && k <= h ? 0 : (uint64_t)counts->seen[k + CENTRE];
        }
        double p = 1 - inside;
        if (p > betas[b] * (1 + 1e-6) || binomial_at_least(outside, counts->n, p) < ALPHA / 6 ||
            binomial_at_most(outside, counts->n, p) < ALPHA / 6) {
            printf("  m %lu, beta %g: %lu beyond %d where %g are expected\n",
                   (unsigned long)counts->m, betas[b], (unsigned long)outside, h,
                   p * (double)counts->n);
            return false;
        }
    }
    return true;
}

static bool tail_counts(const struct implementation *i)
{
    uint64_t n = stat_draws(i);
    uint64_t laplace_m = (uint64_t)(0x1p50 * 0.05);
    bool fit = tails_fit(count_draws(i->laplace, laplace_m, n), laplace_probability, DP_LAPLACE);
    fit =
        tails_fit(count_draws(i->gaussian, gaussian_m(1), n), gaussian_probability, DP_GAUSSIAN) &&
        fit;
    return tails_fit(count_draws(i->gaussian, gaussian_m(20), n), gaussian_probability,
                     DP_GAUSSIAN) &&
           fit;
}

/* Mean, variance and fourth moment within five standard deviations (5.7e-7, two-sided). */
static bool moments_fit(const struct counts *counts, probability_function *probability)
{
    double exact[9] = {0};
    double found[5] = {0};
    if (counts == NULL) {
        return false;
    }
    for (int k = -CENTRE; k <= CENTRE; k++) {
        for (int power = 1; power <= 8; power++) {
            double value = pow(k, power);
            exact[power] += probability(counts->m, k) * value;
            found[power < 5 ? power : 0] += counts->seen[k + CENTRE] * value;
        }
    }
    double n = (double)counts->n;
    double mean = found[1] / n / sqrt(exact[2] / n);
    double second = (found[2] / n - exact[2]) / sqrt((exact[4] - exact[2] * exact[2]) / n);
    double fourth = (found[4] / n - exact[4]) / sqrt((exact[8] - exact[4] * exact[4]) / n);
    printf("  m %lu: z of mean %.2f, variance %.2f, fourth moment %.2f\n", (unsigned long)counts->m,
           mean, second, fourth);
    return fabs(mean) < 5 && fabs(second) < 5 && fabs(fourth) < 5;
}

static bool moments(const struct implementation *i)
{
    uint64_t n = stat_draws(i);
    bool fit =
        moments_fit(count_draws(i->laplace, (uint64_t)(0x1p50 * 0.05), n), laplace_probability);
    fit = moments_fit(count_draws(i->gaussian, gaussian_m(0.6), n), gaussian_probability) && fit;
    return moments_fit(count_draws(i->gaussian, gaussian_m(20), n), gaussian_probability) && fit;
}

/* The lowest bits of wide noise are uniform, and the sign says nothing of the magnitude. */
static bool low_bits_and_sign(const struct implementation *i)
{
    static const uint64_t m[2] = {((uint64_t)1 << 19) + 1, (uint64_t)1 << 19};
    draw_function *draws[2] = {i->gaussian, i->laplace};
    uint64_t n = stat_draws(i) / 2;
    for (uint32_t law = 0; law < 2; law++) {
        struct tape tape;
        struct dp_rng rng = stat_rng(&tape, 600 + law);
        double bits[512] = {0};
        double expected[512];
        for (uint64_t k = 0; k < n; k++) {
            int64_t noise;
            if (!draws[law](&rng, m[law], &noise)) {
                return false;
            }
            uint64_t magnitude = (uint64_t)(noise < 0 ? -noise : noise);
            bits[(magnitude & 255) * 2 + (noise < 0)]++;
        }
        for (int k = 0; k < 512; k++) {
            expected[k] = (double)n / 512;
        }
        double p = chi_square_of_cells(bits, expected, 512);
        printf("  law %u: p = %.3g\n", law, p);
        if (p < ALPHA) {
            return false;
        }
    }
    return true;
}

const struct check law_checks[] = {
    {"laplace_cells", laplace_cells},
    {"gaussian_cells", gaussian_cells},
    {"gaussian_distribution_function", gaussian_distribution_function},
    {"tail_counts", tail_counts},
    {"moments", moments},
    {"low_bits_and_sign", low_bits_and_sign},
    {NULL, NULL},
};
