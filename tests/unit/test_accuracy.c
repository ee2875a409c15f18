#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/sampler.h"
#include "tests/support/tape_rng.h"

static const struct dp_grid units = {.scale10 = 0, .exp2 = 0};

static struct dp_decimal decimal(const char *text)
{
    struct dp_decimal value;
    cr_assert(dp_decimal_parse(text, strlen(text), &value), "%s", text);
    return value;
}

Test(accuracy, the_known_half_width_costs_the_known_charge)
{
    struct dp_decimal one = decimal("1");
    struct dp_decimal ten = decimal("10");
    struct dp_calibration c;
    cr_assert(dp_calibrate_gaussian_within(&one, &units, 1, &ten, 0.05, &c));
    cr_expect_float_eq(0x1p50 / (double)c.m, 5.357, 0.0005);
    cr_expect_eq((c.charge.mu2_pico + 50000) / 100000, 348432);
    cr_assert(dp_calibrate_laplace_within(&one, &units, 1, &ten, 0.05, &c));
    cr_expect_eq((c.charge.epsilon + 500) / 1000, 284349);
    cr_expect(c.charge.pure);
}

typedef bool within(const struct dp_decimal *delta, const struct dp_grid *natural, uint64_t groups,
                    const struct dp_decimal *halfwidth, double beta, struct dp_calibration *out);

static void check_smallest(within *calibrate, const char *delta_text, const struct dp_grid *natural,
                           const char *width_text, double beta)
{
    struct dp_decimal delta = decimal(delta_text);
    struct dp_decimal width = decimal(width_text);
    struct dp_calibration c;
    cr_assert(calibrate(&delta, natural, 3, &width, beta, &c), "%s %s", delta_text, width_text);
    double limit = floor(strtod(width_text, NULL) / dp_grid_unit(&c.grid) * (1 + 1e-15));
    cr_expect(dp_calibration_halfwidth(&c, beta) <= limit, "%s %s", delta_text, width_text);
    cr_expect(c.mechanism == DP_LAPLACE || c.m % 2 == 1, "an even divisor has ties");
    c.m -= 2;
    cr_expect(dp_calibration_halfwidth(&c, beta) > limit, "%s %s: not the cheapest", delta_text,
              width_text);
}

Test(accuracy, the_charge_found_is_the_smallest_that_does)
{
    static const char *const deltas[] = {"1", "0.05", "1200"};
    static const char *const widths[] = {"1", "17", "4000", "1000000", "123456789.5"};
    static const double betas[] = {0.5, 0.05, 0.001, 1e-9};
    const struct dp_grid cents = {.scale10 = 2, .exp2 = 0};
    for (size_t d = 0; d < 3; d++) {
        for (size_t w = 0; w < 5; w++) {
            for (size_t b = 0; b < 4; b++) {
                if (strtod(widths[w], NULL) / strtod(deltas[d], NULL) > 1e6 || (d == 2 && w < 2)) {
                    continue; /* less than a pico mu^2, or more than any budget */
                }
                check_smallest(dp_calibrate_gaussian_within, deltas[d], &cents, widths[w],
                               betas[b]);
                check_smallest(dp_calibrate_gaussian_within, deltas[d], NULL, widths[w], betas[b]);
                check_smallest(dp_calibrate_laplace_within, deltas[d], &cents, widths[w], betas[b]);
                check_smallest(dp_calibrate_laplace_within, deltas[d], NULL, widths[w], betas[b]);
            }
        }
    }
}

Test(accuracy, impossible_wishes_are_refused)
{
    struct dp_decimal one = decimal("1");
    struct dp_decimal zero = decimal("0");
    struct dp_decimal tiny = decimal("1e-9");
    struct dp_calibration c;
    cr_expect_not(dp_calibrate_gaussian_within(&one, &units, 1, &zero, 0.05, &c));
    cr_expect_not(dp_calibrate_gaussian_within(&zero, &units, 1, &one, 0.05, &c));
    struct dp_decimal many = decimal("1e6");
    cr_expect_not(dp_calibrate_laplace_within(&many, &units, 1, &one, 0.05, &c), "epsilon 1e6");
    cr_assert(dp_calibrate_gaussian_within(&one, &units, 1, &tiny, 0.05, &c));
    cr_expect(dp_calibration_halfwidth(&c, 0.05) == 0, "an integer within 1e-9 is exact");
    cr_expect_not(dp_calibrate_gaussian_within(&one, &units, 1, &one, 0.0, &c));
    cr_expect_not(dp_calibrate_gaussian_within(&one, &units, 1, &one, 1.0, &c));
    cr_expect_not(dp_calibrate_laplace_within(&one, &units, 0, &one, 0.05, &c));
}

/* Standard deviation of the noise, summed from its law. */
static double summed_stddev(const struct dp_calibration *c)
{
    long double ratio = (long double)c->m / 0x1p50L;
    long double variance = 0;
    for (int k = 1; k < 4000; k++) {
        long double p;
        if (c->mechanism == DP_LAPLACE) {
            long double q = expl(-ratio);
            p = (1 - q) / (1 + q) * powl(q, k);
        } else {
            p = (erfcl((k - 0.5L) * ratio / sqrtl(2)) - erfcl((k + 0.5L) * ratio / sqrtl(2))) / 2;
        }
        variance += 2 * p * k * k;
    }
    return (double)sqrtl(variance);
}

Test(accuracy, standard_deviations_are_those_of_the_laws)
{
    for (uint64_t m = (uint64_t)1 << 44; m < (uint64_t)1 << 54; m += m / 3) {
        struct dp_calibration c = {.mechanism = DP_GAUSSIAN, .m = m | 1};
        double expected = summed_stddev(&c);
        cr_expect_float_eq(dp_calibration_stddev(&c) / expected, 1.0, 1e-12, "m %lu",
                           (unsigned long)m);
        c.mechanism = DP_LAPLACE;
        expected = summed_stddev(&c);
        cr_expect_float_eq(dp_calibration_stddev(&c) / expected, 1.0, 1e-12, "m %lu",
                           (unsigned long)m);
    }
    struct dp_calibration one = {.mechanism = DP_GAUSSIAN, .m = 1125899906842623};
    double stddev = dp_calibration_stddev(&one);
    cr_expect_float_eq(stddev * stddev, 1.0833333223611198, 1e-14);
}

Test(accuracy, simultaneous_intervals_hold_together)
{
    cr_expect_float_eq(dp_simultaneous_beta(0.05, 1), 0.05, 1e-15);
    cr_expect_float_eq(pow(1 - dp_simultaneous_beta(0.05, 40), 40), 0.95, 1e-13);
    cr_expect_float_eq(pow(1 - dp_simultaneous_beta(0.9, 3), 3), 0.1, 1e-13);
    cr_expect_float_eq(dp_two_sided_z(0.05), 1.959963984540054, 1e-14);
    cr_expect_float_eq(dp_grid_unit(&(struct dp_grid){2, -3}), 0.00125, 1e-18);
}

/* Means of n values in [0, 100] around 63 under noise as in an AVG release; 4,000 runs. */
static double coverage(double n, double mu, uint32_t seed, double *unbounded)
{
    enum { RUNS = 4000 };
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, seed);
    double count_sigma = sqrt(3.0) / mu;
    double sum_sigma = 50 * sqrt(1.5) / mu;
    double hits = 0;
    *unbounded = 0;
    for (int i = 0; i < RUNS; i++) {
        struct dp_base z[2];
        for (int j = 0; j < 2; j++) {
            cr_assert(dp_sample_base_gaussian(&rng, &z[j]));
        }
        double count = n + count_sigma * (z[0].negative ? -1 : 1) * (double)z[0].magnitude / 0x1p50;
        double sum =
            n * 13 + sum_sigma * (z[1].negative ? -1 : 1) * (double)z[1].magnitude / 0x1p50;
        struct dp_interval interval =
            dp_fieller(sum, sum_sigma * sum_sigma, count, count_sigma * count_sigma, 0.05, 0, 100);
        hits += interval.low <= 63 && 63 <= interval.high;
        *unbounded += interval.low == 0 && interval.high == 100;
    }
    return hits / RUNS;
}

Test(accuracy, fiellers_interval_holds_as_often_as_stated)
{
    static const double counts[] = {50, 100, 500, 2000};
    for (uint32_t i = 0; i < 4; i++) {
        double unbounded;
        double hits = coverage(counts[i], 0.2, i, &unbounded);
        /* five standard deviations of 4,000 runs are 1.7 % */
        cr_expect(hits > 0.933 && hits < 0.967, "n = %g: %g", counts[i], hits);
        cr_expect(counts[i] < 100 || unbounded == 0);
    }
    double unbounded;
    double hits = coverage(5, 0.2, 9, &unbounded);
    cr_expect(hits > 0.933 && unbounded > 0.5, "few rows: the whole range (%g, %g)", hits,
              unbounded);
}

Test(accuracy, intervals_stay_within_the_bounds)
{
    struct dp_interval i = dp_fieller(5000, 1, 10, 0.01, 0.05, 0, 100);
    cr_expect(i.low == 100 && i.high == 100, "%g %g", i.low, i.high);
    i = dp_fieller(-50, 1, -3, 0.01, 0.05, 0, 100);
    cr_expect(i.low == 0 && i.high == 100);
}

Test(accuracy, two_measurements_combine_by_inverse_variance)
{
    double variance;
    double value = dp_combine(10, 4, 20, 1, &variance);
    cr_expect_float_eq(value, 18, 1e-12);
    cr_expect_float_eq(variance, 0.8, 1e-12);
}
