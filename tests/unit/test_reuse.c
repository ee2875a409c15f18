/* Planning with what was paid for before: what is drawn still, what it costs, what is said of it.
 * What is planned follows from identities, precisions and groups alone. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/cdf.h"
#include "tests/support/analyst.h"
#include "tests/support/catalogs.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

Test(reuse, the_same_release_is_free_and_nothing_is_measured)
{
    static const char *const sqls[] = {
        "SELECT count(*) FROM people",
        "SELECT region, avg(wage), count(*) FROM people GROUP BY region",
        "SELECT avg(education), stddev(education), sum(experience) FROM people WHERE smsa",
        "SELECT count(*), (SELECT avg(wage) FROM people WHERE education > 12) FROM people",
    };
    for (size_t i = 0; i < COUNT(sqls); i++) {
        struct analyst who = analyst("census");
        cr_expect_gt(ask(&who, sqls[i]), 0u);
        struct planning again = planned(&who, sqls[i]);
        cr_expect_eq(again.plan->charge.mu2_pico, 0u, "%s", sqls[i]);
        cr_expect_eq(again.plan->charge.epsilon, 0u);
        for (size_t n = 0; n < again.plan->n_relations; n++) {
            const struct release *release = again.plan->relations[n].release;
            cr_expect_eq(release->n_drawn, 0u);
            cr_expect_null(release->sql);
            cr_expect_str_eq(release->mechanism_json, "[]");
            for (size_t m = 0; m < release->n_measures; m++)
                cr_expect_eq(release->measures[m].n_kept, 1u);
        }
        planning_clear(&again);
    }
}

Test(reuse, another_form_of_the_question_is_free)
{
    struct analyst who = analyst("census");
    ask(&who, "SELECT region, count(*), avg(wage) FROM people WHERE education > 5 GROUP BY region");
    cr_expect_eq(ask(&who,
                     "SELECT upper(region) AS r, avg(wage) * 2, 'n=' || count(*) FROM people p "
                     "WHERE p.education > 5 GROUP BY p.region HAVING count(*) > 10 ORDER BY 2 "
                     "LIMIT 1"),
                 0u);
}

Test(reuse, less_precision_is_free_and_says_what_is_kept)
{
    struct analyst who = analyst("census");
    ask(&who, "SELECT count(*) FROM people");
    who.settings.epsilon = 100000000;
    struct planning less = planned(&who, "SELECT count(*) FROM people");
    cr_expect_eq(less.plan->charge.mu2_pico, 0u);
    cr_expect_eq(only_release(&less)->measures[0].calibration.m, who.kept[0].calibration.m);
    planning_clear(&less);
}

Test(reuse, a_chain_of_refinements_costs_what_the_last_precision_costs)
{
    static const char *const sqls[] = {
        "SELECT count(*) FROM visits",
        "SELECT sum(minutes) FROM visits",
        "SELECT code, avg(cost) FROM visits GROUP BY code",
        "SELECT avg(weight), count(weight) FROM patients",
        "SELECT sum(weight) FROM patients",
        "SELECT sex, stddev(age) FROM patients GROUP BY sex",
    };
    static const dp_nano epsilons[] = {10000000, 30000000, 250000000, 1000000000, 2000000000};
    for (size_t i = 0; i < COUNT(sqls); i++) {
        struct analyst who = analyst("clinic");
        uint64_t last = 0;
        for (size_t n = 0; n < COUNT(epsilons); n++) {
            who.settings.epsilon = epsilons[n];
            uint64_t price = ask(&who, sqls[i]), whole = fresh_price(&who, sqls[i]);
            cr_expect_lt(price, whole - last / 2 + (n == 0), "%s: only a part is paid", sqls[i]);
            cr_expect_geq(who.spent + 4, whole, "%s", sqls[i]);
            /* Rounded up: 1 a draw, and 2^-18 of a charge where m is made odd. */
            cr_expect_leq(who.spent, whole + 4 * (n + 1) + whole / (1 << 17), "%s", sqls[i]);
            last = whole;
            cr_expect_eq(ask(&who, sqls[i]), 0u, "and once more it is free");
        }
    }
}

Test(reuse, what_is_refined_is_as_precise_as_what_would_be_drawn)
{
    struct analyst who = analyst("clinic");
    const char *sql = "SELECT count(*), avg(minutes) FROM visits";
    who.settings.epsilon = 400000000;
    ask(&who, sql);
    who.settings.epsilon = 1000000000;
    struct planning fresh = plan_statement(who.catalog, sql, &who.settings);
    struct planning more = planned(&who, sql);
    const struct release *whole = only_release(&fresh), *rest = only_release(&more);
    cr_assert_eq(whole->n_measures, rest->n_measures);
    cr_expect_eq(rest->n_drawn, rest->n_measures);
    for (size_t i = 0; i < rest->n_measures; i++) {
        const struct measure *measure = &rest->measures[i];
        unsigned __int128 sum = (unsigned __int128)measure->draw.m * measure->draw.m;
        unsigned __int128 target = whole->measures[i].calibration.m;
        cr_expect_eq(measure->n_kept, 1u);
        cr_expect_lt(measure->draw.m, whole->measures[i].draw.m);
        sum += (unsigned __int128)measure->kept[0].m * measure->kept[0].m;
        cr_expect(sum >= target * target);
        /* What is said of it: a sixth of a grid unit squared more, for its rounding. */
        cr_expect_leq(pow(dp_calibration_stddev(&measure->calibration), 2),
                      pow(dp_calibration_stddev(&whole->measures[i].calibration), 2) * (1 + 1e-6) +
                          1.0 / 6);
    }
    planning_clear(&fresh);
    planning_clear(&more);
}

Test(reuse, only_what_is_missing_beside_it_is_measured)
{
    struct analyst who = analyst("census");
    ask(&who, "SELECT count(*) FROM people WHERE experience < 10");
    const char *sql = "SELECT count(*), sum(education) FILTER (WHERE smsa) FROM people WHERE "
                      "experience < 10";
    struct planning more = planned(&who, sql);
    const struct release *release = only_release(&more);
    cr_assert_eq(release->n_measures, 2u);
    cr_expect_eq(release->n_drawn, 1u);
    cr_expect_null(strstr(release->sql, "m2"), "%s", release->sql);
    for (size_t i = 0; i < 2; i++)
        if (release->measures[i].draw.m != 0)
            cr_expect_eq(release->charge.mu2_pico, release->measures[i].draw.charge.mu2_pico);
    cr_expect_not_null(strstr(release->mechanism_json, "sum"));
    cr_expect_null(strstr(release->mechanism_json, "units"));
    planning_clear(&more);
}

Test(reuse, what_differs_in_anything_is_paid_for)
{
    struct analyst who = analyst("clinic");
    ask(&who, "SELECT count(*), sum(minutes) FROM visits WHERE minutes > 5");
    static const char *const others[] = {
        "SELECT count(*) FROM visits WHERE minutes > 6",
        "SELECT count(DISTINCT patient_id) FROM visits WHERE minutes > 5",
        "SELECT sum(minutes + 1) FROM visits WHERE minutes > 5",
        "SELECT code, count(*) FROM visits WHERE minutes > 5 GROUP BY code",
    };
    for (size_t i = 0; i < COUNT(others); i++) {
        struct planning other = planned(&who, others[i]);
        cr_expect_eq(other.plan->charge.mu2_pico, fresh_price(&who, others[i]), "%s", others[i]);
        planning_clear(&other);
    }
    struct catalog *next = catalogs_copy("clinic");
    strcpy(((struct policy *)(uintptr_t)next->policy)->version, "next");
    who.catalog = next;
    cr_expect_gt(ask(&who, "SELECT count(*) FROM visits WHERE minutes > 5"), 0u);
}

Test(reuse, laplace_and_gaussian_are_kept_for_each_other_where_they_suffice)
{
    struct analyst who = analyst("census");
    const char *sql = "SELECT count(*) FROM people";
    ask(&who, sql);
    who.settings.laplace = true;
    struct planning finer = planned(&who, sql);
    cr_expect_gt(finer.plan->charge.epsilon, 0u, "Laplace noise of the same epsilon is narrower");
    cr_expect_eq(only_release(&finer)->measures[0].n_kept, 0u);
    planning_clear(&finer);
    ask(&who, sql);
    cr_expect_eq(ask(&who, sql), 0u);
    who.settings.laplace = false;
    struct planning back = planned(&who, sql);
    cr_expect_eq(back.plan->charge.mu2_pico, 0u);
    cr_expect_eq(only_release(&back)->measures[0].calibration.mechanism, DP_LAPLACE);
    planning_clear(&back);
}

Test(reuse, a_rotated_pair_is_kept_whole)
{
    struct analyst who = analyst("clinic");
    const char *sql = "SELECT avg(minutes) FROM visits";
    who.settings.laplace = true;
    ask(&who, sql);
    cr_assert_eq(who.n, 2u);
    cr_expect_eq(ask(&who, sql), 0u);
    who.settings.epsilon *= 2;
    struct planning finer = planned(&who, sql);
    cr_expect_eq(finer.plan->charge.mu2_pico, fresh_price(&who, sql), "Laplace is not refined");
    cr_expect_eq(only_release(&finer)->n_drawn, 2u);
    planning_clear(&finer);
    who.settings.epsilon /= 2;
    who.n = 1; /* one of the two was lost */
    cr_expect_eq(ask(&who, sql), fresh_price(&who, sql));
}

Test(reuse, what_the_account_chose_is_free_although_it_would_choose_another_now)
{
    struct analyst who = analyst("clinic");
    const char *sql = "SELECT avg(minutes), count(*) FROM visits";
    who.settings.automatic = true;
    who.settings.account = (struct dp_account_state){
        .mu2_cap_pico = 56028963825, .epsilon_cap = 1000000000, .all_pure = true};
    who.settings.epsilon = 500000000;
    struct planning first = planned(&who, sql);
    cr_assert(first.plan->charge.pure && first.plan->charge.epsilon > 0,
              "Laplace for a new account");
    planning_clear(&first);
    ask(&who, sql);
    who.settings.account.all_pure = false;
    who.settings.account.mu2_spent_pico = 30000000000;
    struct planning again = planned(&who, sql);
    cr_expect_eq(again.plan->charge.mu2_pico, 0u);
    planning_clear(&again);
    who.settings.epsilon = 600000000;
    struct planning finer = planned(&who, sql),
                    fresh = plan_statement(who.catalog, sql, &who.settings);
    cr_expect_not(finer.plan->charge.pure, "more is asked for by the account's own choice");
    cr_expect_lt(finer.plan->charge.mu2_pico, fresh.plan->charge.mu2_pico,
                 "a count of its own is kept for the other mechanism");
    planning_clear(&finer);
    planning_clear(&fresh);
}

Test(reuse, sums_averages_and_counts_are_had_from_each_other)
{
    static const struct {
        const char *first, *free[3];
    } cases[] = {
        {"SELECT avg(minutes), count(minutes) FROM visits",
         {"SELECT sum(minutes) FROM visits", "SELECT count(minutes), sum(minutes) FROM visits",
          "SELECT avg(minutes) FROM visits"}},
        {"SELECT sum(minutes), count(minutes) FROM visits",
         {"SELECT avg(minutes) FROM visits", "SELECT sum(minutes) FROM visits",
          "SELECT sum(minutes) / count(minutes), avg(minutes) FROM visits"}},
        {"SELECT sex, avg(weight), count(weight) FROM patients GROUP BY sex",
         {"SELECT sex, sum(weight) FROM patients GROUP BY sex",
          "SELECT sex, avg(weight) FROM patients GROUP BY sex",
          "SELECT sex, avg(weight), sum(weight) FROM patients GROUP BY sex"}},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t n = 0; n < 3; n++) {
            struct analyst who = analyst("clinic");
            ask(&who, cases[i].first);
            cr_expect_eq(ask(&who, cases[i].free[n]), 0u, "%s", cases[i].free[n]);
            who.settings.epsilon *= 2;
            cr_expect_gt(ask(&who, cases[i].free[n]), 0u, "not twice as precise: %s",
                         cases[i].free[n]);
        }
}

/* Identities that are asked for: those of the plan, and of other forms. */
static bool asks_for(const struct plan *plan, const char *identity)
{
    bool found = false;
    for (size_t i = 0; i < plan->n_also; i++)
        found |= strcmp(plan->also[i], identity) == 0;
    for (size_t i = 0; i < plan->n_relations; i++)
        for (size_t n = 0; n < plan->relations[i].release->n_measures; n++)
            found |= strcmp(plan->relations[i].release->measures[n].identity, identity) == 0;
    return found;
}

Test(reuse, what_could_answer_in_another_form_is_asked_for)
{
    static const char *const pairs[][2] = {
        {"SELECT avg(minutes) FROM visits", "SELECT sum(minutes) FROM visits"},
        {"SELECT sum(minutes) FROM visits", "SELECT sum(minutes) FROM visits"},
        {"SELECT avg(minutes) FROM visits", "SELECT avg(minutes) FROM visits"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        for (int laplace = 0; laplace < 2; laplace++) {
            struct analyst who = analyst("clinic");
            if (i < 2 && laplace)
                continue; /* a rotated pair is no lone sum's */
            who.settings.laplace = laplace;
            ask(&who, pairs[i][0]);
            who.settings.automatic = i == 2;
            who.settings.account =
                (struct dp_account_state){.mu2_cap_pico = 56028963825, .epsilon_cap = 1000000000};
            who.asks = true;
            size_t n = who.n;
            who.n = 0;
            struct planning second = planned(&who, pairs[i][1]);
            for (size_t k = 0; k < n; k++)
                cr_expect(asks_for(second.plan, who.kept[k].identity), "%s after %s", pairs[i][1],
                          pairs[i][0]);
            planning_clear(&second);
        }
}

Test(reuse, what_is_had_from_others_must_be_precise_enough)
{
    struct analyst who = analyst("clinic");
    ask(&who, "SELECT avg(minutes) FROM visits");
    const char *sum = "SELECT sum(minutes) FROM visits";
    struct planning dear = planned(&who, sum);
    cr_expect_eq(dear.plan->charge.mu2_pico, fresh_price(&who, sum),
                 "a third for the count is too little for a sum");
    planning_clear(&dear);
    struct planning count = planned(&who, "SELECT count(minutes) FROM visits");
    cr_expect_gt(count.plan->charge.mu2_pico, 0u);
    planning_clear(&count);
    who.settings.epsilon = 900000000;
    cr_expect_eq(ask(&who, sum), 0u, "enough for a little less");
}

static const char *const cities[] = {"Bergen", "Oslo", NULL};

Test(reuse, private_groups_that_were_told_stay_what_they_are)
{
    struct analyst who = analyst("clinic");
    const char *sql = "SELECT city, count(*) FROM patients GROUP BY city";
    ask_groups(&who, sql, cities, 3);
    dp_atto delta = who.delta;
    cr_expect_gt(delta, 0u);
    struct planning again = planned(&who, sql);
    const struct release *release = only_release(&again);
    cr_expect_eq(again.plan->charge.mu2_pico, 0u);
    cr_expect_eq(release->keys_of, 1u);
    cr_assert_eq(release->n_domain, 3u);
    cr_expect_str_eq(release->domain[1], "Oslo");
    cr_expect_null(release->domain[2]);
    planning_clear(&again);
    cr_expect_eq(ask(&who, "SELECT DISTINCT city FROM patients"), 0u);

    /* Another aggregate of the same groups: no threshold, no delta, and a row for each of them. */
    struct planning more = planned(&who, "SELECT city, avg(age) FROM patients GROUP BY city");
    release = only_release(&more);
    cr_expect_eq(release->charge.delta_atto, 0u);
    cr_expect_eq(release->n_domain, 3u);
    cr_expect_eq(release->n_hidden, 1u, "the number of people is not asked for");
    cr_expect_eq(release->n_drawn, release->n_measures - 1);
    cr_expect_null(strstr(more.plan->final_sql, "m1"), "%s", more.plan->final_sql);
    planning_clear(&more);
    ask(&who, "SELECT city, avg(age) FROM patients GROUP BY city");
    cr_expect_eq(ask(&who, "SELECT city, avg(age) FROM patients GROUP BY city"), 0u);
    cr_expect_eq(who.delta, delta);

    who.settings.epsilon *= 2;
    ask(&who, sql);
    cr_expect_eq(who.delta, delta, "a refinement keeps the groups");
}

Test(reuse, groups_that_coins_chose_are_counted_without_a_threshold)
{
    struct analyst who = analyst("clinic");
    ask_groups(&who, "SELECT DISTINCT city FROM patients", cities, 3);
    cr_expect(who.kept[0].keys_only);
    dp_atto delta = who.delta;
    cr_expect_eq(ask(&who, "SELECT DISTINCT city FROM patients ORDER BY 1"), 0u);
    struct planning counts = planned(&who, "SELECT city, count(*) FROM patients GROUP BY city");
    cr_expect_eq(only_release(&counts)->measures[0].n_kept, 0u, "coins have no numbers");
    cr_expect_gt(counts.plan->charge.mu2_pico, 0u);
    cr_expect_eq(counts.plan->charge.delta_atto, 0u);
    planning_clear(&counts);
    ask(&who, "SELECT city, count(*) FROM patients GROUP BY city");
    cr_expect_eq(ask(&who, "SELECT city, count(*) FROM patients GROUP BY city"), 0u);
    cr_expect_eq(who.delta, delta);
}

Test(reuse, of_two_lists_of_groups_the_cheaper_then_the_newer_is_used)
{
    struct analyst who = analyst("clinic");
    const char *counts = "SELECT city, count(*) FROM patients GROUP BY city";
    static const char *const fewer[] = {"Oslo"};
    ask_groups(&who, counts, cities, 3);
    struct analyst other = analyst("clinic");
    struct planning list = planned(&other, "SELECT DISTINCT city FROM patients");
    keep(&who, only_release(&list), fewer, 1);
    planning_clear(&list);
    struct planning keys = planned(&who, "SELECT DISTINCT city FROM patients");
    cr_expect_eq(only_release(&keys)->n_domain, 1u, "both are free: the newer");
    planning_clear(&keys);
    struct planning again = planned(&who, counts);
    cr_expect_eq(again.plan->charge.mu2_pico, 0u);
    cr_expect_eq(only_release(&again)->n_domain, 3u, "the counts of the older are paid for");
    planning_clear(&again);
}

Test(reuse, answers_of_the_wrong_length_or_list_are_of_no_use)
{
    struct analyst who = analyst("census");
    const char *sql = "SELECT region, count(*) FROM people GROUP BY region";
    ask(&who, sql);
    who.kept[0].n_groups = 3;
    cr_expect_eq(ask(&who, sql), fresh_price(&who, sql));
    who.kept[1].keys_of = 9;
    cr_expect_eq(ask(&who, sql), fresh_price(&who, sql));
}

static bool says(const struct plan *plan, const char *piece)
{
    for (size_t i = 0; i < plan->n_explain; i++)
        if (strstr(plan->explain[i], piece) != NULL)
            return true;
    return false;
}

Test(reuse, explain_says_what_is_reused_and_what_remains_to_be_paid)
{
    struct analyst who = analyst("clinic");
    ask_groups(&who, "SELECT city, count(*) FROM patients GROUP BY city", cities, 3);
    struct planning all =
        planned(&who, "EXPLAIN SELECT city, count(*) FROM patients GROUP BY city");
    cr_expect(says(all.plan, "Reuse: paid for before (2026-01-02T03:04:05Z), nothing is drawn"));
    cr_expect(says(all.plan, "the 3 groups that you were told before (2026-01-02T03:04:05Z)"));
    cr_expect(says(all.plan, "Measurement: none"));
    cr_expect(says(all.plan, "Price of the statement: 0 pico"));
    planning_clear(&all);
    who.settings.epsilon *= 2;
    struct planning part = planned(
        &who, "EXPLAIN (FORMAT JSON) SELECT city, count(*), avg(age) FROM patients GROUP BY city");
    cr_expect(says(part.plan, "Reuse: a part was paid for before (2026-01-02T03:04:05Z)"));
    cr_expect_not_null(strstr(part.plan->explain_json, "\"Reuse\": \"part\", \"Reused Since\": "
                                                       "\"2026-01-02T03:04:05Z\""));
    cr_expect_not_null(
        strstr(part.plan->explain_json, "\"Reuse\": \"none\", \"Reused Since\": null"));
    cr_expect_not_null(strstr(part.plan->explain_json, "\"Delta atto\": 0"));
    planning_clear(&part);
}

static const char median[] =
    "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY minutes) FROM visits";

Test(reuse, quantiles_are_kept_as_they_were_drawn)
{
    static const char *const sqls[] = {
        median,
        "SELECT code, percentile_cont(array[0.1, 0.5]) WITHIN GROUP (ORDER BY cost), max(cost), "
        "count(*) FROM visits GROUP BY code",
        "SELECT percentile_disc(array[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,0.99]) WITHIN GROUP "
        "(ORDER BY minutes) FROM visits",
        "SELECT city, min(age), avg(age) FROM patients GROUP BY city",
    };
    for (size_t i = 0; i < COUNT(sqls); i++) {
        struct analyst who = analyst("clinic");
        cr_expect_gt(ask_groups(&who, sqls[i], cities, 3), 0u, "%s", sqls[i]);
        struct planning again = planned(&who, sqls[i]);
        const struct release *release = only_release(&again);
        cr_expect_eq(again.plan->charge.mu2_pico, 0u, "%s", sqls[i]);
        cr_expect_not(release_is_measured(release));
        cr_expect_eq(release->n_histograms, 1u);
        cr_expect_null(release->histograms[0].sql);
        cr_expect_str_eq(release->mechanism_json, "[]");
        planning_clear(&again);
        struct planning explained =
            planned(&who, i == 0 ? "EXPLAIN SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY "
                                   "minutes) FROM visits"
                                 : sqls[i]);
        cr_expect(i > 0 || says(explained.plan, "Reuse: paid for before (2026-01-02T03:09:00Z)"));
        planning_clear(&explained);
        who.settings.epsilon /= 3;
        cr_expect_eq(ask(&who, sqls[i]), 0u, "less is free: %s", sqls[i]);
        who.settings.epsilon *= 6;
        struct planning finer = planned(&who, sqls[i]);
        const struct release_histogram *all = &only_release(&finer)->histograms[0];
        for (size_t n = 0; n < all->n_values; n++)
            cr_expect_eq(all->values[n].source, VALUE_DRAWN, "%s", sqls[i]);
        planning_clear(&finer);
    }
}

Test(reuse, quantiles_of_anything_else_are_drawn)
{
    static const char *const others[] = {
        "SELECT percentile_disc(0.6) WITHIN GROUP (ORDER BY minutes) FROM visits",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY cost) FROM visits",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY least(minutes, 100)) FROM visits",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY minutes) FROM visits WHERE cost > 5",
        "SELECT code, percentile_disc(0.5) WITHIN GROUP (ORDER BY minutes) FROM visits GROUP BY code",
    };
    struct analyst who = analyst("clinic");
    ask(&who, median);
    for (size_t i = 0; i < COUNT(others); i++) {
        struct planning other = planned(&who, others[i]);
        cr_expect_eq(other.plan->charge.mu2_pico, fresh_price(&who, others[i]), "%s", others[i]);
        planning_clear(&other);
    }
}

/* percentile_disc of k/parts for every k in `which` (n of them), of the column, and what follows.
 */
static const char *quantiles(const int *which, size_t n, int parts, const char *column,
                             const char *rest)
{
    static char sql[16384];
    char *at = sql + sprintf(sql, "SELECT percentile_disc('{");
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s%.17g", i == 0 ? "" : ",", (double)which[i] / parts);
    sprintf(at, "}'::float8[]) WITHIN GROUP (ORDER BY %s)%s", column, rest);
    return sql;
}

static const struct release_histogram *only_histogram(const struct planning *planning)
{
    cr_assert_eq(only_release(planning)->n_histograms, 1u);
    return &only_release(planning)->histograms[0];
}

/* Half-width in ranks of a value, from what it is kept as. */
static double error_of(const struct release_histogram *histogram, const struct release_value *value)
{
    const struct dp_quantile_plan plan = {.n = 1, .half_range = value->sharpness.m};
    struct dp_cdf cdf;
    if (value->sharpness.mechanism == DP_LAPLACE)
        return dp_quantile_error(&plan, &value->rank, 0.05);
    cr_assert(dp_cdf_restore(histogram->n_bins, DISTRIBUTION_UNIT_WEIGHT, &value->sharpness, &cdf));
    double stddev = dp_cdf_stddev(&cdf, histogram->n_bins - 1) / DISTRIBUTION_UNIT_WEIGHT;
    dp_cdf_clear(&cdf);
    return dp_two_sided_z(0.05) * stddev *
           hypot(1, (double)value->rank.numerator / value->rank.denominator);
}

Test(reuse, a_quantile_answers_in_whatever_company_it_is_asked)
{
    struct analyst who = analyst("clinic");
    who.settings.epsilon *= 3;
    ask(&who, quantiles((int[]){1, 5, 9}, 3, 10, "cost", " FROM visits"));
    who.settings.epsilon /= 3;
    struct planning alone =
        planned(&who, quantiles((int[]){5}, 1, 10, "cost", ", max(minutes) FROM visits"));
    const struct release *release = only_release(&alone);
    cr_expect_eq(release->histograms[0].values[0].source, VALUE_KEPT);
    cr_expect_eq(release->histograms[0].n_draws, 0u);
    cr_expect_null(release->histograms[0].sql, "not measured");
    cr_expect_eq(release->histograms[1].n_draws, 1u, "the greatest is drawn");
    planning_clear(&alone);
    cr_expect_eq(ask(&who, "SELECT percentile_cont(0.90) WITHIN GROUP (ORDER BY cost) FROM visits"),
                 0u);
    cr_expect_eq(
        ask(&who, "SELECT percentile_cont(0.1) WITHIN GROUP (ORDER BY cost DESC) FROM visits"), 0u,
        "from the other end");
}

Test(reuse, quantiles_that_are_missing_are_drawn_alone_with_the_same_strength)
{
    struct analyst who = analyst("clinic");
    uint64_t first = ask(&who, quantiles((int[]){2}, 1, 4, "cost", " FROM visits"));
    const char *sql = quantiles((int[]){1, 2, 3}, 3, 4, "cost", " FROM visits");
    struct planning fresh = plan_statement(who.catalog, sql, &who.settings);
    dp_nano half_range = only_histogram(&fresh)->draws[0].plan.half_range;
    uint64_t all = fresh.plan->charge.mu2_pico;
    planning_clear(&fresh);
    struct planning rest = planned(&who, sql);
    const struct release_histogram *histogram = only_histogram(&rest);
    cr_expect_eq(histogram->n_draws, 1u);
    cr_expect_eq(histogram->draws[0].plan.n, 2u);
    cr_expect_eq(histogram->draws[0].plan.half_range, half_range);
    cr_expect_lt(rest.plan->charge.mu2_pico, all);
    cr_expect(fabs((double)rest.plan->charge.mu2_pico / (double)all - 2.0 / 3) < 0.02, "%g",
              (double)rest.plan->charge.mu2_pico / (double)all);
    cr_expect_eq(histogram->values[0].source, VALUE_DRAWN);
    cr_expect_eq(histogram->values[1].source, VALUE_KEPT);
    cr_expect_eq(histogram->values[2].source, VALUE_DRAWN);
    cr_expect_eq(histogram->values[2].place, 1u);
    planning_clear(&rest);
    cr_expect_gt(ask(&who, sql), 0u);
    cr_expect_eq(ask(&who, sql), 0u, "from both draws");
    cr_expect_lt(first, who.spent);
}

Test(reuse, draws_of_several_statements_answer_together)
{
    struct analyst who = analyst("clinic");
    ask(&who, quantiles((int[]){1, 2}, 2, 10, "minutes", " FROM visits"));
    ask(&who, "SELECT min(minutes) FROM visits");
    ask(&who, quantiles((int[]){4, 3}, 2, 10, "minutes", " FROM visits"));
    struct planning all = planned(
        &who, quantiles((int[]){4, 1, 3, 2}, 4, 10, "minutes", ", min(minutes) FROM visits"));
    cr_expect_eq(all.plan->charge.mu2_pico, 0u);
    const struct release_histogram *histogram = only_histogram(&all);
    cr_assert_eq(histogram->n_values, 5u);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect_neq(histogram->values[i].from, histogram->values[k].from);
    planning_clear(&all);
}

static const int hundredths[] = {2,  5,  9,  14, 20, 27, 35, 44, 50, 56, 61, 65,
                                 70, 74, 79, 83, 86, 90, 93, 95, 97, 98, 99};

Test(reuse, a_noisy_distribution_answers_every_rank)
{
    struct analyst who = analyst("census");
    ask(&who, quantiles(hundredths, COUNT(hundredths), 100, "education", " FROM people"));
    cr_expect_eq(who.n, 1u, "kept whole");
    cr_expect_eq(who.kept[0].n_groups, 21u);
    cr_expect_eq(
        ask(&who, quantiles(hundredths, COUNT(hundredths), 101, "education", " FROM people")), 0u,
        "other ranks");
    who.settings.epsilon /= 4;
    struct planning few =
        planned(&who, quantiles((int[]){1, 2}, 2, 3, "education", ", max(education) FROM people"));
    const struct release_histogram *histogram = only_histogram(&few);
    cr_expect_eq(histogram->values[0].source, VALUE_OF_KEPT_DISTRIBUTION,
                 "fewer by themselves would be drawn one by one");
    cr_expect_eq(histogram->values[1].source, VALUE_OF_KEPT_DISTRIBUTION);
    cr_expect_eq(histogram->values[2].source, VALUE_DRAWN, "no extremes");
    planning_clear(&few);
    who.settings.laplace = true;
    cr_expect_eq(ask(&who, quantiles((int[]){1, 2}, 2, 3, "education", " FROM people")), 0u,
                 "whatever the mechanism would be");
    who.settings.laplace = false;
    who.settings.epsilon *= 8;
    cr_expect_gt(
        ask(&who, quantiles(hundredths, COUNT(hundredths), 101, "education", " FROM people")), 0u,
        "a finer one costs");
}

Test(reuse, a_distribution_in_very_many_parts_is_kept_by_its_quantiles)
{
    static int thousandths[200];
    for (int i = 0; i < 200; i++)
        thousandths[i] = 5 * i + 2;
    const char *column = "experience * 19";
    const char *rest = " FROM people GROUP BY region, smsa, parttime";
    struct analyst who = analyst("census");
    struct planning planning = planned(&who, quantiles(thousandths, 200, 1000, column, rest));
    cr_assert_gt(only_histogram(&planning)->n_bins * only_release(&planning)->n_domain, 16384u);
    cr_assert_neq(only_histogram(&planning)->draws[0].whole.m, 0u);
    cr_expect_null(only_histogram(&planning)->distribution);
    planning_clear(&planning);
    ask(&who, quantiles(thousandths, 200, 1000, column, rest));
    cr_expect_eq(who.n, 200u);
    cr_expect_eq(ask(&who, quantiles(thousandths + 100, 100, 1000, column, rest)), 0u);
    cr_expect_gt(ask(&who, quantiles((int[]){3}, 1, 1000, column, rest)), 0u, "no other rank");
}

/* Whatever was asked before: no quantile errs more than what the request would buy by itself, no
 * statement costs more than that, and what was paid for is not paid for again. */
Test(reuse, quantiles_in_any_order_cost_and_err_no_more_than_by_themselves)
{
    static const char *const columns[] = {"education", "experience", "wage"};
    srand(7);
    for (int round = 0; round < 12; round++) {
        struct analyst who = analyst("census");
        who.settings.laplace = round % 3 == 2;
        const char *column = columns[round / 4];
        uint64_t spent = 0, alone = 0;
        for (int turn = 0; turn < 6; turn++) {
            int which[24];
            size_t n = (size_t)(1 + rand() % (turn % 2 == 0 ? 24 : 8));
            for (size_t i = 0; i < n; i++)
                which[i] = 1 + rand() % 40;
            who.settings.epsilon = (dp_nano)(1 + rand() % 4) * 500000000;
            const char *sql = quantiles(
                which, n, 41, column, rand() % 2 ? ", max(education) FROM people" : " FROM people");
            struct planning fresh = plan_statement(who.catalog, sql, &who.settings);
            struct planning planning = planned(&who, sql);
            const struct release *with = only_release(&planning), *without = only_release(&fresh);
            for (size_t h = 0; h < with->n_histograms; h++)
                for (size_t i = 0; i < with->histograms[h].n_values; i++) {
                    double had = error_of(&with->histograms[h], &with->histograms[h].values[i]);
                    double bought =
                        error_of(&without->histograms[h], &without->histograms[h].values[i]);
                    cr_expect(had <= bought * 1.0002, "%s: %g for %g", sql, had, bought);
                }
            cr_expect_leq(planning.plan->charge.mu2_pico, fresh.plan->charge.mu2_pico, "%s", sql);
            cr_expect_eq(planning.plan->charge.mu2_pico == 0, !release_is_measured(with));
            spent += planning.plan->charge.mu2_pico;
            alone += fresh.plan->charge.mu2_pico;
            planning_clear(&planning);
            planning_clear(&fresh);
            ask(&who, sql);
            cr_expect_eq(ask(&who, sql), 0u, "%s", sql);
        }
        cr_expect_lt(spent, alone);
    }
}

Test(reuse, ranks_without_a_common_denominator_are_found_again_each)
{
    static int parts[400];
    const char *sql;
    for (int i = 0; i < 400; i++)
        parts[i] = i * 2500 + 1237 + i % 7;
    struct analyst who = analyst("clinic");
    who.settings.laplace = true;
    who.settings.epsilon = 60000000;
    sql = quantiles(parts, 400, 1000001, "minutes", " FROM visits");
    cr_expect_gt(ask(&who, sql), 0u);
    cr_expect_eq(who.n, 400u);
    cr_expect_eq(ask(&who, sql), 0u);
    who.settings.epsilon /= 25;
    for (int i = 0; i < 400; i += 13)
        cr_expect_eq(ask(&who, quantiles(parts + i, 1, 1000001, "minutes", " FROM visits")), 0u);
}

Test(reuse, a_kept_quantile_that_is_not_sharp_enough_is_told)
{
    struct analyst who = analyst("clinic");
    ask(&who, quantiles((int[]){2, 5, 8}, 3, 10, "minutes", " FROM visits"));
    struct planning told = planned(
        &who, "EXPLAIN SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY minutes) FROM visits");
    cr_expect(says(told.plan, "Kept: draws with an expected error of "));
    cr_expect_gt(told.plan->charge.mu2_pico, 0u);
    planning_clear(&told);
    const char *const others[] = {
        "EXPLAIN SELECT percentile_disc(ARRAY[0.5, 0.6]) WITHIN GROUP (ORDER BY minutes) FROM visits",
        "EXPLAIN SELECT percentile_disc(ARRAY[0.8, 0.5, 0.2]) WITHIN GROUP (ORDER BY minutes) FROM "
        "visits"};
    for (size_t i = 0; i < COUNT(others); i++) {
        told = planned(&who, others[i]);
        cr_expect_not(says(told.plan, "Kept: "), "%s: a part is missing, or nothing is drawn",
                      others[i]);
        planning_clear(&told);
    }
}

Test(reuse, more_precision_of_a_distribution_costs_what_is_missing)
{
    struct analyst who = analyst("clinic");
    static const double epsilons[] = {0.3, 0.6, 1, 2.5};
    const char *sql = NULL;
    for (size_t i = 0; i < COUNT(epsilons); i++) {
        who.settings.epsilon = (dp_nano)(epsilons[i] * 1e9);
        sql = quantiles(hundredths, COUNT(hundredths), 100, "age", " FROM patients");
        struct planning planning = planned(&who, sql);
        const struct release_histogram *histogram = only_histogram(&planning);
        cr_assert_eq(histogram->n_draws, 1u);
        cr_assert_neq(histogram->draws[0].whole.m, 0u);
        cr_expect_eq(histogram->draws[0].n_kept, i);
        planning_clear(&planning);
        double error, fresh_error;
        struct planning fresh = plan_statement(who.catalog, sql, &who.settings);
        fresh_error = error_of(only_histogram(&fresh), &only_histogram(&fresh)->values[5]);
        planning_clear(&fresh);
        cr_expect_gt(ask(&who, sql), 0u);
        cr_expect(fabs((double)who.spent / (double)fresh_price(&who, sql) - 1) < 1e-3,
                  "%g: %g of what it costs at once", epsilons[i],
                  (double)who.spent / (double)fresh_price(&who, sql));
        struct planning again = planned(&who, sql);
        cr_expect_eq(again.plan->charge.mu2_pico, 0u);
        error = error_of(only_histogram(&again), &only_histogram(&again)->values[5]);
        cr_expect(error <= fresh_error * 1.0001 && error > fresh_error * 0.999, "%g and %g", error,
                  fresh_error);
        cr_expect_eq(only_histogram(&again)->kept.n_kept, i + 1);
        planning_clear(&again);
    }
    cr_expect_eq(who.n, COUNT(epsilons), "each draw is kept by itself");
    who.settings.epsilon = 4000000000;
    char explain[20000];
    snprintf(explain, sizeof explain, "EXPLAIN %s", sql);
    struct planning told = planned(&who, explain);
    cr_expect(says(told.plan, "Reuse: a part was paid for before (2026-01-02T03:09:00Z), only the "
                              "rest is drawn"));
    planning_clear(&told);
}

Test(reuse, an_error_that_is_asked_for_is_kept_by_several_draws_together)
{
    static const int errors[] = {20, 10, 4, 1};
    static const char sql[] = "SELECT count(*) FROM people";
    struct analyst who = analyst("census");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        who.settings.max_error = dp_decimal_from_int(errors[i]);
        struct planning planning = planned(&who, sql);
        const struct measure *measure = &only_release(&planning)->measures[0];
        /* Where the noise is below the grid's unit, a draw of its own is cheaper than a mean. */
        cr_expect_eq(measure->n_kept, errors[i] > 1 ? i : 0);
        cr_expect_leq(dp_calibration_halfwidth(&measure->calibration, who.settings.beta),
                      (double)errors[i]);
        planning_clear(&planning);
        cr_expect_gt(ask(&who, sql), 0u);
        cr_expect_eq(ask(&who, sql), 0u);
    }
}
