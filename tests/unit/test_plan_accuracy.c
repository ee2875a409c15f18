/* Which mechanism a plan takes, what dp.max_error makes of it, and what it says about errors. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

static struct dp_decimal decimal(const char *text)
{
    struct dp_decimal value;
    cr_assert(dp_decimal_parse(text, strlen(text), &value));
    return value;
}

/* An account of epsilon 1 and delta 1e-6 that has spent nothing, asked automatically. */
static struct plan_settings automatic(dp_nano epsilon)
{
    struct plan_settings settings = planning_settings();
    settings.automatic = true;
    settings.epsilon = epsilon;
    settings.account = (struct dp_account_state){
        .mu2_cap_pico = 56028963825, .epsilon_cap = 1000000000, .all_pure = true};
    return settings;
}

static const struct release *only_release(const struct planning *planning)
{
    cr_assert_eq(planning->result, PLANNED, "%s: %s", planning->refusal.message,
                 planning->refusal.detail);
    cr_assert_eq(planning->plan->n_relations, 1);
    return planning->plan->relations[0].release;
}

static enum dp_mechanism mechanism_of(const char *sql, const struct plan_settings *settings)
{
    struct planning planning = plan_statement(catalogs_get("census"), sql, settings);
    enum dp_mechanism mechanism = only_release(&planning)->measures[0].calibration.mechanism;
    cr_expect_eq(planning.plan->charge.pure, mechanism == DP_LAPLACE);
    planning_clear(&planning);
    return mechanism;
}

Test(plan_accuracy, a_few_numbers_get_laplace_noise_and_many_gaussian)
{
    struct plan_settings few = automatic(500000000), many = automatic(10000000);
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &few), DP_LAPLACE);
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &many), DP_GAUSSIAN);
    cr_expect_eq(mechanism_of("SELECT sum(education), sum(experience), sum(wage), count(*), "
                              "sum(education * 2), sum(experience * 2), sum(wage * 2), "
                              "sum(education * 3), sum(wage * 3), sum(wage * 4) FROM people",
                              &few),
                 DP_GAUSSIAN, "ten coordinates at once are above 8.9");
}

Test(plan_accuracy, an_account_that_cannot_pay_in_plain_epsilon_gets_gaussian_noise)
{
    struct plan_settings settings = automatic(500000000);
    settings.account.all_pure = false;
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_GAUSSIAN);
    settings = automatic(500000000);
    settings.account.epsilon_spent = 500000001;
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_GAUSSIAN);
    settings.account.mu2_cap_pico = 0;
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_LAPLACE,
                 "an account in plain epsilon has nothing else");
}

Test(plan_accuracy, earlier_releases_of_a_statement_count_as_spent)
{
    const char *sql = "SELECT (SELECT count(*) FROM people), (SELECT sum(education) FROM people), "
                      "(SELECT sum(experience) FROM people)";
    struct plan_settings settings = automatic(400000000);
    struct planning planning = plan_statement(catalogs_get("census"), sql, &settings);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    static const enum dp_mechanism expected[] = {DP_LAPLACE, DP_LAPLACE, DP_GAUSSIAN};
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(planning.plan->relations[i].release->measures[0].calibration.mechanism,
                     expected[i], "release %zu", i);
    cr_expect_not(planning.plan->charge.pure, "a mixed statement pays by mu^2");
    planning_clear(&planning);
}

Test(plan_accuracy, private_keys_may_have_laplace_noise)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = true;
    struct planning planning = plan_statement(
        catalogs_get("census"), "SELECT education, count(*) FROM people GROUP BY 1", &settings);
    const struct release *release = only_release(&planning);
    cr_assert_eq(release->n_measures, 1);
    cr_expect(release->charge.pure);
    cr_expect_eq(release->charge.delta_atto, settings.delta);
    /* q^(t - 1) / (1 + q) <= delta for q = exp(-1), delta = 1e-12: t = 28.4 rounded up */
    cr_expect_eq(release->key_threshold, 29);
    planning_clear(&planning);
}

static struct planning within(const char *dataset, const char *sql, const char *error, bool laplace)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = laplace;
    settings.max_error = decimal(error);
    return plan_statement(catalogs_get(dataset), sql, &settings);
}

Test(plan_accuracy, an_error_of_ten_costs_what_the_tables_say)
{
    struct planning planning = within("census", "SELECT count(*) FROM people", "10", false);
    const struct release *release = only_release(&planning);
    cr_expect_float_eq((double)release->charge.mu2_pico / 1e12, 0.0348432, 1e-6);
    cr_expect_leq(dp_calibration_halfwidth(&release->measures[0].calibration, 0.05), 10);
    planning_clear(&planning);
    planning = within("census", "SELECT count(*) FROM people", "10.9", true);
    release = only_release(&planning);
    cr_expect_float_eq((double)release->charge.epsilon / 1e9, 0.284349, 1e-6);
    planning_clear(&planning);
}

Test(plan_accuracy, every_count_and_sum_gets_the_error_that_was_asked_for)
{
    const char *sql = "SELECT count(*), sum(education), sum(wage), sum(7) FROM people";
    for (int laplace = 0; laplace < 2; laplace++) {
        struct planning planning = within("census", sql, "2500.5", laplace != 0);
        const struct release *release = only_release(&planning);
        cr_assert_eq(release->n_measures, 3);
        uint64_t sum = 0;
        for (size_t i = 0; i < 3; i++) {
            const struct dp_calibration *c = &release->measures[i].calibration;
            double unit = ldexp(1, c->grid.exp2) * pow(10, -c->grid.scale10);
            double limit = release->measures[i].kind == MEASURE_SUM ? 2500.5 : 2500.5 / 7;
            double half = dp_calibration_halfwidth(c, 0.05) * unit;
            cr_expect(half <= limit && half > limit - 1 - unit, "%s: %g of %g",
                      release->measures[i].described, half, limit);
            sum += laplace ? c->charge.epsilon : c->charge.mu2_pico;
        }
        cr_expect_eq(laplace ? release->charge.epsilon : release->charge.mu2_pico, sum);
        planning_clear(&planning);
    }
}

Test(plan_accuracy, private_keys_take_a_third_beside_what_is_asked_for)
{
    struct planning planning =
        within("census", "SELECT education, sum(experience) FROM people GROUP BY 1", "500", false);
    const struct release *release = only_release(&planning);
    cr_assert_eq(release->n_measures, 2);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS);
    cr_expect_float_eq((double)release->measures[0].calibration.charge.mu2_pico * 2,
                       (double)release->measures[1].calibration.charge.mu2_pico, 10);
    cr_expect_gt(release->key_threshold, 1);
    planning_clear(&planning);
}

Test(plan_accuracy, dp_epsilon_does_not_matter_where_the_error_decides)
{
    const char *sql = "SELECT region, count(*) FROM people GROUP BY region";
    struct plan_settings settings = planning_settings();
    settings.max_error = decimal("5");
    struct planning one = plan_statement(catalogs_get("census"), sql, &settings);
    settings.epsilon = 17;
    struct planning other = plan_statement(catalogs_get("census"), sql, &settings);
    cr_assert(one.result == PLANNED && other.result == PLANNED);
    cr_expect_str_eq(one.plan->fingerprint, other.plan->fingerprint);
    planning_clear(&one);
    planning_clear(&other);
}

Test(plan_accuracy, automatic_accuracy_takes_the_mechanism_that_the_account_can_use)
{
    struct plan_settings settings = automatic(1);
    settings.max_error = decimal("4");
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_LAPLACE);
    settings.max_error = decimal("400");
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_GAUSSIAN);
    settings.max_error = decimal("4");
    settings.account.all_pure = false;
    cr_expect_eq(mechanism_of("SELECT count(*) FROM people", &settings), DP_GAUSSIAN);
}

static void expect_refused(struct planning planning, const char *sqlstate, const char *says)
{
    cr_expect_eq(planning.result, PLANNING_REFUSED);
    cr_expect_str_eq(planning.refusal.sqlstate, sqlstate, "%s", planning.refusal.message);
    cr_expect(strstr(planning.refusal.message, says) || strstr(planning.refusal.detail, says),
              "%s | %s", planning.refusal.message, planning.refusal.detail);
    cr_expect_str_neq(planning.refusal.hint, "");
    planning_clear(&planning);
}

Test(plan_accuracy, what_costs_too_much_is_refused_with_what_it_would_need)
{
    const char *sql = "SELECT count(*) FROM people";
    expect_refused(within("census", sql, "0.4", false), "22023", "needs an epsilon of 25.66");
    expect_refused(within("census", "SELECT sum(wage) FROM people", "60", true), "22023",
                   "at most 20 is allowed");
    expect_refused(within("census", "SELECT sum(wage) FROM people", "0.0000001", false), "22023",
                   "dp.max_error");
    expect_refused(within("census", "SELECT avg(wage) FROM people", "5", false), "0A000",
                   "counts and sums");
    expect_refused(within("census", sql, "99999999999999999999999999", false), "22023",
                   "no noise fits count(*)");
    expect_refused(
        within("census", "SELECT sum(-3) FROM people", "99999999999999999999999999", true), "22023",
        "no noise fits sum(-3)");
    expect_refused(
        within("census", "SELECT count(*), sum(20000000000000000000) FROM people", "10", false),
        "22023", "no noise fits sum(20000000000000000000)");
    struct planning keys = within("census", "SELECT DISTINCT education FROM people", "1", false);
    cr_expect_eq(keys.result, PLANNED, "keys have no error: dp.epsilon pays for them");
    planning_clear(&keys);
}

Test(plan_accuracy, intervals_are_columns_and_measure_nothing_of_their_own)
{
    const char *plain = "SELECT count(*), avg(education) FROM people";
    const char *more = "SELECT dp.interval_low(count(*)), dp.interval_high(avg(education)), "
                       "dp.stddev(avg(education)), count(*) FROM people "
                       "HAVING dp.interval_high(count(*)) > 3 ORDER BY dp.stddev(count(*))";
    struct planning a = plan_statement(catalogs_get("census"), plain, NULL);
    struct planning b = plan_statement(catalogs_get("census"), more, NULL);
    cr_assert_eq(only_release(&a)->n_measures, only_release(&b)->n_measures);
    cr_expect_eq(a.plan->charge.mu2_pico, b.plan->charge.mu2_pico);
    cr_expect_null(strstr(b.plan->final_sql, "dp."), "%s", b.plan->final_sql);
    cr_expect(strstr(b.plan->final_sql, "release.i1 AS interval_low"));
    planning_clear(&a);
    planning_clear(&b);
}

Test(plan_accuracy, intervals_are_of_aggregates_alone)
{
    static const char *const sqls[] = {
        "SELECT dp.interval_low(education) FROM people GROUP BY education",
        "SELECT dp.interval_low(count(*) + 1) FROM people",
        "SELECT dp.stddev(1) FROM people",
        "SELECT dp.interval_low(count(*), 1) FROM people",
        "SELECT count(*), dp.interval_high(DISTINCT count(*)) FROM people",
        "SELECT dp.interval_high(n) FROM (SELECT count(*) AS n FROM people) q",
        "SELECT dp.stddev(dp.stddev(sum(education))) FROM people",
        "SELECT sum(dp.interval_low(education)) FROM people",
        "SELECT count(*) FROM people WHERE dp.interval_low(education) > 3",
    };
    for (size_t i = 0; i < sizeof sqls / sizeof *sqls; i++) {
        struct planning planning = plan_statement(catalogs_get("census"), sqls[i], NULL);
        cr_expect_eq(planning.result, PLANNING_REFUSED, "%s", sqls[i]);
        cr_expect_str_eq(planning.refusal.sqlstate, i == 2 ? "42501" : "0A000", "%s: %s", sqls[i],
                         planning.refusal.message);
        planning_clear(&planning);
    }
}

Test(plan_accuracy, explain_states_the_error_at_the_confidence_that_is_set)
{
    struct plan_settings settings = planning_settings();
    settings.beta = 0.1;
    settings.max_error = decimal("10");
    struct planning planning =
        plan_statement(catalogs_get("census"), "EXPLAIN SELECT count(*) FROM people", &settings);
    cr_assert_eq(planning.result, PLANNED);
    cr_expect(strstr(planning.plan->explain[1], "expected error 10 (90 %)"), "%s",
              planning.plan->explain[1]);
    cr_expect(strstr(planning.plan->explain[0], "Release 1: epsilon 0."), "%s",
              planning.plan->explain[0]);
    planning_clear(&planning);
}
