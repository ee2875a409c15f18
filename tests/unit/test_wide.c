#include <criterion/criterion.h>

#include "mechanisms/wide.h"
#include "tests/support/tape_rng.h"

Test(wide, division_undoes_multiplication_for_random_numbers)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 1);
    for (int i = 0; i < 400; i++) {
        uint64_t words[4];
        for (int j = 0; j < 4; j++) {
            cr_assert(rng.next64(rng.state, &words[j]));
        }
        struct dp_wide a = dp_wide_from((unsigned __int128)words[0] << (words[3] % 64) | words[1]);
        struct dp_wide b = dp_wide_from((unsigned __int128)words[2] + 1);
        struct dp_wide rest = dp_wide_from(words[2] / 2);
        struct dp_wide product = dp_wide_add(dp_wide_multiply(a, b), rest);
        struct dp_wide down = dp_wide_divide(product, b, false);
        struct dp_wide up = dp_wide_divide(product, b, true);
        cr_assert_eq(dp_wide_compare(&down, &a), 0);
        struct dp_wide above = words[2] > 1 ? dp_wide_add(a, dp_wide_from(1)) : a;
        cr_assert_eq(dp_wide_compare(&up, &above), 0);
        uint64_t remainder;
        if (words[2] != UINT64_MAX) {
            struct dp_wide small = dp_wide_divide_small(product, words[2] + 1, &remainder);
            cr_assert_eq(dp_wide_compare(&small, &a), 0);
            cr_assert_eq(remainder, words[2] / 2);
        }
    }
}

Test(wide, shifts_are_products_and_quotients_of_powers_of_two)
{
    struct dp_wide value = dp_wide_power10(70);
    for (unsigned bits = 0; bits < 700; bits += 13) {
        struct dp_wide power = dp_wide_shift_left(dp_wide_from(1), bits);
        struct dp_wide left = dp_wide_shift_left(value, bits);
        struct dp_wide product = dp_wide_multiply(value, power);
        cr_assert_eq(dp_wide_compare(&left, &product), 0);
        for (int up = 0; up < 2; up++) {
            struct dp_wide right = dp_wide_shift_right(value, bits, up);
            struct dp_wide quotient = dp_wide_divide(value, power, up);
            cr_assert_eq(dp_wide_compare(&right, &quotient), 0, "%u bits", bits);
        }
    }
}

Test(wide, overflow_is_sticky_and_fits_nowhere)
{
    struct dp_wide most = dp_wide_shift_left(dp_wide_from(1), 1023);
    cr_assert_not(most.overflow);
    struct dp_wide over[] = {dp_wide_shift_left(most, 1),
                             dp_wide_add(most, most),
                             dp_wide_multiply(most, most),
                             dp_wide_subtract(dp_wide_from(1), dp_wide_from(2)),
                             dp_wide_divide(most, dp_wide_from(0), true),
                             dp_wide_power10(400)};
    for (size_t i = 0; i < sizeof(over) / sizeof(*over); i++) {
        unsigned __int128 value;
        uint64_t word;
        cr_expect(over[i].overflow, "%zu", i);
        struct dp_wide later = dp_wide_divide(over[i], most, false);
        cr_expect_not(dp_wide_to_u128(&later, &value), "%zu", i);
        cr_expect_not(dp_wide_to_u64(&over[i], &word), "%zu", i);
        cr_expect_eq(dp_wide_compare(&over[i], &most), 1, "%zu", i);
        cr_expect_not(dp_wide_is_zero(&over[i]), "%zu", i);
    }
    cr_assert(!dp_wide_power10(308).overflow);
}

Test(wide, numbers_that_need_more_bits_do_not_fit)
{
    unsigned __int128 value;
    uint64_t word;
    struct dp_wide two128 = dp_wide_shift_left(dp_wide_from(1), 128);
    struct dp_wide less = dp_wide_subtract(two128, dp_wide_from(1));
    cr_assert_not(dp_wide_to_u128(&two128, &value));
    cr_assert(dp_wide_to_u128(&less, &value) && value == ~(unsigned __int128)0);
    cr_assert_not(dp_wide_to_u64(&less, &word));
}
