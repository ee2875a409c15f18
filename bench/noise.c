/*
 * What noise costs: nanoseconds per value on the answer's path (one sample, one division) and off
 * it (drawing the samples), beside the generator's own cost; what quantiles take; and the variance
 * that comes out, beside the theoretical one. Processor time, the best of several rounds, one
 * thread.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/noise.h"
#include "mechanisms/sampler.h"

enum { ROUNDS = 7, VALUES = 60000, DRAWS = 200000, WORDS = 4000000, MOMENT_DRAWS = 1000000 };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void give_up(const char *what)
{
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static double word_ns(void)
{
    double best = INFINITY;
    uint64_t sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        for (int i = 0; i < WORDS; i++) {
            uint64_t word;
            if (!dp_rng_system.next64(dp_rng_system.state, &word)) {
                give_up("the generator");
            }
            sum ^= word;
        }
        best = fmin(best, (now_ns() - begin) / WORDS);
    }
    if (sum == 0) {
        give_up("the generator"); /* keeps the loop from being left out */
    }
    return best;
}

typedef bool base_law(const struct dp_rng *rng, struct dp_base *out);

static double draw_ns(base_law *law)
{
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        for (int i = 0; i < DRAWS; i++) {
            struct dp_base base;
            if (!law(&dp_rng_system, &base)) {
                give_up("a draw");
            }
        }
        best = fmin(best, (now_ns() - begin) / DRAWS);
    }
    return best;
}

static void fill(struct dp_noise *noise)
{
    while (dp_noise_wants_refill(noise)) {
        if (!dp_noise_refill(noise)) {
            give_up("the refill");
        }
    }
}

static double add_ns(struct dp_noise *noise, const struct dp_calibration *calibration)
{
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        fill(noise);
        __int128 noisy = 0;
        double begin = now_ns();
        for (int i = 0; i < VALUES / 2; i++) {
            if (!dp_noise_add(noise, calibration, noisy, &noisy)) {
                give_up("the noise");
            }
        }
        best = fmin(best, (now_ns() - begin) / (VALUES / 2));
    }
    return best;
}

/* Microseconds for n quantiles of a million people over 4,096 bins: spread evenly, or most of them
 * in one bin. */
static double quantiles_us(struct dp_noise *noise, size_t n, bool atom)
{
    enum { BINS = 4096, PEOPLE = 1000000, N_MAX = 99 };
    static uint64_t weights[BINS];
    struct dp_rank ranks[N_MAX];
    struct dp_quantile_plan plan;
    double best = INFINITY;
    for (size_t i = 0; i < BINS; i++) {
        weights[i] = PEOPLE / BINS;
    }
    weights[BINS / 3] = atom ? 2 * PEOPLE : weights[BINS / 3];
    for (size_t i = 0; i < n; i++) {
        ranks[i] = (struct dp_rank){(uint32_t)i + 1, (uint32_t)n + 1, 0};
    }
    if (!dp_plan_quantiles(n, 1, 1, 10000000000, &plan)) { /* mu = 0.1 */
        give_up("a plan");
    }
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t bins[N_MAX];
        double begin = now_ns();
        if (!dp_noise_quantiles(noise, &plan, weights, BINS, ranks, bins)) {
            give_up("a quantile");
        }
        best = fmin(best, (now_ns() - begin) / 1e3);
    }
    return best;
}

/* Measured variance over the theoretical one, with the standard deviation that chance allows it. */
static void print_variance(struct dp_noise *noise, const char *name,
                           struct dp_calibration calibration)
{
    double sum = 0;
    double fourth = 0;
    for (int i = 0; i < MOMENT_DRAWS; i++) {
        __int128 noisy;
        if (!dp_noise_add(noise, &calibration, 0, &noisy)) {
            give_up("the noise");
        }
        double square = (double)noisy * (double)noisy;
        sum += square;
        fourth += square * square;
    }
    double stddev = dp_calibration_stddev(&calibration);
    double variance = sum / MOMENT_DRAWS;
    double chance = sqrt((fourth / MOMENT_DRAWS - variance * variance) / MOMENT_DRAWS);
    printf("%-28s %14.6g %14.6g %9.4f +- %.4f\n", name, variance, stddev * stddev,
           variance / (stddev * stddev), chance / (stddev * stddev));
}

int main(void)
{
    double begin = now_ns();
    struct dp_noise *noise = dp_noise_new();
    if (noise == NULL) {
        give_up("the pool");
    }
    double start_ms = (now_ns() - begin) / 1e6;
    const struct dp_calibration gaussian = {.mechanism = DP_GAUSSIAN, .m = 112589990684261};
    const struct dp_calibration laplace = {.mechanism = DP_LAPLACE, .m = 112589990684262};

    double word = word_ns();
    double base_laplace = draw_ns(dp_sample_base_laplace);
    double base_gaussian = draw_ns(dp_sample_base_gaussian);
    printf("start with self tests and a first fill: %.1f ms\n\n", start_ms);
    printf("%-28s %10s %26s\n", "", "ns/value", "of the generator's words");
    printf("%-28s %10.1f\n", "generator, one word", word);
    printf("%-28s %10.1f %25.0f%%\n", "off the path: Laplace", base_laplace,
           100 * 7.0185 * word / base_laplace);
    printf("%-28s %10.1f %25.0f%%\n", "off the path: Gaussian", base_gaussian,
           100 * 11.05 * word / base_gaussian);
    printf("%-28s %10.1f\n", "on the path: Laplace", add_ns(noise, &laplace));
    printf("%-28s %10.1f\n\n", "on the path: Gaussian", add_ns(noise, &gaussian));

    printf("%-28s %10s %14s\n", "4,096 bins, us", "even", "most in one");
    printf("%-28s %10.0f %14.0f\n", "one median", quantiles_us(noise, 1, false),
           quantiles_us(noise, 1, true));
    printf("%-28s %10.0f %14.0f\n\n", "99 percentiles", quantiles_us(noise, 99, false),
           quantiles_us(noise, 99, true));

    printf("%-28s %14s %14s %9s\n", "variance", "measured", "theoretical", "ratio");
    print_variance(noise, "Laplace, epsilon 0.1", laplace);
    print_variance(noise, "Laplace, epsilon 2",
                   (struct dp_calibration){.mechanism = DP_LAPLACE, .m = (uint64_t)1 << 51});
    print_variance(noise, "Gaussian, sigma 10", gaussian);
    print_variance(noise, "Gaussian, sigma 1/2",
                   (struct dp_calibration){.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 51) + 1});
    print_variance(noise, "Gaussian, sigma 2^30",
                   (struct dp_calibration){.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 20) + 1});
    dp_noise_free(noise);
    return 0;
}
