#include <criterion/criterion.h>
#include <math.h>

#include "mechanisms/bounds.h"
#include "mechanisms/sampler.h"
#include "tests/support/tape_rng.h"

Test(bounds, the_clamp_is_one_exact_decimal)
{
    static const struct {
        int j, exponent;
        const char *text;
    } cases[] = {{0, 0, "1"},     {1, 0, "1.189207"},   {2, 0, "1.414214"},
                 {40, 0, "1024"}, {6, 0, "2.828428"},   {160, 0, "1099511627776"},
                 {4, -3, "0.25"}, {3, -1, "0.8408965"}, {0, 10, "1024"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dp_decimal value;
        char text[DP_DECIMAL_TEXT_MAX];
        cr_assert(dp_bound_clamp(cases[i].j, cases[i].exponent, &value));
        dp_decimal_print(&value, text);
        cr_expect_str_eq(text, cases[i].text, "%s", text);
    }
    struct dp_decimal value;
    cr_expect_not(dp_bound_clamp(160, 200, &value));
}

Test(bounds, shares_add_up)
{
    uint64_t histogram;
    uint64_t sum;
    dp_bound_shares(1000000003, &histogram, &sum);
    cr_expect(histogram == 200000000 && sum == 800000003);
}

Test(bounds, noise_alone_chooses_no_bound)
{
    /* 500 histograms of pure noise at a threshold of 1e-9 in all */
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 1);
    for (int run = 0; run < 500; run++) {
        double noisy[DP_BOUND_BINS];
        for (int i = 0; i < DP_BOUND_BINS; i++) {
            struct dp_base z;
            cr_assert(dp_sample_base_gaussian(&rng, &z));
            noisy[i] = 20 * (z.negative ? -1 : 1) * (double)z.magnitude / 0x1p50;
        }
        cr_expect_eq(dp_choose_bound(noisy, 20, 0.1), -1);
    }
}

Test(bounds, the_last_bin_that_stands_out_limits_the_clamp_and_is_extended_once_it_may_be_more)
{
    double noisy[DP_BOUND_BINS] = {0};
    noisy[3] = 1e6; /* totals in (4, 8] */
    noisy[30] = 3;  /* noise */
    int j = dp_choose_bound(noisy, 1, 1);
    cr_expect(j > 8 && j <= 12, "%d", j);
    noisy[4] = 2; /* more than 1.5 standard deviations */
    j = dp_choose_bound(noisy, 1, 1000);
    cr_expect(j > 12 && j <= 16, "%d", j);
    noisy[4] = 1;
    j = dp_choose_bound(noisy, 1, 1000);
    cr_expect(j <= 12, "%d", j);
}

enum { UNITS = 20000, DISTRIBUTIONS = 3 };

static double total_of(int distribution, double u, double z)
{
    switch (distribution) {
    case 0: /* log-normal */
        return exp(5 + 1.5 * z);
    case 1: /* uniform */
        return 1000 * u;
    default: /* Pareto */
        return 10 / pow(1 - u, 1 / 1.5);
    }
}

static double squared_error(const double *totals, double clamp, double mu)
{
    double bias = 0;
    for (int i = 0; i < UNITS; i++) {
        bias += fmax(totals[i] - clamp, 0);
    }
    return bias * bias + clamp * clamp / (mu * mu);
}

/* Error of Rule C at the given mu over that of the best clamp in hindsight with the full budget. */
static double relative_error(int distribution, double mu, const struct dp_rng *rng)
{
    static double totals[UNITS];
    double noisy[DP_BOUND_BINS] = {0};
    for (int i = 0; i < UNITS; i++) {
        struct dp_base z;
        unsigned __int128 u;
        cr_assert(dp_sample_base_gaussian(rng, &z));
        cr_assert(dp_sample_below(rng, (unsigned __int128)1 << 50, &u));
        totals[i] = total_of(distribution, (double)u / 0x1p50,
                             (z.negative ? -1 : 1) * (double)z.magnitude / 0x1p50);
        int bin = totals[i] <= 1 ? 0 : (int)ceil(log2(totals[i]));
        noisy[bin > 40 ? 40 : bin]++;
    }
    double stddev = 1 / (mu * sqrt(0.2));
    for (int i = 0; i < DP_BOUND_BINS; i++) {
        struct dp_base z;
        cr_assert(dp_sample_base_gaussian(rng, &z));
        noisy[i] += stddev * (z.negative ? -1 : 1) * (double)z.magnitude / 0x1p50;
    }
    double sum_mu = mu * sqrt(0.8);
    int j = dp_choose_bound(noisy, stddev, sum_mu);
    cr_assert(j >= 0);
    double best = INFINITY;
    for (int k = 0; k < DP_BOUND_CLAMPS; k++) {
        best = fmin(best, squared_error(totals, pow(2, k / 4.0), mu));
    }
    return sqrt(squared_error(totals, pow(2, j / 4.0), sum_mu) / best);
}

Test(bounds, the_error_is_near_that_of_the_best_clamp_in_hindsight)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 2);
    double log_sum = 0;
    int n = 0;
    for (int distribution = 0; distribution < DISTRIBUTIONS; distribution++) {
        for (double mu = 0.1; mu < 1; mu *= 3) {
            double error = relative_error(distribution, mu, &rng);
            cr_expect(error < 4, "distribution %d, mu %g: %g", distribution, mu, error);
            log_sum += log(error);
            n++;
        }
    }
    double mean = exp(log_sum / n);
    cr_expect(mean < 1.6, "geometric mean %g", mean);
    cr_log_info("geometric mean %g", mean);
}

static struct dp_calibration calibrated(bool laplace, uint64_t groups, uint64_t budget)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    const struct dp_grid ones = {0, 0};
    struct dp_calibration calibration;
    cr_assert((laplace ? dp_calibrate_laplace : dp_calibrate_gaussian)(&one, &ones, groups, budget,
                                                                       &calibration));
    return calibration;
}

Test(bounds, a_calibration_says_the_same_as_its_standard_deviation)
{
    /* mu^2 = 0.01 for the histogram: sigma 10, mu of the sum 0.2 */
    const struct dp_calibration calibration = calibrated(false, 1, 10000000000);
    __int128 noisy[DP_BOUND_BINS] = {[2] = 500, [5] = 4000, [6] = 900, [7] = 20, [8] = 14};
    double values[DP_BOUND_BINS];
    for (int i = 0; i < DP_BOUND_BINS; i++) {
        values[i] = (double)noisy[i];
    }
    struct dp_found_bound found = dp_find_bound(&calibration, noisy);
    cr_expect_eq(found.bin, 7, "20 exceeds 1.5 sigma and 14 does not");
    cr_expect_eq(found.clamp, dp_choose_bound(values, 10, 0.2));
}

Test(bounds, laplace_noise_needs_more_to_stand_out)
{
    /* epsilon 0.1: a scale of 10; e^-(t/10) / 2 = 2.4e-11 at t = 237, where a Gaussian of the same
     * standard deviation needs 93 */
    const struct dp_calibration calibration = calibrated(true, 1, 100000000);
    __int128 noisy[DP_BOUND_BINS] = {[9] = 230};
    cr_expect_eq(dp_find_bound(&calibration, noisy).bin, -1);
    cr_expect_eq(dp_find_bound(&calibration, noisy).clamp, -1);
    noisy[9] = 245;
    cr_expect_eq(dp_find_bound(&calibration, noisy).bin, 9);
    cr_expect_geq(dp_find_bound(&calibration, noisy).clamp, 0);
}

Test(bounds, two_sides_share_one_price)
{
    const struct dp_calibration one = calibrated(false, 1, 10000000000);
    const struct dp_calibration two = calibrated(false, 2, 10000000000);
    cr_expect_leq(two.charge.mu2_pico, 10000000000u);
    __int128 noisy[DP_BOUND_BINS] = {[4] = 80};
    cr_expect_eq(dp_find_bound(&one, noisy).bin, 4, "6.6 sigma of 10");
    cr_expect_eq(dp_find_bound(&two, noisy).bin, -1, "6.6 sigma of 14.1");
}
