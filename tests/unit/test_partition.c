#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/partition.h"
#include "tests/support/tape_rng.h"

/* Decimal text times 10^places as an integer. */
static uint64_t scaled(const char *text, int places)
{
    struct dp_decimal value;
    struct dp_decimal factor = {.digits = 1, .scale = 0};
    cr_assert(dp_decimal_parse(text, strlen(text), &value), "%s", text);
    for (int i = 0; i < places; i++) {
        factor.digits *= 10;
    }
    cr_assert(dp_decimal_multiply(&value, &factor, &value));
    value = dp_decimal_normalize(&value);
    cr_assert_eq(value.scale, 0);
    return (uint64_t)value.digits;
}

static bool make(const char *rule, const char *parameter, const char *delta, uint64_t groups,
                 uint64_t minimum_units, struct dp_keep_table *table)
{
    dp_atto atto = scaled(delta, 18);
    if (strcmp(rule, "opt_eps_delta") == 0) {
        return dp_keep_table_pure(scaled(parameter, 9), atto, groups, minimum_units, table);
    }
    uint64_t milli = scaled(parameter, 6);
    return dp_keep_table_gaussian(milli * milli, atto, groups, minimum_units, table);
}

static long double keep_probability(const struct dp_keep_table *table, uint64_t n)
{
    if (n <= table->offset) {
        return 0.0L;
    }
    n -= table->offset;
    return n >= table->n_entries ? 1.0L : (long double)table->keep[n] / 0x1p64L;
}

Test(partition, every_row_of_the_keep_table_is_met_from_below)
{
    FILE *file = fopen("tests/tables/t3_partition_keep.csv", "r");
    cr_assert_not_null(file);
    char line[256];
    char current[256] = "";
    struct dp_keep_table table = {.keep = NULL};
    size_t n_rows = 0;
    cr_assert_not_null(fgets(line, sizeof(line), file));
    while (fgets(line, sizeof(line), file) != NULL) {
        char rule[32], parameter[32], delta[32], groups[32], units[32], expected[64];
        cr_assert_eq(sscanf(line, "%31[^,],%31[^,],%31[^,],%31[^,],%31[^,],%63s", rule, parameter,
                            delta, groups, units, expected),
                     6, "%s", line);
        char key[256];
        snprintf(key, sizeof(key), "%s,%s,%s,%s", rule, parameter, delta, groups);
        if (strcmp(key, current) != 0) {
            dp_keep_table_clear(&table);
            cr_assert(make(rule, parameter, delta, strtoull(groups, NULL, 10), 1, &table), "%s",
                      key);
            strcpy(current, key);
        }
        long double keep = keep_probability(&table, strtoull(units, NULL, 10));
        long double reference = strtold(expected, NULL);
        cr_expect(keep <= reference, "%s: %.18Lg", line, keep);
        cr_expect(keep >= reference * (1 - 1e-6L), "%s: %.18Lg", line, keep);
        n_rows++;
    }
    fclose(file);
    dp_keep_table_clear(&table);
    cr_expect_eq(n_rows, 1409);
}

static void first_certain(const char *epsilon, const char *delta, uint64_t groups,
                          uint64_t expected)
{
    struct dp_keep_table table;
    cr_assert(make("opt_eps_delta", epsilon, delta, groups, 1, &table));
    cr_expect_eq(table.n_entries, expected, "%s: %zu", epsilon, table.n_entries);
    dp_keep_table_clear(&table);
}

Test(partition, groups_become_certain_at_the_known_numbers_of_units)
{
    first_certain("1", "1e-6", 1, 28);
    first_certain("0.5", "1e-6", 1, 51);
    first_certain("0.1", "1e-6", 1, 218);
    first_certain("1", "1e-6", 4, 106);
    first_certain("3", "1e-8", 10, 127);
}

/* All four inequalities of (epsilon, delta)-DP between n and n + 1 units, on the integers in use.
 */
Test(partition, the_table_in_use_is_epsilon_delta_private)
{
    static const struct {
        dp_nano epsilon;
        dp_atto delta;
        uint64_t groups;
    } rules[] = {{1000000000, 1000000000000, 1},
                 {100000000, 1000000000, 3},
                 {3000000000, 1000, 10},
                 {20000000, 1000000000000, 1},
                 {9000000000, 100, 1}};
    for (size_t r = 0; r < sizeof(rules) / sizeof(*rules); r++) {
        struct dp_keep_table table;
        cr_assert(dp_keep_table_pure(rules[r].epsilon, rules[r].delta, rules[r].groups, 1, &table));
        long double e = expl((long double)rules[r].epsilon * 1e-9L / (long double)rules[r].groups);
        long double d =
            -expm1l(log1pl(-(long double)rules[r].delta * 1e-18L) / (long double)rules[r].groups);
        const long double slack = 1 + 0x1p-60L;
        cr_expect_eq(table.keep[0], 0, "an empty group is never kept");
        for (uint64_t n = 0; n < table.n_entries; n++) {
            long double p = keep_probability(&table, n);
            long double q = keep_probability(&table, n + 1);
            cr_expect(q <= (e * p + d) * slack, "%zu, %lu", r, (unsigned long)n);
            cr_expect(p <= (e * q + d) * slack, "%zu, %lu", r, (unsigned long)n);
            cr_expect(1 - p <= (e * (1 - q) + d) * slack, "%zu, %lu", r, (unsigned long)n);
            cr_expect(1 - q <= (e * (1 - p) + d) * slack, "%zu, %lu", r, (unsigned long)n);
            cr_expect(q >= p);
        }
        dp_keep_table_clear(&table);
    }
}

/* The trade-off of mu-GDP with a leak of d, for every step of the table in use. */
Test(partition, the_gaussian_table_in_use_is_gaussian_private)
{
    struct dp_keep_table table;
    const long double mu = 0.3L / sqrtl(2);
    cr_assert(dp_keep_table_gaussian(90000000000, 1000000000000, 2, 1, &table));
    const long double d = -expm1l(log1pl(-1e-6L) / 2);
    for (uint64_t n = 1; n < table.n_entries; n++) {
        long double p = keep_probability(&table, n);
        long double q = keep_probability(&table, n + 1);
        /* q <= d + (1 - d) Phi(Phi^-1(p / (1 - d)) + mu), tested by tails of both sides */
        for (long double t = -8; t < 8; t += 0.01L) {
            if (erfcl(-t / sqrtl(2)) / 2 >= p / (1 - d)) {
                cr_expect(q <= (d + (1 - d) * erfcl(-(t + mu) / sqrtl(2)) / 2) * (1 + 1e-12L));
                break;
            }
        }
    }
    dp_keep_table_clear(&table);
}

Test(partition, the_policys_minimum_shifts_the_table)
{
    struct dp_keep_table one;
    struct dp_keep_table five;
    cr_assert(dp_keep_table_pure(1000000000, 1000000000000, 1, 1, &one));
    cr_assert(dp_keep_table_pure(1000000000, 1000000000000, 1, 5, &five));
    for (uint64_t n = 0; n < 40; n++) {
        long double expected = n < 4 ? 0.0L : keep_probability(&one, n - 4);
        cr_expect(keep_probability(&five, n) == expected, "%lu", (unsigned long)n);
    }
    dp_keep_table_clear(&one);
    dp_keep_table_clear(&five);
}

Test(partition, a_coin_takes_one_word_and_compares_it_with_the_table)
{
    uint64_t keep[] = {0, 1000, 1ull << 63};
    struct dp_keep_table table = {.keep = keep, .n_entries = 3, .offset = 2};
    static const struct {
        uint64_t units, word;
        bool kept;
    } cases[] = {
        {0, 0, false}, {2, 0, false},          {3, 999, true},        {3, 1000, false},
        {4, 0, true},  {4, 1ull << 63, false}, {5, UINT64_MAX, true}, {1000000, UINT64_MAX, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct tape tape;
        struct dp_rng rng = tape_words(&tape, &cases[i].word, 1);
        bool kept;
        cr_assert(dp_keep(&rng, &table, cases[i].units, &kept));
        cr_expect_eq(kept, cases[i].kept, "case %zu", i);
        cr_expect_eq(tape.n_words, 1);
        cr_expect_not(dp_keep(&rng, &table, cases[i].units, &kept), "no entropy, no answer");
    }
}

Test(partition, charges_are_those_of_the_parameters_and_bad_ones_are_refused)
{
    struct dp_keep_table table;
    cr_assert(dp_keep_table_pure(100000000, 1000000000000, 3, 1, &table));
    cr_expect_eq(table.charge.epsilon, 100000000);
    cr_expect_eq(table.charge.delta_atto, 1000000000000);
    cr_expect_eq(table.charge.mu2_pico, 15702348542);
    cr_expect(table.charge.pure);
    dp_keep_table_clear(&table);
    cr_assert(dp_keep_table_gaussian(1000000000, 1000000000000, 3, 1, &table));
    cr_expect_eq(table.charge.mu2_pico, 1000000000);
    cr_expect_not(table.charge.pure);
    dp_keep_table_clear(&table);
    cr_expect_not(dp_keep_table_pure(0, 1000, 1, 1, &table));
    cr_expect_not(dp_keep_table_pure(1000000000, 0, 1, 1, &table));
    cr_expect_not(dp_keep_table_pure(1000000000, 1000, 0, 1, &table));
    cr_expect_not(dp_keep_table_pure(1000000000, 1000, 1, 0, &table));
    cr_expect_not(dp_keep_table_pure(1, 1, 1, 1, &table), "a table without end");
    cr_expect_not(dp_keep_table_gaussian(0, 1000, 1, 1, &table));
    cr_expect_not(dp_keep_table_gaussian(10000, 1000000000, 1, 1, &table), "a table too long");
    cr_expect_not(dp_keep_table_gaussian(UINT64_MAX, 1000, 1, 1, &table));
    cr_expect_null(table.keep);
}
