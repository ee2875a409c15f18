/* Which measures a plan takes for its aggregates, with their sensitivities and what they cost. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

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

static bool explains(const struct planning *planning, const char *words)
{
    for (size_t i = 0; i < planning->plan->n_explain; i++)
        if (strstr(planning->plan->explain[i], words) != NULL)
            return true;
    return false;
}

/* Nano epsilon that every measure of the release pays, one after the other. */
static void check_epsilons(const char *sql, size_t n, const uint64_t expected[])
{
    struct planning planning = planned("census", sql, true);
    const struct release *release = release_of(&planning);
    cr_assert_eq(release->n_measures, n, "%s", sql);
    for (size_t i = 0; i < n; i++) {
        const struct dp_charge *charge = &release->measures[i].calibration.charge;
        cr_expect(charge->pure);
        cr_expect_leq(charge->epsilon, expected[i], "%s: %zu", sql, i);
        cr_expect_geq(charge->epsilon + 2, expected[i], "%s: %zu", sql, i);
    }
    cr_expect_leq(release->charge.epsilon, 1000000000u);
    planning_clear(&planning);
}

Test(plan_measures, laplace_noise_measures_an_average_in_two_sums_at_one_price)
{
    static const char *const sqls[] = {
        "SELECT avg(education) FROM people",
        "SELECT avg(education), count(*), sum(education) FROM people",
        "SELECT sum(education), count(education) FROM people",
        "SELECT avg(education), count(DISTINCT id) FROM people",
    };
    for (size_t i = 0; i < sizeof sqls / sizeof *sqls; i++) {
        struct planning planning = planned("census", sqls[i], true);
        const struct release *release = release_of(&planning);
        cr_assert_eq(release->n_measures, 2, "%s", sqls[i]);
        const struct measure *sum = &release->measures[0], *complement = &release->measures[1];
        cr_expect_eq(sum->kind, MEASURE_SUM);
        cr_expect_eq(complement->kind, MEASURE_COMPLEMENT);
        cr_expect_eq(complement->completes, 0);
        cr_expect_eq(sum->calibration.delta_grid, 20, "the whole range, once");
        cr_expect_eq(sum->calibration.m, ((uint64_t)1 << 50) / 20, "all of epsilon 1");
        cr_expect_eq(complement->calibration.m, sum->calibration.m);
        cr_expect_eq(complement->calibration.charge.epsilon, 0, "the sum's charge is for both");
        cr_expect_eq(complement->calibration.charge.mu2_pico, 0);
        cr_expect_not_null(
            strstr(release->mechanism_json, "{\"measure\":\"complement\",\"of\":0}"));
        planning_clear(&planning);
    }
}

Test(plan_measures, a_pair_gets_the_shares_of_its_count_and_its_sum)
{
    check_epsilons("SELECT avg(education) FROM people", 2, (uint64_t[]){1000000000, 0});
    /* One count for both: the pair has it, the second sum stays as it is. */
    check_epsilons("SELECT avg(education), avg(experience) FROM people", 3,
                   (uint64_t[]){600000000, 0, 400000000});
    check_epsilons("SELECT stddev(education) FROM people", 3,
                   (uint64_t[]){666666666, 0, 333333333});
    check_epsilons("SELECT sum(education) FROM people", 1, (uint64_t[]){1000000000});
}

Test(plan_measures, gaussian_noise_and_a_count_that_chooses_keys_are_measured_apart)
{
    struct planning planning = planned("census", "SELECT avg(education) FROM people", false);
    cr_expect_eq(release_of(&planning)->measures[1].kind, MEASURE_UNITS);
    planning_clear(&planning);
    planning =
        planned("clinic", "SELECT city, avg(weight), avg(age) FROM patients GROUP BY city", true);
    const struct release *release = release_of(&planning);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS, "measured one by one");
    cr_expect_eq(release->measures[1].kind, MEASURE_SUM);
    cr_expect_eq(release->measures[2].kind, MEASURE_COMPLEMENT, "rows where weight is not null");
    planning_clear(&planning);
}

Test(plan_measures, explain_tells_what_a_pair_is_and_how_far_off)
{
    /* Both sums have Laplace noise of scale 20. The count is a twentieth of their sum, the sum from
     * zero is one of them. */
    struct planning planning = planned(
        "census", "EXPLAIN SELECT avg(education), count(*), sum(education) FROM people", true);
    cr_expect(explains(&planning, "value - low and of high - value together: 20"));
    /* P(|X + Y| > t) = (1 + t / 2) e^-t = 0.05 at 4.113; P(|X| > t) = 0.05 at -20 ln 0.05 = 59.9 */
    cr_expect(
        explains(&planning, "count(*): discrete Laplace noise, epsilon 1, expected error 4.11"));
    cr_expect(explains(&planning,
                       "sum(education): discrete Laplace noise, epsilon 1, expected error 60 "));
    planning_clear(&planning);
}

static void check_distinct(const char *dataset, const char *sql, uint64_t delta, uint64_t groups)
{
    struct planning planning = planned(dataset, sql, false);
    const struct release *release = release_of(&planning);
    const struct measure *last = &release->measures[release->n_measures - 1];
    cr_expect_eq(last->kind, MEASURE_DISTINCT, "%s", sql);
    cr_expect_eq(last->calibration.delta_grid, delta, "%s: %lu", sql,
                 (unsigned long)last->calibration.delta_grid);
    cr_expect_eq(last->calibration.groups, groups, "%s: %lu", sql,
                 (unsigned long)last->calibration.groups);
    planning_clear(&planning);
}

Test(plan_measures, different_values_are_bounded_by_rows_and_by_how_many_there_can_be)
{
    check_distinct("clinic", "SELECT count(DISTINCT cost) FROM visits", 60, 1);
    check_distinct("clinic", "SELECT count(DISTINCT code) FROM visits", 5, 1);
    check_distinct("clinic", "SELECT count(DISTINCT cost > 5) FROM visits", 2, 1);
    check_distinct("clinic", "SELECT count(DISTINCT extract(month from day)) FROM visits", 12, 1);
    check_distinct("clinic", "SELECT count(DISTINCT age) FROM patients", 1, 1);
    /* 60 rows can show 5 values each in 12 groups. */
    check_distinct("clinic", "SELECT note, count(DISTINCT code) FROM visits GROUP BY note", 5, 12);
    check_distinct("clinic", "SELECT note, count(DISTINCT cost) FROM visits GROUP BY note", 60, 1);
}

Test(plan_measures, different_values_follow_declared_groups_and_rows_per_group)
{
    struct catalog *catalog = catalogs_copy("clinic");
    struct catalog_table *visits = catalogs_table(catalog, "visits");
    visits->max_groups = 4;
    visits->max_rows_per_group = 3;
    struct planning planning = plan_statement(
        catalog, "SELECT note, count(DISTINCT code) FROM visits GROUP BY note", NULL);
    const struct release *release = release_of(&planning);
    cr_expect_eq(release->measures[1].calibration.delta_grid, 3);
    cr_expect_eq(release->measures[1].calibration.groups, 4);
    cr_expect_not_null(strstr(release->sql, "\"d1\" OPERATOR(pg_catalog.<=) 3 THEN"));
    cr_expect_not_null(strstr(release->sql, "\"group\" OPERATOR(pg_catalog.<=) 4"));
    planning_clear(&planning);
}

Test(plan_measures, people_are_counted_as_people_and_the_same_values_once)
{
    struct planning planning =
        planned("clinic",
                "SELECT count(DISTINCT patient_id), count(DISTINCT code), count(DISTINCT code), "
                "count(DISTINCT code) FILTER (WHERE cost > 5) FROM visits",
                false);
    const struct release *release = release_of(&planning);
    cr_assert_eq(release->n_measures, 3);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS);
    cr_expect_eq(release->measures[1].kind, MEASURE_DISTINCT);
    cr_expect_eq(release->measures[2].kind, MEASURE_DISTINCT);
    planning_clear(&planning);
}

Test(plan_measures, one_row_of_a_person_needs_no_choice_among_values)
{
    struct planning planning =
        planned("census", "SELECT count(DISTINCT region) FROM people", false);
    const struct release *release = release_of(&planning);
    cr_assert_not_null(release->sql_proved);
    cr_expect_not_null(strstr(release->sql_proved, "count(DISTINCT \"v1\")"));
    cr_expect_null(strstr(release->sql_proved, "dense_rank"));
    cr_expect_not_null(strstr(release->sql, "dense_rank"));
    planning_clear(&planning);
}

Test(plan_measures, intervals_are_summed_in_microseconds)
{
    struct planning planning =
        planned("clinic", "EXPLAIN SELECT sum(arrived::time - time '08:00') FROM visits", false);
    const struct release *release = release_of(&planning);
    cr_assert_eq(release->n_measures, 1);
    cr_expect_eq(release->measures[0].calibration.grid.scale10, 6);
    cr_expect(explains(&planning, "Bounds (seconds): -86400.000000 to 86400.000000"));
    cr_expect_not_null(strstr(planning.plan->final_sql, "make_interval"));
    cr_expect_not_null(strstr(release->sql,
                              "'-1 days -00:00:00.000000'::pg_catalog.interval), '1 days "
                              "00:00:00.000000'::pg_catalog.interval)"));
    planning_clear(&planning);
}

Test(plan_measures, intervals_have_the_bounds_of_their_column_in_seconds)
{
    struct catalog *catalog = catalogs_copy("clinic");
    struct catalog_column *note = &catalogs_table(catalog, "visits")->columns[8];
    struct policy_bounds bounds = {POLICY_BOUND_NUMBER, {0, 0}, {9005, 1}};
    note->type.oid = TYPE_INTERVAL;
    note->type.typmod = -1;
    const char *sql = "SELECT sum(note) FROM visits";
    struct planning planning = plan_statement(catalog, sql, NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED);
    cr_expect_not_null(strstr(planning.refusal.message, "no finite bounds"));
    planning_clear(&planning);
    note->bounds = &bounds;
    planning = plan_statement(catalog, sql, NULL);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect_not_null(strstr(release_of(&planning)->sql, "0 days 00:15:00.500000"));
    planning_clear(&planning);
    planning = plan_statement(catalog, "SELECT variance(note) FROM visits", NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED, "as in PostgreSQL");
    planning_clear(&planning);
}

Test(plan_measures, a_value_that_is_always_the_same_needs_its_count_alone)
{
    static const char *const sqls[] = {
        "SELECT sum(id) FROM visits",
        "SELECT avg(id), variance(id), sum(id), count(*) FROM visits",
        "SELECT sum(least(greatest(cost, 5), 5)) FROM visits",
    };
    struct catalog *catalog = catalogs_copy("clinic");
    struct catalog_column *id = &catalogs_table(catalog, "visits")->columns[0];
    struct policy_bounds bounds = {POLICY_BOUND_NUMBER, {7, 0}, {7, 0}};
    id->bounds = &bounds;
    for (size_t i = 0; i < sizeof sqls / sizeof *sqls; i++) {
        struct planning planning = plan_statement(catalog, sqls[i], NULL);
        cr_assert_eq(planning.result, PLANNED, "%s: %s", sqls[i], planning.refusal.message);
        const struct release *release = release_of(&planning);
        cr_expect_eq(release->n_measures, 1, "%s", sqls[i]);
        cr_expect_eq(release->measures[0].kind, MEASURE_COUNT);
        planning_clear(&planning);
    }
}

Test(plan_measures, a_variance_has_an_interval_made_of_two)
{
    struct planning planning = planned(
        "census",
        "SELECT dp.interval_low(variance(education)), dp.interval_high(stddev_pop(education)), "
        "dp.stddev(stddev(education)) FROM people",
        false);
    cr_expect_eq(release_of(&planning)->n_measures, 3, "what the variance needs");
    const char *sql = planning.plan->final_sql;
    cr_expect_not_null(strstr(sql, "pg_catalog.sqrt(LEAST(GREATEST("));
    planning_clear(&planning);
}
