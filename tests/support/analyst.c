#include "tests/support/analyst.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct analyst analyst_of(const struct catalog *catalog)
{
    return (struct analyst){.catalog = catalog, .settings = planning_settings()};
}

struct planning analyst_plan(const struct analyst *who, const char *sql)
{
    struct planning planning =
        plan_kept(who->catalog, sql, &who->settings, who->kept, who->n, true);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    return planning;
}

const struct release *analyst_release(const struct planning *planning)
{
    cr_assert_eq(planning->plan->n_relations, 1u);
    return planning->plan->relations[0].release;
}

/* A copy that lives as long as the test. */
static const char *remembered(const char *text)
{
    static char texts[1024][65];
    static size_t n;
    if (text == NULL)
        return NULL;
    cr_assert_lt(n, sizeof texts / sizeof *texts);
    snprintf(texts[n], sizeof texts[n], "%s", text);
    return texts[n++];
}

static const char *const *remembered_keys(const struct release *release)
{
    static const char *keys[1024];
    static size_t n;
    const char **first = keys + n;
    for (size_t i = 0; i < release->n_keys; i++) {
        cr_assert_lt(n, sizeof keys / sizeof *keys);
        keys[n++] = remembered(release->fold_keys[i]);
    }
    return first;
}

static void keep(struct analyst *who, const struct release *release)
{
    for (size_t i = 0; i < release->n_measures; i++) {
        const struct measure *measure = &release->measures[i];
        if (measure->draw.m == 0 || measure->identity == NULL)
            continue;
        bool folds = measure->family != NULL && release->fold_keys != NULL && release->n_keys > 0;
        cr_assert_lt(who->n, (size_t)ANALYST_KEPT_MAX);
        who->kept[who->n] =
            (struct kept_answer){.id = who->n + 1,
                                 .identity = remembered(measure->identity),
                                 .since = "2026-01-02T03:04:05Z",
                                 .calibration = measure->draw,
                                 .n_groups = release->n_keys == 0 ? 1 : release->n_domain,
                                 .family = folds ? remembered(measure->family) : NULL,
                                 .n_fold_keys = folds ? release->n_keys : 0,
                                 .fold_keys = folds ? remembered_keys(release) : NULL};
        who->n++;
    }
}

uint64_t analyst_ask(struct analyst *who, const char *sql)
{
    struct planning planning = analyst_plan(who, sql);
    uint64_t price = planning.plan->charge.mu2_pico;
    who->spent += price;
    for (size_t i = 0; i < planning.plan->n_relations; i++)
        keep(who, planning.plan->relations[i].release);
    planning_clear(&planning);
    return price;
}

uint64_t analyst_fresh_price(const struct analyst *who, const char *sql)
{
    struct planning planning = plan_statement(who->catalog, sql, &who->settings);
    cr_assert_eq(planning.result, PLANNED, "%s", sql);
    uint64_t price = planning.plan->charge.mu2_pico;
    planning_clear(&planning);
    return price;
}
