#include "proxy/reuse.h"

#include <string.h>

#include "proxy/release_kept.h"

static const struct release *measured(const struct plan_relation *relation)
{
    return relation->kind == RELATION_RELEASE && release_is_measured(relation->release)
               ? relation->release
               : NULL;
}

/* Measures, and of each histogram its values and the distribution as a whole. */
static size_t most_answers(const struct release *release)
{
    size_t n = release->n_measures;
    for (size_t i = 0; i < release->n_histograms; i++)
        n += release->histograms[i].n_values + 1;
    return n;
}

static size_t list_histogram(const struct release_histogram *histogram, const char **found)
{
    size_t n = 0;
    for (size_t i = 0; i < histogram->n_values; i++)
        if (histogram->values[i].identity != NULL)
            found[n++] = histogram->values[i].identity;
    if (histogram->distribution != NULL)
        found[n++] = histogram->distribution;
    return n;
}

size_t reuse_questions(struct arena *arena, const struct plan *plan, const char *const **questions)
{
    size_t n = 0, most = 0;
    for (size_t i = 0; i < plan->n_relations; i++)
        if (plan->relations[i].kind == RELATION_RELEASE)
            most += most_answers(plan->relations[i].release);
    const char **found = arena_alloc(arena, (most + plan->n_also + 1) * sizeof *found);
    for (; n < plan->n_also; n++)
        found[n] = plan->also[n];
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        if (plan->relations[i].kind != RELATION_RELEASE)
            continue;
        for (size_t m = 0; m < release->n_measures; m++)
            if (release->measures[m].identity != NULL)
                found[n++] = release->measures[m].identity;
        for (size_t h = 0; h < release->n_histograms; h++)
            n += list_histogram(&release->histograms[h], found + n);
    }
    *questions = found;
    return n;
}

static bool is_in_range(const struct ledger_answer *answer)
{
    const __int128 limit = (__int128)1 << KEPT_VALUE_BITS_MAX;
    for (size_t i = 0; answer->noisy != NULL && i < answer->n_groups; i++)
        if (answer->noisy[i] >= limit || answer->noisy[i] <= -limit)
            return false;
    return true;
}

bool reuse_read(struct reuse *reuse, struct arena *arena, const PGresult *result)
{
    reuse_clear(reuse);
    if (ledger_answers_result(result, &reuse->answers) != LEDGER_OK)
        return false;
    size_t n = reuse->answers.n;
    struct kept_answer *kept = arena_alloc(arena, (n + 1) * sizeof *kept);
    const __int128 **values = arena_alloc(arena, (n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const struct ledger_answer *answer = &reuse->answers.items[i];
        if (!is_in_range(answer))
            return false;
        kept[i] = (struct kept_answer){
            .id = answer->id,
            .identity = answer->identity,
            .since = answer->since,
            .calibration = answer->calibration,
            .n_groups = answer->n_groups,
            .keys_only = answer->noisy == NULL,
            .keys_of = answer->keys != NULL ? answer->id : answer->keys_of,
            .keys = answer->keys,
            .family = answer->family,
            .n_fold_keys = answer->n_fold_keys,
            .fold_keys = answer->fold_keys,
        };
        values[i] = answer->noisy;
    }
    reuse->n = n;
    reuse->kept = kept;
    reuse->values = values;
    return true;
}

void reuse_clear(struct reuse *reuse)
{
    ledger_answers_free(&reuse->answers);
    memset(reuse, 0, sizeof *reuse);
}

bool reuse_is_shared(const struct release *release)
{
    for (size_t i = 0; i < release->n_histograms; i++)
        if (release->histograms[i].n_draws > 0)
            return false;
    for (size_t i = 0; i < release->n_measures; i++)
        if (release->measures[i].draw.m != 0 && release->measures[i].identity == NULL)
            return false;
    return true;
}

/* The answers of a release of the charge, each in its measure's place: in the order of measures
 * they are those that the plan would draw. */
static bool adopt_release(const struct release *release, const struct ledger_answers *answers,
                          int number, struct release_output *output)
{
    enum { MEASURES_MAX = 64 };
    const __int128 *noisy[MEASURES_MAX] = {NULL};
    const struct ledger_answer *first = NULL;
    size_t measure = 0;
    for (size_t i = 0; i < answers->n; i++) {
        const struct ledger_answer *answer = &answers->items[i];
        if (answer->release != number)
            continue;
        while (measure < release->n_measures && release->measures[measure].draw.m == 0)
            measure++;
        if (measure >= release->n_measures || measure >= MEASURES_MAX ||
            release->measures[measure].identity == NULL ||
            strcmp(release->measures[measure].identity, answer->identity) != 0 ||
            release->measures[measure].draw.m != answer->calibration.m || !is_in_range(answer) ||
            (answer->noisy == NULL) != (release->keep != NULL))
            return false;
        if (first == NULL)
            first = answer;
        if (answer->n_groups != first->n_groups)
            return false;
        noisy[measure++] = answer->noisy;
    }
    while (measure < release->n_measures && release->measures[measure].draw.m == 0)
        measure++;
    return first != NULL && measure == release->n_measures &&
           release_give(output, first->n_groups, first->keys, noisy);
}

bool reuse_adopt(const struct plan *plan, const struct ledger_answers *answers,
                 const uint64_t *adopted, struct release_output *const *outputs, bool *skipped)
{
    int number = 0;
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = measured(&plan->relations[i]);
        if (release == NULL)
            continue;
        if (adopted[number] != 0) {
            if (!adopt_release(release, answers, number, outputs[i]))
                return false;
            skipped[i] = true;
        }
        number++;
    }
    return true;
}

static const __int128 *column_of(struct arena *arena, const struct release_output *output,
                                 size_t measure)
{
    size_t n = release_groups(output);
    __int128 *values = arena_alloc(arena, (n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = release_drawn(output, i, measure);
    return values;
}

/* The draw of one measure. Private keys are kept with the first one that decides about them. */
static struct ledger_answer collect_measure(struct arena *arena, const struct release *release,
                                            const struct release_output *output, size_t index)
{
    const struct measure *measure = &release->measures[index];
    bool chosen = release->n_keys > 0 && release->domain == NULL;
    struct ledger_answer answer = {
        .measure = (int)index,
        .identity = measure->identity,
        .calibration = measure->draw,
        .keys_of = chosen && index > 0 ? LEDGER_KEYS_HERE : release->keys_of,
        .n_groups = release_groups(output),
        .noisy = release->keep != NULL ? NULL : column_of(arena, output, index),
    };
    if (measure->family != NULL && release->fold_keys != NULL && release->n_keys > 0 &&
        measure->draw.mechanism == DP_GAUSSIAN) {
        answer.family = measure->family;
        answer.n_fold_keys = release->n_keys;
        answer.fold_keys = release->fold_keys;
    }
    if (chosen && index == 0) {
        answer.calibration.charge.delta_atto = release->charge.delta_atto;
        answer.n_keys = release->n_keys;
        answer.keys = release_keys(output);
    }
    return answer;
}

static uint64_t keys_of_draws(const struct release *release)
{
    return release->n_keys > 0 && release->domain == NULL ? LEDGER_KEYS_HERE : release->keys_of;
}

/* The drawn bins of one value, of all groups. */
static struct ledger_answer collect_value(struct arena *arena, const struct release *release,
                                          const struct release_output *output, size_t histogram,
                                          size_t value)
{
    const struct release_value *from = &release->histograms[histogram].values[value];
    size_t n_groups = release_groups(output);
    __int128 *bins = arena_alloc(arena, (n_groups + 1) * sizeof *bins);
    for (size_t i = 0; i < n_groups; i++)
        bins[i] = release_bin(output, i, histogram, value);
    struct ledger_answer answer = {.identity = from->identity,
                                   .calibration = from->sharpness,
                                   .keys_of = keys_of_draws(release),
                                   .n_groups = n_groups,
                                   .noisy = bins};
    struct dp_calibration *sharpness = &answer.calibration;
    /* By it the ledger knows which answers are the sharpest. */
    if (sharpness->mechanism == DP_LAPLACE &&
        !dp_quantile_charge(1, sharpness->groups, sharpness->m, &sharpness->charge))
        sharpness->charge = (struct dp_charge){.pure = true};
    return answer;
}

/* What was drawn from the histogram: a distribution whole, where that is kept, and not what is read
 * from it besides. first: its place among the measures. */
static size_t collect_draws(struct arena *arena, const struct release *release,
                            const struct release_output *output, size_t histogram, size_t first,
                            struct ledger_answer *out)
{
    const struct release_histogram *from = &release->histograms[histogram];
    size_t n = 0;
    for (size_t i = 0; i < from->n_values; i++) {
        const struct release_value *value = &from->values[i];
        if (value->source != VALUE_DRAWN || value->identity == NULL ||
            (from->distribution != NULL && from->draws[value->from].whole.m != 0))
            continue;
        out[n] = collect_value(arena, release, output, histogram, i);
        out[n++].measure = (int)(first + i);
    }
    for (size_t i = 0; i < from->n_draws && from->distribution != NULL; i++) {
        if (from->draws[i].whole.m == 0)
            continue;
        out[n++] = (struct ledger_answer){.measure = (int)(first + from->n_values),
                                          .identity = from->distribution,
                                          .calibration = from->draws[i].whole,
                                          .n_groups = release_groups(output) * from->n_bins,
                                          .noisy = release_distribution(output, histogram)};
    }
    return n;
}

/* Of all histograms; each value has a place of its own behind the measures. */
static size_t collect_histograms(struct arena *arena, const struct release *release,
                                 const struct release_output *output, struct ledger_answer *out)
{
    size_t n = 0, first = release->n_measures;
    for (size_t i = 0; i < release->n_histograms; i++) {
        n += collect_draws(arena, release, output, i, first, out + n);
        first += release->histograms[i].n_values + 1;
    }
    return n;
}

size_t reuse_collect(struct arena *arena, const struct plan *plan, const bool *skipped,
                     struct release_output *const *outputs, const struct ledger_answer **answers)
{
    size_t n = 0, most = 0;
    int number = 0;
    for (size_t i = 0; i < plan->n_relations; i++)
        if (measured(&plan->relations[i]) != NULL)
            most += most_answers(plan->relations[i].release);
    struct ledger_answer *found = arena_alloc(arena, (most + 1) * sizeof *found);
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = measured(&plan->relations[i]);
        if (release == NULL)
            continue;
        bool chosen = release->n_keys > 0 && release->domain == NULL;
        /* Values of groups are of no use without the groups. */
        bool known = !chosen || release->measures[0].identity != NULL;
        for (size_t m = 0; known && !skipped[i] && m < release->n_measures; m++) {
            if (release->measures[m].draw.m == 0 || release->measures[m].identity == NULL)
                continue;
            found[n] = collect_measure(arena, release, outputs[i], m);
            found[n++].release = number;
        }
        size_t before = n;
        n += known ? collect_histograms(arena, release, outputs[i], found + n) : 0;
        for (size_t k = before; k < n; k++)
            found[k].release = number;
        number++;
    }
    *answers = found;
    return n;
}
