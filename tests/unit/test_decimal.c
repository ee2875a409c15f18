#include <criterion/criterion.h>
#include <string.h>

#include "mechanisms/decimal.h"

static struct dp_decimal parse(const char *text)
{
    struct dp_decimal value;
    cr_assert(dp_decimal_parse(text, strlen(text), &value), "%s", text);
    return value;
}

static void prints(const char *text, const char *expected)
{
    char out[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal value = parse(text);
    size_t length = dp_decimal_print(&value, out);
    cr_assert_str_eq(out, expected, "%s gives %s, not %s", text, out, expected);
    cr_assert_eq(length, strlen(expected));
}

Test(decimal, reads_what_it_prints)
{
    prints("0", "0");
    prints("-0", "0");
    prints("+12", "12");
    prints("-12.50", "-12.50");
    prints(".5", "0.5");
    prints("5.", "5");
    prints("007.10", "7.10");
    prints("1e3", "1000");
    prints("1.5E+2", "150");
    prints("125e-5", "0.00125");
    prints("0e99", "0");
    prints("0.00e-1", "0.000");
    prints("99999999999999999999999999999999999999", "99999999999999999999999999999999999999");
    prints("-0.000000000000000000000000000001", "-0.000000000000000000000000000001");
    prints("1e37", "10000000000000000000000000000000000000");
    prints("1.00000000000000000000000000000000000000000000000000",
           "1.000000000000000000000000000000");
    prints("12340000000000000000000000000000000000000000000e-10",
           "1234000000000000000000000000000000000.0");
}

Test(decimal, refuses_what_is_not_a_decimal_or_does_not_fit)
{
    static const char *const wrong[] = {"",
                                        "-",
                                        "+",
                                        ".",
                                        "e5",
                                        "1e",
                                        "1e+",
                                        "NaN",
                                        "inf",
                                        "1 ",
                                        " 1",
                                        "1.2.3",
                                        "--1",
                                        "0x10",
                                        "1e5.0",
                                        "1_0",
                                        "1e38",
                                        "1e-31",
                                        "1e99999",
                                        "1,5",
                                        "1e-99999999999",
                                        "100000000000000000000000000000000000000",
                                        "123456789012345678901234567890123456789",
                                        "0.1234567890123456789012345678901"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct dp_decimal value;
        cr_expect_not(dp_decimal_parse(wrong[i], strlen(wrong[i]), &value), "%s", wrong[i]);
    }
    struct dp_decimal value;
    cr_assert_not(dp_decimal_parse("1\0", 2, &value));
    cr_assert(dp_decimal_parse("12x", 2, &value) && value.digits == 12);
}

typedef bool operation(const struct dp_decimal *, const struct dp_decimal *, struct dp_decimal *);

static void gives(operation *apply, const char *a, const char *b, const char *expected)
{
    struct dp_decimal x = parse(a);
    struct dp_decimal y = parse(b);
    struct dp_decimal result = {.digits = 77, .scale = 7};
    bool done = apply(&x, &y, &result);
    if (expected == NULL) {
        cr_expect_not(done, "%s, %s", a, b);
        cr_expect(result.digits == 77 && result.scale == 7, "touched although it failed");
        return;
    }
    char text[DP_DECIMAL_TEXT_MAX];
    cr_assert(done, "%s, %s", a, b);
    dp_decimal_print(&result, text);
    cr_expect_str_eq(text, expected, "%s, %s: %s, not %s", a, b, text, expected);
}

Test(decimal, adds_subtracts_and_multiplies_exactly)
{
    gives(dp_decimal_add, "0.1", "0.2", "0.3");
    gives(dp_decimal_add, "-5", "5.00", "0.00");
    gives(dp_decimal_add, "1e30", "1e-7", "1000000000000000000000000000000.0000001");
    gives(dp_decimal_add, "1e30", "1e-8", NULL);
    gives(dp_decimal_add, "99999999999999999999999999999999999999", "1", NULL);
    gives(dp_decimal_subtract, "1", "1.001", "-0.001");
    gives(dp_decimal_subtract, "-99999999999999999999999999999999999999", "1", NULL);
    gives(dp_decimal_multiply, "-1.5", "2.00", "-3.000");
    gives(dp_decimal_multiply, "1e19", "1e18", "10000000000000000000000000000000000000");
    gives(dp_decimal_multiply, "1e19", "1e19", NULL);
    gives(dp_decimal_multiply, "1e-20", "1e-10", "0.000000000000000000000000000001");
    gives(dp_decimal_multiply, "1e-20", "1e-11", NULL);
    gives(dp_decimal_multiply, "2e-20", "5e-11", "0.000000000000000000000000000001");
}

static void divides(const char *a, const char *b, int scale, const char *down, const char *up)
{
    struct dp_decimal x = parse(a);
    struct dp_decimal y = parse(b);
    struct dp_decimal result;
    char text[DP_DECIMAL_TEXT_MAX];
    cr_assert(dp_decimal_divide(&x, &y, scale, false, &result));
    dp_decimal_print(&result, text);
    cr_expect_str_eq(text, down, "%s / %s down: %s", a, b, text);
    cr_assert(dp_decimal_divide(&x, &y, scale, true, &result));
    dp_decimal_print(&result, text);
    cr_expect_str_eq(text, up, "%s / %s up: %s", a, b, text);
}

Test(decimal, divides_towards_the_side_asked_for)
{
    divides("1", "3", 2, "0.33", "0.34");
    divides("-1", "3", 2, "-0.34", "-0.33");
    divides("1", "-3", 0, "-1", "0");
    divides("10", "4", 1, "2.5", "2.5");
    divides("0", "7", 3, "0.000", "0.000");
    divides("1e-30", "1e7", 30, "0.000000000000000000000000000000",
            "0.000000000000000000000000000001");
    struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal zero = dp_decimal_from_int(0);
    struct dp_decimal result;
    cr_assert_not(dp_decimal_divide(&one, &zero, 2, true, &result));
    cr_assert_not(dp_decimal_divide(&one, &one, 31, true, &result));
    struct dp_decimal big = parse("1e20");
    cr_assert_not(dp_decimal_divide(&big, &one, 20, true, &result));
}

Test(decimal, compares_by_value_and_not_by_scale)
{
    static const struct {
        const char *a, *b;
        int order;
    } cases[] = {{"1", "1.000", 0},
                 {"-1", "1", -1},
                 {"0.1", "0.09", 1},
                 {"-2", "-1.5", -1},
                 {"-0", "0.00", 0},
                 {"1e37", "1e-30", 1},
                 {"-1e37", "-99999999999999999999999999999999999999", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dp_decimal a = parse(cases[i].a);
        struct dp_decimal b = parse(cases[i].b);
        cr_expect_eq(dp_decimal_compare(&a, &b), cases[i].order, "%s, %s", cases[i].a, cases[i].b);
        cr_expect_eq(dp_decimal_compare(&b, &a), -cases[i].order, "%s, %s", cases[i].b, cases[i].a);
    }
}

Test(decimal, normalizes_the_fraction_only)
{
    struct dp_decimal value = parse("-1200.3400");
    char text[DP_DECIMAL_TEXT_MAX];
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, text);
    cr_assert_str_eq(text, "-1200.34");
    value = parse("1200.000");
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, text);
    cr_assert_str_eq(text, "1200");
    value = dp_decimal_from_int(-5);
    value = dp_decimal_abs(&value);
    cr_assert(value.digits == 5 && value.scale == 0);
}
