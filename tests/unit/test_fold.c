/* Coarser groups from finer ones that were paid for: what is derived, how precise it is said to be,
 * what it costs, and all that must refuse. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/refine.h"
#include "tests/support/analyst.h"
#include "tests/support/catalogs.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static struct analyst analyst_of(const struct catalog *catalog)
{
    struct analyst who = analyst("census");
    who.catalog = catalog;
    return who;
}

static struct catalog_column *column_of(struct catalog *catalog, const char *table,
                                        const char *column)
{
    struct catalog_table *found = catalogs_table(catalog, table);
    size_t i = 0;
    while (i < found->n_columns && strcmp(found->columns[i].name, column) != 0)
        i++;
    cr_assert_lt(i, found->n_columns, "no column %s", column);
    return &found->columns[i];
}

/* Asks for a precision that suffices for coarser groups later. */
static void pay_well(struct analyst *who, const char *sql)
{
    who->settings.epsilon *= 50;
    cr_assert_gt(ask(who, sql), 0u, "%s", sql);
    who->settings.epsilon /= 50;
}

/* Is the second free for who has paid well for the first? */
static bool derives(struct analyst *who, const char *fine, const char *coarse)
{
    pay_well(who, fine);
    uint64_t price = ask(who, coarse);
    cr_expect(price == 0 || price == fresh_price(who, coarse), "%s\n%s", fine, coarse);
    return price == 0;
}

static void expect_derived(const struct catalog *catalog, const char *fine, const char *coarse)
{
    struct analyst who = analyst_of(catalog);
    cr_expect(derives(&who, fine, coarse), "%s\n%s", fine, coarse);
}

static void expect_drawn(const struct catalog *catalog, const char *fine, const char *coarse)
{
    struct analyst who = analyst_of(catalog);
    cr_expect_not(derives(&who, fine, coarse), "%s\n%s", fine, coarse);
}

static const char by_three[] =
    "SELECT region, smsa, parttime, count(*), avg(wage), sum(education), stddev(experience) FROM "
    "people GROUP BY region, smsa, parttime";

Test(fold, coarser_groups_the_total_and_another_order_are_had_from_finer_ones)
{
    static const char *const coarse[] = {
        "SELECT region, count(*) FROM people GROUP BY region",
        "SELECT smsa, avg(wage) FROM people GROUP BY smsa",
        "SELECT parttime, region, sum(education) FROM people GROUP BY parttime, region",
        "SELECT smsa, parttime, region, count(*) FROM people GROUP BY 1, 2, 3",
        "SELECT count(*) FROM people",
        "SELECT avg(wage), count(wage) FROM people",
        "SELECT sum(education), stddev(experience) FROM people",
        "SELECT (SELECT count(*) FROM people), smsa, avg(wage) FROM people GROUP BY smsa",
        "SELECT count(DISTINCT id) FROM people",
    };
    for (size_t i = 0; i + 1 < COUNT(coarse); i++)
        expect_derived(catalogs_get("census"), by_three, coarse[i]);
    expect_derived(catalogs_get("census"), "SELECT smsa, count(DISTINCT id) FROM people GROUP BY 1",
                   coarse[COUNT(coarse) - 1]);
}

Test(fold, joins_and_conditions_are_derived_like_anything_else)
{
    const struct catalog *panel = catalogs_get("panel");
    expect_derived(
        panel,
        "SELECT p.gender, y.south, count(*), sum(y.weeks) FROM years y JOIN persons p ON "
        "p.id = y.person_id WHERE y.wage > 7 GROUP BY 1, 2",
        "SELECT y.south, count(*), sum(y.weeks) FROM years y JOIN persons p ON "
        "p.id = y.person_id WHERE y.wage > 7 GROUP BY 1");
    expect_derived(panel,
                   "SELECT gender, count(*) FROM years JOIN persons ON id = person_id GROUP BY 1",
                   "SELECT count(*) FROM years JOIN persons ON id = person_id");
    expect_derived(panel, "SELECT year, count(*) FILTER (WHERE smsa) FROM years GROUP BY year",
                   "SELECT count(*) FILTER (WHERE smsa) FROM years");
}

Test(fold, a_key_is_dropped_only_where_every_row_has_one)
{
    const struct catalog *clinic = catalogs_get("clinic");
    static const char fine[] = "SELECT insured, sex, count(*) FROM patients GROUP BY insured, sex";
    static const char by_sex[] = "SELECT sex, count(*) FROM patients GROUP BY sex";
    static const char by_insured[] = "SELECT insured, count(*) FROM patients GROUP BY insured";
    expect_drawn(clinic, fine, by_sex);
    expect_drawn(clinic, fine, by_insured);
    expect_derived(clinic, fine, "SELECT sex, insured, count(*) FROM patients GROUP BY 1, 2");

    struct catalog *proved = catalogs_copy("clinic");
    column_of(proved, "patients", "insured")->not_null = true;
    expect_derived(proved, fine, by_sex);
    expect_drawn(proved, fine, by_insured);
    expect_drawn(proved, fine, "SELECT count(*) FROM patients");
    column_of(proved, "patients", "sex")->domain_complete = true; /* NULL is in its domain */
    expect_derived(proved, fine, by_insured);
    expect_derived(proved, fine, "SELECT count(*) FROM patients");
    catalogs_table(proved, "patients")->has_children = true; /* of which NOT NULL says nothing */
    expect_drawn(proved, fine, by_sex);
    expect_derived(proved, fine, by_insured);
    column_of(proved, "patients", "insured")->domain_complete = false;
    expect_drawn(proved, fine, by_sex);
}

Test(fold, an_outer_join_makes_null_a_key)
{
    static const char fine[] =
        "SELECT p.gender, y.south, count(*) FROM persons p LEFT JOIN years y "
        "ON y.person_id = p.id GROUP BY 1, 2";
    const struct catalog *panel = catalogs_get("panel");
    expect_drawn(panel, fine,
                 "SELECT p.gender, count(*) FROM persons p LEFT JOIN years y ON y.person_id = p.id "
                 "GROUP BY 1");
    expect_derived(
        panel, fine,
        "SELECT y.south, count(*) FROM persons p LEFT JOIN years y ON y.person_id = p.id "
        "GROUP BY 1");
}

Test(fold, whatever_else_is_measured_is_drawn)
{
    static const char *const others[] = {
        "SELECT region, count(*) FROM people WHERE wage > 3 GROUP BY region",
        "SELECT ethnicity, count(*) FROM people GROUP BY ethnicity",
        "SELECT region, ethnicity, count(*) FROM people GROUP BY 1, 2",
        "SELECT region, count(*) FROM people JOIN regions USING (region) GROUP BY region",
        "SELECT count(DISTINCT education) FROM people",
        "SELECT sum(least(education, 12)) FROM people",
        "SELECT sum(education) FILTER (WHERE smsa) FROM people",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY wage) FROM people",
        "SELECT upper(region), count(*) FROM people GROUP BY 1",
    };
    for (size_t i = 0; i < COUNT(others); i++)
        expect_drawn(catalogs_get("census"), by_three, others[i]);
}

Test(fold, what_does_not_add_up_is_drawn)
{
    const struct catalog *panel = catalogs_get("panel");
    static const char *const pairs[][2] = {
        {"SELECT south, count(DISTINCT person_id) FROM years GROUP BY south",
         "SELECT count(DISTINCT person_id) FROM years"},
        {"SELECT south, count(DISTINCT weeks) FROM years GROUP BY south",
         "SELECT count(DISTINCT weeks) FROM years"},
        {"SELECT south, percentile_cont(0.5) WITHIN GROUP (ORDER BY weeks) FROM years GROUP BY 1",
         "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY weeks) FROM years"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        expect_drawn(panel, pairs[i][0], pairs[i][1]);
    struct analyst who = analyst("panel");
    who.settings.laplace = true;
    cr_expect_not(derives(&who, "SELECT south, count(*) FROM years GROUP BY south",
                          "SELECT count(*) FROM years"),
                  "a sum of Laplace draws is none");
}

Test(fold, private_groups_are_no_parts_of_anything)
{
    static const char *const cities[] = {"Aachen", "true", "Bremen", "false"};
    struct analyst who = analyst("clinic");
    who.settings.epsilon *= 50;
    ask_groups(&who, "SELECT city, insured, count(*) FROM patients GROUP BY 1, 2", cities, 2);
    who.settings.epsilon /= 50;
    cr_expect_eq(ask(&who, "SELECT count(*) FROM patients"),
                 fresh_price(&who, "SELECT count(*) FROM patients"));
}

/* A person's rows that count would differ with the groups. */
Test(fold, bounds_by_group_derive_nothing)
{
    static const char fine[] = "SELECT south, year, count(*), sum(weeks) FROM years GROUP BY 1, 2";
    static const char coarse[] = "SELECT south, count(*), sum(weeks) FROM years GROUP BY 1";
    struct catalog *panel = catalogs_copy("panel");
    struct catalog_table *years = catalogs_table(panel, "years");
    expect_derived(panel, fine, coarse);
    years->max_rows_per_group = 2;
    expect_drawn(panel, fine, coarse);
    expect_drawn(panel, fine, "SELECT count(*) FROM years");
    years->max_groups = 2;
    expect_drawn(panel, fine, coarse);
    years->max_groups = 1;
    expect_drawn(panel, fine, "SELECT count(*) FROM years");
    years->max_rows = 0;
    expect_drawn(panel, fine, coarse);
    expect_drawn(panel, fine, "SELECT count(*) FROM years");
    years->max_rows = 7;
    years->max_rows_per_group = 7; /* no tighter than the bound of all rows */
    years->max_groups = 0;
    expect_derived(panel, fine, coarse);
}

Test(fold, another_policy_or_catalogue_derives_nothing)
{
    static const char coarse[] = "SELECT region, count(*) FROM people GROUP BY region";
    struct catalog *changed = catalogs_copy("census");
    struct analyst who = analyst("census");
    pay_well(&who, by_three);
    size_t n = who.n;
    who.catalog = changed;
    cr_expect_eq(ask(&who, coarse), 0u, "the same");
    who.n = n;
    column_of(changed, "people", "smsa")->not_null = false;
    cr_expect_eq(ask(&who, coarse), fresh_price(&who, coarse), "NULL may be there now");
    column_of(changed, "people", "smsa")->not_null = true;
    char **domain = column_of(changed, "people", "region")->domain, *first = domain[0];
    domain[0] = domain[1];
    domain[1] = first;
    cr_expect_eq(ask(&who, coarse), fresh_price(&who, coarse), "another order of the domain");
    domain[1] = domain[0];
    domain[0] = first;
    strcpy(((struct policy *)(uintptr_t)changed->policy)->version, "next");
    who.n = n;
    cr_expect_eq(ask(&who, coarse), fresh_price(&who, coarse));
}

Test(fold, what_was_drawn_without_proof_is_not_derived_from_with_one)
{
    static const char coarse[] = "SELECT region, count(*) FROM people GROUP BY region";
    struct catalog *changed = catalogs_copy("census");
    struct analyst who = analyst_of(changed);
    column_of(changed, "people", "smsa")->not_null = false;
    pay_well(&who, by_three);
    column_of(changed, "people", "smsa")->not_null = true;
    cr_expect_eq(ask(&who, coarse), fresh_price(&who, coarse), "NULL may have been there then");
}

/* --- which group is a part of which -------------------------------------------------------------
 */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Every group of the fine release is added to the group that has its keys; place: of each coarse
 * key among the fine ones. */
static void expect_parts(const struct catalog *catalog, const char *fine, const char *coarse,
                         const size_t *place)
{
    struct analyst who = analyst_of(catalog);
    struct planning source = planned(&who, fine);
    const struct release *from = only_release(&source);
    pay_well(&who, fine);
    struct planning target = planned(&who, coarse);
    const struct release *to = only_release(&target);
    cr_assert_eq(to->n_drawn, 0u, "%s", coarse);
    cr_assert_eq(to->measures[0].n_kept, 1u);
    const struct kept_draw *kept = &to->measures[0].kept[0];
    cr_assert_not_null(kept->fold);
    cr_assert_eq(kept->n_fold, from->n_domain);
    size_t n_groups = to->n_keys == 0 ? 1 : to->n_domain;
    size_t *parts = calloc(n_groups, sizeof *parts);
    cr_assert_not_null(parts);
    for (size_t i = 0; i < from->n_domain; i++) {
        cr_assert_lt(kept->fold[i], n_groups);
        parts[kept->fold[i]]++;
        for (size_t k = 0; k < to->n_keys; k++)
            cr_expect(same_text(from->domain[i * from->n_keys + place[k]],
                                to->domain[kept->fold[i] * to->n_keys + k]),
                      "%s: part %zu", coarse, i);
    }
    for (size_t i = 0; i < n_groups; i++)
        cr_expect_eq(parts[i], from->n_domain / n_groups);
    free(parts);
    planning_clear(&source);
    planning_clear(&target);
}

Test(fold, every_part_is_added_to_its_group)
{
    const struct catalog *census = catalogs_get("census");
    expect_parts(census, by_three, "SELECT region, count(*) FROM people GROUP BY 1", (size_t[]){0});
    expect_parts(census, by_three, "SELECT smsa, count(*) FROM people GROUP BY 1", (size_t[]){1});
    expect_parts(census, by_three, "SELECT parttime, region, count(*) FROM people GROUP BY 1, 2",
                 (size_t[]){2, 0});
    expect_parts(census, by_three,
                 "SELECT smsa, parttime, region, count(*) FROM people GROUP BY 1, 2, 3",
                 (size_t[]){1, 2, 0});
    expect_parts(census, by_three, "SELECT count(*) FROM people", NULL);
    struct catalog *clinic = catalogs_copy("clinic");
    column_of(clinic, "patients", "insured")->not_null = true;
    expect_parts(clinic, "SELECT insured, sex, count(*) FROM patients GROUP BY 1, 2",
                 "SELECT sex, count(*) FROM patients GROUP BY 1", (size_t[]){1});
}

/* --- precision and price ------------------------------------------------------------------------
 */

Test(fold, the_noise_of_a_derived_value_is_that_of_its_parts)
{
    struct analyst who = analyst("census");
    pay_well(&who, "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    static const struct {
        const char *sql;
        uint64_t parts;
    } coarse[] = {{"SELECT smsa, region, count(*) FROM people GROUP BY 1, 2", 1},
                  {"SELECT region, count(*) FROM people GROUP BY 1", 2},
                  {"SELECT smsa, count(*) FROM people GROUP BY 1", 4},
                  {"SELECT count(*) FROM people", 8}};
    for (size_t i = 0; i < COUNT(coarse); i++) {
        struct planning planning = planned(&who, coarse[i].sql);
        const struct measure *measure = &only_release(&planning)->measures[0];
        struct dp_calibration expected;
        cr_assert(dp_draw_of_cells(&who.kept[0].calibration, coarse[i].parts, &expected));
        cr_expect_eq(measure->calibration.m, expected.m);
        double sigma =
            dp_calibration_stddev(&who.kept[0].calibration) * sqrt((double)coarse[i].parts);
        cr_expect_geq(dp_calibration_stddev(&measure->calibration), sigma * (1 - 1e-12));
        cr_expect_eq(measure->draw.m, 0u);
        planning_clear(&planning);
    }
}

Test(fold, what_is_missing_alone_is_drawn_and_paid_for)
{
    static const char fine[] =
        "SELECT region, smsa, count(*), sum(education) FROM people GROUP BY 1, 2";
    static const char *const coarse[] = {
        "SELECT region, count(*), sum(education) FROM people GROUP BY region",
        "SELECT count(*), sum(education) FROM people",
    };
    for (size_t i = 0; i < COUNT(coarse); i++) {
        struct analyst who = analyst("census");
        ask(&who, fine);
        struct planning more = planned(&who, coarse[i]);
        struct planning fresh = plan_statement(who.catalog, coarse[i], &who.settings);
        const struct release *rest = only_release(&more), *whole = only_release(&fresh);
        cr_assert_eq(rest->n_drawn, 2u);
        uint64_t parts = i == 0 ? 2 : 8;
        for (size_t n = 0; n < 2; n++) {
            const struct measure *measure = &rest->measures[n];
            struct dp_calibration derived;
            cr_assert(dp_draw_of_cells(&who.kept[n].calibration, parts, &derived));
            cr_assert_eq(measure->n_kept, 1u);
            cr_expect_eq(measure->kept[0].m, derived.m);
            unsigned __int128 target =
                (unsigned __int128)whole->measures[n].draw.m * whole->measures[n].draw.m;
            unsigned __int128 had = (unsigned __int128)derived.m * derived.m;
            unsigned __int128 drawn = (unsigned __int128)measure->draw.m * measure->draw.m;
            cr_expect(had + drawn >= target, "as precise as asked");
            drawn = (unsigned __int128)(measure->draw.m - 2) * (measure->draw.m - 2);
            cr_expect(had + drawn < target, "and no more is paid for");
            cr_expect_eq(measure->draw.delta_grid, whole->measures[n].draw.delta_grid);
            cr_expect_eq(measure->draw.groups, whole->measures[n].draw.groups);
            struct dp_charge charge;
            cr_assert(dp_gaussian_charge(&measure->draw, &charge));
            cr_expect_eq(charge.mu2_pico, measure->draw.charge.mu2_pico);
        }
        double part = (double)more.plan->charge.mu2_pico / (double)fresh.plan->charge.mu2_pico;
        cr_expect_float_eq(part, 1 - 1 / (double)parts, 0.001);
        planning_clear(&more);
        planning_clear(&fresh);
        cr_expect_gt(ask(&who, coarse[i]), 0u);
        cr_expect_eq(ask(&who, coarse[i]), 0u, "what was drawn goes together with it again");
        cr_expect_eq(ask(&who, fine), 0u);
    }
}

Test(fold, grids_of_floating_point_are_refined_as_they_were_chosen)
{
    static const char fine[] = "SELECT insured, count(*), sum(weight) FROM patients GROUP BY 1";
    static const char coarse[] = "SELECT count(*), sum(weight) FROM patients";
    struct catalog *clinic = catalogs_copy("clinic");
    column_of(clinic, "patients", "insured")->not_null = true;
    expect_derived(clinic, fine, coarse);
    struct analyst who = analyst_of(clinic);
    who.settings.epsilon /= 8;
    ask(&who, fine);
    who.settings.epsilon *= 8;
    struct planning more = planned(&who, coarse),
                    fresh = plan_statement(clinic, coarse, &who.settings);
    const struct release *rest = only_release(&more), *whole = only_release(&fresh);
    bool other_grid = false;
    for (size_t i = 0; i < 2; i++) {
        const struct measure *measure = &rest->measures[i], *alone = &whole->measures[i];
        cr_assert_eq(measure->n_kept, 1u);
        cr_expect_eq(measure->draw.grid.exp2, who.kept[i].calibration.grid.exp2);
        cr_expect_eq(measure->draw.delta_grid, who.kept[i].calibration.delta_grid);
        /* And a sixth of a grid unit squared for its rounding. */
        double unit = dp_grid_unit(&measure->calibration.grid);
        double most = dp_calibration_stddev(&alone->calibration) *
                      dp_grid_unit(&alone->calibration.grid) * (1 + 1e-6);
        cr_expect_leq(pow(dp_calibration_stddev(&measure->calibration) * unit, 2),
                      pow(most, 2) + pow(unit, 2) / 6);
        other_grid |= measure->draw.grid.exp2 != alone->draw.grid.exp2;
    }
    cr_expect(other_grid, "the request alone would choose a finer one");
    cr_expect_lt(more.plan->charge.mu2_pico, fresh.plan->charge.mu2_pico);
    planning_clear(&more);
    planning_clear(&fresh);
    /* Of another size on another grid: of no use. */
    for (size_t i = 0; i < who.n; i++)
        who.kept[i].calibration.delta_grid++;
    struct planning none = planned(&who, coarse);
    for (size_t i = 0; i < 2; i++)
        cr_expect_eq(only_release(&none)->measures[i].n_kept, 0u);
    planning_clear(&none);
}

Test(fold, an_error_that_is_asked_for_is_kept_by_what_is_derived)
{
    static const char coarse[] = "SELECT smsa, count(*) FROM people GROUP BY smsa";
    struct analyst who = analyst("census");
    who.settings.max_error = dp_decimal_from_int(20);
    ask(&who, "SELECT smsa, parttime, count(*) FROM people GROUP BY 1, 2");
    who.settings.max_error = dp_decimal_from_int(20);
    uint64_t fresh = fresh_price(&who, coarse), part = ask(&who, coarse);
    cr_expect(part > 0 && part < fresh, "two cells of 20 are more than 20");
    who.settings.max_error = dp_decimal_from_int(30);
    who.n = 1;
    cr_expect_eq(ask(&who, coarse), 0u, "and less than 30: 20 * sqrt(2)");
}

Test(fold, answers_of_several_groupings_go_together)
{
    static const char coarse[] = "SELECT smsa, count(*) FROM people GROUP BY smsa";
    static const char *const fine[] = {
        "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2",
        "SELECT smsa, parttime, count(*) FROM people GROUP BY 1, 2",
        "SELECT ethnicity, smsa, count(*) FROM people GROUP BY 1, 2",
    };
    struct analyst who = analyst("census");
    uint64_t last = fresh_price(&who, coarse);
    for (size_t i = 0; i < COUNT(fine); i++) {
        ask(&who, fine[i]);
        struct planning planning = planned(&who, coarse);
        cr_expect_eq(only_release(&planning)->measures[0].n_kept, i + 1);
        cr_expect_lt(planning.plan->charge.mu2_pico, last);
        last = planning.plan->charge.mu2_pico;
        planning_clear(&planning);
    }
    cr_expect_eq(last, 0u, "a quarter and two halves");
}

Test(fold, no_draw_counts_twice)
{
    static const char coarse[] = "SELECT smsa, count(*) FROM people GROUP BY smsa";
    struct analyst who = analyst("census");
    ask(&who, "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    struct planning once = planned(&who, coarse);
    uint64_t price = once.plan->charge.mu2_pico;
    planning_clear(&once);
    who.kept[who.n] = who.kept[0];
    who.n++;
    struct planning twice = planned(&who, coarse);
    cr_expect_eq(twice.plan->charge.mu2_pico, price);
    cr_expect_eq(only_release(&twice)->measures[0].n_kept, 1u);
    planning_clear(&twice);
}

/* However often and in whatever order coarser groups are asked, they come to what was drawn. */
Test(fold, everything_paid_is_as_much_as_everything_drawn)
{
    static const char *const asked[] = {
        "SELECT region, smsa, parttime, count(*) FROM people GROUP BY 1, 2, 3",
        "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2",
        "SELECT parttime, count(*) FROM people GROUP BY 1",
        "SELECT count(*) FROM people",
        "SELECT smsa, parttime, count(*) FROM people GROUP BY 1, 2",
        "SELECT region, count(*) FROM people GROUP BY 1",
    };
    for (size_t first = 0; first < COUNT(asked); first++) {
        struct analyst who = analyst("census");
        uint64_t fresh = 0, drawn = 0;
        for (size_t i = 0; i < COUNT(asked); i++) {
            ask(&who, asked[(first + i) % COUNT(asked)]);
            fresh += fresh_price(&who, asked[i]);
        }
        for (size_t i = 0; i < who.n; i++) {
            struct dp_charge charge;
            cr_assert(dp_gaussian_charge(&who.kept[i].calibration, &charge));
            drawn += charge.mu2_pico;
        }
        cr_expect_eq(who.spent, drawn);
        cr_expect_lt(who.spent, fresh);
        for (size_t i = 0; i < COUNT(asked); i++)
            cr_expect_eq(ask(&who, asked[i]), 0u, "%s", asked[i]);
    }
}

/* --- what a ledger may hand out -----------------------------------------------------------------
 */

Test(fold, answers_that_do_not_fit_their_keys_are_of_no_use)
{
    static const char coarse[] = "SELECT smsa, count(*) FROM people GROUP BY smsa";
    struct analyst good = analyst("census");
    pay_well(&good, "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    cr_assert_eq(good.n, 1u);
    cr_assert_eq(good.kept[0].n_fold_keys, 2u);
    const char *keys[] = {good.kept[0].fold_keys[0], good.kept[0].fold_keys[1]};
    const char *unknown[] = {keys[0], keys[1], keys[0]},
               *strange[] = {good.kept[0].identity, keys[1]};
    struct kept_answer wrong[] = {good.kept[0], good.kept[0], good.kept[0], good.kept[0],
                                  good.kept[0], good.kept[0], good.kept[0], good.kept[0]};
    wrong[0].n_groups = 7;
    wrong[1].n_fold_keys = 1;
    wrong[2].fold_keys = unknown;
    wrong[2].n_fold_keys = 3;
    wrong[3].fold_keys = strange;
    wrong[4].family = good.kept[0].identity;
    wrong[5].calibration.groups = 2;
    wrong[6].calibration.mechanism = DP_LAPLACE;
    wrong[7].calibration.delta_grid = 2;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct analyst who = analyst("census");
        who.kept[0] = wrong[i];
        who.n = 1;
        cr_expect_eq(ask(&who, coarse), fresh_price(&who, coarse), "%zu", i);
    }
    cr_expect_eq(ask(&good, coarse), 0u);
}

static bool asks_for(const struct plan *plan, const char *question)
{
    for (size_t i = 0; i < plan->n_also; i++)
        if (strcmp(plan->also[i], question) == 0)
            return true;
    return false;
}

Test(fold, finer_answers_are_asked_for_by_family_and_keys)
{
    struct analyst who = analyst("census");
    who.asks = true;
    struct planning fine = planned(&who, "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    struct planning coarse = planned(&who, "SELECT smsa, count(*) FROM people GROUP BY 1");
    struct planning total = planned(&who, "SELECT count(*) FROM people");
    const struct release *keyed = only_release(&fine), *one = only_release(&coarse);
    const char *family = keyed->measures[0].family;
    char question[512];
    cr_assert_not_null(family);
    cr_expect_str_eq(one->measures[0].family, family);
    cr_expect_str_eq(only_release(&total)->measures[0].family, family);
    cr_expect_str_eq(only_release(&total)->measures[0].identity, family);
    cr_expect_str_eq(one->fold_keys[0], keyed->fold_keys[1]);
    snprintf(question, sizeof question, "%s:%s", family, one->fold_keys[0]);
    cr_expect(asks_for(coarse.plan, question));
    snprintf(question, sizeof question, "%s:%s:%s", family, keyed->fold_keys[0],
             keyed->fold_keys[1]);
    cr_expect(asks_for(fine.plan, question));
    snprintf(question, sizeof question, "%s:", family);
    cr_expect(asks_for(total.plan, question));
    planning_clear(&fine);
    planning_clear(&coarse);
    planning_clear(&total);
    /* A lone sum could be had from a pair about the middle as well. */
    struct planning sum = planned(&who, "SELECT sum(wage) FROM people");
    struct planning average = planned(&who, "SELECT region, avg(wage) FROM people GROUP BY 1");
    for (size_t i = 0; i < only_release(&average)->n_measures; i++) {
        snprintf(question, sizeof question, "%s:", only_release(&average)->measures[i].family);
        cr_expect(asks_for(sum.plan, question), "%zu", i);
    }
    planning_clear(&sum);
    planning_clear(&average);
}

static bool explains(const struct planning *planning, const char *words)
{
    for (size_t i = 0; i < planning->plan->n_explain; i++)
        if (strstr(planning->plan->explain[i], words) != NULL)
            return true;
    return false;
}

Test(fold, explain_names_the_groups_that_an_answer_comes_from)
{
    struct analyst who = analyst("census");
    ask(&who, "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2");
    struct planning part = planned(&who, "EXPLAIN SELECT smsa, count(*) FROM people GROUP BY 1");
    cr_expect(explains(&part, "a part was paid for before (2026-01-02T03:04:05Z), from the kept "
                              "answer grouped by region, smsa, only the rest is drawn"));
    planning_clear(&part);
    ask(&who, "SELECT smsa, parttime, count(*) FROM people GROUP BY 1, 2");
    who.settings.epsilon /= 4;
    struct planning all =
        planned(&who, "EXPLAIN (FORMAT JSON) SELECT smsa, count(*) FROM people GROUP BY 1");
    cr_expect(explains(&all, "Reuse: paid for before (2026-01-02T03:04:05Z), from the kept answer "
                             "grouped by region, smsa; smsa, parttime, nothing is drawn"));
    cr_expect_not_null(
        strstr(all.plan->explain_json, "\"Reused Groups\": \"region, smsa; smsa, parttime\""));
    planning_clear(&all);
    struct planning own = planned(
        &who, "EXPLAIN (FORMAT JSON) SELECT smsa, parttime, count(*) FROM people GROUP BY 1, 2");
    cr_expect_not_null(strstr(own.plan->explain_json, "\"Reused Groups\": null"));
    planning_clear(&own);
}

Test(fold, a_column_that_is_a_key_twice_is_no_finer_group)
{
    static const char *const coarse[] = {
        "SELECT region, region::text, count(*) FROM people GROUP BY 1, 2",
        "SELECT region, smsa, count(*) FROM people GROUP BY 1, 2",
        "SELECT region, count(*) FROM people GROUP BY 1",
    };
    for (size_t i = 0; i < COUNT(coarse); i++)
        expect_drawn(catalogs_get("census"),
                     "SELECT region, region::text, smsa, count(*) FROM people GROUP BY 1, 2, 3",
                     coarse[i]);
}
