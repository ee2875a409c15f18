/* How many further queries dp.budget tells, by the account's mode and the session's mechanism. */
#include <criterion/criterion.h>
#include <string.h>

#include "proxy/budget_text.h"

enum { QUERIES_LEFT = BUDGET_COLUMNS - 1 };

/* A grant of epsilon 3 and delta 1e-6, with nothing spent. */
static struct ledger_account account_of(const char *cap_mode, uint64_t cap_pico)
{
    struct ledger_account account = {.mu2_cap_pico = cap_pico,
                                     .epsilon_cap = 3000000000,
                                     .delta_conv = 900000000000,
                                     .minimum_mu2_pico = 1000,
                                     .all_pure = true};
    strcpy(account.cap_mode, cap_mode);
    return account;
}

static long left(const struct ledger_account *account, dp_nano epsilon, bool laplace,
                 bool automatic)
{
    const char *cells[BUDGET_COLUMNS];
    const struct plan_settings settings = {
        .epsilon = epsilon, .laplace = laplace, .automatic = automatic};
    struct arena *arena = arena_new();
    budget_row(arena, account, &settings, cells);
    long value = strtol(cells[QUERIES_LEFT], NULL, 10);
    arena_free(arena);
    return value;
}

Test(budget_text, a_pure_account_counts_epsilon_whatever_the_mechanism)
{
    struct ledger_account account = account_of("pure", 0);
    cr_expect_eq(left(&account, 10000000, false, false), 300);
    cr_expect_eq(left(&account, 10000000, true, false), 300);
    account.epsilon_spent = 2995000000;
    cr_expect_eq(left(&account, 10000000, true, false), 0);
    account.epsilon_spent = 3000000001;
    cr_expect_eq(left(&account, 10000000, true, false), 0);
}

Test(budget_text, gaussian_and_laplace_counts_cost_differently)
{
    uint64_t cap, each, pure;
    cr_assert(dp_mu2_cap(3000000000, 900000000000, &cap));
    cr_assert(dp_mu2_cap(500000000, 900000000000, &each));
    cr_assert(dp_mu2_of_pure(500000000, &pure));
    struct ledger_account account = account_of("gdp", cap);
    cr_expect_eq(left(&account, 500000000, false, false), (long)(cap / each));
    cr_expect_eq(left(&account, 500000000, true, false), 6, "by the sum of epsilons");
    cr_expect_lt((long)(cap / pure), 6);
    cr_expect_eq(left(&account, 500000000, false, true), (long)(cap / each), "the larger");
    account.all_pure = false;
    cr_expect_eq(left(&account, 500000000, true, false), (long)(cap / pure));
}

Test(budget_text, the_minimum_charge_and_the_shared_cap_count)
{
    struct ledger_account account = account_of("gdp", 1000000);
    account.minimum_mu2_pico = 300000;
    cr_expect_eq(left(&account, 1000, false, false), 3);
    account.dataset_capped = true;
    account.dataset_mu2_cap_pico = 700000;
    cr_expect_eq(left(&account, 1000, false, false), 2);
}

Test(budget_text, zcdp_accounts_count_pure_releases_by_their_rho)
{
    /* 2 * 0.5 * tanh(0.25) = 0.244918662404 */
    struct ledger_account account = account_of("zcdp", 2449186623000);
    account.all_pure = false;
    cr_expect_eq(left(&account, 500000000, true, false), 9);
    account.mu2_cap_pico = 2449186640000;
    cr_expect_eq(left(&account, 500000000, true, false), 10);
}
