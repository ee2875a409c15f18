/* Refinement: what is missing, what it costs, and the exact mean of what there is. */
#include <criterion/criterion.h>
#include <math.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/refine.h"

static struct dp_calibration gaussian(long delta, uint64_t groups, uint64_t mu2_pico)
{
    const struct dp_decimal distance = dp_decimal_from_int(delta);
    const struct dp_grid ones = {0, 0};
    struct dp_calibration calibration;
    cr_assert(dp_calibrate_gaussian(&distance, &ones, groups, mu2_pico, &calibration));
    return calibration;
}

static struct dp_calibration floating(long delta, uint64_t mu2_pico)
{
    const struct dp_decimal distance = dp_decimal_from_int(delta);
    struct dp_calibration calibration;
    cr_assert(dp_calibrate_gaussian(&distance, NULL, 1, mu2_pico, &calibration));
    return calibration;
}

Test(refine, a_chain_of_refinements_costs_what_its_last_precision_costs)
{
    static const uint64_t steps[] = {1000000, 56028963825 / 7, 56028963825, 419549658558};
    struct dp_calibration first = gaussian(1, 3, steps[0]), together = first;
    uint64_t m[8] = {first.m}, spent = first.charge.mu2_pico;
    size_t n = 1;
    for (size_t i = 1; i < sizeof steps / sizeof *steps; i++) {
        struct dp_calibration wanted = gaussian(1, 3, steps[i]), rest;
        cr_assert(dp_refine(&wanted, &first, false, m, n, &rest, &together));
        cr_expect_eq(rest.m % 2, 1u, "odd");
        m[n++] = rest.m;
        unsigned __int128 sum = 0, least = 0;
        for (size_t k = 0; k < n; k++)
            sum += (unsigned __int128)m[k] * m[k];
        cr_expect(sum >= (unsigned __int128)wanted.m * wanted.m, "the precision is reached");
        least = sum - (unsigned __int128)rest.m * rest.m +
                (unsigned __int128)(rest.m - 2) * (rest.m - 2);
        cr_expect(least < (unsigned __int128)wanted.m * wanted.m,
                  "and no smaller odd m reaches it");
        cr_expect_geq(together.m, wanted.m);
        spent += rest.charge.mu2_pico;
        cr_expect_geq(spent, wanted.charge.mu2_pico);
        cr_expect_leq(spent, wanted.charge.mu2_pico + n + wanted.charge.mu2_pico / (1 << 18));
    }
}

Test(refine, nothing_is_missing_where_the_draws_suffice)
{
    struct dp_calibration kept = gaussian(5, 1, 1000000000), rest, together;
    uint64_t m[] = {kept.m, kept.m};
    struct dp_calibration twice = gaussian(5, 1, 1999999990), less = gaussian(5, 1, 1000);
    cr_assert(dp_refine(&kept, &kept, false, m, 1, &rest, &together));
    cr_expect_eq(rest.m, 0u);
    cr_expect_eq(rest.charge.mu2_pico, 0u);
    cr_expect_eq(together.m, kept.m, "one draw is worth itself");
    cr_expect_eq(together.charge.mu2_pico, kept.charge.mu2_pico);
    cr_assert(dp_refine(&less, &kept, false, m, 1, &rest, &together));
    cr_expect_eq(rest.m, 0u);
    cr_assert(dp_refine(&twice, &kept, false, m, 2, &rest, &together));
    cr_expect_eq(rest.m, 0u, "two draws are worth twice the square");
    cr_assert(dp_refine(&twice, &kept, false, m, 1, &rest, &together));
    cr_expect_neq(rest.m, 0u);
}

Test(refine, a_grid_of_floating_point_is_kept)
{
    struct dp_calibration coarse = floating(1000, 1000000), rest, together;
    struct dp_calibration fine = floating(1000, 16000000000);
    uint64_t m[] = {coarse.m};
    cr_assert_lt(fine.grid.exp2, coarse.grid.exp2, "its own grid would be finer");
    cr_assert(dp_refine(&fine, &coarse, true, m, 1, &rest, &together));
    cr_expect_eq(rest.grid.exp2, coarse.grid.exp2);
    cr_expect_eq(rest.delta_grid, coarse.delta_grid);
    double wanted = dp_calibration_stddev(&fine) * dp_grid_unit(&fine.grid);
    double got = dp_calibration_stddev(&together) * dp_grid_unit(&together.grid);
    cr_expect_leq(got, wanted * (1 + 1e-12));
    cr_expect_geq(got, wanted * (1 - 1e-5));
    double all = (double)rest.charge.mu2_pico + (double)coarse.charge.mu2_pico;
    cr_expect_float_eq(all / (double)fine.charge.mu2_pico, 1, 1e-5);

    uint64_t fine_m[] = {fine.m};
    cr_assert(dp_refine(&coarse, &fine, true, fine_m, 1, &rest, &together));
    cr_expect_eq(rest.m, 0u, "the finer draw suffices for the coarser question");
}

Test(refine, what_does_not_fit_is_refused)
{
    struct dp_calibration kept = gaussian(5, 1, 1000000), wanted = gaussian(5, 1, 2000000);
    struct dp_calibration other = gaussian(5, 2, 2000000), laplace, rest, together;
    const struct dp_decimal delta = dp_decimal_from_int(5), units = dp_decimal_from_int(1000);
    const struct dp_grid cents = {2, 0}, ones = {0, 0};
    uint64_t m[] = {kept.m};
    cr_assert(dp_calibrate_laplace(&delta, &ones, 1, 1000000000, &laplace));
    cr_expect_not(dp_refine(&laplace, &kept, false, m, 1, &rest, &together));
    cr_expect_not(dp_refine(&wanted, &laplace, false, m, 1, &rest, &together));
    cr_expect_not(dp_refine(&other, &kept, false, m, 1, &rest, &together),
                  "another number of groups");
    struct dp_calibration in_cents;
    cr_assert(dp_calibrate_gaussian(&delta, &cents, 1, 2000000, &in_cents));
    cr_expect_not(dp_refine(&in_cents, &kept, false, m, 1, &rest, &together), "another scale");
    /* A million times more precise than a grid of floating point was made for. */
    struct dp_calibration rough, exact;
    cr_assert(dp_calibrate_gaussian(&units, NULL, 1, 1, &rough));
    cr_assert(dp_calibrate_gaussian(&units, NULL, 1, 1000000000000, &exact));
    uint64_t rough_m[] = {rough.m};
    cr_expect_not(dp_refine(&exact, &rough, true, rough_m, 1, &rest, &together));
}

Test(refine, the_mean_is_weighted_exactly_and_rounded_once)
{
    const uint64_t equal[] = {7, 7}, weighted[] = {1, 2}, one[] = {12345};
    const __int128 values[] = {10, 13}, minus[] = {-10, -13}, mixed[] = {-100, 25};
    cr_expect_eq((long)dp_combine_draws(equal, values, 2), 12, "11.5 is rounded away from zero");
    cr_expect_eq((long)dp_combine_draws(equal, minus, 2), -12);
    cr_expect_eq((long)dp_combine_draws(weighted, values, 2), 12, "(10 + 4 * 13) / 5 = 12.4");
    cr_expect_eq((long)dp_combine_draws(weighted, mixed, 2), 0);
    cr_expect_eq((long)dp_combine_draws(one, minus, 1), -10);

    const __int128 most = ((__int128)1 << 125) - 1;
    const uint64_t large[] = {((uint64_t)1 << 62) - 1, ((uint64_t)1 << 62) - 3};
    const __int128 ends[] = {most, most}, opposite[] = {most, -most};
    cr_expect(dp_combine_draws(large, ends, 2) == most);
    cr_expect(dp_combine_draws(large, opposite, 2) > 0);
    cr_expect(dp_combine_draws(large, opposite, 2) < (__int128)1 << 66);
}

Test(refine, the_mean_has_the_precision_that_is_said_of_it)
{
    struct dp_calibration a = gaussian(1, 1, 3000000), b = gaussian(1, 1, 5000000), together;
    const uint64_t m[] = {a.m, b.m};
    cr_assert(dp_draws_together(&a, m, 2, &together));
    double va = pow(dp_calibration_stddev(&a), 2), vb = pow(dp_calibration_stddev(&b), 2), both;
    dp_combine(0, va, 0, vb, &both);
    cr_expect_float_eq(pow(dp_calibration_stddev(&together), 2) / both, 1, 1e-5);
    cr_expect_float_eq((double)together.charge.mu2_pico, 8000000, 3);
}

/* By numbers: the variance of the rounded mean of rounded draws, against what is said of it. */
Test(refine, what_is_said_of_a_mean_has_its_rounding_in_it)
{
    static const uint64_t prices[][3] = {{190000000000, 270000000000, 1330000000000},
                                         {1000000000000, 1000000000000, 1000000000000},
                                         {5000000, 70000000, 100}};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        struct dp_calibration draws[3], together;
        uint64_t m[3];
        double weights = 0, variance = 0;
        for (size_t n = 0; n < 3; n++) {
            draws[n] = gaussian(1, 1, prices[i][n]);
            m[n] = draws[n].m;
            weights += (double)m[n] * (double)m[n];
        }
        for (size_t n = 0; n < 3; n++)
            variance += pow((double)m[n] * (double)m[n] / weights, 2) *
                        pow(dp_calibration_stddev(&draws[n]), 2);
        cr_assert(dp_draws_together(&draws[0], m, 3, &together));
        cr_expect_eq(dp_draws_stated(m, 1, 7), 7u, "one draw is not rounded again");
        together.m = dp_draws_stated(m, 3, together.m);
        double said = pow(dp_calibration_stddev(&together), 2);
        cr_expect_geq(said, (variance + 1.0 / 12) * (1 - 1e-2));
        cr_expect_leq(said, (variance + 1.0 / 12) * (1 + 1e-2));
    }
}

Test(refine, a_target_is_reached_with_the_rounding_of_the_mean)
{
    static const uint64_t prices[] = {3, 5000000, 34843200000, 1000000000000, 3000000000000};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        struct dp_calibration wanted = gaussian(1, 1, prices[i]), target = wanted, rest, together;
        struct dp_calibration kept = gaussian(1, 1, prices[i] / 3);
        target.m = dp_refine_target(wanted.m);
        cr_assert(dp_refine(&target, &kept, false, &kept.m, 1, &rest, &together));
        const uint64_t m[] = {kept.m, rest.m};
        cr_expect_geq(dp_draws_stated(m, 2, together.m), wanted.m);
        if (prices[i] < 40000000000)
            cr_expect_leq((double)target.m, 1.01 * (double)wanted.m);
    }
    cr_expect_eq(dp_refine_target((uint64_t)1 << 52), (uint64_t)1 << 52);
}

Test(refine, a_sum_of_cells_has_at_most_the_noise_that_is_said_of_it)
{
    static const uint64_t prices[] = {1, 1000000, 56028963825, 1000000000000, 900000000000000};
    static const uint64_t cells[] = {2, 3, 7, 100, 4096, 1000000};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++)
        for (size_t n = 0; n < sizeof cells / sizeof *cells; n++) {
            struct dp_calibration cell = gaussian(3, 1, prices[i]), sum;
            if (!dp_draw_of_cells(&cell, cells[n], &sum)) {
                cr_expect_lt((double)cell.m / sqrt((double)cells[n]), 0x1p19 + 1);
                continue;
            }
            double said = pow(dp_calibration_stddev(&sum), 2);
            double is = (double)cells[n] * pow(dp_calibration_stddev(&cell), 2);
            cr_expect_geq(said, is * (1 - 1e-12), "%llu cells", (unsigned long long)cells[n]);
            /* Where rounding does not hide the noise the two are the same. */
            if (cell.m < (uint64_t)1 << 49)
                cr_expect_leq(said, is * (1 + 1e-4));
            cr_expect_lt(sum.m, cell.m);
            cr_expect_eq(sum.delta_grid, cell.delta_grid);
            cr_expect_eq(sum.groups, cell.groups);
            struct dp_charge charge;
            cr_assert(dp_gaussian_charge(&sum, &charge));
            cr_expect_eq(sum.charge.mu2_pico, charge.mu2_pico);
        }
}

Test(refine, one_cell_is_what_it_is_and_laplace_noise_does_not_add_up)
{
    static const uint64_t prices[] = {1000, 7654321, 123456789012};
    struct dp_calibration sum, laplace;
    const struct dp_decimal one = dp_decimal_from_int(1);
    const struct dp_grid ones = {0, 0};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        struct dp_calibration cell = gaussian(5, 1, prices[i]);
        cr_assert(dp_draw_of_cells(&cell, 1, &sum));
        cr_expect_eq(sum.m, cell.m);
        cr_expect_eq(sum.charge.mu2_pico, cell.charge.mu2_pico);
    }
    cr_assert(dp_calibrate_laplace(&one, &ones, 1, 1000000000, &laplace));
    cr_expect_not(dp_draw_of_cells(&laplace, 1, &sum));
    struct dp_calibration faint = gaussian(1, 1, 1);
    cr_expect_not(dp_draw_of_cells(&faint, UINT64_MAX, &sum), "below every divisor");
}

/* Divisors times 2^58 weigh the same, and their products do not fit in 128 bits. */
Test(refine, near_values_have_the_mean_that_any_have)
{
    uint64_t state = 1;
    for (int round = 0; round < 20000; round++) {
        uint64_t m[3], large[3];
        __int128 values[3];
        for (int i = 0; i < 3; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            m[i] = 1 + (state >> 40) % 9;
            large[i] = m[i] << 58;
            values[i] = (__int128)((state >> 33) % 2000) - 1000;
        }
        __int128 near = dp_combine_draws(m, values, 3), any = dp_combine_draws(large, values, 3);
        cr_assert(near == any, "%ld, %ld", (long)near, (long)any);
    }
}
