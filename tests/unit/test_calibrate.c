#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/calibrate.h"

static const struct dp_grid units = {.scale10 = 0, .exp2 = 0};

static struct dp_decimal decimal(const char *text)
{
    struct dp_decimal value;
    cr_assert(dp_decimal_parse(text, strlen(text), &value), "%s", text);
    return value;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s", key);
    return (uint64_t)json_integer_value(value);
}

/* A decimal text times 10^places, which must be an integer. */
static uint64_t scaled(const char *text, int places)
{
    struct dp_decimal value = decimal(text);
    struct dp_decimal result;
    struct dp_decimal factor = {.digits = 1, .scale = 0};
    for (int i = 0; i < places; i++) {
        factor.digits *= 10;
    }
    cr_assert(dp_decimal_multiply(&value, &factor, &result));
    result = dp_decimal_normalize(&result);
    cr_assert_eq(result.scale, 0);
    return (uint64_t)result.digits;
}

static json_t *table(void)
{
    json_error_t error;
    json_t *root = json_load_file("tests/tables/t9_calibration.json", 0, &error);
    cr_assert_not_null(root, "%s", error.text);
    return root;
}

static void check_calibration(const json_t *row)
{
    const char *name = text_of(row, "case");
    const char *natural_text = text_of(row, "g0");
    struct dp_decimal delta = decimal(text_of(row, "Delta"));
    struct dp_grid natural = units;
    if (natural_text != NULL) {
        natural.scale10 = decimal(natural_text).scale;
    }
    struct dp_calibration c;
    cr_assert(dp_calibrate_gaussian(&delta, natural_text != NULL ? &natural : NULL,
                                    number_of(row, "L0"), scaled(text_of(row, "mu2_target"), 12),
                                    &c),
              "%s", name);
    double grid = strtod(text_of(row, "g"), NULL);
    cr_expect_eq(ldexp(pow(10, -c.grid.scale10), c.grid.exp2), grid, "%s: grid", name);
    cr_expect_eq(c.delta_grid, number_of(row, "Delta_g"), "%s: sensitivity", name);
    cr_expect_eq(c.m, number_of(row, "m"), "%s: m", name);
    cr_expect_eq(c.charge.mu2_pico, number_of(row, "charge_pico"), "%s: charge", name);
    cr_expect_not(c.charge.pure);
    cr_expect_eq((uint64_t)dp_calibration_halfwidth(&c, 0.1), number_of(row, "halfwidth_g_0.1"));
    cr_expect_eq((uint64_t)dp_calibration_halfwidth(&c, 0.05), number_of(row, "halfwidth_g_0.05"));
    cr_expect_eq((uint64_t)dp_calibration_halfwidth(&c, 0.01), number_of(row, "halfwidth_g_0.01"));
}

Test(calibrate, every_row_of_the_calibration_table_is_met_to_the_digit)
{
    json_t *root = table();
    json_t *rows = json_object_get(root, "calibration");
    cr_assert_eq(json_array_size(rows), 8);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        check_calibration(row);
    }
    json_decref(root);
}

/* Columns of calibration_reference.csv after the law. */
enum {
    DIGITS,
    SCALE,
    NATURAL,
    SCALE10,
    EXP2,
    GROUPS,
    BUDGET,
    FITS,
    G_SCALE10,
    G_EXP2,
    DELTA_GRID,
    M,
    CHARGE,
    COLUMNS
};

static void check_reference(const char *law, const long *row)
{
    struct dp_decimal delta = {.digits = (uint64_t)row[DIGITS], .scale = (int)row[SCALE]};
    struct dp_grid natural = {.scale10 = (int)row[SCALE10], .exp2 = (int)row[EXP2]};
    const struct dp_grid *grid = row[NATURAL] != 0 ? &natural : NULL;
    uint64_t groups = (uint64_t)row[GROUPS];
    uint64_t budget = (uint64_t)row[BUDGET];
    bool is_laplace = strcmp(law, "laplace") == 0;
    struct dp_calibration c;
    bool fits = is_laplace ? dp_calibrate_laplace(&delta, grid, groups, budget, &c)
                           : dp_calibrate_gaussian(&delta, grid, groups, budget, &c);
    cr_assert_eq(fits, row[FITS] != 0);
    if (!fits) {
        return;
    }
    cr_expect_eq(c.grid.scale10, row[G_SCALE10]);
    cr_expect_eq(c.grid.exp2, row[G_EXP2]);
    cr_expect_eq(c.delta_grid, (uint64_t)row[DELTA_GRID]);
    cr_expect_eq(c.m, (uint64_t)row[M]);
    cr_expect_eq(is_laplace ? c.charge.epsilon : c.charge.mu2_pico, (uint64_t)row[CHARGE]);
}

Test(calibrate, every_row_of_the_rational_reference_is_met_to_the_digit)
{
    FILE *file = fopen("tests/tables/calibration_reference.csv", "r");
    cr_assert_not_null(file);
    char line[512];
    size_t n = 0;
    cr_assert_not_null(fgets(line, sizeof(line), file));
    while (fgets(line, sizeof(line), file) != NULL) {
        long row[COLUMNS];
        char *law = strtok(line, ",");
        for (int i = 0; i < COLUMNS; i++) {
            const char *cell = strtok(NULL, ",\n");
            cr_assert_not_null(cell);
            row[i] = (long)strtoull(cell, NULL, 10); /* wraps back for negative ones */
        }
        check_reference(law, row);
        n++;
    }
    fclose(file);
    cr_assert_eq(n, 400);
}

Test(calibrate, every_row_of_the_key_threshold_table_is_met)
{
    json_t *root = table();
    json_t *rows = json_object_get(root, "keys");
    cr_assert_eq(json_array_size(rows), 5);
    struct dp_decimal one = dp_decimal_from_int(1);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        struct dp_calibration c;
        dp_atto delta = scaled(text_of(row, "delta"), 18);
        int64_t threshold;
        int64_t threshold_of_five;
        cr_assert(dp_calibrate_gaussian(&one, &units, number_of(row, "L0"),
                                        scaled(text_of(row, "mu2"), 12), &c));
        cr_expect_eq(c.m, number_of(row, "m"));
        cr_assert(dp_key_threshold(&c, delta, 1, &threshold));
        cr_expect_eq((uint64_t)threshold, number_of(row, "keep_iff_noisy_count_ge"));
        cr_assert(dp_key_threshold(&c, delta, 5, &threshold_of_five));
        cr_expect_eq(threshold_of_five, threshold + 4, "minimum_units shifts the threshold");
        double each = (double)dp_key_delta(delta, number_of(row, "L0"));
        double expected = strtod(text_of(row, "delta_adj"), NULL);
        cr_expect(each <= expected && each > expected * (1 - 1e-13), "delta_adj %.17g", each);
    }
    json_decref(root);
}

Test(calibrate, charges_never_exceed_the_request_and_come_close)
{
    static const char *const deltas[] = {"1", "7", "0.01", "123456.789", "1e12", "3e-5"};
    static const uint64_t budgets[] = {1000000, 123456789, 56028963825, 3415592649993};
    for (size_t d = 0; d < 6; d++) {
        for (size_t b = 0; b < 4; b++) {
            for (uint64_t groups = 1; groups < 40; groups += 13) {
                struct dp_decimal delta = decimal(deltas[d]);
                struct dp_grid cents = {.scale10 = 6, .exp2 = 0};
                struct dp_calibration c;
                cr_assert(dp_calibrate_gaussian(&delta, &cents, groups, budgets[b], &c));
                cr_expect(c.charge.mu2_pico <= budgets[b]);
                cr_expect(c.charge.mu2_pico >= budgets[b] - budgets[b] / 10000 - 1);
                cr_expect(c.m % 2 == 1);
                struct dp_charge again;
                cr_expect(dp_gaussian_charge(&c, &again) && again.mu2_pico == c.charge.mu2_pico);
            }
        }
    }
}

Test(calibrate, laplace_spends_at_most_epsilon_and_has_the_known_half_widths)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_calibration c;
    cr_assert(dp_calibrate_laplace(&one, &units, 1, 100000000, &c));
    cr_expect_eq(c.m, 112589990684262);
    cr_expect(c.charge.pure);
    cr_expect_eq(c.charge.epsilon, 100000000);
    cr_expect_eq(c.charge.mu2_pico, 15702348542);
    static const double betas[] = {0.1, 0.05, 0.01, 0.001, 0.000001};
    static const double widths[] = {23, 30, 46, 69, 138};
    for (size_t i = 0; i < 5; i++) {
        cr_expect_eq(dp_calibration_halfwidth(&c, betas[i]), widths[i], "beta %g", betas[i]);
    }
    struct dp_decimal big = decimal("20000.00");
    struct dp_grid cents = {.scale10 = 2, .exp2 = 0};
    for (uint64_t groups = 1; groups < 2000; groups = groups * 3 + 1) {
        for (dp_nano epsilon = 1000; epsilon < 20000000000; epsilon = epsilon * 7 + 3) {
            cr_assert(dp_calibrate_laplace(&big, &cents, groups, epsilon, &c));
            cr_expect(c.charge.epsilon <= epsilon);
            cr_expect(c.charge.epsilon + epsilon / 100000 + 1 >= epsilon);
            /* scale 2^50 / m of at least L0 Dg / epsilon: L0 Dg m / 2^50 <= epsilon, as reals */
            double spent = (double)groups * (double)c.delta_grid * (double)c.m / 0x1p50;
            cr_expect(spent <= (double)epsilon * 1e-9 * (1 + 1e-12));
        }
    }
}

Test(calibrate, laplace_groups_cost_the_sum_of_their_squares)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_calibration c;
    uint64_t each;
    cr_assert(dp_calibrate_laplace(&one, &units, 4, 400000000, &c));
    cr_assert(dp_mu2_of_pure(100000000, &each));
    cr_expect_eq(c.charge.epsilon, 400000000);
    cr_expect_eq(c.charge.mu2_pico, 4 * each, "four times epsilon 0.1, not epsilon 0.4");
    /* a hundred thousand groups of a nano epsilon each: the whole is cheaper */
    uint64_t whole;
    cr_assert(dp_calibrate_laplace(&one, &units, 100000, 100000, &c));
    cr_assert(dp_mu2_of_pure(c.charge.epsilon, &whole));
    cr_expect_eq(c.charge.mu2_pico, whole);
}

Test(calibrate, a_natural_grid_that_is_itself_coarse_is_kept)
{
    struct dp_decimal delta = decimal("1024");
    struct dp_grid coarse = {.scale10 = 0, .exp2 = 8};
    struct dp_calibration c;
    cr_assert(dp_calibrate_gaussian(&delta, &coarse, 1, 1000000000, &c));
    cr_expect(c.grid.exp2 == 8 && c.grid.scale10 == 0);
    cr_expect_eq(c.delta_grid, 4);
    struct dp_grid fine = {.scale10 = 0, .exp2 = -4};
    cr_assert(dp_calibrate_gaussian(&delta, &fine, 1, 1000000000, &c));
    cr_expect_eq(c.delta_grid, 16384);
}

Test(calibrate, the_integer_sensitivity_is_rounded_up)
{
    struct dp_decimal delta = decimal("10.001");
    struct dp_grid cents = {.scale10 = 2, .exp2 = 0};
    struct dp_calibration c;
    cr_assert(dp_calibrate_gaussian(&delta, &cents, 1, 1000000000, &c));
    cr_expect_eq(c.delta_grid, 1001);
    delta = decimal("0.0001");
    cr_assert(dp_calibrate_gaussian(&delta, &cents, 1, 1000000000, &c));
    cr_expect_eq(c.delta_grid, 1);
}

Test(calibrate, requests_out_of_range_are_refused)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal zero = dp_decimal_from_int(0);
    struct dp_decimal negative = dp_decimal_from_int(-1);
    struct dp_grid bad = {.scale10 = 31, .exp2 = 0};
    struct dp_calibration c = {.m = 77};
    cr_expect_not(dp_calibrate_gaussian(&zero, &units, 1, 1000, &c));
    cr_expect_not(dp_calibrate_gaussian(&negative, &units, 1, 1000, &c));
    cr_expect_not(dp_calibrate_gaussian(&one, &units, 0, 1000, &c));
    cr_expect_not(dp_calibrate_gaussian(&one, &units, 1, 0, &c));
    cr_expect_not(dp_calibrate_gaussian(&one, &bad, 1, 1000, &c));
    /* sigma below 2^-12 of a unit */
    cr_expect_not(dp_calibrate_gaussian(&one, &units, 1, UINT64_MAX, &c));
    cr_expect_not(dp_calibrate_laplace(&one, &units, 1, 0, &c));
    cr_expect_not(dp_calibrate_laplace(&one, &units, 1, UINT64_MAX, &c));
    cr_expect_eq(c.m, 77, "nothing is written where it fails");
}

Test(calibrate, extreme_sensitivities_are_calibrated_or_refused_but_never_wrong)
{
    static const char *const deltas[] = {"1e-30", "1e-12",
                                         "99999999999999999999999999999999999999"};
    for (size_t i = 0; i < 3; i++) {
        struct dp_decimal delta = decimal(deltas[i]);
        struct dp_grid naturals[] = {
            units, {.scale10 = 30, .exp2 = 0}, {.scale10 = 0, .exp2 = -200}};
        for (size_t g = 0; g < 4; g++) {
            struct dp_calibration c;
            if (!dp_calibrate_gaussian(&delta, g < 3 ? &naturals[g] : NULL, UINT32_MAX, 1, &c)) {
                continue;
            }
            cr_expect(c.charge.mu2_pico <= 1);
            long double value = strtold(deltas[i], NULL);
            long double grid = ldexpl(powl(10, -c.grid.scale10), c.grid.exp2);
            cr_expect((long double)c.delta_grid * grid >= value * (1 - 1e-17L), "%zu %zu", i, g);
        }
    }
}

Test(calibrate, thresholds_are_refused_where_the_measurement_is_no_unit_count)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal two = dp_decimal_from_int(2);
    struct dp_calibration c;
    int64_t threshold;
    cr_assert(dp_calibrate_gaussian(&two, &units, 1, 1000000000, &c));
    cr_expect_not(dp_key_threshold(&c, 100000000, 1, &threshold));
    cr_assert(dp_calibrate_gaussian(&one, &units, 1, 1000000000, &c));
    cr_expect_not(dp_key_threshold(&c, 0, 1, &threshold));
    cr_expect_not(dp_key_threshold(&c, 100000000, 0, &threshold));
    cr_expect_not(dp_key_threshold(&c, 600000000000000000, 1, &threshold));
}

Test(calibrate, the_threshold_is_the_smallest_that_keeps_a_single_unit_hidden)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    for (uint64_t mu2 = 1000000; mu2 < 4000000000000; mu2 *= 9) {
        for (dp_atto delta = 100; delta < 100000000000000000; delta *= 1001) {
            for (uint64_t groups = 1; groups < 1000; groups *= 6) {
                struct dp_calibration c;
                int64_t t;
                cr_assert(dp_calibrate_gaussian(&one, &units, groups, mu2, &c));
                cr_assert(dp_key_threshold(&c, delta, 1, &t));
                long double sigma = 0x1p50L / (long double)c.m;
                long double at = erfcl(((long double)t - 1.5L) / sigma / sqrtl(2)) / 2;
                long double before = erfcl(((long double)t - 2.5L) / sigma / sqrtl(2)) / 2;
                long double each = dp_key_delta(delta, groups);
                cr_expect(at <= each * (1 + 1e-14L), "%Lg > %Lg", at, each);
                cr_expect(before > each * (1 - 1e-12L), "not the smallest");
            }
        }
    }
}

Test(calibrate, laplace_thresholds_are_the_smallest_that_keep_a_single_unit_hidden)
{
    struct dp_decimal one = dp_decimal_from_int(1);
    for (dp_nano epsilon = 1000000; epsilon < 8000000000; epsilon *= 3) {
        for (dp_atto delta = 100; delta < 100000000000000000; delta *= 1001) {
            for (uint64_t groups = 1; groups < 300; groups *= 6) {
                struct dp_calibration c;
                int64_t t;
                cr_assert(dp_calibrate_laplace(&one, &units, groups, epsilon, &c));
                cr_assert(dp_key_threshold(&c, delta, 1, &t));
                long double q = expl(-(long double)c.m / 0x1p50L);
                long double at = powl(q, (long double)(t - 1)) / (1 + q);
                long double each = dp_key_delta(delta, groups);
                cr_expect(at <= each * (1 + 1e-14L), "%Lg > %Lg", at, each);
                cr_expect(t == 1 || at / q > each * (1 - 1e-12L), "not the smallest");
            }
        }
    }
}

static void prints(struct dp_grid grid, __int128 count, const char *expected)
{
    char text[DP_GRID_TEXT_MAX];
    size_t length = dp_grid_print(&grid, count, text);
    cr_expect_str_eq(text, expected, "%s", text);
    cr_expect_eq(length, strlen(text));
    struct dp_decimal value;
    if (dp_grid_value(&grid, count, &value)) {
        struct dp_decimal same = decimal(expected);
        cr_expect_eq(dp_decimal_compare(&value, &same), 0, "%s", expected);
    }
}

Test(calibrate, grid_values_are_exact)
{
    prints((struct dp_grid){0, 0}, -7, "-7");
    prints((struct dp_grid){2, 0}, 5, "0.05");
    prints((struct dp_grid){2, -3}, -12345, "-15.43125");
    prints((struct dp_grid){0, 27}, 7, "939524096");
    prints((struct dp_grid){1, 3}, 3, "2.4");
    prints((struct dp_grid){0, -45}, 1, "0.000000000000028421709430404007434844970703125");
    prints((struct dp_grid){0, -2}, 0, "0.00");
    prints((struct dp_grid){0, 40}, -(((__int128)1 << 80) - 1),
           "-1329227995784915872903805960768716800");
    prints((struct dp_grid){0, 40}, (__int128)1 << 80, "1329227995784915872903807060280344576");
    struct dp_decimal value;
    struct dp_grid fine = {.scale10 = 0, .exp2 = -45};
    cr_expect_not(dp_grid_value(&fine, 1, &value));
    struct dp_decimal one = dp_decimal_from_int(1);
    cr_expect(dp_grid_value(&fine, (__int128)1 << 45, &value));
    cr_expect_eq(dp_decimal_compare(&value, &one), 0);
    struct dp_grid huge = {.scale10 = 0, .exp2 = 200};
    cr_expect_not(dp_grid_value(&huge, 1, &value));
}
