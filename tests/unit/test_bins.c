#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "parser/bins.h"
#include "parser/catalog.h"

static struct dp_decimal decimal(const char *text)
{
    struct dp_decimal value;
    cr_assert(dp_decimal_parse(text, strlen(text), &value));
    return value;
}

static bool choose(uint32_t type, const char *low, const char *high, int scale, struct bins *bins)
{
    struct dp_decimal from = decimal(low), to = decimal(high);
    return bins_choose(type, &from, &to, scale, bins);
}

/* Few enough, and they hold the range from end to end. */
static void check(const struct bins *bins)
{
    cr_assert(bins->n > 0 && bins->n <= BINS_MAX, "%u", bins->n);
    cr_assert(bins->width > 0);
    cr_expect(bins->first + (bins->n - 1) * bins->width <= bins->last, "the last one is not empty");
    cr_expect(bins->first + bins->n * bins->width > bins->last, "no value is beyond them");
}

Test(bins, a_short_range_has_one_bin_a_value)
{
    static const struct {
        uint32_t type;
        const char *low, *high;
        int scale;
        uint32_t n;
    } cases[] = {
        {TYPE_INT4, "0", "120", 0, 121},      {TYPE_INT2, "-5", "-5", 0, 1},
        {TYPE_INT8, "0.5", "3.5", 0, 3},      {TYPE_NUMERIC, "0", "1", 2, 101},
        {TYPE_DATE, "7305", "9861", 0, 2557}, {TYPE_INT4, "0", "4095", 0, 4096},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bins bins;
        cr_assert(choose(cases[i].type, cases[i].low, cases[i].high, cases[i].scale, &bins));
        cr_expect_eq(bins.n, cases[i].n, "%zu: %u", i, bins.n);
        cr_expect(bins.width == 1);
        check(&bins);
    }
}

Test(bins, a_long_range_is_cut_at_round_numbers)
{
    struct bins bins;
    cr_assert(choose(TYPE_NUMERIC, "0", "20000", 2, &bins));
    check(&bins);
    cr_expect(bins.width == 500, "five whole ones");
    cr_expect_eq(bins.n, 4001);
    cr_assert(choose(TYPE_INT8, "-9223372036854775808", "9223372036854775807", 0, &bins));
    check(&bins);
    cr_assert(choose(TYPE_NUMERIC, "-1e30", "1e30", 6, &bins));
    check(&bins);
    cr_expect_not(choose(TYPE_NUMERIC, "-1e36", "1e36", 6, &bins), "too long for its digits");
    cr_assert(choose(TYPE_TIMESTAMP, "631152000000000", "820454400000000", 0, &bins));
    check(&bins);
    cr_expect(bins.width == (__int128)86400 * 1000000, "days, of six years");
    cr_assert(choose(TYPE_TIMESTAMPTZ, "0", "3600000000", 0, &bins));
    check(&bins);
    cr_expect(bins.width == 1000000, "seconds of an hour");
}

Test(bins, numeric_of_any_scale_gets_no_more_digits_than_it_needs)
{
    struct bins bins;
    cr_assert(choose(TYPE_NUMERIC, "0", "100", -1, &bins));
    check(&bins);
    cr_expect_eq(bins.grid.scale10, 2, "%d", bins.grid.scale10);
    cr_expect(bins.width == 5);
}

Test(bins, floating_point_is_cut_at_powers_of_two)
{
    static const char *const ranges[][2] = {
        {"0", "250"},           {"-1", "1"},       {"0.1", "0.3"}, {"0", "1e-9"}, {"1e15", "1e15"},
        {"1000000", "1000001"}, {"-1e30", "1e30"}, {"0", "3.4e37"}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct bins bins;
        cr_assert(choose(TYPE_FLOAT8, ranges[i][0], ranges[i][1], -1, &bins), "%zu", i);
        check(&bins);
        cr_expect(bins.floating && bins.width == 1);
        double low = ldexp((double)bins.first, bins.grid.exp2);
        double end = ldexp((double)(bins.last + 1), bins.grid.exp2);
        cr_expect(low <= bins.low && bins.high < end, "%zu: %g to %g", i, low, end);
        if (bins.low < bins.high)
            cr_expect(bins.n > BINS_MAX / 2 - 1 || fabs(bins.low) > 1e5, "%zu: %u", i, bins.n);
    }
}

Test(bins, dates_and_time_stamps_end_where_postgresql_does)
{
    struct bins bins;
    cr_assert(choose(TYPE_DATE, "-99999999999", "99999999999", 0, &bins));
    check(&bins);
    cr_expect(bins.first >= -2451545 && bins.last <= 2145031948);
    cr_assert(choose(TYPE_TIMESTAMP, "-1e30", "1e30", 0, &bins));
    check(&bins);
    cr_expect(bins.last - bins.first < (__int128)1 << 62);
}

Test(bins, other_types_have_none)
{
    struct bins bins;
    cr_expect_not(choose(TYPE_TEXT, "0", "1", 0, &bins));
    cr_expect_not(choose(TYPE_BOOL, "0", "1", 0, &bins));
    cr_expect_not(choose(TYPE_INTERVAL, "0", "1", 0, &bins));
}
