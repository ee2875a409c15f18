/* What a measure is: equal for everything that measures the same quantity, different wherever
 * another row, value or bound could come in. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

struct identities {
    size_t n;
    char of[8][65]; /* "" where the measure has none */
};

static struct identities identities_in(const struct catalog *catalog, const char *sql,
                                       const struct plan_settings *settings,
                                       const struct sql_value *params, size_t n_params)
{
    struct identities found = {0};
    struct planning planning = plan_with(catalog, sql, settings, params, n_params);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    for (size_t i = 0; i < planning.plan->n_relations; i++) {
        const struct release *release = planning.plan->relations[i].release;
        for (size_t n = 0; release != NULL && n < release->n_measures; n++) {
            const char *identity = release->measures[n].identity;
            cr_assert_lt(found.n, 8);
            snprintf(found.of[found.n++], 65, "%s", identity == NULL ? "" : identity);
        }
    }
    planning_clear(&planning);
    return found;
}

static struct identities identities(const char *dataset, const char *sql)
{
    return identities_in(catalogs_get(dataset), sql, NULL, NULL, 0);
}

static void expect_same(const char *dataset, const char *const *sqls, size_t n)
{
    struct identities first = identities(dataset, sqls[0]);
    cr_expect_eq(strlen(first.of[0]), 64u);
    for (size_t i = 1; i < n; i++) {
        struct identities other = identities(dataset, sqls[i]);
        cr_expect_str_eq(other.of[0], first.of[0], "%s", sqls[i]);
    }
}

static void expect_different(const char *dataset, const char *const *sqls, size_t n)
{
    char *seen = calloc(n, 65);
    cr_assert_not_null(seen);
    for (size_t i = 0; i < n; i++) {
        struct identities one = identities(dataset, sqls[i]);
        cr_expect_eq(strlen(one.of[0]), 64u, "%s", sqls[i]);
        memcpy(seen + 65 * i, one.of[0], 65);
        for (size_t other = 0; other < i; other++)
            cr_expect_str_neq(seen + 65 * i, seen + 65 * other, "%s\n%s", sqls[i], sqls[other]);
    }
    free(seen);
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

Test(identity, form_and_what_the_twin_does_change_nothing)
{
    static const char *const sqls[] = {
        "SELECT region, count(*) FROM people WHERE education > 5 AND smsa GROUP BY region",
        "select p.region AS r, count( * ) c from public.people p where p.education>5 and p.smsa "
        "group by 1 order by 2 desc limit 3",
        "SELECT count(*)::text || '!', upper(region) FROM people WHERE smsa AND education > 5 "
        "GROUP BY region HAVING count(*) > 100",
        "SELECT max(n) FROM (SELECT count(*) n FROM people WHERE education > 5 AND smsa GROUP BY "
        "region) q",
        "SELECT q.region, count(*) FROM (SELECT * FROM people WHERE smsa) q WHERE education > 5 "
        "GROUP BY q.region",
    };
    expect_same("census", sqls, COUNT(sqls));
}

Test(identity, what_stands_beside_a_measure_changes_nothing)
{
    struct identities count = identities("census", "SELECT count(*) FROM people");
    struct identities all = identities(
        "census", "SELECT count(*), avg(wage), sum(education) FILTER (WHERE experience > 7), "
                  "count(CASE WHEN education = 3 THEN 1 END) FROM people");
    bool found = false;
    for (size_t i = 0; i < all.n; i++)
        found |= strcmp(all.of[i], count.of[0]) == 0;
    cr_expect(found, "the count beside three others");

    struct identities pair =
        identities("clinic", "SELECT avg(minutes), count(minutes) FROM visits");
    struct identities single = identities("clinic", "SELECT count(minutes) FROM visits");
    cr_assert_eq(pair.n, 2u);
    cr_expect_str_eq(pair.of[1], single.of[0], "a count that shares the column of a sum");
}

Test(identity, rows_of_a_unit_that_are_cut_do_not_depend_on_other_aggregates)
{
    struct identities one = identities("clinic", "SELECT code, count(*) FROM visits GROUP BY code");
    struct identities two =
        identities("clinic", "SELECT code, count(*), avg(cost) FROM visits GROUP BY code");
    bool found = false;
    for (size_t i = 0; i < two.n; i++)
        found |= strcmp(one.of[0], two.of[i]) == 0;
    cr_expect(found);
}

Test(identity, neither_epsilon_nor_mechanism_nor_error_matter)
{
    const struct catalog *catalog = catalogs_get("clinic");
    static const char *const sqls[] = {
        "SELECT count(*), avg(age) FROM patients",
        "SELECT city, count(*) FROM patients GROUP BY city",
        "SELECT sex, avg(weight) FROM patients GROUP BY sex",
    };
    for (size_t i = 0; i < COUNT(sqls); i++) {
        struct plan_settings settings = planning_settings();
        struct identities first = identities_in(catalog, sqls[i], &settings, NULL, 0);
        settings.epsilon = 30000000;
        settings.delta = 7000;
        struct identities second = identities_in(catalog, sqls[i], &settings, NULL, 0);
        settings.laplace = true;
        struct identities third = identities_in(catalog, sqls[i], &settings, NULL, 0);
        cr_expect_eq(memcmp(&first, &second, sizeof first), 0, "%s", sqls[i]);
        /* With Laplace noise a sum and its count are measured as a pair of other sums. */
        cr_expect_eq(memcmp(&first, &third, sizeof first) == 0, strstr(sqls[i], "avg") == NULL,
                     "%s", sqls[i]);
    }
}

Test(identity, another_row_value_or_group_is_another_measure)
{
    static const char *const sqls[] = {
        "SELECT count(*) FROM people",
        "SELECT count(*) FROM people WHERE education > 5",
        "SELECT count(*) FROM people WHERE education > 6",
        "SELECT count(*) FROM people WHERE education >= 5",
        "SELECT count(*) FROM people WHERE education > 5 OR smsa",
        "SELECT count(*) FROM people WHERE education > 5 AND smsa",
        "SELECT count(*) FROM people WHERE education > 5 AND parttime",
        "SELECT count(*) FILTER (WHERE education > 5) FROM people",
        "SELECT count(*) FROM people WHERE region = 'south'",
        "SELECT count(*) FROM people WHERE region = '$1'",
        "SELECT count(*) FROM people WHERE region = '$2'",
        "SELECT count(*) FROM people WHERE region IN ('south', 'west')",
        "SELECT count(*) FROM people WHERE region IN ('south'',''west')",
        "SELECT count(*) FROM people JOIN regions USING (region)",
        "SELECT region, count(*) FROM people GROUP BY region",
        "SELECT smsa, count(*) FROM people GROUP BY smsa",
        "SELECT smsa, region, count(*) FROM people GROUP BY smsa, region",
        "SELECT sum(education) FROM people",
        "SELECT sum(experience) FROM people",
        "SELECT sum(education + 1) FROM people",
        "SELECT sum(least(education, 10)) FROM people",
        "SELECT sum(least(education, 11)) FROM people",
        "SELECT sum(education::numeric) FROM people",
        "SELECT avg(education) FROM people", /* centred */
        "SELECT sum(education) FILTER (WHERE smsa) FROM people",
        "SELECT sum(CASE WHEN smsa THEN education END) FROM people",
    };
    expect_different("census", sqls, COUNT(sqls));
}

Test(identity, rows_and_people_and_the_columns_that_count_are_told_apart)
{
    static const char *const sqls[] = {
        "SELECT count(*) FROM visits",
        "SELECT count(DISTINCT patient_id) FROM visits",
        "SELECT count(minutes) FROM visits",
        "SELECT count(cost) FROM visits",
        "SELECT count(*) FROM visits v JOIN patients p ON p.id = v.patient_id",
        "SELECT count(*) FROM patients",
    };
    expect_different("clinic", sqls, COUNT(sqls));
}

Test(identity, parameters_count_by_their_values)
{
    const struct catalog *catalog = catalogs_get("census");
    const char *sql = "SELECT count(*) FROM people WHERE education > $1 AND experience < $2";
    const struct sql_value params[][2] = {
        {{TYPE_INT4, "5"}, {TYPE_INT4, "9"}},
        {{TYPE_INT4, "9"}, {TYPE_INT4, "5"}},
        {{TYPE_INT4, "5"}, {TYPE_INT4, NULL}},
    };
    struct identities constants =
        identities("census", "SELECT count(*) FROM people WHERE education > 5 AND experience < 9");
    struct identities first = identities_in(catalog, sql, NULL, params[0], 2);
    struct identities swapped = identities_in(catalog, sql, NULL, params[1], 2);
    struct identities null = identities_in(catalog, sql, NULL, params[2], 2);
    cr_expect_str_eq(first.of[0], constants.of[0], "it does not matter how a value came");
    const struct sql_value small[] = {{TYPE_INT2, "5"}, {TYPE_INT8, "9"}};
    struct identities widths = identities_in(catalog, sql, NULL, small, 2);
    cr_expect_str_eq(first.of[0], widths.of[0], "nor how wide its type is");
    cr_expect_str_neq(first.of[0], swapped.of[0]);
    cr_expect_str_neq(first.of[0], null.of[0]);
}

Test(identity, the_time_zone_counts_where_it_is_read)
{
    const struct catalog *catalog = catalogs_get("clinic");
    const char *reads = "SELECT count(*) FROM visits WHERE extract(hour FROM arrived::timestamptz "
                        "AT TIME ZONE 'UTC') > 8";
    const char *ignores = "SELECT count(*) FROM visits WHERE extract(hour FROM arrived) > 8";
    struct plan_settings settings = planning_settings();
    settings.time_zone = "Europe/Berlin";
    struct identities berlin = identities_in(catalog, reads, &settings, NULL, 0);
    struct identities plain = identities_in(catalog, ignores, &settings, NULL, 0);
    struct planning in_berlin = plan_statement(catalog, reads, &settings);
    settings.time_zone = "Asia/Tokyo";
    struct identities tokyo = identities_in(catalog, reads, &settings, NULL, 0);
    struct identities still = identities_in(catalog, ignores, &settings, NULL, 0);
    struct planning in_tokyo = plan_statement(catalog, reads, &settings);
    cr_expect_str_neq(berlin.of[0], tokyo.of[0]);
    cr_expect_str_eq(plain.of[0], still.of[0]);
    cr_expect_str_neq(in_berlin.plan->fingerprint, in_tokyo.plan->fingerprint);
    planning_clear(&in_berlin);
    planning_clear(&in_tokyo);
}

/* One statement under a catalogue in which one thing was changed. */
static void expect_changed(const char *sql, void (*change)(struct catalog *catalog))
{
    struct catalog *catalog = catalogs_copy("clinic");
    struct identities before = identities_in(catalog, sql, NULL, NULL, 0);
    change(catalog);
    struct identities after = identities_in(catalog, sql, NULL, NULL, 0);
    cr_expect_str_neq(before.of[0], after.of[0], "%s", sql);
}

static void change_policy(struct catalog *catalog)
{
    struct policy *policy = (struct policy *)(uintptr_t)catalog->policy;
    strcpy(policy->version, "next");
}
static void change_table(struct catalog *catalog)
{
    catalogs_table(catalog, "visits")->oid++;
}
static void change_public_table(struct catalog *catalog)
{
    catalogs_table(catalog, "icd_codes")->oid++;
}
static void change_rows(struct catalog *catalog)
{
    catalogs_table(catalog, "visits")->max_rows++;
}
static void change_groups(struct catalog *catalog)
{
    catalogs_table(catalog, "visits")->max_groups = 3;
    catalogs_table(catalog, "visits")->max_rows_per_group = 10;
}
static void change_domain(struct catalog *catalog)
{
    struct catalog_column *code = &catalogs_table(catalog, "visits")->columns[5];
    code->n_domain--;
}
static void change_bounds(struct catalog *catalog)
{
    struct policy_bounds *bounds =
        (struct policy_bounds *)(uintptr_t)catalogs_table(catalog, "visits")->columns[7].bounds;
    bounds->high = dp_decimal_from_int(480);
}
static void change_dataset(struct catalog *catalog)
{
    catalog->dataset[0] = 'k';
}
static void change_database(struct catalog *catalog)
{
    catalog->database[0] = 'k';
}

Test(identity, dataset_database_policy_tables_bounds_and_domains_count)
{
    expect_changed("SELECT count(*) FROM visits", change_policy);
    expect_changed("SELECT count(*) FROM visits", change_dataset);
    expect_changed("SELECT count(*) FROM visits", change_database);
    expect_changed("SELECT count(*) FROM visits", change_table);
    expect_changed("SELECT count(*) FROM visits", change_rows);
    expect_changed("SELECT count(*) FROM visits JOIN icd_codes USING (code)", change_public_table);
    expect_changed("SELECT code, count(*) FROM visits GROUP BY code", change_groups);
    expect_changed("SELECT code, count(*) FROM visits GROUP BY code", change_domain);
    expect_changed("SELECT sum(minutes) FROM visits", change_bounds);
}

Test(identity, a_rotated_pair_is_known_by_both_and_is_no_lone_sum)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = true;
    const struct catalog *census = catalogs_get("census");
    struct identities pair =
        identities_in(census, "SELECT avg(education) FROM people", &settings, NULL, 0);
    struct identities again =
        identities_in(census, "SELECT sum(education), count(*) FROM people", &settings, NULL, 0);
    struct identities lone =
        identities_in(census, "SELECT sum(education) FROM people", &settings, NULL, 0);
    cr_assert_eq(pair.n, 2u);
    cr_assert_eq(again.n, 2u);
    cr_expect_str_eq(pair.of[0], again.of[0]);
    cr_expect_str_eq(pair.of[1], again.of[1]);
    cr_expect_str_neq(pair.of[0], pair.of[1]);
    cr_expect_str_neq(pair.of[0], lone.of[0], "its charge is for two");
}

Test(identity, different_values_are_no_rows)
{
    static const char *const sqls[] = {
        "SELECT count(DISTINCT code) FROM visits",
        "SELECT count(code) FROM visits",
        "SELECT count(DISTINCT note) FROM visits",
        "SELECT count(DISTINCT code) FILTER (WHERE cost > 5) FROM visits",
    };
    expect_different("clinic", sqls, sizeof sqls / sizeof *sqls);
    static const char *const same[] = {
        "SELECT count(DISTINCT code) FROM visits",
        "SELECT count(DISTINCT v.code), count(code) FROM visits v",
    };
    expect_same("clinic", same, sizeof same / sizeof *same);
}
