/*
 * What a release needs that the analyst has not paid for already (ALGORITHMS 9). For each measure:
 *
 *   kept     what is kept is as precise as the request asks: nothing is drawn
 *   refined  Gaussian draws are kept on a grid that fits: only the missing precision is drawn
 *   fresh    everything else
 *
 * What is kept of finer groups is kept of coarser ones, less precisely (fold.h).
 *
 * Private keys that the analyst was told before stay what they are: they are used like a domain, no
 * group is chosen again, and the measures of other lists of groups are of no use. Several lists:
 * the one with which the release costs least, of these the newest.
 *
 * All of it follows from the request and from identities, precisions and groups that were told, and
 * nothing from a kept value.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/accuracy.h"
#include "mechanisms/refine.h"
#include "parser/fold.h"
#include "parser/price.h"
#include "parser/quantile.h"
#include "parser/reuse.h"

enum { DRAWS_MAX = 64 };

/* How one measure would be had. */
struct choice {
    size_t n;
    struct kept_draw kept[DRAWS_MAX];
    struct dp_calibration together, draw;
    struct dp_calibration have; /* together, without the draw; m = 0: nothing is kept */
};

/* A kept draw of one measure, and what it is worth for it. */
struct candidate {
    size_t kept;
    struct dp_calibration calibration;
};
struct candidates {
    size_t n;
    struct candidate items[DRAWS_MAX];
};

/* Draws of one measure that can be put together. */
struct draws {
    size_t n;
    size_t kept[DRAWS_MAX];
    uint64_t m[DRAWS_MAX];
    struct dp_calibration first, together;
};

static bool has_private_keys(const struct level *level)
{
    return level->n_keys > 0 && !level->public_keys;
}

bool reuse_draws_keys(const struct level *level)
{
    return has_private_keys(level) && level->list == NULL;
}

size_t reuse_groups(const struct level *level, const struct kept_answer *list)
{
    if (level->n_keys == 0)
        return 1;
    return list != NULL ? list->n_groups : level->release->n_domain;
}

bool reuse_is_of_list(const struct kept_answer *kept, const struct kept_answer *list)
{
    return kept->keys_of == (list == NULL ? 0 : list->id);
}

static int compare_identities(const void *a, const void *b)
{
    const struct kept_answer *left = *(const struct kept_answer *const *)a;
    const struct kept_answer *right = *(const struct kept_answer *const *)b;
    int order = strcmp(left->identity, right->identity);
    return order != 0 ? order : (left->id > right->id) - (left->id < right->id);
}

/* Many quantiles look for as many answers: these are sorted once. */
const struct kept_answer *const *reuse_find(const struct level *level, const char *identity,
                                            size_t *n)
{
    struct compile *c = level->compile;
    size_t low = 0, high = c->request->n_kept;
    if (c->kept_sorted == NULL) {
        c->kept_sorted = arena_alloc(c->arena, (high + 1) * sizeof *c->kept_sorted);
        for (size_t i = 0; i < high; i++)
            c->kept_sorted[i] = &c->request->kept[i];
        qsort(c->kept_sorted, high, sizeof *c->kept_sorted, compare_identities);
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(c->kept_sorted[middle]->identity, identity) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *n = 0;
    while (low + *n < c->request->n_kept &&
           strcmp(c->kept_sorted[low + *n]->identity, identity) == 0)
        ++*n;
    return c->kept_sorted + low;
}

static bool is_usable(const struct level *level, const struct kept_answer *list,
                      const struct level_measure *measure, const struct kept_answer *kept)
{
    return measure->identity != NULL && strcmp(kept->identity, measure->identity) == 0 &&
           !kept->keys_only && reuse_is_of_list(kept, list) &&
           kept->n_groups == reuse_groups(level, list);
}

/* Gaussian draws on one grid add up; a Laplace draw stands alone. */
static bool go_together(const struct dp_calibration *a, const struct dp_calibration *b)
{
    return a->mechanism == DP_GAUSSIAN && b->mechanism == DP_GAUSSIAN &&
           a->grid.scale10 == b->grid.scale10 && a->grid.exp2 == b->grid.exp2 &&
           a->delta_grid == b->delta_grid && a->groups == b->groups;
}

static bool is_known(const struct plan_request *request, const struct candidates *found,
                     uint64_t id)
{
    for (size_t i = 0; i < found->n; i++)
        if (request->kept[found->items[i].kept].id == id)
            return true;
    return false;
}

/* The measure's own draws, and those of finer groups. No draw is there twice. */
static void find_candidates(struct level *level, const struct kept_answer *list,
                            const struct level_measure *measure, struct candidates *found)
{
    const struct plan_request *request = level->compile->request;
    found->n = 0;
    for (size_t i = 0; i < request->n_kept && found->n < DRAWS_MAX; i++) {
        const struct kept_answer *kept = &request->kept[i];
        struct candidate candidate = {i, kept->calibration};
        if ((is_usable(level, list, measure, kept) ||
             fold_fits(level, measure, kept, &candidate.calibration)) &&
            !is_known(request, found, kept->id))
            found->items[found->n++] = candidate;
    }
}

/* The draws that go together with the first one; false where they are of no use. */
static bool gather(const struct candidates *all, size_t first, struct draws *draws)
{
    *draws = (struct draws){.first = all->items[first].calibration};
    for (size_t i = 0; i < all->n; i++) {
        const struct candidate *candidate = &all->items[i];
        if (i != first && !go_together(&draws->first, &candidate->calibration))
            continue;
        draws->kept[draws->n] = candidate->kept;
        draws->m[draws->n++] = candidate->calibration.m;
    }
    draws->together = draws->first;
    return draws->first.mechanism == DP_LAPLACE ||
           dp_draws_together(&draws->first, draws->m, draws->n, &draws->together);
}

static double deviation(const struct dp_calibration *calibration)
{
    return dp_calibration_stddev(calibration) * dp_grid_unit(&calibration->grid);
}

/* The width of what suffices. Discrete noise does not widen in proportion. */
static double widest(const struct level *level, const struct dp_calibration *wanted)
{
    double rest = auto_bounds_rest(level);
    struct dp_calibration least = *wanted;
    if (rest < 1)
        least.m =
            (uint64_t)((double)wanted->m * (wanted->mechanism == DP_LAPLACE ? rest : sqrt(rest)));
    return deviation(&least);
}

static void take(struct choice *choice, const struct draws *draws)
{
    choice->n = draws->n;
    for (size_t i = 0; i < draws->n; i++)
        choice->kept[i] = (struct kept_draw){.answer = draws->kept[i], .m = draws->m[i]};
}

/* Kept, where that suffices; else the cheapest rest. Both mechanisms and all grids compare by the
 * width of their noise. */
static void choose(struct level *level, const struct kept_answer *list,
                   const struct level_measure *measure, struct choice *choice)
{
    const struct dp_calibration *wanted = &measure->wanted;
    bool rounds = measure->floating || wanted->grid.exp2 != 0;
    double least = widest(level, wanted);
    struct candidates all;
    struct draws draws;
    struct dp_calibration target = *wanted;
    if (accuracy_decides(level)) /* an error that is asked for has the rounding of a mean in it */
        target.m = dp_refine_target(wanted->m);
    *choice = (struct choice){.together = *wanted, .draw = *wanted};
    find_candidates(level, list, measure, &all);
    for (size_t i = 0; i < all.n; i++) {
        struct dp_calibration rest, together;
        if (!gather(&all, i, &draws))
            continue;
        double width = deviation(&draws.together);
        if (width <= least) {
            least = width;
            take(choice, &draws);
            choice->together = choice->have = draws.together;
            choice->draw = (struct dp_calibration){.m = 0};
        } else if (choice->draw.m != 0 && draws.first.mechanism == DP_GAUSSIAN &&
                   dp_refine(&target, &draws.first, rounds, draws.m, draws.n, &rest, &together) &&
                   rest.charge.mu2_pico < choice->draw.charge.mu2_pico) {
            take(choice, &draws);
            choice->together = together;
            choice->draw = rest;
            choice->have = draws.together;
        }
    }
}

static bool same_calibration(const struct dp_calibration *a, const struct dp_calibration *b)
{
    return a->mechanism == b->mechanism && a->grid.scale10 == b->grid.scale10 &&
           a->grid.exp2 == b->grid.exp2 && a->delta_grid == b->delta_grid &&
           a->groups == b->groups && a->m == b->m;
}

/* Two measures that are paid for together (rotated.h) are kept together, with one noise, or not. */
static void choose_pair(const struct level *level, const struct kept_answer *list, size_t sum,
                        struct choice choices[2])
{
    const struct plan_request *request = level->compile->request;
    const struct level_measure *own = &level->measures[sum];
    const struct level_measure *partner = &level->measures[own->partner];
    double least = widest(level, &own->wanted);
    choices[0] = (struct choice){.together = own->wanted, .draw = own->wanted};
    choices[1] = (struct choice){.together = partner->wanted, .draw = partner->wanted};
    for (size_t i = 0; i < request->n_kept; i++) {
        const struct dp_calibration *first = &request->kept[i].calibration;
        if (!is_usable(level, list, own, &request->kept[i]) || deviation(first) > least)
            continue;
        for (size_t n = 0; n < request->n_kept; n++) {
            const struct dp_calibration *second = &request->kept[n].calibration;
            if (!is_usable(level, list, partner, &request->kept[n]) ||
                !same_calibration(first, second))
                continue;
            least = deviation(first);
            choices[0] =
                (struct choice){1, {{.answer = i, .m = first->m}}, *first, {.m = 0}, *first};
            choices[1] =
                (struct choice){1, {{.answer = n, .m = second->m}}, *second, {.m = 0}, *second};
            break;
        }
    }
}

static void choose_any(struct level *level, const struct kept_answer *list, size_t index,
                       struct choice *choice)
{
    const struct level_measure *measure = &level->measures[index];
    struct choice pair[2];
    bool complement = measure->kind == MEASURE_COMPLEMENT;
    const struct level_measure *sum = complement ? &level->measures[measure->partner] : measure;
    if (sum->bought) { /* the price is fixed before it is known what is measured */
        *choice = (struct choice){.together = measure->wanted, .draw = measure->wanted};
        return;
    }
    if (!measure->rotated) {
        choose(level, list, measure, choice);
        return;
    }
    choose_pair(level, list, complement ? measure->partner : index, pair);
    *choice = pair[complement ? 1 : 0];
}

/* Does an aggregate read the number of units that decides about private keys? */
static bool asks_for_units(const struct level *level)
{
    for (size_t i = 0; i < level->aggregates.n; i++)
        if (level->aggregates.items[i].count == 0)
            return true;
    return false;
}

/* What is drawn of the release with this list of groups, by mu^2. */
static uint64_t price_with(struct level *level, const struct kept_answer *list)
{
    uint64_t sum = reuse_draws_price(level, list);
    struct choice choice;
    for (size_t i = 0; i < level->n_measures; i++) {
        if (i == 0 && list != NULL && !asks_for_units(level))
            continue;
        choose_any(level, list, i, &choice);
        if (choice.draw.m != 0 && __builtin_add_overflow(sum, choice.draw.charge.mu2_pico, &sum))
            return UINT64_MAX;
    }
    return sum;
}

static const struct kept_answer *find_list(struct level *level)
{
    const struct plan_request *request = level->compile->request;
    const struct kept_answer *best = NULL;
    uint64_t least = UINT64_MAX;
    const char *identity = level->measures[0].identity;
    for (size_t i = 0; identity != NULL && i < request->n_kept; i++) {
        const struct kept_answer *kept = &request->kept[i];
        if (kept->keys == NULL || strcmp(kept->identity, identity) != 0)
            continue;
        uint64_t price = price_with(level, kept);
        if (best == NULL || price < least || (price == least && kept->id > best->id)) {
            best = kept;
            least = price;
        }
    }
    return best;
}

static void use_list(struct level *level)
{
    struct release *release = level->release;
    size_t n = level->list->n_groups * level->n_keys;
    const char **domain = arena_alloc(level->compile->arena, (n + 1) * sizeof *domain);
    for (size_t i = 0; i < n; i++)
        domain[i] = level->list->keys[i] == NULL
                        ? NULL
                        : arena_strdup(level->compile->arena, level->list->keys[i]);
    release->domain = domain;
    release->n_domain = level->list->n_groups;
    release->keys_of = level->list->id;
    release->n_hidden = asks_for_units(level) ? 0 : 1;
}

/* Which groups of finer answers are parts of which group. */
static void find_folds(struct level *level, const struct level_measure *measure,
                       struct kept_draw *draws, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kept_answer *kept = &level->compile->request->kept[draws[i].answer];
        if (strcmp(kept->identity, measure->identity) == 0)
            continue;
        draws[i].fold = fold_groups(level, kept);
        draws[i].n_fold = kept->n_groups;
    }
}

/* From now on the calibration is what is said of the error: that of a mean has its rounding in it.
 */
static void state(struct level_measure *measure)
{
    uint64_t m[DRAWS_MAX + 1];
    size_t n = 0;
    if (measure->n_kept == 0 || measure->calibration.mechanism != DP_GAUSSIAN)
        return;
    for (; n < measure->n_kept; n++)
        m[n] = measure->kept[n].m;
    if (measure->draw.m != 0)
        m[n++] = measure->draw.m;
    measure->calibration.m = dp_draws_stated(m, n, measure->calibration.m);
}

void reuse_settle(struct level *level)
{
    struct arena *arena = level->compile->arena;
    struct choice choice;
    for (size_t i = 0; i < level->n_measures; i++)
        level->measures[i].wanted = level->measures[i].draw = level->measures[i].calibration;
    if (has_private_keys(level))
        level->list = find_list(level);
    if (level->list != NULL)
        use_list(level);
    reuse_draws_settle(level);
    if (reuse_draws_keys(level))
        return;
    for (size_t i = 0; i < level->n_measures; i++) {
        struct level_measure *measure = &level->measures[i];
        if (i < level->release->n_hidden) {
            measure->draw = (struct dp_calibration){.m = 0};
            continue;
        }
        choose_any(level, level->list, i, &choice);
        struct kept_draw *kept = arena_alloc(arena, (choice.n + 1) * sizeof *kept);
        memcpy(kept, choice.kept, choice.n * sizeof *kept);
        find_folds(level, measure, kept, choice.n);
        measure->n_kept = choice.n;
        measure->kept = kept;
        measure->calibration = choice.together;
        measure->draw = choice.draw;
        measure->have = choice.have;
    }
    reuse_relax(level);
    for (size_t i = 0; i < level->n_measures; i++)
        state(&level->measures[i]);
}

/* The earlier of two times, ISO and UTC. */
static void note_time(const struct level *level, size_t answer, const char **since)
{
    const char *at = level->compile->request->kept[answer].since;
    if (*since == NULL || strcmp(at, *since) < 0)
        *since = at;
}

enum reuse_extent reuse_of(const struct level *level, const struct level_aggregate *aggregate,
                           const char **since)
{
    const int measures[] = {aggregate->count, aggregate->sum, aggregate->squares};
    bool any_kept = false, any_drawn = false;
    *since = NULL;
    for (size_t i = 0; i < aggregate->quantile.n_ranks; i++) {
        const struct level_histogram *histogram =
            &level->histograms.items[aggregate->quantile.histogram];
        const struct release_value *value =
            &histogram->values[quantile_find(histogram, &aggregate->quantile.ranks[i])];
        size_t answer = value->from;
        if (value->source == VALUE_DRAWN) {
            const struct release_draw *draw = &histogram->draws[value->from];
            any_drawn = true;
            if (draw->n_kept == 0)
                continue;
            answer = draw->kept[0].answer; /* the oldest */
        }
        any_kept = true;
        note_time(level, answer, since);
    }
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
        if (measures[i] < 0)
            continue;
        const struct level_measure *measure = &level->measures[measures[i]];
        any_drawn = any_drawn || measure->draw.m != 0;
        any_kept = any_kept || measure->n_kept > 0;
        for (size_t n = 0; n < measure->n_kept; n++)
            note_time(level, measure->kept[n].answer, since);
    }
    return !any_kept ? REUSE_NONE : any_drawn ? REUSE_PART : REUSE_ALL;
}
