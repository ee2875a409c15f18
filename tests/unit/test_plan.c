/* What plans say: sensitivities, shares, sharing, keys, bounds, prices; and that none of it depends
 * on more than it should. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

static struct planning made(const char *dataset, const char *sql)
{
    struct planning planning = plan_statement(catalogs_get(dataset), sql, NULL);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    return planning;
}

static const struct release *release_of(const struct planning *planning, size_t index)
{
    for (size_t i = 0; i < planning->plan->n_relations; i++)
        if (planning->plan->relations[i].kind == RELATION_RELEASE && index-- == 0)
            return planning->plan->relations[i].release;
    cr_assert_fail("no such release");
    return NULL;
}

static bool contains(const char *text, const char *piece)
{
    return text != NULL && strstr(text, piece) != NULL;
}

Test(plan, a_count_of_people_is_a_count_of_units)
{
    struct planning planning = made("census", "SELECT count(*) FROM people");
    const struct release *release = release_of(&planning, 0);
    cr_expect_eq(release->n_measures, 1);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS);
    cr_expect_eq(release->measures[0].calibration.delta_grid, 1);
    cr_expect_eq(planning.plan->charge.mu2_pico, release->charge.mu2_pico);
    cr_expect_leq(release->charge.mu2_pico, 56028963825u);
    cr_expect_gt(release->charge.mu2_pico, 56028963000u);
    cr_expect_eq(release->charge.delta_atto, 0u);
    planning_clear(&planning);
}

Test(plan, a_repeated_aggregate_is_measured_once)
{
    struct planning once = made("census", "SELECT count(*) FROM people");
    struct planning often =
        made("census", "SELECT count(*), count(1), count(id), count('x'), sum(1), "
                       "count(*) + count(DISTINCT id), count(*)::text FROM people "
                       "HAVING count(*) > 5 ORDER BY count(*)");
    cr_expect_eq(release_of(&often, 0)->n_measures, 1);
    cr_expect_eq(once.plan->charge.mu2_pico, often.plan->charge.mu2_pico);
    cr_expect_str_eq(once.plan->fingerprint, often.plan->fingerprint);
    planning_clear(&once);
    planning_clear(&often);
}

Test(plan, a_release_that_a_statement_has_twice_is_measured_and_paid_for_once)
{
    struct planning once = made("census", "SELECT count(*) FROM people");
    struct planning twice =
        made("census", "SELECT (SELECT count(*) FROM people), 1 + (SELECT count(id) FROM people p) "
                       "FROM (SELECT count(*) FROM people) t");
    struct planning other = made("census", "SELECT (SELECT count(*) FROM people), (SELECT count(*) "
                                           "FROM people WHERE education > 3)");
    cr_expect_eq(twice.plan->n_relations, 1);
    cr_expect_eq(twice.plan->charge.mu2_pico, once.plan->charge.mu2_pico);
    cr_expect_str_eq(twice.plan->fingerprint, once.plan->fingerprint);
    cr_expect(contains(twice.plan->final_sql, "$1") && !contains(twice.plan->final_sql, "$2"));
    cr_expect_eq(other.plan->n_relations, 2);
    planning_clear(&once);
    planning_clear(&twice);
    planning_clear(&other);
}

Test(plan, an_average_alone_gives_two_thirds_to_the_sum)
{
    struct planning planning = made("census", "SELECT avg(education) FROM people");
    const struct release *release = release_of(&planning, 0);
    cr_assert_eq(release->n_measures, 2);
    const struct dp_calibration *sum = &release->measures[0].calibration;
    const struct dp_calibration *count = &release->measures[1].calibration;
    cr_expect_eq(release->measures[0].kind, MEASURE_SUM);
    cr_expect_eq(sum->delta_grid, 10, "centred: 0 to 20 is 10 from its middle");
    cr_expect_float_eq((double)sum->charge.mu2_pico / (double)count->charge.mu2_pico, 2, 1e-6);
    planning_clear(&planning);
}

Test(plan, a_variance_has_thirds_for_count_sum_and_squares)
{
    static const char *const sqls[] = {
        "SELECT variance(education) FROM people",
        "SELECT stddev_pop(education), avg(education), count(education), sum(education) FROM people",
    };
    for (size_t n = 0; n < sizeof sqls / sizeof *sqls; n++) {
        struct planning planning = made("census", sqls[n]);
        const struct release *release = release_of(&planning, 0);
        static const uint64_t deltas[] = {10, 1, 50};
        cr_assert_eq(release->n_measures, 3, "%s", sqls[n]);
        for (size_t i = 0; i < 3; i++) {
            const struct dp_calibration *c = &release->measures[i].calibration;
            cr_expect_eq(c->delta_grid, deltas[i], "0 to 20: w is 10, w^2 / 2 is 50");
            cr_expect_float_eq((double)c->charge.mu2_pico / 56028963825, 1 / 3.0, 1e-4);
        }
        planning_clear(&planning);
    }
}

Test(plan, a_variance_of_an_odd_range_covers_its_longer_half)
{
    struct planning planning =
        made("census", "SELECT var_pop(least(greatest(education, 0), 5)) FROM people");
    const struct release *release = release_of(&planning, 0);
    cr_assert_eq(release->n_measures, 3);
    /* The middle is 2: values lie within 3 of it, squares from 0 to 9 within 5 of 4. */
    cr_expect_eq(release->measures[0].calibration.delta_grid, 3);
    cr_expect_eq(release->measures[2].calibration.delta_grid, 5);
    planning_clear(&planning);
}

Test(plan, a_sum_alone_is_not_centred)
{
    struct planning planning = made("census", "SELECT sum(education) FROM people");
    const struct release *release = release_of(&planning, 0);
    cr_assert_eq(release->n_measures, 1);
    cr_expect_eq(release->measures[0].calibration.delta_grid, 20);
    planning_clear(&planning);
}

Test(plan, a_sum_beside_its_count_is_centred_and_shares_evenly)
{
    struct planning planning =
        made("census", "SELECT count(*), sum(education), avg(education) FROM people");
    const struct release *release = release_of(&planning, 0);
    cr_assert_eq(release->n_measures, 2);
    cr_expect_eq(release->measures[0].calibration.delta_grid, 10);
    cr_expect_float_eq((double)release->measures[0].calibration.charge.mu2_pico /
                           (double)release->measures[1].calibration.charge.mu2_pico,
                       1, 1e-6);
    planning_clear(&planning);
}

Test(plan, numbers_keep_their_scale_as_grid)
{
    struct planning planning = made("clinic", "SELECT sum(cost) FROM visits");
    const struct dp_calibration *sum = &release_of(&planning, 0)->measures[0].calibration;
    cr_expect_eq(sum->grid.scale10, 2);
    cr_expect_eq(sum->grid.exp2, 0);
    cr_expect_eq(sum->delta_grid, 60u * 500000u, "60 rows of up to 5000.00");
    planning_clear(&planning);
}

Test(plan, floating_point_has_a_binary_grid)
{
    struct planning planning = made("clinic", "SELECT sum(weight) FROM patients");
    const struct measure *sum = &release_of(&planning, 0)->measures[0];
    cr_expect(sum->floating);
    cr_expect_eq(sum->calibration.grid.scale10, 0);
    cr_expect_lt(sum->calibration.grid.exp2, 0);
    planning_clear(&planning);
}

Test(plan, declared_keys_appear_whole_and_in_order)
{
    struct planning planning =
        made("census", "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    const struct release *release = release_of(&planning, 0);
    cr_assert_eq(release->n_domain, 8);
    cr_expect_str_eq(release->domain[0], "midwest");
    cr_expect_str_eq(release->domain[1], "false");
    cr_expect_str_eq(release->domain[2], "midwest");
    cr_expect_str_eq(release->domain[3], "true");
    cr_expect_str_eq(release->domain[14], "west");
    cr_expect_eq(release->charge.delta_atto, 0u);
    cr_expect_eq(release->measures[0].calibration.groups, 1, "a person is in one region");
    planning_clear(&planning);
}

Test(plan, private_keys_pay_delta_and_have_a_threshold)
{
    struct planning planning =
        made("census", "SELECT education, sum(experience) FROM people GROUP BY 1");
    const struct release *release = release_of(&planning, 0);
    cr_expect_eq(release->n_domain, 0);
    cr_expect_null(release->domain);
    cr_assert_eq(release->n_measures, 2);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS);
    cr_expect_gt(release->key_threshold, 10);
    cr_expect_eq(release->charge.delta_atto, 1000000u);
    cr_expect_float_eq((double)release->measures[0].calibration.charge.mu2_pico * 2 /
                           (double)release->measures[1].calibration.charge.mu2_pico,
                       1, 1e-5, "a third for the units that were not asked for");
    planning_clear(&planning);
}

Test(plan, private_keys_say_what_keeps_them_from_being_chosen)
{
    static const struct {
        dp_nano epsilon;
        dp_atto delta;
        const char *message;
    } cases[] = {
        {1000000000, 0, "private keys need a positive dp.delta"},
        {1000000000, 500000000000000000, "private keys need a dp.delta below one half"},
        {200000000000, 1000000, "dp.epsilon is too large to choose groups"},
    };
    struct plan_settings settings = planning_settings();
    settings.laplace = true;
    settings.epsilon_max = 400000000000;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        settings.epsilon = cases[i].epsilon;
        settings.delta = cases[i].delta;
        struct planning planning = plan_statement(
            catalogs_get("census"), "SELECT DISTINCT education FROM people", &settings);
        cr_expect_eq(planning.result, PLANNING_REFUSED, "%s", cases[i].message);
        cr_expect_str_eq(planning.refusal.message, cases[i].message);
        planning_clear(&planning);
    }
}

Test(plan, the_minimum_of_units_raises_the_threshold)
{
    struct catalog *catalog = catalogs_copy("census");
    struct policy policy = *catalog->policy;
    catalog->policy = &policy;
    const char *sql = "SELECT education, count(*) FROM people GROUP BY 1";
    struct planning planning = plan_statement(catalog, sql, NULL);
    int64_t low = release_of(&planning, 0)->key_threshold;
    planning_clear(&planning);
    policy.minimum_units = 101;
    planning = plan_statement(catalog, sql, NULL);
    cr_expect_eq(release_of(&planning, 0)->key_threshold, low + 100);
    planning_clear(&planning);
}

Test(plan, keys_alone_are_kept_by_coins_at_the_price_of_a_threshold)
{
    struct catalog *catalog = catalogs_copy("census");
    struct policy policy = *catalog->policy;
    catalog->policy = &policy;
    struct plan_settings settings = planning_settings();
    for (int laplace = 0; laplace < 2; laplace++) {
        const char *sql = "SELECT DISTINCT education FROM people";
        settings.laplace = laplace != 0;
        policy.minimum_units = 1;
        struct planning planning = plan_statement(catalog, sql, &settings);
        const struct release *release = release_of(&planning, 0);
        cr_assert_not_null(release->keep);
        cr_assert_eq(release->n_measures, 1);
        cr_expect_eq(release->keep->offset, 0);
        cr_expect_eq(release->keep->keep[0], 0, "what is not there does not appear");
        /* One person: delta, 1e-12, in units of 2^-64. */
        cr_expect_leq(release->keep->keep[1], 18446744u);
        cr_expect_gt(release->keep->keep[1], 18446700u);
        cr_expect_leq(release->keep->charge.mu2_pico, release->charge.mu2_pico);
        cr_expect_eq(release->charge.delta_atto, settings.delta);
        cr_expect_eq(release->charge.pure, laplace != 0);
        cr_expect_eq(planning.plan->relations[0].n_columns, 1, "the keys and nothing else");
        size_t n_entries = release->keep->n_entries;
        planning_clear(&planning);
        policy.minimum_units = 101;
        planning = plan_statement(catalog, sql, &settings);
        cr_expect_eq(release_of(&planning, 0)->keep->offset, 100);
        cr_expect_eq(release_of(&planning, 0)->keep->n_entries, n_entries);
        planning_clear(&planning);
    }
}

Test(plan, a_table_of_coins_that_would_take_long_is_not_made)
{
    struct plan_settings settings = planning_settings();
    settings.epsilon = 1000;
    struct planning planning =
        plan_statement(catalogs_get("census"), "SELECT DISTINCT education FROM people", &settings);
    cr_assert_eq(planning.result, PLANNED);
    cr_expect_null(release_of(&planning, 0)->keep);
    cr_expect_gt(release_of(&planning, 0)->key_threshold, 500);
    planning_clear(&planning);
}

Test(plan, a_domain_is_listed_for_nothing)
{
    static const char *const texts[] = {
        "SELECT region FROM people GROUP BY region", "SELECT DISTINCT region FROM people",
        "SELECT DISTINCT region, smsa FROM people ORDER BY 1 LIMIT 3"};
    for (size_t i = 0; i < 3; i++) {
        struct planning planning = made("census", texts[i]);
        cr_expect_eq(release_of(&planning, 0)->n_measures, 0, "%s", texts[i]);
        cr_expect_eq(planning.plan->charge.mu2_pico, 0u, "%s", texts[i]);
        planning_clear(&planning);
    }
}

Test(plan, rows_of_a_unit_are_cut_after_the_last_join)
{
    struct planning planning =
        made("clinic", "SELECT v.note, count(*) FROM visits v JOIN icd_codes c ON "
                       "c.chapter = v.note GROUP BY v.note");
    const struct release *release = release_of(&planning, 0);
    cr_expect_eq(release->measures[1].calibration.delta_grid, 60);
    cr_expect_eq(release->measures[0].calibration.groups, 60, "sixty rows can touch sixty groups");
    cr_expect(contains(release->sql, "\"row\" OPERATOR(pg_catalog.<=) 60"));
    planning_clear(&planning);
}

Test(plan, groups_and_rows_per_group_bound_where_they_are_declared)
{
    struct catalog *catalog = catalogs_copy("clinic");
    struct catalog_table *visits = catalogs_table(catalog, "visits");
    visits->max_groups = 4;
    visits->max_rows_per_group = 3;
    const char *sql = "SELECT note, count(*) FROM visits GROUP BY note";
    struct planning planning = plan_statement(catalog, sql, NULL);
    const struct release *release = release_of(&planning, 0);
    cr_expect_eq(release->measures[1].calibration.delta_grid, 3);
    cr_expect_eq(release->measures[1].calibration.groups, 4);
    cr_expect_eq(release->measures[0].calibration.groups, 4);
    cr_expect(contains(release->sql, "\"group\" OPERATOR(pg_catalog.<=) 4"));
    cr_expect_not(contains(release->sql, "\"row\""), "no row need be lost");
    planning_clear(&planning);
    visits->max_rows = 0;
    planning = plan_statement(catalog, sql, NULL);
    cr_expect_eq(release_of(&planning, 0)->measures[1].calibration.delta_grid, 3);
    planning_clear(&planning);
    visits->max_groups = 0;
    planning = plan_statement(catalog, sql, NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED, "rows per group alone bound nothing");
    planning_clear(&planning);
}

Test(plan, a_shortcut_is_taken_only_with_its_proof)
{
    struct planning planning = made("census", "SELECT region, count(*) FROM people GROUP BY 1");
    const struct release *release = release_of(&planning, 0);
    cr_expect(contains(release->sql, "row_number"), "the general form keeps one row of a unit");
    cr_expect_not(contains(release->sql_proved, "row_number"));
    cr_expect(contains(release->proof_sql, "indisvalid"));
    cr_expect(contains(release->proof_sql, "pg_inherits"));
    planning_clear(&planning);
    struct catalog *catalog = catalogs_copy("census");
    catalogs_table(catalog, "people")->has_children = true;
    planning = plan_statement(catalog, "SELECT region, count(*) FROM people GROUP BY 1", NULL);
    cr_expect_null(release_of(&planning, 0)->sql_proved, "children may repeat a key");
    planning_clear(&planning);
}

Test(plan, the_path_to_the_root_is_checked_or_proved)
{
    struct planning planning = made("panel", "SELECT count(*) FROM years");
    const struct release *release = release_of(&planning, 0);
    cr_expect(contains(release->sql, "EXISTS (SELECT 1 FROM \"public\".\"persons\""));
    cr_expect_not(contains(release->sql_proved, "EXISTS (SELECT 1 FROM \"public\".\"persons\""));
    cr_expect(contains(release->proof_sql, "convalidated"));
    planning_clear(&planning);
    planning = made("panel", "SELECT count(*) FROM years y JOIN persons p ON p.id = y.person_id");
    cr_expect_not(contains(release_of(&planning, 0)->sql, "EXISTS"), "the join is the path");
    planning_clear(&planning);
    planning =
        made("panel", "SELECT count(*) FROM years y LEFT JOIN persons p ON p.id = y.person_id");
    cr_expect(contains(release_of(&planning, 0)->sql, "EXISTS"), "an outer join is not");
    planning_clear(&planning);
}

Test(plan, a_doubled_join_that_could_be_too_much_work_is_refused)
{
    struct catalog *catalog = catalogs_copy("clinic");
    catalogs_table(catalog, "icd_codes")->public_rows = 1000000;
    const char *sql = "SELECT count(*) FROM visits v JOIN icd_codes c ON c.chapter = v.note";
    struct planning planning = plan_statement(catalog, sql, NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED);
    cr_expect_str_eq(planning.refusal.sqlstate, "0A000");
    planning_clear(&planning);
    planning = plan_statement(catalog,
                              "SELECT count(*) FROM visits v JOIN icd_codes c USING (code)", NULL);
    cr_expect_eq(planning.result, PLANNED, "a unique key repeats no row");
    planning_clear(&planning);
}

Test(plan, laplace_splits_epsilon_and_is_pure)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = true;
    struct planning planning = plan_statement(
        catalogs_get("census"), "SELECT count(*), avg(education) FROM people", &settings);
    const struct release *release = release_of(&planning, 0);
    cr_expect(release->charge.pure);
    cr_expect_leq(release->charge.epsilon, 1000000000u);
    cr_expect_gt(release->charge.epsilon, 999999000u);
    cr_expect_eq(release->measures[0].calibration.mechanism, DP_LAPLACE);
    cr_expect(planning.plan->charge.pure);
    planning_clear(&planning);
}

Test(plan, two_releases_cost_twice)
{
    struct planning one = made("census", "SELECT count(*) FROM people");
    struct planning two =
        made("census", "SELECT count(*) FROM people UNION ALL SELECT count(*) FROM "
                       "people WHERE smsa");
    cr_expect_eq(two.plan->n_relations, 2);
    cr_expect_eq(two.plan->charge.mu2_pico, 2 * one.plan->charge.mu2_pico);
    cr_expect_eq(two.plan->relations[0].first_param, 1);
    cr_expect_eq(two.plan->relations[1].first_param, 2);
    planning_clear(&one);
    planning_clear(&two);
}

Test(plan, the_fingerprint_is_of_what_is_measured_and_nothing_else)
{
    static const char *const same[] = {
        "SELECT region, count(*) FROM people WHERE education > 5 GROUP BY region",
        "select p.region AS r, count( * ) c from public.people p where p.education>5 group by 1 "
        "order by 2 desc limit 3",
        "SELECT region, 'n=' || count(*) FROM people WHERE education > 5 GROUP BY region HAVING "
        "count(*) > 100",
        "WITH q AS (SELECT region, count(*) FROM people WHERE education > 5 GROUP BY region) TABLE q",
        "SELECT max(count) FROM (SELECT region, count(*) FROM people WHERE (education > 5) GROUP BY "
        "region) q",
    };
    static const char *const others[] = {
        "SELECT region, count(*) FROM people WHERE education > 6 GROUP BY region",
        "SELECT region, count(*) FROM people WHERE education >= 5 GROUP BY region",
        "SELECT smsa, count(*) FROM people WHERE education > 5 GROUP BY smsa",
        "SELECT region, count(*), sum(experience) FROM people WHERE education > 5 GROUP BY region",
    };
    struct planning first = made("census", same[0]);
    for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
        struct planning other = made("census", same[i]);
        cr_expect_str_eq(other.plan->fingerprint, first.plan->fingerprint, "%s", same[i]);
        planning_clear(&other);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct planning other = made("census", others[i]);
        cr_expect_str_neq(other.plan->fingerprint, first.plan->fingerprint, "%s", others[i]);
        planning_clear(&other);
    }
    planning_clear(&first);
}

/* Two analysts' draws may stand for each other only where all of this is equal. */
Test(plan, the_fingerprint_of_a_release_is_of_its_rows_its_noise_and_its_choice_of_keys)
{
    static const char sql[] = "SELECT city, count(*) FROM patients WHERE age > 30 GROUP BY city";
    const struct catalog *catalog = catalogs_get("clinic");
    struct plan_settings settings = planning_settings();
    struct planning first = plan_statement(catalog, sql, &settings);
    struct planning beside =
        made("clinic", "SELECT count(*) FROM patients WHERE age > 30 UNION ALL "
                       "SELECT count(*) FROM patients WHERE age > 31");
    struct planning alone = made("clinic", "SELECT 2 * count(*) FROM patients WHERE age > 31");
    cr_expect_str_eq(release_of(&beside, 1)->fingerprint, release_of(&alone, 0)->fingerprint);
    cr_expect_str_neq(release_of(&beside, 0)->fingerprint, release_of(&beside, 1)->fingerprint);
    const char *fingerprint = release_of(&first, 0)->fingerprint;
    cr_assert_eq(strlen(fingerprint), 64);

    struct plan_settings changed[4] = {settings, settings, settings, settings};
    changed[0].epsilon += 1000000;
    changed[1].delta *= 2;
    changed[2].laplace = !settings.laplace;
    changed[2].automatic = false;
    changed[3].delta_conv *= 10;
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        struct planning other = plan_statement(catalog, sql, &changed[i]);
        cr_expect_str_neq(release_of(&other, 0)->fingerprint, fingerprint, "setting %zu", i);
        planning_clear(&other);
    }
    struct catalog *copy = catalogs_copy("clinic");
    struct policy policy = *copy->policy;
    policy.minimum_units += 7;
    copy->policy = &policy;
    struct planning choosier = plan_statement(copy, sql, &settings);
    cr_expect_str_neq(release_of(&choosier, 0)->fingerprint, fingerprint);
    struct planning again = plan_statement(catalog, sql, &settings);
    cr_expect_str_eq(release_of(&again, 0)->fingerprint, fingerprint);
    planning_clear(&first);
    planning_clear(&beside);
    planning_clear(&alone);
    planning_clear(&choosier);
    planning_clear(&again);
}

Test(plan, the_secret_of_the_hash_is_only_in_a_parameter)
{
    struct catalog *catalog = catalogs_copy("clinic");
    catalog->hash_seed = 7766554433221100;
    struct planning planning =
        plan_statement(catalog, "EXPLAIN SELECT note, sum(cost) FROM visits GROUP BY note", NULL);
    const struct release *release = release_of(&planning, 0);
    cr_expect_not(contains(release->sql, "7766554433221100"));
    cr_expect_str_eq(release->params[release->n_params - 1].text, "7766554433221100");
    for (size_t i = 0; i < planning.plan->n_explain; i++)
        cr_expect_not(contains(planning.plan->explain[i], "7766554433221100"));
    cr_expect_not(contains(release->mechanism_json, "7766554433221100"));
    planning_clear(&planning);
}

Test(plan, explain_spends_nothing_and_tells_the_price)
{
    struct planning planning =
        made("census", "EXPLAIN SELECT region, avg(wage) FROM people GROUP BY 1");
    cr_expect_eq(planning.plan->shape, PLAN_EXPLAIN);
    cr_expect_gt(planning.plan->n_explain, 4);
    cr_expect_null(planning.plan->explain_json);
    planning_clear(&planning);
    planning =
        made("census", "EXPLAIN (FORMAT JSON) SELECT region, avg(wage) FROM people GROUP BY 1");
    cr_expect(contains(planning.plan->explain_json, "\"Expected Error\""));
    planning_clear(&planning);
}

Test(plan, probes_are_empty_and_free)
{
    static const char *const texts[] = {
        "SELECT * FROM people LIMIT 0",
        "SELECT * FROM people WHERE false",
        "SELECT p.wage, p.* FROM public.people p WHERE 0 = 1",
        "SELECT TRUE AS \"_\" FROM \"public\".\"people\" WHERE 1 <> 1 LIMIT 0",
        "SELECT public.people.wage FROM public.people WHERE NULL",
        "SELECT * FROM (SELECT * FROM people) t WHERE 1=0",
        "SELECT region, count(*) FROM people GROUP BY 1 LIMIT 0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct planning planning = made("census", texts[i]);
        cr_expect(planning.plan->probe, "%s", texts[i]);
        cr_expect_eq(planning.plan->charge.mu2_pico, 0u, "%s", texts[i]);
        cr_expect_eq(planning.plan->n_relations, 0, "%s", texts[i]);
        planning_clear(&planning);
    }
    struct planning planning = made("census", "SELECT count(*) FROM people WHERE education > 100");
    cr_expect_not(planning.plan->probe, "any other empty selection is measured");
    planning_clear(&planning);
}

Test(plan, unnamed_columns_keep_postgresqls_names)
{
    struct planning planning =
        made("census",
             "SELECT count(*), count(*)::int, count(*) + 1, CASE WHEN count(*) > 1 THEN 1 END, "
             "coalesce(sum(education), 0), CAST(1 AS text), region, avg(wage)::numeric(5,1) "
             "FROM people GROUP BY region");
    static const char *const names[] = {
        "AS count, ",        "AS count, ", "AS \"?column?\", ", "AS \"case\", ",
        "AS \"coalesce\", ", "AS text, ",  "AS region, ",       "AS avg "};
    const char *at = planning.plan->final_sql;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        at = strstr(at, names[i]);
        cr_assert_not_null(at, "%s in %s", names[i], planning.plan->final_sql);
        at += strlen(names[i]);
    }
    planning_clear(&planning);
}

Test(plan, the_clients_parameters_keep_their_numbers)
{
    const struct sql_value params[] = {{TYPE_INT4, "5"}, {TYPE_INT8, "3"}};
    struct planning planning =
        plan_with(catalogs_get("census"),
                  "SELECT region, count(*) FROM people WHERE education > $1 GROUP BY 1 LIMIT $2",
                  NULL, params, 2);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect_eq(planning.plan->n_client_params, 2);
    cr_expect_eq(planning.plan->relations[0].first_param, 3);
    cr_expect(contains(planning.plan->final_sql, "LIMIT $2"));
    const struct release *release = release_of(&planning, 0);
    cr_expect_str_eq(release->params[0].text, "5");
    planning_clear(&planning);
}

Test(plan, names_that_are_not_private_in_this_session_are_the_twins)
{
    const struct parser_limits limits = {1 << 20, 20000, 1000};
    const struct catalog *catalog = catalogs_get("census");
    struct parsed *parsed = parser_parse("SELECT * FROM people", catalog, &limits);
    const struct plan_settings settings = planning_settings();
    const uint32_t oids[] = {4711}; /* the analyst's own temporary table */
    const struct plan_request request = {
        .catalog = catalog, .resolved_oids = oids, .settings = &settings};
    const struct plan *plan;
    struct refusal refusal;
    const struct sql_constant *wanted;
    size_t n_wanted;
    cr_expect_eq(parser_plan(parsed, 0, &request, &plan, &refusal, &wanted, &n_wanted),
                 PLAN_NOT_PRIVATE);
    parsed_free(parsed);
}

Test(plan, a_statement_can_be_planned_again_with_other_values)
{
    const struct parser_limits limits = {1 << 20, 20000, 1000};
    const struct catalog *catalog = catalogs_get("census");
    struct parsed *parsed =
        parser_parse("SELECT count(*) FROM people WHERE education > $1", catalog, &limits);
    const struct plan_settings settings = planning_settings();
    const uint32_t oids[] = {catalogs_resolve(catalog, NULL, "people")};
    static const char *const values[] = {"5", "6", "5"};
    char fingerprints[3][65];
    for (size_t i = 0; i < 3; i++) {
        const struct sql_value param = {TYPE_INT4, values[i]};
        const struct plan_request request = {.catalog = catalog,
                                             .resolved_oids = oids,
                                             .settings = &settings,
                                             .n_params = 1,
                                             .params = &param};
        const struct plan *plan;
        struct refusal refusal;
        const struct sql_constant *wanted;
        size_t n_wanted;
        cr_assert_eq(parser_plan(parsed, 0, &request, &plan, &refusal, &wanted, &n_wanted),
                     PLAN_READY);
        snprintf(fingerprints[i], sizeof fingerprints[i], "%s", plan->fingerprint);
    }
    cr_expect_str_neq(fingerprints[0], fingerprints[1]);
    cr_expect_str_eq(fingerprints[0], fingerprints[2]);
    parsed_free(parsed);
}

Test(plan, a_zero_of_noise_cannot_be_had_by_a_large_range)
{
    struct planning planning = plan_statement(
        catalogs_get("census"), "SELECT sum(education * 100000000000000000000) FROM people", NULL);
    cr_expect_neq(planning.result, PLANNING_RELAYED);
    if (planning.result == PLANNED) {
        const struct dp_calibration *sum = &release_of(&planning, 0)->measures[0].calibration;
        cr_expect_geq(sum->m, 1u << 19);
        cr_expect_gt(sum->delta_grid, 1u);
    }
    planning_clear(&planning);
}

Test(plan, constants_of_the_whole_statement_are_asked_for_at_once)
{
    struct planning planning = made(
        "clinic",
        "SELECT day >= '2021-01-01' AS late, count(*) FILTER (WHERE arrived < '2022-02-02'), "
        "sum(CASE WHEN day BETWEEN '2020-03-03' AND '2020-04-04' THEN cost ELSE 0 END) FILTER "
        "(WHERE day <> '2023-05-05') FROM visits v JOIN patients p ON p.id = v.patient_id AND "
        "day > '2020-06-06' WHERE day IN ('2021-07-07', '2021-08-08') OR arrived > '2020-09-09' "
        "GROUP BY 1 UNION ALL SELECT true, count(*), 1 FROM visits WHERE day = '2024-10-10'");
    cr_expect_eq(planning.rounds, 2);
    cr_expect_eq(planning.plan->n_relations, 2);
    planning_clear(&planning);
}

Test(plan, the_condition_of_an_outer_join_proves_nothing_about_its_preserved_side)
{
    /* c.code = p.sex would make c unique, if it held in every row. */
    struct planning planning =
        made("clinic",
             "SELECT c.chapter, count(*) FROM patients p JOIN icd_codes c ON c.chapter = p.city "
             "LEFT JOIN icd_codes d ON c.code = p.sex AND d.code = p.sex GROUP BY 1");
    cr_expect_null(release_of(&planning, 0)->sql_proved);
    planning_clear(&planning);
    planning =
        made("clinic", "SELECT c.chapter, count(*) FROM patients p JOIN icd_codes c ON c.chapter = "
                       "p.city AND c.code = p.sex GROUP BY 1");
    cr_expect_not_null(release_of(&planning, 0)->sql_proved);
    planning_clear(&planning);
    planning =
        plan_statement(catalogs_get("clinic"),
                       "SELECT count(*) FROM patients p CROSS JOIN icd_codes c LEFT JOIN icd_codes "
                       "d ON c.code = p.sex AND d.code = p.sex",
                       NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED, "nothing ties c to the patients");
    planning_clear(&planning);
    planning =
        plan_statement(catalogs_get("clinic"),
                       "SELECT count(*) FROM patients p JOIN patients q ON true LEFT JOIN visits v "
                       "ON v.patient_id = p.id AND q.id = v.patient_id",
                       NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED,
                 "p and q are different people where v is missing");
    planning_clear(&planning);
}

Test(plan, a_self_join_that_could_be_too_much_work_is_refused)
{
    struct catalog *catalog = catalogs_copy("clinic");
    catalogs_table(catalog, "visits")->max_rows = 1000;
    struct planning planning = plan_statement(
        catalog, "SELECT count(*) FROM visits v JOIN visits w ON v.patient_id = w.patient_id",
        NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED);
    planning_clear(&planning);
    planning = plan_statement(catalog, "SELECT count(*) FROM visits v", NULL);
    cr_expect_eq(planning.result, PLANNED);
    planning_clear(&planning);
}

/* before n times, core, after n times. */
static char *nested(size_t n, const char *before, const char *core, const char *after)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    cr_assert_not_null(out);
    for (size_t i = 0; i < n; i++)
        fputs(before, out);
    fputs(core, out);
    for (size_t i = 0; i < n; i++)
        fputs(after, out);
    fclose(out);
    return text;
}

static void expect_too_complex(const char *dataset, char *sql)
{
    struct planning planning = plan_statement(catalogs_get(dataset), sql, NULL);
    cr_expect_eq(planning.result, PLANNING_REFUSED, "%.60s", sql);
    cr_expect_str_eq(planning.refusal.sqlstate, "54001", "%.60s: %s", sql,
                     planning.refusal.message);
    planning_clear(&planning);
    free(sql);
}

Test(plan, statements_that_would_grow_by_powers_are_refused, .timeout = 20)
{
    char *doubled =
        nested(40, "SELECT x + x AS x FROM (", "SELECT education AS x FROM people", ") AS t");
    char *whole = NULL;
    cr_assert_gt(asprintf(&whole, "SELECT sum(least(greatest(x, 0), 1)) FROM (%s) AS t", doubled),
                 0);
    free(doubled);
    expect_too_complex("census", whole);
    char *many = NULL;
    size_t length;
    FILE *out = open_memstream(&many, &length);
    fputs("SELECT count(*)", out);
    for (int i = 0; i < 600; i++)
        fprintf(out, ", sum(education + %d)", i);
    fputs(" FROM people", out);
    fclose(out);
    expect_too_complex("census", many);
}

Test(plan, a_table_without_data_asks_for_none)
{
    struct planning planning =
        made("census",
             "CREATE TEMP TABLE t AS SELECT region, count(*) FROM people GROUP BY 1 WITH NO DATA");
    cr_expect(planning.plan->probe);
    cr_expect_eq(planning.plan->charge.mu2_pico, 0u);
    planning_clear(&planning);
}
