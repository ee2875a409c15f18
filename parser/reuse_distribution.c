/*
 * Noisy distributions that were paid for: Gaussian draws of one quantity (mechanisms/cdf.h), which
 * add up like those of any measure where they were made with one matrix. Put together they answer
 * what they are precise enough for; else the missing precision alone is drawn, with their matrix.
 */
#include <math.h>
#include <string.h>

#include "mechanisms/refine.h"
#include "parser/quantile.h"
#include "parser/reuse.h"

/* Errors of all ranks are in proportion to that of any one. */
static double error_of(const struct level *level, const struct level_histogram *histogram,
                       const struct dp_calibration *noise)
{
    const struct dp_rank middle = {.numerator = 1, .denominator = 2};
    return quantile_error_of(level, histogram, noise, &middle);
}

static bool is_usable(const struct level *level, const struct kept_answer *list,
                      const struct level_histogram *histogram, const struct kept_answer *kept)
{
    const struct dp_calibration *noise = &kept->calibration;
    return !kept->keys_only && reuse_is_of_list(kept, list) &&
           kept->n_groups == reuse_groups(level, list) * histogram->bins.n &&
           noise->mechanism == DP_GAUSSIAN && noise->groups == level->bounding.unit_groups &&
           noise->grid.scale10 == 0 && noise->grid.exp2 == 0 &&
           error_of(level, histogram, noise) > 0;
}

/* Those that are of the first one's matrix, itself among them. */
static bool gather(const struct level *level, const struct kept_answer *list,
                   const struct level_histogram *histogram, const struct kept_answer *const *found,
                   size_t n, size_t first, struct kept_distribution *out)
{
    uint64_t m[DISTRIBUTIONS_MAX];
    struct kept_draw *kept = arena_alloc(level->compile->arena, sizeof *kept * DISTRIBUTIONS_MAX);
    *out = (struct kept_distribution){.kept = kept};
    for (size_t i = 0; i < n && out->n_kept < DISTRIBUTIONS_MAX; i++) {
        const struct dp_calibration *noise = &found[i]->calibration;
        if (!is_usable(level, list, histogram, found[i]) ||
            noise->delta_grid != found[first]->calibration.delta_grid)
            continue;
        m[out->n_kept] = noise->m;
        kept[out->n_kept++] = (struct kept_draw){
            .answer = (size_t)(found[i] - level->compile->request->kept), .m = noise->m};
    }
    return out->n_kept > 0 &&
           dp_draws_together(&found[first]->calibration, m, out->n_kept, &out->together);
}

bool reuse_find_distribution(const struct level *level, const struct kept_answer *list,
                             const struct level_histogram *histogram, struct kept_distribution *out)
{
    double least = HUGE_VAL;
    size_t n;
    *out = (struct kept_distribution){.n_kept = 0};
    if (histogram->distribution == NULL)
        return false;
    const struct kept_answer *const *found = reuse_find(level, histogram->distribution, &n);
    for (size_t i = 0; i < n; i++) {
        struct kept_distribution next;
        bool seen = false; /* with an earlier one of its matrix */
        for (size_t k = 0; k < i; k++)
            seen = seen || (found[k]->calibration.delta_grid == found[i]->calibration.delta_grid &&
                            is_usable(level, list, histogram, found[k]));
        if (seen || !is_usable(level, list, histogram, found[i]) ||
            !gather(level, list, histogram, found, n, i, &next))
            continue;
        double error = error_of(level, histogram, &next.together);
        if (error < 0 || error >= least)
            continue;
        least = error;
        *out = next;
    }
    return out->n_kept > 0;
}

bool reuse_refine_distribution(const struct level *level, const struct level_histogram *histogram,
                               const struct kept_distribution *kept,
                               const struct release_draw *wanted, struct release_draw *out)
{
    uint64_t m[DISTRIBUTIONS_MAX];
    struct dp_calibration target = kept->together, rest;
    double ratio =
        error_of(level, histogram, &kept->together) / error_of(level, histogram, &wanted->whole);
    if (kept->n_kept == 0 || wanted->whole.m == 0 || !(ratio > 0 && ratio < 1e6))
        return false;
    for (size_t i = 0; i < kept->n_kept; i++)
        m[i] = kept->kept[i].m;
    target.m = (uint64_t)ceil((double)kept->together.m * ratio);
    *out = *wanted;
    if (!dp_refine(&target, &kept->together, false, m, kept->n_kept, &rest, &out->together) ||
        rest.m == 0)
        return false;
    out->whole = rest;
    out->plan.charge = rest.charge;
    out->n_kept = kept->n_kept;
    out->kept = kept->kept;
    return true;
}
