/* Which draws a plan takes for quantiles, MIN and MAX, of which histograms, and what they cost. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "mechanisms/cdf.h"
#include "parser/quantile.h"
#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

enum { TYPE_FLOAT8_ARRAY = 1022 };

static struct planning planned(const char *dataset, const char *sql, bool laplace)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = laplace;
    struct planning planning = plan_statement(catalogs_get(dataset), sql, &settings);
    cr_assert_eq(planning.result, PLANNED, "%s: %s: %s", sql, planning.refusal.message,
                 planning.refusal.detail);
    return planning;
}

static const struct release *release_of(const struct planning *planning)
{
    cr_assert_eq(planning->plan->n_relations, 1);
    return planning->plan->relations[0].release;
}

static const struct release_histogram *histogram_of(const struct planning *planning)
{
    const struct release *release = release_of(planning);
    cr_assert_eq(release->n_histograms, 1);
    return &release->histograms[0];
}

/* mu^2 of epsilon 1 at the settings' delta. */
static uint64_t budget(void)
{
    uint64_t mu2 = 0;
    cr_assert(dp_mu2_cap(1000000000, planning_settings().delta_conv, &mu2));
    return mu2;
}

Test(plan_quantiles, quantiles_of_one_argument_share_a_histogram_and_equal_ones_a_draw)
{
    struct planning planning = planned(
        "census",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY education), percentile_cont(0.5) WITHIN "
        "GROUP (ORDER BY education), percentile_disc(0.25) WITHIN GROUP (ORDER BY education DESC), "
        "percentile_disc(ARRAY[0.75, 0.5]) WITHIN GROUP (ORDER BY education), min(education), "
        "percentile_disc(0) WITHIN GROUP (ORDER BY education) FROM people",
        false);
    const struct release_histogram *histogram = histogram_of(&planning);
    cr_assert_eq(histogram->n_draws, 2);
    cr_expect_eq(histogram->n_values, 3);
    cr_expect_eq(histogram->draws[0].plan.n, 2, "a half and three quarters");
    cr_expect_eq(histogram->draws[1].plan.n, 1, "the least");
    cr_expect_gt(histogram->draws[1].ranks[0].units_offset, 0);
    cr_expect_eq(histogram->n_bins, 21);
    cr_expect_eq(release_of(&planning)->n_measures, 0, "nothing else is measured");
    cr_expect_null(release_of(&planning)->sql);
    planning_clear(&planning);
}

Test(plan_quantiles, filters_and_arguments_that_differ_have_histograms_of_their_own)
{
    struct planning planning =
        planned("census",
                "SELECT max(education), max(education) FILTER (WHERE parttime), max(experience), "
                "min(education) FROM people",
                false);
    const struct release *release = release_of(&planning);
    cr_assert_eq(release->n_histograms, 3);
    cr_expect_eq(release->histograms[0].n_values, 2, "the greatest and the least");
    planning_clear(&planning);
}

/* Both currencies add up from the draws, within what the settings allow, and nearly all of it. */
static void check_price(const struct release *release, uint64_t most_mu2, uint64_t most_epsilon)
{
    uint64_t mu2 = 0, epsilon = 0;
    for (size_t i = 0; i < release->n_measures; i++) {
        mu2 += release->measures[i].draw.charge.mu2_pico;
        epsilon += release->measures[i].draw.charge.epsilon;
    }
    for (size_t i = 0; i < release->n_histograms; i++)
        for (size_t k = 0; k < release->histograms[i].n_draws; k++) {
            const struct dp_quantile_plan *plan = &release->histograms[i].draws[k].plan;
            uint64_t each;
            mu2 += plan->charge.mu2_pico;
            epsilon += plan->charge.epsilon;
            cr_expect(dp_mu2_of_pure(plan->half_range, &each));
            cr_expect_eq(plan->charge.mu2_pico,
                         each * plan->levels * release->histograms[i].groups);
        }
    cr_expect_leq(release->charge.mu2_pico, mu2);
    cr_expect_leq(mu2, most_mu2);
    cr_expect_gt(mu2, most_mu2 - most_mu2 / 1000);
    if (release->charge.pure) {
        cr_expect_eq(release->charge.epsilon, epsilon);
        cr_expect_leq(epsilon, most_epsilon);
    }
}

Test(plan_quantiles, one_release_spends_what_is_set_whatever_stands_in_it)
{
    static const char *const sqls[] = {
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY education) FROM people",
        "SELECT min(wage), max(wage), percentile_cont(0.9) WITHIN GROUP (ORDER BY wage) FROM people",
        "SELECT max(education), avg(education), count(*), max(experience) FROM people",
        "SELECT region, max(education), count(*) FROM people GROUP BY region",
        "SELECT education, max(experience) FROM people GROUP BY education",
    };
    for (size_t i = 0; i < sizeof sqls / sizeof *sqls; i++) {
        struct planning planning = planned("census", sqls[i], false);
        check_price(release_of(&planning), budget(), UINT64_MAX);
        planning_clear(&planning);
    }
}

Test(plan_quantiles, a_person_in_several_groups_pays_for_each)
{
    struct planning planning =
        planned("clinic", "SELECT code, max(cost), count(*) FROM visits GROUP BY code", false);
    const struct release *release = release_of(&planning);
    cr_expect_gt(release->histograms[0].groups, 1);
    check_price(release, budget(), UINT64_MAX);
    planning_clear(&planning);
}

Test(plan_quantiles, a_release_of_quantiles_alone_is_pure_and_says_so)
{
    struct planning gaussian = planned("census", "SELECT max(education) FROM people", false);
    cr_expect(release_of(&gaussian)->charge.pure, "the exponential mechanism is");
    cr_expect_gt(release_of(&gaussian)->charge.epsilon, 0);
    planning_clear(&gaussian);
    struct planning mixed = planned("census", "SELECT max(education), count(*) FROM people", false);
    cr_expect_not(release_of(&mixed)->charge.pure);
    cr_expect_eq(release_of(&mixed)->charge.epsilon, 0);
    planning_clear(&mixed);
    struct planning laplace =
        planned("census", "SELECT max(education), count(*) FROM people", true);
    const struct release *release = release_of(&laplace);
    cr_expect(release->charge.pure);
    cr_expect_leq(release->charge.epsilon, 1000000000);
    cr_expect_geq(release->charge.epsilon, 999999990);
    cr_expect_eq(release->histograms[0].draws[0].plan.half_range, 250000000, "half of epsilon 1");
    planning_clear(&laplace);
}

Test(plan_quantiles, columns_share_alike_and_private_keys_have_a_third)
{
    struct planning planning = planned(
        "census", "SELECT education, max(experience) FROM people GROUP BY education", false);
    const struct release *release = release_of(&planning);
    cr_assert_eq(release->n_measures, 1);
    double part = (double)release->measures[0].draw.charge.mu2_pico / (double)budget();
    cr_expect(part > 0.33 && part < 0.3334, "%g", part);
    planning_clear(&planning);
}

/* 9 to 99 fractions of equal distance. */
static struct planning many(const char *dataset, const char *column, const char *rest, int n,
                            bool laplace)
{
    char sql[4096], *at = sql;
    at += sprintf(at, "SELECT percentile_disc(ARRAY[");
    for (int i = 1; i <= n; i++)
        at += sprintf(at, "%s%d/%d.0", i == 1 ? "" : ", ", i, n + 1);
    sprintf(at, "]) WITHIN GROUP (ORDER BY %s) FROM %s", column, rest);
    return planned(dataset, sql, laplace);
}

Test(plan_quantiles, many_quantiles_are_had_by_whatever_errs_less)
{
    struct planning few_bins = many("census", "education", "people", 20, false);
    const struct release_draw *draw = &histogram_of(&few_bins)->draws[0];
    cr_expect_neq(draw->whole.m, 0, "21 bins are noised as a whole");
    cr_expect_eq(draw->plan.n, 20);
    cr_expect_not(release_of(&few_bins)->charge.pure);
    struct dp_charge charge;
    cr_expect(dp_gaussian_charge(&draw->whole, &charge));
    cr_expect_eq(charge.mu2_pico, release_of(&few_bins)->charge.mu2_pico);
    cr_expect_leq(charge.mu2_pico, budget());
    struct dp_cdf cdf;
    cr_expect_eq(histogram_of(&few_bins)->unit_weight, (uint64_t)DISTRIBUTION_UNIT_WEIGHT);
    cr_expect(dp_cdf_restore(21, DISTRIBUTION_UNIT_WEIGHT, &draw->whole, &cdf),
              "made again when it is drawn");
    dp_cdf_clear(&cdf);
    planning_clear(&few_bins);
    struct planning many_bins = many("census", "wage", "people", 12, false);
    cr_expect_eq(histogram_of(&many_bins)->draws[0].whole.m, 0, "4,001 bins and four levels");
    cr_expect_eq(histogram_of(&many_bins)->draws[0].plan.levels, 4);
    planning_clear(&many_bins);
    struct planning pure = many("census", "education", "people", 20, true);
    cr_expect_eq(histogram_of(&pure)->draws[0].whole.m, 0, "Gaussian noise is not pure");
    cr_expect(release_of(&pure)->charge.pure);
    planning_clear(&pure);
    struct planning grouped = many("census", "experience", "people GROUP BY education", 20, false);
    cr_expect_eq(release_of(&grouped)->histograms[0].draws[0].whole.m, 0,
                 "how many groups there are is not known");
    planning_clear(&grouped);
}

Test(plan_quantiles, an_answer_fits_memory_however_many_groups_there_are)
{
    char sql[16384], *at = sql;
    at += sprintf(at, "SELECT percentile_disc('{");
    for (int i = 1; i <= 65; i++)
        at += sprintf(at, "%s0.%03d", i == 1 ? "" : ",", i);
    sprintf(at, "}'::float8[]) WITHIN GROUP (ORDER BY experience) FROM people GROUP BY education");
    struct planning planning = plan_statement(catalogs_get("census"), sql, NULL);
    cr_assert_eq(planning.result, PLANNING_REFUSED);
    cr_expect_str_eq(planning.refusal.sqlstate, "54001");
    cr_expect_not_null(strstr(planning.refusal.detail, "64 different"), "%s",
                       planning.refusal.detail);
    planning_clear(&planning);
    planning = many("census", "experience", "people GROUP BY region", 200, false);
    cr_expect_eq(release_of(&planning)->histograms[0].n_values, 200);
    planning_clear(&planning);
    planning = many("census", "experience", "people GROUP BY education", 64, false);
    cr_expect_eq(release_of(&planning)->histograms[0].n_values, 64);
    planning_clear(&planning);
}

Test(plan_quantiles, fractions_that_are_hard_to_write_are_nearly_kept)
{
    static const struct {
        const char *text;
        uint32_t numerator, denominator;
    } cases[] = {{"0", 0, 1},
                 {"1", 1, 1},
                 {"0.5", 1, 2},
                 {"0.95", 19, 20},
                 {"0.333333333333", 1, 3},
                 {"0.0001", 1, 10000},
                 {"0.00000001", 0, 1},
                 {"0.99999999", 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dp_decimal value;
        cr_assert(dp_decimal_parse(cases[i].text, strlen(cases[i].text), &value));
        struct dp_rank rank = fraction_rank(&value);
        cr_expect(rank.numerator == cases[i].numerator && rank.denominator == cases[i].denominator,
                  "%s: %u/%u", cases[i].text, rank.numerator, rank.denominator);
    }
    for (int i = 1; i < 1000; i++) {
        struct dp_decimal value = {(__int128)i * 998877665544 + i * i, 15};
        struct dp_rank rank = fraction_rank(&value);
        double error = (double)rank.numerator / rank.denominator - (double)value.digits * 1e-15;
        cr_assert(rank.denominator > 0 && rank.denominator <= DP_RANK_DENOMINATOR_MAX);
        double most = 1.0 / DP_RANK_DENOMINATOR_MAX;
        cr_expect(error <= most && error >= -most, "%d: off by %g", i, error);
    }
}

Test(plan_quantiles, fractions_come_as_parameters_too)
{
    const char *sql = "SELECT percentile_disc($1) WITHIN GROUP (ORDER BY education) FROM people";
    const struct sql_value one = {TYPE_FLOAT8, "0.25"};
    const struct sql_value several = {TYPE_FLOAT8_ARRAY, "{0.25,0.5,0.75}"};
    struct planning planning = plan_with(catalogs_get("census"), sql, NULL, &one, 1);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect_eq(histogram_of(&planning)->draws[0].ranks[0].denominator, 4);
    planning_clear(&planning);
    planning = plan_with(catalogs_get("census"), sql, NULL, &several, 1);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect_eq(histogram_of(&planning)->n_values, 3);
    planning_clear(&planning);
    static const struct sql_value wrong[] = {
        {TYPE_FLOAT8, "NaN"},      {TYPE_FLOAT8, "1.0000001"},
        {TYPE_FLOAT8, NULL},       {TYPE_FLOAT8_ARRAY, "{0.5,NULL}"},
        {TYPE_FLOAT8_ARRAY, "{}"}, {TYPE_FLOAT8_ARRAY, "{{0.5},{0.6}}"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        planning = plan_with(catalogs_get("census"), sql, NULL, &wrong[i], 1);
        cr_expect_eq(planning.result, PLANNING_REFUSED, "%zu", i);
        planning_clear(&planning);
    }
}

Test(plan_quantiles, what_differs_in_law_differs_in_fingerprint)
{
    static const char *const sqls[] = {
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY education) FROM people",
        "SELECT percentile_disc(0.6) WITHIN GROUP (ORDER BY education) FROM people",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY experience) FROM people",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY education) FILTER (WHERE parttime) FROM "
        "people",
        "SELECT max(education) FROM people",
        "SELECT min(education) FROM people",
    };
    enum { N = sizeof sqls / sizeof *sqls };
    char seen[N][65];
    for (size_t i = 0; i < N; i++) {
        struct planning planning = planned("census", sqls[i], false);
        snprintf(seen[i], sizeof seen[i], "%s", planning.plan->fingerprint);
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(seen[i], seen[k], "%s", sqls[i]);
        planning_clear(&planning);
    }
    struct planning same = planned(
        "census",
        "SELECT percentile_cont(0.50) WITHIN GROUP (ORDER BY education DESC) AS m FROM people "
        "ORDER BY 1",
        false);
    cr_expect_str_eq(same.plan->fingerprint, seen[0], "a median from the other end");
    planning_clear(&same);
}

Test(plan_quantiles, an_error_of_ranks_is_not_asked_for_in_units)
{
    struct plan_settings settings = planning_settings();
    settings.max_error = dp_decimal_from_int(5);
    struct planning planning = plan_statement(
        catalogs_get("census"), "SELECT count(*), max(education) FROM people", &settings);
    cr_assert_eq(planning.result, PLANNING_REFUSED);
    cr_expect(strstr(planning.refusal.detail, "ranks") != NULL, "%s", planning.refusal.detail);
    cr_expect(strstr(planning.refusal.hint, "EXPLAIN") != NULL, "%s", planning.refusal.hint);
    planning_clear(&planning);
}

Test(plan_quantiles, explain_shows_the_error_in_ranks_the_bins_and_the_extreme)
{
    struct planning planning =
        planned("census", "EXPLAIN SELECT max(wage), min(education) FROM people", false);
    bool error = false, bins = false, extreme = false;
    for (size_t i = 0; i < planning.plan->n_explain; i++) {
        const char *line = planning.plan->explain[i];
        error |= strstr(line, "max(wage): exponential mechanism") && strstr(line, "ranks (95 %)");
        bins |= strstr(line, "Bins: 4001 of 0.5") != NULL;
        extreme |= strstr(line, "people from the end") != NULL;
    }
    cr_expect(error && bins && extreme);
    planning_clear(&planning);
    planning =
        planned("census",
                "EXPLAIN SELECT percentile_disc(ARRAY[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, "
                "0.9]) WITHIN GROUP (ORDER BY education), max(education) FROM people",
                false);
    cr_expect_not_null(strstr(planning.plan->explain[1], "whole distribution"), "%s",
                       planning.plan->explain[1]);
    cr_expect_not_null(strstr(planning.plan->explain[4], "max(education): exponential"), "%s",
                       planning.plan->explain[4]);
    planning_clear(&planning);
}
