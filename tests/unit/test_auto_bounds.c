/* Bounds that are found: what is measured for them, what they cost, and that neither the price nor
 * the shape of a plan depends on what is found. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/bounds.h"
#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

/* mu_max(1, 1e-6)^2, of planning_settings */
static const uint64_t whole = 56028963825;

/* The clinic, with bounds to be found for visits.cost, numeric(10,2), and patients.weight, double
 * precision. */
static const struct catalog *clinic(void)
{
    static struct catalog *catalog;
    static const struct policy_automatic plain = {0};
    static const struct policy_automatic with_unit = {.has_unit = true, .unit = {1, 1}};
    if (catalog != NULL)
        return catalog;
    catalog = catalogs_copy("clinic");
    catalogs_find_bounds(catalog, "visits", "cost", &plain);
    catalogs_find_bounds(catalog, "patients", "weight", &with_unit);
    return catalog;
}

static struct planning first(const char *sql)
{
    struct planning planning = plan_statement(clinic(), sql, NULL);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    return planning;
}

enum { HISTOGRAMS_MAX = 16, NUMBERS_MAX = 2 * DP_BOUND_BINS };

/* Numbers for each release of bounds of a plan. */
struct numbers {
    size_t n;
    struct plan_histogram histograms[HISTOGRAMS_MAX];
    char identities[HISTOGRAMS_MAX][65];
    __int128 noisy[HISTOGRAMS_MAX][NUMBERS_MAX];
};

/* Positive sizes end in bin positive, negative ones in bin negative; -1: nothing stands out. */
static void say(struct numbers *numbers, const struct plan *plan, bool paid_here, int positive,
                int negative)
{
    memset(numbers, 0, sizeof *numbers);
    cr_assert_leq(plan->n_bounds, HISTOGRAMS_MAX);
    numbers->n = plan->n_bounds;
    for (size_t i = 0; i < plan->n_bounds; i++) {
        const struct release *release = plan->relations[i].release;
        struct plan_histogram *histogram = &numbers->histograms[i];
        cr_assert_leq(release->n_domain, NUMBERS_MAX);
        strcpy(numbers->identities[i], release->measures[0].identity);
        *histogram = (struct plan_histogram){.identity = numbers->identities[i],
                                             .paid_here = paid_here,
                                             .calibration = release->measures[0].calibration,
                                             .n = release->n_domain,
                                             .noisy = numbers->noisy[i]};
        if (positive >= 0)
            numbers->noisy[i][positive] = 100000;
        if (negative >= 0)
            numbers->noisy[i][DP_BOUND_BINS + negative] = 100000;
    }
}

static struct planning second(const char *sql, const struct numbers *numbers)
{
    struct planning planning =
        plan_with_histograms(clinic(), sql, NULL, numbers->histograms, numbers->n);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    return planning;
}

static const struct release *answer(const struct planning *planning)
{
    for (size_t i = planning->plan->n_bounds; i < planning->plan->n_relations; i++)
        if (planning->plan->relations[i].kind == RELATION_RELEASE)
            return planning->plan->relations[i].release;
    cr_assert_fail("no release");
    return NULL;
}

static bool contains(const char *text, const char *piece)
{
    return text != NULL && strstr(text, piece) != NULL;
}

Test(auto_bounds, what_is_found_is_one_bin_a_unit_and_sign)
{
    struct planning planning = first("SELECT sum(cost) FROM visits");
    cr_assert_eq(planning.plan->n_bounds, 1);
    const struct release *release = planning.plan->relations[0].release;
    cr_assert_eq(release->n_measures, 1);
    cr_expect_eq(release->measures[0].kind, MEASURE_UNITS);
    cr_expect_eq(release->measures[0].calibration.delta_grid, 1);
    cr_expect_eq(release->measures[0].calibration.groups, 2);
    cr_expect_eq(release->n_domain, 2u * DP_BOUND_BINS);
    cr_expect_eq(release->n_params, 0);
    cr_expect(contains(release->sql, "GROUP BY \"u\""));
    cr_expect(contains(release->sql, "<=) '0.0078125'::pg_catalog.numeric THEN '0'"),
              "0.01 is 2^-7 and more: %s", release->sql);
    planning_clear(&planning);
}

Test(auto_bounds, a_fifth_of_the_budget_finds_them_and_the_rest_answers)
{
    struct planning planning = first("SELECT sum(cost) FROM visits");
    uint64_t found = planning.plan->relations[0].release->charge.mu2_pico;
    uint64_t answered = answer(&planning)->charge.mu2_pico;
    /* 56028963825 / 5 = 11205792765, rounded down by the calibration's integers */
    cr_expect_leq(found, 11205792765u);
    cr_expect_gt(found, 11205792700u);
    cr_expect_leq(answered, 44823171060u);
    cr_expect_gt(answered, 44823171000u);
    cr_expect_eq(planning.plan->charge.mu2_pico, found + answered);
    cr_expect_leq(planning.plan->charge.mu2_pico, whole);
    planning_clear(&planning);
}

Test(auto_bounds, two_columns_share_the_fifth)
{
    struct planning planning = first(
        "SELECT sum(cost), sum(weight) FROM visits JOIN patients ON patient_id = patients.id");
    cr_assert_eq(planning.plan->n_bounds, 2);
    for (size_t i = 0; i < 2; i++) {
        cr_expect_leq(planning.plan->relations[i].release->charge.mu2_pico, 5602896382u);
        cr_expect_gt(planning.plan->relations[i].release->charge.mu2_pico, 5602896300u);
    }
    cr_expect_leq(planning.plan->charge.mu2_pico, whole);
    planning_clear(&planning);
}

Test(auto_bounds, a_second_release_of_a_statement_uses_what_the_first_has_bought)
{
    struct planning planning =
        first("SELECT (SELECT sum(cost) FROM visits), (SELECT avg(cost) FROM visits)");
    cr_assert_eq(planning.plan->n_bounds, 1);
    uint64_t all = planning.plan->charge.mu2_pico;
    cr_expect_leq(all, 2 * whole);
    cr_expect_gt(all, 2 * whole - 1000);
    planning_clear(&planning);
}

Test(auto_bounds, nothing_of_price_and_shape_depends_on_what_is_found)
{
    static const char *const sqls[] = {
        "SELECT sum(cost) FROM visits",
        "SELECT avg(cost), count(*), sum(cost * 2 - 5) FROM visits",
        "SELECT sum(least(cost, 0)), sum(greatest(cost, 100000)) FROM visits",
        "SELECT code, stddev(cost), sum(cost * cost) FROM visits GROUP BY code",
        "SELECT note, sum(cost), sum(weight) FROM visits JOIN patients ON patient_id = patients.id "
        "GROUP BY note",
        "SELECT sum(weight / 7), avg(weight) FROM patients",
        "SELECT percentile_disc(ARRAY[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]) WITHIN GROUP "
        "(ORDER BY cost) FROM visits",
        "SELECT max(cost), percentile_cont(0.5) WITHIN GROUP (ORDER BY cost), sum(cost) FROM visits",
    };
    for (size_t s = 0; s < sizeof sqls / sizeof *sqls; s++) {
        struct planning before = first(sqls[s]);
        for (int positive = -1; positive < DP_BOUND_BINS; positive += 3)
            for (int negative = -1; negative < DP_BOUND_BINS; negative += 7) {
                struct numbers numbers;
                say(&numbers, before.plan, true, positive, negative);
                struct planning after = second(sqls[s], &numbers);
                const struct dp_charge *a = &before.plan->charge, *b = &after.plan->charge;
                cr_expect(a->mu2_pico == b->mu2_pico && a->delta_atto == b->delta_atto &&
                              a->epsilon == b->epsilon && a->pure == b->pure,
                          "%s at %d, %d", sqls[s], positive, negative);
                cr_expect_eq(after.plan->n_bounds, before.plan->n_bounds);
                cr_assert_eq(after.plan->n_relations, before.plan->n_relations);
                const struct release *old = answer(&before), *new = answer(&after);
                cr_assert_eq(new->n_measures, old->n_measures, "%s", sqls[s]);
                cr_expect_eq(new->key_threshold, old->key_threshold);
                cr_expect_eq(new->n_histograms, old->n_histograms);
                cr_expect_str_eq(new->mechanism_json, old->mechanism_json);
                uint64_t cost = 0;
                for (size_t i = 0; i < new->n_measures; i++) {
                    cr_expect_eq(new->measures[i].kind, old->measures[i].kind);
                    cr_expect_eq(new->measures[i].calibration.groups,
                                 old->measures[i].calibration.groups);
                    cost += new->measures[i].calibration.charge.mu2_pico;
                }
                cr_expect_leq(cost, new->charge.mu2_pico, "the noise costs what was paid");
                planning_clear(&after);
            }
        planning_clear(&before);
    }
}

Test(auto_bounds, with_plain_epsilon_the_same_holds)
{
    struct plan_settings settings = planning_settings();
    settings.laplace = true;
    const char *sql = "SELECT avg(cost) FROM visits";
    struct planning before = plan_statement(clinic(), sql, &settings);
    cr_assert_eq(before.result, PLANNED, "%s", before.refusal.message);
    const struct dp_charge *price = &before.plan->charge;
    cr_expect(price->pure);
    cr_expect_leq(before.plan->relations[0].release->charge.epsilon, 200000000u);
    cr_expect_gt(before.plan->relations[0].release->charge.epsilon, 199999900u);
    cr_expect_leq(price->epsilon, 1000000000u);
    for (int bin = -1; bin < DP_BOUND_BINS; bin++) {
        struct numbers numbers;
        say(&numbers, before.plan, true, bin, -1);
        struct planning after =
            plan_with_histograms(clinic(), sql, &settings, numbers.histograms, numbers.n);
        cr_assert_eq(after.result, PLANNED, "%s", after.refusal.message);
        cr_expect_eq(after.plan->charge.epsilon, price->epsilon);
        cr_expect_eq(after.plan->charge.mu2_pico, price->mu2_pico);
        uint64_t cost = 0;
        for (size_t i = 0; i < answer(&after)->n_measures; i++)
            cost += answer(&after)->measures[i].calibration.charge.epsilon;
        cr_expect_leq(cost, answer(&after)->charge.epsilon);
        planning_clear(&after);
    }
    planning_clear(&before);
}

Test(auto_bounds, kept_numbers_cost_nothing_and_leave_all_to_the_answer)
{
    const char *sql = "SELECT sum(cost) FROM visits";
    struct planning before = first(sql);
    struct numbers numbers;
    say(&numbers, before.plan, false, 17, -1); /* 2^10 = 1024 */
    struct planning after = second(sql, &numbers);
    cr_expect_eq(after.plan->n_bounds, 0);
    cr_expect_leq(after.plan->charge.mu2_pico, whole);
    cr_expect_gt(after.plan->charge.mu2_pico, whole - 100000);
    cr_expect_not_null(answer(&after)->measures[0].identity);
    planning_clear(&before);
    planning_clear(&after);
}

Test(auto_bounds, what_is_not_known_yet_is_not_looked_for_among_kept_answers)
{
    const char *sql = "SELECT sum(cost), count(*) FROM visits";
    struct planning before = first(sql);
    struct numbers numbers;
    say(&numbers, before.plan, true, 17, -1);
    struct planning after = second(sql, &numbers);
    for (size_t i = 0; i < answer(&before)->n_measures; i++) {
        const struct measure *open = &answer(&before)->measures[i];
        const struct measure *known = &answer(&after)->measures[i];
        cr_expect((open->identity == NULL) == (open->kind == MEASURE_SUM));
        cr_expect_not_null(known->identity);
    }
    planning_clear(&before);
    planning_clear(&after);
}

/* The clamps of a plan, as they stand in its SQL. */
static void expect_clamp(const char *sql, int positive, int negative, const char *low,
                         const char *high)
{
    struct planning before = first(sql);
    struct numbers numbers;
    say(&numbers, before.plan, false, positive, negative);
    struct planning after = second(sql, &numbers);
    cr_expect(contains(answer(&after)->sql, low), "%s lacks %s", answer(&after)->sql, low);
    cr_expect(contains(answer(&after)->sql, high), "%s lacks %s", answer(&after)->sql, high);
    planning_clear(&before);
    planning_clear(&after);
}

Test(auto_bounds, averages_take_the_ends_of_the_bins)
{
    /* 2^(17 - 7) and 2^(5 - 7) rounded away from zero to two places */
    expect_clamp("SELECT avg(cost) FROM visits", 17, 5, "'-0.25'::pg_catalog.numeric",
                 "'1024'::pg_catalog.numeric");
    expect_clamp("SELECT avg(cost) FROM visits", 17, 2, "'-0.04'::pg_catalog.numeric",
                 "'1024'::pg_catalog.numeric");
}

Test(auto_bounds, a_sign_that_does_not_stand_out_ends_at_zero)
{
    expect_clamp("SELECT avg(cost) FROM visits", 17, -1, "'0'::pg_catalog.numeric",
                 "'1024'::pg_catalog.numeric");
    expect_clamp("SELECT avg(cost) FROM visits", -1, 17, "'-1024'::pg_catalog.numeric",
                 "'0'::pg_catalog.numeric");
}

Test(auto_bounds, where_nothing_stands_out_the_outer_range_holds)
{
    /* numeric(10,2) ends at 99999999.99 */
    expect_clamp("SELECT avg(cost) FROM visits", -1, -1, "'-99999999.99'::pg_catalog.numeric",
                 "'99999999.99'::pg_catalog.numeric");
}

Test(auto_bounds, a_clamp_of_the_analysts_own_needs_none)
{
    struct planning planning =
        first("SELECT sum(least(greatest(cost, 0), 100)), count(cost), sum(CASE WHEN cost > 3 THEN "
              "1 ELSE 0 END) FROM visits WHERE cost < 50");
    cr_expect_eq(planning.plan->n_bounds, 0);
    cr_expect_gt(planning.plan->charge.mu2_pico, whole - 1000);
    planning_clear(&planning);
}

Test(auto_bounds, what_is_found_does_not_depend_on_the_statement)
{
    struct planning one = first("SELECT sum(cost) FROM visits");
    struct planning two = first("SELECT code, avg(cost * 2) FROM visits v JOIN patients p ON "
                                "v.patient_id = p.id WHERE age > 40 AND code <> 'x' GROUP BY code");
    cr_assert_eq(two.plan->n_bounds, 1);
    cr_expect_str_eq(one.plan->relations[0].release->sql, two.plan->relations[0].release->sql);
    cr_expect_str_eq(one.plan->relations[0].release->measures[0].identity,
                     two.plan->relations[0].release->measures[0].identity);
    planning_clear(&one);
    planning_clear(&two);
}

Test(auto_bounds, an_error_that_is_asked_for_needs_bounds_that_are_known)
{
    struct plan_settings settings = planning_settings();
    settings.max_error = dp_decimal_from_int(1000000);
    const char *sql = "SELECT sum(cost) FROM visits";
    struct planning planning = plan_statement(clinic(), sql, &settings);
    cr_assert_eq(planning.result, PLANNING_REFUSED);
    cr_expect_str_eq(planning.refusal.sqlstate, "0A000");
    cr_expect(contains(planning.refusal.hint, "dp.epsilon"));
    planning_clear(&planning);
    /* Kept ones may come yet: the plan's identities are wanted, not its noise. */
    planning = plan_before_lookup(clinic(), sql, &settings);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect(planning.plan->provisional);
    cr_expect_eq(planning.plan->n_bounds, 1);
    planning_clear(&planning);
    struct planning before = first(sql);
    struct numbers numbers;
    say(&numbers, before.plan, false, 17, -1);
    planning = plan_with_histograms(clinic(), sql, &settings, numbers.histograms, numbers.n);
    cr_expect_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    planning_clear(&planning);
    planning_clear(&before);
}

Test(auto_bounds, numbers_of_another_column_are_not_used)
{
    struct planning other = first("SELECT sum(weight) FROM patients");
    struct numbers numbers;
    say(&numbers, other.plan, false, 17, -1);
    struct planning planning = second("SELECT sum(cost) FROM visits", &numbers);
    cr_expect_eq(planning.plan->n_bounds, 1);
    planning_clear(&other);
    planning_clear(&planning);
}

static struct catalog_type typed(enum type_oid oid, int typmod)
{
    return (struct catalog_type){.oid = oid, .typmod = typmod};
}

Test(auto_bounds, units_and_outer_ranges_follow_from_types)
{
    static const struct policy_automatic plain = {0};
    struct catalog_automatic found;
    const char *wrong = NULL;
    struct catalog_type type = typed(TYPE_INT4, -1);
    cr_assert(catalog_automatic_find(&type, &plain, &found, &wrong));
    cr_expect(found.exponent == 0 && found.scale == 0 && found.high.digits == INT32_MAX &&
              found.low.digits == -INT32_MAX);
    type = typed(TYPE_INT8, -1);
    cr_assert(catalog_automatic_find(&type, &plain, &found, &wrong));
    cr_expect(found.high.digits == (__int128)1 << 40, "2^40 units at most");
    type = typed(TYPE_NUMERIC, (5 << 16) + 3 + 4);
    cr_assert(catalog_automatic_find(&type, &plain, &found, &wrong));
    cr_expect(found.exponent == -10 && found.scale == 3 && found.high.digits == 99999 &&
              found.high.scale == 3);
    type = typed(TYPE_NUMERIC, -1);
    cr_expect_not(catalog_automatic_find(&type, &plain, &found, &wrong));
    cr_expect(contains(wrong, "\"unit\""));
    type = typed(TYPE_DATE, -1);
    cr_expect_not(catalog_automatic_find(&type, &plain, &found, &wrong));
    cr_expect(contains(wrong, "numbers"));
    const struct policy_automatic wide = {.has_unit = true,
                                          .has_range = true,
                                          .unit = {1, 0},
                                          .low = {0, 0},
                                          .high = {2000000000000, 0}};
    type = typed(TYPE_FLOAT8, -1);
    cr_expect_not(catalog_automatic_find(&type, &wide, &found, &wrong));
    cr_expect(contains(wrong, "larger \"unit\""));
}

Test(auto_bounds, a_range_of_one_sign_costs_one_sign)
{
    struct catalog *catalog = catalogs_copy("clinic");
    const struct policy_automatic above = {.has_range = true, .low = {0, 0}, .high = {100000, 0}};
    catalogs_find_bounds(catalog, "visits", "minutes", &above);
    struct planning planning = plan_statement(catalog, "SELECT sum(minutes) FROM visits", NULL);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    cr_expect_eq(planning.plan->relations[0].release->n_domain, (size_t)DP_BOUND_BINS);
    cr_expect_eq(planning.plan->relations[0].release->measures[0].calibration.groups, 1);
    planning_clear(&planning);
}

static struct planning with_epsilon(const char *sql, dp_nano epsilon, const struct numbers *numbers)
{
    struct plan_settings settings = planning_settings();
    settings.epsilon = epsilon;
    struct planning planning =
        plan_with_histograms(clinic(), sql, &settings, numbers->histograms, numbers->n);
    cr_assert_eq(planning.result, PLANNED, "%s", planning.refusal.message);
    return planning;
}

Test(auto_bounds, numbers_serve_until_a_statement_would_buy_much_better_ones)
{
    static const struct {
        int bin;
        dp_nano epsilon;
        size_t bought;
    } cases[] = {
        {17, 100000000, 0},  {17, 1000000000, 0}, {17, 3000000000, 0}, {17, 20000000000, 1},
        {-1, 1000000000, 0}, {-1, 900000000, 0},  {-1, 1100000000, 1},
    };
    const char *sql = "SELECT sum(cost) FROM visits";
    struct planning before = first(sql);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct numbers numbers;
        say(&numbers, before.plan, false, cases[i].bin, -1);
        struct planning after = with_epsilon(sql, cases[i].epsilon, &numbers);
        cr_expect_eq(after.plan->n_bounds, cases[i].bought, "bin %d, epsilon %llu", cases[i].bin,
                     (unsigned long long)cases[i].epsilon);
        planning_clear(&after);
    }
    planning_clear(&before);
}

Test(auto_bounds, a_statement_that_is_asked_again_buys_nothing_whatever_it_bought)
{
    static const char *const sqls[] = {
        "SELECT sum(cost) FROM visits",
        "SELECT sum(cost), sum(weight) FROM visits JOIN patients ON patient_id = patients.id",
        "SELECT (SELECT sum(weight) FROM patients), (SELECT sum(cost) FROM visits)",
    };
    for (size_t s = 0; s < sizeof sqls / sizeof *sqls; s++)
        for (int bin = -1; bin < 20; bin += 10)
            for (int mechanism = 0; mechanism < 3; mechanism++) {
                struct plan_settings settings = planning_settings();
                struct numbers numbers;
                settings.laplace = mechanism == 1;
                settings.automatic = mechanism == 2;
                settings.account = (struct dp_account_state){
                    .epsilon_cap = 10000000000, .mu2_cap_pico = 4000000000000, .all_pure = true};
                struct planning before = plan_statement(clinic(), sqls[s], &settings);
                cr_assert_eq(before.result, PLANNED);
                say(&numbers, before.plan, false, bin, -1);
                struct planning after = plan_with_histograms(clinic(), sqls[s], &settings,
                                                             numbers.histograms, numbers.n);
                cr_assert_eq(after.result, PLANNED);
                cr_expect_eq(after.plan->n_bounds, 0, "%s, bin %d, mechanism %d", sqls[s], bin,
                             mechanism);
                planning_clear(&before);
                planning_clear(&after);
            }
}

Test(auto_bounds, the_best_of_several_numbers_is_used)
{
    const char *sql = "SELECT avg(cost) FROM visits";
    struct planning before = first(sql);
    struct numbers numbers;
    say(&numbers, before.plan, false, 17, -1);
    numbers.histograms[1] = numbers.histograms[0];
    numbers.histograms[1].noisy = numbers.noisy[1];
    numbers.histograms[1].calibration.m = 2 * numbers.histograms[0].calibration.m + 1;
    numbers.noisy[1][10] = 100000; /* 2^3 */
    numbers.n = 2;
    struct planning after = second(sql, &numbers);
    cr_expect(contains(answer(&after)->sql, "'8'::pg_catalog.numeric"), "%s", answer(&after)->sql);
    planning_clear(&before);
    planning_clear(&after);
}

static bool explained(const struct planning *planning, const char *piece)
{
    for (size_t i = 0; i < planning->plan->n_explain; i++)
        if (contains(planning->plan->explain[i], piece))
            return true;
    return false;
}

Test(auto_bounds, explain_says_what_is_found_first_and_what_was_found)
{
    const char *sql = "EXPLAIN SELECT sum(cost) FROM visits";
    struct planning before = first(sql);
    cr_expect(explained(&before, "Bounds of public.visits.cost: found first"));
    cr_expect(explained(&before, "times the larger bound"));
    cr_expect(explained(&before, "of the epsilon of release 1"));
    struct numbers numbers;
    say(&numbers, before.plan, false, 17, -1);
    struct planning after = second(sql, &numbers);
    cr_expect(explained(&after, "Bounds of public.visits.cost: found, "));
    cr_expect(explained(&after, "to 1024 for averages"));
    cr_expect_not(explained(&after, "found first"));
    planning_clear(&before);
    planning_clear(&after);
    struct planning json = first("EXPLAIN (FORMAT JSON) SELECT avg(cost) FROM visits");
    cr_expect(contains(json.plan->explain_json, "\"Automatic Bounds\": [{\"Column\": "
                                                "\"public.visits.cost\""));
    cr_expect(contains(json.plan->explain_json, "\"Expected Error\": null"));
    planning_clear(&json);
}

Test(auto_bounds, the_factor_of_the_error_is_what_the_error_then_is)
{
    /* Found bounds have the same share: 4/5 of the budget, sensitivity 60 rows of the bound. */
    struct planning before = first("EXPLAIN (FORMAT JSON) SELECT sum(cost) FROM visits");
    const char *at = strstr(before.plan->explain_json, "\"Expected Error Factor\": ");
    cr_assert_not_null(at);
    double factor = strtod(at + strlen("\"Expected Error Factor\": "), NULL);
    /* z(0.95) 60 / sqrt(0.8 * 0.056028963825) */
    cr_expect_float_eq(factor, 1.959963985 * 60 / 0.21171483, 1e-3 * factor, "%g", factor);
    planning_clear(&before);
}

/* A dataset in which every number with bounds has them found. */
static const struct catalog *found_everywhere(const char *dataset)
{
    static struct catalog *made[3];
    static const char *const names[] = {"census", "panel", "clinic"};
    static const struct policy_automatic policy = {.has_unit = true, .unit = {1, 2}};
    size_t index = 0;
    while (strcmp(names[index], dataset) != 0)
        cr_assert_lt(++index, sizeof names / sizeof *names);
    if (made[index] != NULL)
        return made[index];
    made[index] = catalogs_copy(dataset);
    for (size_t t = 0; t < made[index]->n_tables; t++) {
        const struct catalog_table *table = &made[index]->tables[t];
        for (size_t i = 0; i < table->n_columns && !table->is_public; i++) {
            uint32_t type = table->columns[i].type.oid;
            if (table->columns[i].bounds != NULL &&
                (type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8 ||
                 type == TYPE_NUMERIC || type == TYPE_FLOAT8))
                catalogs_find_bounds(made[index], table->name, table->columns[i].name, &policy);
        }
    }
    return made[index];
}

static void same_price(const char *sql, const struct planning *before, const struct planning *after)
{
    cr_assert_eq(after->result, PLANNED, "%s: %s", sql, after->refusal.message);
    cr_expect_eq(after->plan->charge.mu2_pico, before->plan->charge.mu2_pico, "%s", sql);
    cr_expect_eq(after->plan->charge.delta_atto, before->plan->charge.delta_atto, "%s", sql);
    cr_assert_eq(after->plan->n_relations, before->plan->n_relations, "%s", sql);
    for (size_t i = 0; i < after->plan->n_relations; i++)
        if (after->plan->relations[i].kind == RELATION_RELEASE)
            cr_expect_str_eq(after->plan->relations[i].release->mechanism_json,
                             before->plan->relations[i].release->mechanism_json, "%s", sql);
}

enum mode { GAUSSIAN, LAPLACE, AUTOMATIC, MODES };

enum { KEPT_MAX = 64 };
struct kept {
    size_t n;
    struct kept_answer answers[KEPT_MAX];
    char identities[KEPT_MAX][65];
};

/* Answers, as exact as they would be bought, of what the plan measures for public groups. */
static void keep_answers(struct kept *kept, const struct plan *plan)
{
    kept->n = 0;
    for (size_t i = plan->n_bounds; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        if (plan->relations[i].kind != RELATION_RELEASE ||
            (release->n_keys > 0 && release->domain == NULL))
            continue;
        for (size_t m = 0; m < release->n_measures && kept->n < KEPT_MAX; m++) {
            if (release->measures[m].identity == NULL)
                continue;
            strcpy(kept->identities[kept->n], release->measures[m].identity);
            kept->answers[kept->n] =
                (struct kept_answer){.id = kept->n + 1,
                                     .identity = kept->identities[kept->n],
                                     .since = "",
                                     .calibration = release->measures[m].calibration,
                                     .n_groups = release->n_keys == 0 ? 1 : release->n_domain};
            kept->n++;
        }
    }
}

/* Two plans of a statement, before and after its bounds were found, with what else is kept. */
static void check_rounds(const char *sql, const struct plan_request *request)
{
    struct planning before = plan_requested(sql, request);
    cr_assert_eq(before.result, PLANNED, "%s: %s", sql, before.refusal.message);
    for (int round = 0; round < 4; round++) {
        struct numbers numbers;
        struct plan_request found = *request;
        say(&numbers, before.plan, true, round == 0 ? -1 : rand() % DP_BOUND_BINS,
            round < 2 ? -1 : rand() % DP_BOUND_BINS);
        found.histograms = numbers.histograms;
        found.n_histograms = numbers.n;
        struct planning after = plan_requested(sql, &found);
        same_price(sql, &before, &after);
        planning_clear(&after);
    }
    planning_clear(&before);
}

/* Returns whether bounds were bought. */
static bool check_statement(const char *dataset, const char *sql, int mode)
{
    struct plan_settings settings = planning_settings();
    struct kept kept;
    struct plan_request request = {.catalog = found_everywhere(dataset), .settings = &settings};
    settings.laplace = mode == LAPLACE;
    settings.automatic = mode == AUTOMATIC;
    settings.account = (struct dp_account_state){
        .epsilon_cap = 10000000000, .mu2_cap_pico = 4000000000000, .all_pure = true};
    struct planning before = plan_requested(sql, &request);
    bool bought = before.result == PLANNED && before.plan->n_bounds > 0;
    if (bought) {
        keep_answers(&kept, before.plan);
        check_rounds(sql, &request);
        request.kept = kept.answers;
        request.n_kept = kept.n;
        check_rounds(sql, &request);
    }
    planning_clear(&before);
    return bought;
}

static size_t check_cases(const char *path, int mode)
{
    char line[4096], dataset[64] = "";
    size_t bought = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, ";\n")] = '\0';
        if (sscanf(line, "-- dataset: %63s", dataset) != 1 && strncmp(line, "--", 2) != 0 &&
            line[0] != '\0' && strchr(line, '$') == NULL)
            bought += check_statement(dataset, line, mode);
    }
    fclose(file);
    return bought;
}

Test(auto_bounds, no_accepted_statement_has_a_price_that_depends_on_what_is_found)
{
    glob_t found;
    size_t bought = 0;
    srand(1);
    cr_assert_eq(glob("tests/cases/accept/*.sql", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        for (int mode = GAUSSIAN; mode < MODES; mode++)
            bought += check_cases(found.gl_pathv[i], mode);
    globfree(&found);
    cr_expect_gt(bought, 100u, "statements that buy bounds: %zu", bought);
}
