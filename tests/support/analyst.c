#include "tests/support/analyst.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/catalogs.h"

struct analyst analyst(const char *dataset)
{
    return (struct analyst){.catalog = catalogs_get(dataset), .settings = planning_settings()};
}

struct planning planned(const struct analyst *who, const char *sql)
{
    struct planning planning =
        plan_kept(who->catalog, sql, &who->settings, who->kept, who->n, who->asks);
    cr_assert_eq(planning.result, PLANNED, "%s: %s", sql, planning.refusal.message);
    return planning;
}

const struct release *only_release(const struct planning *planning)
{
    cr_assert_eq(planning->plan->n_relations, 1u);
    return planning->plan->relations[0].release;
}

/* A copy that lives as long as the test. */
static const char *remembered(const char *text)
{
    static char texts[4 * KEPT_MAX][65];
    static size_t n;
    if (text == NULL)
        return NULL;
    cr_assert_lt(n, sizeof texts / sizeof *texts);
    snprintf(texts[n], sizeof texts[n], "%s", text);
    return texts[n++];
}

static const char *const *remembered_keys(const struct release *release)
{
    static const char *keys[4 * KEPT_MAX];
    static size_t n;
    const char **first = keys + n;
    for (size_t i = 0; i < release->n_keys; i++) {
        cr_assert_lt(n, sizeof keys / sizeof *keys);
        keys[n++] = remembered(release->fold_keys[i]);
    }
    return first;
}

/* What is drawn of the release is kept from now on; private keys: as if these groups appeared. */
void keep(struct analyst *who, const struct release *release, const char *const *groups,
          size_t n_groups)
{
    static const char *const times[] = {"2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z",
                                        "2026-01-02T03:06:00Z", "2026-01-02T03:07:00Z"};
    bool private = release->n_keys > 0 && release->domain == NULL;
    const char *since = times[who->n < 4 ? who->n : 3];
    uint64_t list = private ? who->n + 1 : release->keys_of;
    for (size_t i = 0; i < release->n_measures; i++) {
        const struct measure *measure = &release->measures[i];
        if (measure->draw.m == 0 || measure->identity == NULL)
            continue;
        cr_assert_lt(who->n, (size_t)KEPT_MAX);
        struct kept_answer *answer = &who->kept[who->n];
        *answer = (struct kept_answer){.id = who->n + 1,
                                       .identity = remembered(measure->identity),
                                       .since = since,
                                       .calibration = measure->draw,
                                       .n_groups = private                ? n_groups
                                                   : release->n_keys == 0 ? 1
                                                                          : release->n_domain,
                                       .keys_of = list,
                                       .keys_only = release->keep != NULL};
        answer->keys = private && answer->id == list ? groups : NULL;
        if (measure->family != NULL && release->fold_keys != NULL && release->n_keys > 0 &&
            measure->draw.mechanism == DP_GAUSSIAN) {
            answer->family = remembered(measure->family);
            answer->n_fold_keys = release->n_keys;
            answer->fold_keys = remembered_keys(release);
        }
        who->n++;
    }
}

static void keep_draw(struct analyst *who, const char *identity,
                      const struct dp_calibration *sharpness, size_t n_values, uint64_t list)
{
    cr_assert_lt(who->n, (size_t)KEPT_MAX);
    who->kept[who->n] = (struct kept_answer){.id = who->n + 1,
                                             .identity = remembered(identity),
                                             .since = "2026-01-02T03:09:00Z",
                                             .calibration = *sharpness,
                                             .n_groups = n_values,
                                             .keys_of = list};
    who->n++;
}

/* The same for quantiles, as proxy/reuse.c keeps them. */
static void keep_draws(struct analyst *who, const struct release *release, size_t n_groups)
{
    bool private = release->n_keys > 0 && release->domain == NULL;
    size_t groups = private ? n_groups : release->n_keys == 0 ? 1 : release->n_domain;
    uint64_t list = release->keys_of;
    for (size_t i = 0; private && i < who->n; i++)
        list = who->kept[i].keys != NULL ? who->kept[i].id : list;
    for (size_t i = 0; i < release->n_histograms; i++) {
        const struct release_histogram *histogram = &release->histograms[i];
        for (size_t n = 0; n < histogram->n_values; n++) {
            const struct release_value *value = &histogram->values[n];
            if (value->source != VALUE_DRAWN ||
                (histogram->distribution != NULL && histogram->draws[value->from].whole.m != 0))
                continue;
            keep_draw(who, value->identity, &value->sharpness, groups, list);
        }
        for (size_t n = 0; n < histogram->n_draws && histogram->distribution != NULL; n++)
            if (histogram->draws[n].whole.m != 0)
                keep_draw(who, histogram->distribution, &histogram->draws[n].whole,
                          groups * histogram->n_bins, list);
    }
}

/* Asks, pays and keeps; what it cost in pico mu^2. */
uint64_t ask_groups(struct analyst *who, const char *sql, const char *const *groups,
                    size_t n_groups)
{
    struct planning planning = planned(who, sql);
    uint64_t price = planning.plan->charge.mu2_pico;
    who->spent += price;
    who->delta += planning.plan->charge.delta_atto;
    for (size_t i = 0; i < planning.plan->n_relations; i++)
        keep(who, planning.plan->relations[i].release, groups, n_groups);
    for (size_t i = 0; i < planning.plan->n_relations; i++)
        keep_draws(who, planning.plan->relations[i].release, n_groups);
    planning_clear(&planning);
    return price;
}

uint64_t ask(struct analyst *who, const char *sql)
{
    return ask_groups(who, sql, NULL, 0);
}

/* What it would cost somebody who has nothing. */
uint64_t fresh_price(const struct analyst *who, const char *sql)
{
    struct planning planning = plan_statement(who->catalog, sql, &who->settings);
    cr_assert_eq(planning.result, PLANNED, "%s", sql);
    uint64_t price = planning.plan->charge.mu2_pico;
    planning_clear(&planning);
    return price;
}
