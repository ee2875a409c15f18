/* What the dp.* settings of a session mean for the planner. */
#include <criterion/criterion.h>
#include <string.h>

#include "proxy/settings.h"

static const struct config config = {.domain_groups_max = 100, .unit_work_max = 1000};
static const struct config_dataset dataset = {
    .epsilon_default = 500000000, .epsilon_max = 3000000000, .delta_default = 5};
static const struct ledger_account account = {.mu2_cap_pico = 70,
                                              .mu2_spent_pico = 30,
                                              .epsilon_cap = 9,
                                              .epsilon_spent = 4,
                                              .delta_keys_cap = 100,
                                              .delta_conv = 77,
                                              .all_pure = true};

static bool read_one(enum flight_setting setting, const char *value, struct plan_settings *settings,
                     struct refusal *refusal)
{
    struct flight flight;
    for (int i = 0; i < FLIGHT_SETTINGS; i++)
        flight.settings[i] = "";
    flight.settings[setting] = value;
    return settings_read(&flight, &config, &dataset, &account, settings, refusal);
}

static void expect_refused(enum flight_setting setting, const char *name, const char *value)
{
    struct plan_settings settings;
    struct refusal refusal;
    cr_expect_not(read_one(setting, value, &settings, &refusal), "%s = %s", name, value);
    cr_expect_str_eq(refusal.sqlstate, "22023");
    cr_expect(strstr(refusal.message, name), "%s", refusal.message);
    cr_expect_str_neq(refusal.hint, "");
}

Test(settings, nothing_set_means_the_defaults)
{
    struct plan_settings settings;
    struct refusal refusal;
    cr_assert(read_one(FLIGHT_EPSILON, "", &settings, &refusal));
    cr_expect_eq(settings.epsilon, 500000000);
    cr_expect_eq(settings.epsilon_max, 3000000000);
    cr_expect(!settings.automatic && !settings.laplace);
    cr_expect_eq(settings.max_error.digits, 0);
    cr_expect_float_eq(settings.beta, 0.05, 1e-15);
    cr_expect_eq(settings.delta_conv, 77);
    cr_expect_eq(settings.account.mu2_cap_pico, 70);
    cr_expect_eq(settings.account.mu2_spent_pico, 30);
    cr_expect_eq(settings.account.epsilon_cap, 9);
    cr_expect_eq(settings.account.epsilon_spent, 4);
    cr_expect(settings.account.all_pure);
}

Test(settings, mechanisms_have_three_names)
{
    struct plan_settings settings;
    struct refusal refusal;
    cr_assert(read_one(FLIGHT_MECHANISM, "AUTO", &settings, &refusal));
    cr_expect(settings.automatic && !settings.laplace);
    cr_assert(read_one(FLIGHT_MECHANISM, "Laplace", &settings, &refusal));
    cr_expect(!settings.automatic && settings.laplace);
    cr_assert(read_one(FLIGHT_MECHANISM, "gaussian", &settings, &refusal));
    cr_expect(!settings.automatic && !settings.laplace);
    expect_refused(FLIGHT_MECHANISM, "dp.mechanism", "exponential");
}

Test(settings, plain_epsilon_is_out_where_others_spent_under_the_datasets_cap)
{
    struct ledger_account shared = account;
    struct flight flight;
    struct plan_settings settings;
    struct refusal refusal;
    for (int i = 0; i < FLIGHT_SETTINGS; i++)
        flight.settings[i] = "";
    shared.dataset_capped = true;
    shared.dataset_mu2_spent_pico = 30;
    cr_assert(settings_read(&flight, &config, &dataset, &shared, &settings, &refusal));
    cr_expect(settings.account.all_pure, "all of it was spent by this analyst");
    shared.dataset_mu2_spent_pico = 31;
    cr_assert(settings_read(&flight, &config, &dataset, &shared, &settings, &refusal));
    cr_expect_not(settings.account.all_pure);
}

Test(settings, an_error_is_a_number_above_zero)
{
    struct plan_settings settings;
    struct refusal refusal;
    cr_assert(read_one(FLIGHT_MAX_ERROR, "12.50", &settings, &refusal));
    cr_expect_eq(settings.max_error.digits, 125);
    cr_expect_eq(settings.max_error.scale, 1);
    static const char *const wrong[] = {"0", "-1", "NaN", "Infinity", "ten", "1e99", " "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(FLIGHT_MAX_ERROR, "dp.max_error", wrong[i]);
}

Test(settings, confidence_is_at_least_a_half_and_below_one)
{
    struct plan_settings settings;
    struct refusal refusal;
    cr_assert(read_one(FLIGHT_CONFIDENCE, "0.999999999", &settings, &refusal));
    cr_expect_float_eq(settings.beta, 1e-9, 1e-20);
    cr_assert(read_one(FLIGHT_CONFIDENCE, "0.5", &settings, &refusal));
    cr_expect_float_eq(settings.beta, 0.5, 1e-15);
    static const char *const wrong[] = {"1", "0.4999", "95", "-0.95", "0.9999999999", "nan", "x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused(FLIGHT_CONFIDENCE, "dp.confidence", wrong[i]);
}
