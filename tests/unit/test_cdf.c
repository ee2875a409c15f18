#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "mechanisms/cdf.h"
#include "mechanisms/sampler.h"
#include "tests/support/tape_rng.h"

static void check_stddev(size_t n_bins, double expected)
{
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(n_bins, 1, 1, 1000000000000, &cdf)); /* mu = 1 */
    double most = dp_cdf_stddev(&cdf, n_bins - 1);
    cr_expect_float_eq(most, expected, 0.01, "%zu bins: %g", n_bins, most);
    cr_expect(dp_cdf_stddev(&cdf, 0) < most);
    cr_expect(cdf.calibration.charge.mu2_pico <= 1000000000000);
    cr_expect(cdf.calibration.charge.mu2_pico > 999000000000);
    dp_cdf_clear(&cdf);
}

enum { MATRIX_BITS_SEEN = 21 };

Test(cdf, prefixes_are_as_sharp_as_the_factorisation_promises)
{
    check_stddev(1024, 3.27);
    check_stddev(4096, 3.71);
}

Test(cdf, decoding_undoes_encoding)
{
    enum { N = 300 };
    static uint64_t weights[N];
    static __int128 y[N];
    static double work[N];
    static double prefix[N];
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(N, 1024, 2, 100000000000, &cdf));
    for (size_t i = 0; i < N; i++) {
        weights[i] = (i * 7919) % 1000003;
    }
    dp_cdf_encode(&cdf, weights, y);
    dp_cdf_decode(&cdf, y, work, prefix);
    double exact = 0;
    for (size_t i = 0; i < N; i++) {
        exact += (double)weights[i];
        cr_expect_float_eq(prefix[i] / fmax(exact, 1), exact / fmax(exact, 1), 1e-9, "%zu", i);
    }
    dp_cdf_clear(&cdf);
}

/* Weights are private: none may end the program, and the largest are still summed exactly. */
Test(cdf, the_largest_weights_are_encoded_exactly)
{
    enum { N = 8192 };
    static uint64_t weights[N];
    static __int128 y[N];
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(N, 1, 1, 1000000000000, &cdf));
    for (size_t i = 0; i < N; i++) {
        weights[i] = UINT64_MAX;
    }
    dp_cdf_encode(&cdf, weights, y);
    unsigned __int128 columns = 0;
    for (size_t i = 0; i < N; i++) {
        columns += (uint64_t)cdf.column[i];
        cr_assert(y[i] == (__int128)(columns * UINT64_MAX), "bin %zu", i);
    }
    dp_cdf_clear(&cdf);
}

/* One unit's weight, spread in any way, moves y by no more than the sensitivity: the corners are
 * the columns themselves, and random spreads must lie below. */
Test(cdf, no_unit_moves_the_measurement_by_more_than_declared)
{
    enum { N = 64 };
    struct dp_cdf cdf;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 5);
    cr_assert(dp_cdf_init(N, 1000, 1, 100000000000, &cdf));
    double limit = (double)cdf.calibration.delta_grid;
    double most = 0;
    for (int run = 0; run < 400; run++) {
        uint64_t weights[N] = {0};
        __int128 y[N];
        uint64_t left = 1000;
        while (left > 0) {
            unsigned __int128 bin;
            unsigned __int128 part;
            cr_assert(dp_sample_below(&rng, N, &bin) && dp_sample_below(&rng, left + 1, &part));
            uint64_t amount = run < N ? left : (uint64_t)part;
            weights[run < N ? (size_t)run : (size_t)bin] += amount;
            left -= amount;
        }
        dp_cdf_encode(&cdf, weights, y);
        double square = 0;
        for (size_t i = 0; i < N; i++) {
            square += (double)y[i] * (double)y[i];
        }
        cr_expect(sqrt(square) <= limit, "run %d: %g > %g", run, sqrt(square), limit);
        most = fmax(most, sqrt(square));
    }
    cr_expect(most > limit * 0.9999, "the bound is tight");
    dp_cdf_clear(&cdf);
}

Test(cdf, noisy_prefixes_have_the_stated_deviation)
{
    enum { N = 128, RUNS = 2000 };
    struct dp_cdf cdf;
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 6);
    cr_assert(dp_cdf_init(N, 1, 1, 1000000000000, &cdf));
    struct dp_divisor m = dp_divisor_make(cdf.calibration.m);
    uint64_t weights[N] = {[5] = 100, [70] = 300};
    double squares[3] = {0};
    const size_t at[3] = {0, 60, N - 1};
    const double exact[3] = {0, 100, 400};
    for (int run = 0; run < RUNS; run++) {
        __int128 y[N];
        double work[N];
        double prefix[N];
        dp_cdf_encode(&cdf, weights, y);
        for (size_t i = 0; i < N; i++) {
            struct dp_base z;
            cr_assert(dp_sample_base_gaussian(&rng, &z));
            y[i] += dp_gaussian_noise(&m, &z);
        }
        dp_cdf_decode(&cdf, y, work, prefix);
        for (size_t i = 0; i < 3; i++) {
            squares[i] += (prefix[at[i]] - exact[i]) * (prefix[at[i]] - exact[i]);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        double ratio = sqrt(squares[i] / RUNS) / dp_cdf_stddev(&cdf, at[i]);
        /* five standard deviations of a standard deviation from 2,000 draws are 8 % */
        cr_expect(ratio > 0.92 && ratio < 1.08, "bin %zu: %g", at[i], ratio);
    }
    dp_cdf_clear(&cdf);
}

Test(cdf, monotone_is_the_closest_in_least_squares)
{
    size_t ends[8];
    double values[8] = {1, 3, 2, 2, 5, 4, 3, 9};
    const double expected[8] = {1, 7.0 / 3, 7.0 / 3, 7.0 / 3, 4, 4, 4, 9};
    dp_make_monotone(values, ends, 8);
    for (size_t i = 0; i < 8; i++) {
        cr_expect_float_eq(values[i], expected[i], 1e-12, "%zu: %g", i, values[i]);
    }
    double falling[4] = {4, 3, 2, 1};
    dp_make_monotone(falling, ends, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_float_eq(falling[i], 2.5, 1e-12);
    }
    const double prefix[5] = {0, 10, 10, 30, 40};
    cr_expect_eq(dp_cdf_quantile(prefix, 5, 0.5), 3);
    cr_expect_eq(dp_cdf_quantile(prefix, 5, 0.25), 1);
    cr_expect_eq(dp_cdf_quantile(prefix, 5, 0.0), 0);
    cr_expect_eq(dp_cdf_quantile(prefix, 5, 1.0), 4);
}

Test(cdf, what_does_not_fit_the_grid_is_refused)
{
    struct dp_cdf cdf;
    cr_expect_not(dp_cdf_init(0, 1, 1, 1000000000000, &cdf));
    cr_expect_not(dp_cdf_init(DP_CDF_BINS_MAX + 1, 1, 1, 1000000000000, &cdf));
    cr_expect_not(dp_cdf_init(1024, 1 << 22, 1, 1, &cdf), "noise beyond 2^30");
    cr_expect_null(cdf.column);
}

Test(cdf, the_matrix_of_a_calibration_is_found_again)
{
    static const size_t sizes[] = {1, 2, 21, 121, 1024, 4096};
    static const uint64_t budgets[] = {100000000, 100000000000, 50000000000000};
    int bits[MATRIX_BITS_SEEN] = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof budgets / sizeof *budgets; k++)
            for (uint64_t weight = 1; weight <= 1024; weight *= 32) {
                struct dp_cdf made, found;
                cr_assert(dp_cdf_init(sizes[i], weight, 3, budgets[k], &made));
                cr_assert(dp_cdf_restore(sizes[i], weight, &made.calibration, &found));
                cr_expect_eq(found.matrix_bits, made.matrix_bits);
                cr_expect_eq(found.calibration.m, made.calibration.m);
                cr_expect_arr_eq(found.column, made.column, sizes[i] * sizeof *made.column);
                bits[made.matrix_bits]++;
                dp_cdf_clear(&made);
                dp_cdf_clear(&found);
            }
    int different = 0;
    for (int i = 0; i < MATRIX_BITS_SEEN; i++)
        different += bits[i] > 0;
    cr_expect_gt(different, 3, "several matrices were found");
}

Test(cdf, what_is_no_calibration_of_such_a_distribution_has_no_matrix)
{
    struct dp_cdf made, found;
    cr_assert(dp_cdf_init(121, 1024, 1, 100000000000, &made));
    struct dp_calibration wrong[6];
    for (size_t i = 0; i < 6; i++)
        wrong[i] = made.calibration;
    wrong[0].mechanism = DP_LAPLACE;
    wrong[1].grid.scale10 = 1;
    wrong[2].grid.exp2 = 1;
    wrong[3].m = 0;
    wrong[4].delta_grid++;
    wrong[5].delta_grid = 0;
    for (size_t i = 0; i < 6; i++) {
        cr_expect_not(dp_cdf_restore(121, 1024, &wrong[i], &found), "%zu", i);
        cr_expect_null(found.column);
    }
    cr_expect_not(dp_cdf_restore(122, 1024, &made.calibration, &found));
    cr_expect_not(dp_cdf_restore(0, 1024, &made.calibration, &found));
    dp_cdf_clear(&made);
}
