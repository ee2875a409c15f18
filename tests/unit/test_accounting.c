/* Conversions between budgets, against ALGORITHMS.md 4, 5.3 and the table of 5.7. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/calibrate.h"

static const dp_nano nano = 1000000000;

Test(accounting, the_caps_are_the_known_ones)
{
    static const struct {
        dp_nano epsilon;
        dp_atto delta;
        uint64_t mu2_pico;
    } caps[] = {
        {1, 1000000000000, 56028963825},    {3, 1000000000000, 419549658558},
        {10, 1000000000000, 3415592649993}, {1, 10000000000, 38442096034},
        {3, 10000000000, 302346619084},     {10, 10000000000, 2636666785164},
    };
    for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
        uint64_t cap;
        cr_assert(dp_mu2_cap(caps[i].epsilon * nano, caps[i].delta, &cap));
        cr_expect_eq(cap, caps[i].mu2_pico, "epsilon %lu", (unsigned long)caps[i].epsilon);
    }
    uint64_t cap;
    cr_assert(dp_mu2_cap(1 * nano, 100000000, &cap));
    cr_expect_eq((cap + 50000) / 100000, 290437, "0.0290437 at delta 1e-10");
}

Test(accounting, caps_grow_with_epsilon_and_with_delta)
{
    uint64_t last = 0;
    for (dp_nano epsilon = 1000000; epsilon < 1000 * nano; epsilon = epsilon * 5 / 4) {
        uint64_t cap;
        uint64_t wider;
        cr_assert(dp_mu2_cap(epsilon, 1000000, &cap), "%lu", (unsigned long)epsilon);
        cr_assert(dp_mu2_cap(epsilon, 1000000000000, &wider));
        cr_expect(cap > last && wider > cap);
        last = cap;
    }
}

/* A pure mechanism must cost more than the mu it could be simulated by, and only just. */
Test(accounting, pure_charges_are_the_known_ones)
{
    static const struct {
        dp_nano epsilon;
        uint64_t mu2_pico;
    } charges[] = {{0, 0},
                   {1, 1},
                   {10000000, 157079071},
                   {100000000, 15702348542},
                   {500000000, 389241966476},
                   {1000000000, 1517911190742},
                   {999999999, 1517911187806},
                   {10000000000, 61276243753873},
                   {1000000000000, 7962259782730932}};
    for (size_t i = 0; i < sizeof(charges) / sizeof(*charges); i++) {
        uint64_t charge;
        cr_assert(dp_mu2_of_pure(charges[i].epsilon, &charge));
        cr_expect_eq(charge, charges[i].mu2_pico, "%lu: %lu", (unsigned long)charges[i].epsilon,
                     (unsigned long)charge);
    }
}

Test(accounting, what_is_out_of_range_is_refused)
{
    uint64_t value;
    cr_expect_not(dp_mu2_cap(0, 1000000, &value));
    cr_expect_not(dp_mu2_cap(nano, 0, &value));
    cr_expect_not(dp_mu2_cap(nano, 1000000000000000000, &value));
    cr_expect_not(dp_mu2_cap(1001 * nano, 1000000, &value));
    cr_expect_not(dp_mu2_cap(1, 1, &value), "no charge fits such a budget");
    cr_expect_not(dp_mu2_of_pure(1001 * nano, &value));
}

/* Field n of a line of comma-separated values. */
static double field(const char *line, int n)
{
    for (; n > 0; n--) {
        line = strchr(line, ',');
        cr_assert_not_null(line);
        line++;
    }
    return strtod(line, NULL);
}

enum { EPSILON = 0, EPSILON_QUERY = 2, BASIC = 3, GDP_PURE = 11, GDP_GAUSSIAN = 14, OR = 21 };

/* Squared mu of a rounded Gaussian, whose variance is sigma^2 + 1/12, with the variance of the
 * discrete Laplace of epsilon. */
static uint64_t same_variance_mu2(double epsilon)
{
    double q = __builtin_exp(-epsilon);
    double variance = 2 * q / ((1 - q) * (1 - q));
    return (uint64_t)(1e12 / (variance - 1.0 / 12));
}

Test(accounting, the_table_of_admitted_queries_is_met)
{
    FILE *file = fopen("tests/tables/t5_accounting.csv", "r");
    cr_assert_not_null(file);
    char line[1024];
    cr_assert_not_null(fgets(line, sizeof(line), file));
    size_t n = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        dp_nano epsilon = (dp_nano)(field(line, EPSILON) * 1e9 + 0.5);
        dp_nano query = (dp_nano)(field(line, EPSILON_QUERY) * 1e9 + 0.5);
        struct dp_decimal one = dp_decimal_from_int(1);
        struct dp_grid units = {0, 0};
        struct dp_calibration laplace;
        struct dp_calibration gaussian;
        uint64_t cap;
        cr_assert(dp_mu2_cap(epsilon, 1000000000000, &cap));
        cr_assert(dp_calibrate_laplace(&one, &units, 1, query, &laplace));
        uint64_t basic = epsilon / laplace.charge.epsilon;
        cr_expect_eq(basic, (uint64_t)field(line, BASIC), "%s", line);
        cr_expect_eq(cap / laplace.charge.mu2_pico, (uint64_t)field(line, GDP_PURE), "%s", line);
        uint64_t mu2 = same_variance_mu2((double)query * 1e-9);
        cr_assert(dp_calibrate_gaussian(&one, &units, 1, mu2, &gaussian));
        uint64_t admitted = cap / gaussian.charge.mu2_pico;
        cr_expect_eq(admitted, (uint64_t)field(line, GDP_GAUSSIAN), "%s", line);
        cr_expect_eq(admitted > basic ? admitted : basic, (uint64_t)field(line, OR), "%s", line);
        n++;
    }
    fclose(file);
    cr_assert_eq(n, 12);
}

enum { KIND, LAW, M, A, B, EXPECTED, CELLS };

static void check_cell(char *const cell[CELLS])
{
    uint64_t a = strtoull(cell[A], NULL, 10);
    uint64_t b = strtoull(cell[B], NULL, 10);
    uint64_t expected = strtoull(cell[EXPECTED], NULL, 10);
    const struct dp_calibration c = {.mechanism = strcmp(cell[LAW], "gaussian") == 0 ? DP_GAUSSIAN
                                                                                     : DP_LAPLACE,
                                     .delta_grid = 1,
                                     .groups = b,
                                     .m = strtoull(cell[M], NULL, 10)};
    uint64_t value = 0;
    int64_t threshold;
    if (strcmp(cell[KIND], "half_width") == 0) {
        value = (uint64_t)dp_calibration_halfwidth(&c, (double)a * 1e-18);
    } else if (strcmp(cell[KIND], "threshold") == 0) {
        cr_assert(dp_key_threshold(&c, a, 1, &threshold));
        value = (uint64_t)threshold;
    } else if (strcmp(cell[KIND], "pure") == 0) {
        cr_assert(dp_mu2_of_pure(a, &value));
    } else {
        cr_assert_str_eq(cell[KIND], "cap");
        cr_assert(dp_mu2_cap(a, b, &value));
        /* rounding to the safe side may cost the last integer */
        cr_expect(value <= expected, "epsilon %s, delta %s: %lu is too much", cell[A], cell[B],
                  (unsigned long)value);
        if (b > 900000000000000000) {
            return; /* differences of tails near one: safe, and a fifth too small */
        }
        value += value + 1 == expected;
    }
    cr_expect_eq(value, expected, "%s %s m %s, %s, %s: %lu", cell[KIND], cell[LAW], cell[M],
                 cell[A], cell[B], (unsigned long)value);
}

Test(accounting, every_cell_of_the_reference_is_met_to_the_digit)
{
    FILE *file = fopen("tests/tables/accounting_reference.csv", "r");
    cr_assert_not_null(file);
    char line[256];
    size_t n = 0;
    cr_assert_not_null(fgets(line, sizeof(line), file));
    while (fgets(line, sizeof(line), file) != NULL) {
        char *cell[CELLS];
        for (int i = 0; i < CELLS; i++) {
            cell[i] = strtok(i == 0 ? line : NULL, ",\n");
            cr_assert_not_null(cell[i]);
        }
        check_cell(cell);
        n++;
    }
    fclose(file);
    cr_assert_eq(n, 269);
}
