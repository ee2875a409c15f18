#include <criterion/criterion.h>

#include "mechanisms/sharing.h"

static const uint64_t total = 900000000;

static struct dp_shares alone(struct dp_wanted wanted)
{
    struct dp_shares shares;
    uint64_t units;
    cr_assert(dp_share(total, DP_KEYS_PUBLIC, 1, &wanted, &units, &shares));
    cr_assert_eq(units, 0);
    return shares;
}

static bool is(struct dp_shares shares, uint64_t count, uint64_t sum, uint64_t squares)
{
    return shares.count == count && shares.sum == sum && shares.squares == squares;
}

Test(sharing, one_column_is_divided_as_the_table_says)
{
    const uint64_t third = total / 3;
    cr_expect(is(alone((struct dp_wanted){.count = true}), total, 0, 0));
    cr_expect(is(alone((struct dp_wanted){.sum = true}), 0, total, 0));
    cr_expect(is(alone((struct dp_wanted){.mean = true}), third, 2 * third, 0));
    cr_expect(is(alone((struct dp_wanted){.mean = true, .sum = true}), total / 2, total / 2, 0));
    cr_expect(is(alone((struct dp_wanted){.mean = true, .count = true}), total / 2, total / 2, 0));
    cr_expect(is(alone((struct dp_wanted){.count = true, .sum = true}), total / 2, total / 2, 0));
    cr_expect(is(alone((struct dp_wanted){.variance = true}), third, third, third));
    cr_expect(is(alone((struct dp_wanted){.variance = true, .mean = true}), third, third, third));
}

Test(sharing, keys_take_a_third_or_count_as_one_more_aggregate)
{
    struct dp_wanted wanted[2] = {{.count = true}, {.mean = true}};
    struct dp_shares shares[2];
    uint64_t units;
    cr_assert(dp_share(total, DP_KEYS_PRIVATE, 2, wanted, &units, shares));
    cr_expect_eq(units, total / 3);
    cr_expect(is(shares[0], total / 3, 0, 0));
    cr_expect(is(shares[1], total / 9, total / 3 - total / 9, 0));
    cr_assert(dp_share(total, DP_KEYS_PRIVATE_COUNTED, 2, wanted, &units, shares));
    cr_expect_eq(units, total / 3);
    cr_expect(is(shares[0], total / 3, 0, 0));
    cr_assert(dp_share(total, DP_KEYS_PRIVATE, 0, NULL, &units, NULL));
    cr_expect_eq(units, total, "keys alone take all");
}

Test(sharing, parts_never_exceed_the_total_and_nothing_gets_no_budget)
{
    struct dp_wanted wanted[7];
    struct dp_shares shares[7];
    for (unsigned bits = 1; bits < 16; bits++) {
        for (size_t i = 0; i < 7; i++) {
            unsigned own = (bits * (unsigned)(i + 1)) % 15 + 1;
            wanted[i] = (struct dp_wanted){own & 1, own & 2, own & 4, own & 8};
        }
        for (uint64_t amount = 0; amount < 200; amount++) {
            for (int keys = DP_KEYS_PUBLIC; keys <= DP_KEYS_PRIVATE_COUNTED; keys++) {
                uint64_t units;
                if (!dp_share(amount, (enum dp_keys)keys, 7, wanted, &units, shares)) {
                    cr_expect(amount < 40, "%lu", (unsigned long)amount);
                    continue;
                }
                uint64_t sum = units;
                for (size_t i = 0; i < 7; i++) {
                    sum += shares[i].count + shares[i].sum + shares[i].squares;
                    cr_expect(shares[i].count + shares[i].sum > 0);
                    cr_expect(!wanted[i].variance || shares[i].squares > 0);
                    cr_expect(!wanted[i].mean || (shares[i].count > 0 && shares[i].sum > 0));
                }
                cr_expect(sum <= amount, "%lu of %lu", (unsigned long)sum, (unsigned long)amount);
            }
        }
    }
}

Test(sharing, the_rotated_pair_pays_once_for_both_sums)
{
    struct dp_decimal low = {.digits = -50, .scale = 1};
    struct dp_decimal high = {.digits = 15, .scale = 0};
    struct dp_grid tenths = {.scale10 = 1, .exp2 = 0};
    struct dp_calibration c;
    cr_assert(dp_calibrate_rotated_pair(&low, &high, 3, &tenths, 2, 1000000000, &c));
    cr_expect_eq(c.delta_grid, 600, "3 rows of 20.0");
    cr_expect_eq(c.m, ((uint64_t)1 << 50) / 1200, "scale 2 * 600 / epsilon");
    cr_expect(c.charge.epsilon <= 1000000000 && c.charge.epsilon > 999999000);
    cr_expect_not(dp_calibrate_rotated_pair(&high, &low, 3, &tenths, 2, 1000000000, &c));
    /* 10 rows at 8.0: A = 10 * 70, B = 10 * 130 tenths */
    __int128 count;
    __int128 twice;
    dp_rotated_pair_values(700, 1300, &count, &twice);
    cr_expect_eq((long)(count / 200), 10);
    cr_expect_eq((long)twice, 600, "10 * (8.0 - 5.0) tenths, twice");
}

Test(sharing, auto_takes_what_admits_more_of_the_same)
{
    struct dp_account_state account = {
        .mu2_cap_pico = 56028963825, .epsilon_cap = 1000000000, .all_pure = true};
    cr_expect_eq(dp_choose_mechanism(&account, 500000000, 1), DP_LAPLACE);
    cr_expect_eq(dp_choose_mechanism(&account, 100000000, 1), DP_GAUSSIAN, "10 against 11");
    cr_expect_eq(dp_choose_mechanism(&account, 10000000, 1), DP_GAUSSIAN);
    cr_expect_eq(dp_choose_mechanism(&account, 500000000, 8), DP_GAUSSIAN);
    account.epsilon_spent = 600000000;
    cr_expect_eq(dp_choose_mechanism(&account, 500000000, 1), DP_GAUSSIAN, "no epsilon left");
    account.epsilon_spent = 0;
    account.all_pure = false;
    cr_expect_eq(dp_choose_mechanism(&account, 500000000, 1), DP_GAUSSIAN);
    account.all_pure = true;
    account.mu2_spent_pico = account.mu2_cap_pico;
    cr_expect_eq(dp_choose_mechanism(&account, 10000000, 1), DP_LAPLACE, "no mu^2 left");
    account.epsilon_spent = 995000000;
    cr_expect_eq(dp_choose_mechanism(&account, 10000000, 1), DP_GAUSSIAN, "nor enough epsilon");
}
