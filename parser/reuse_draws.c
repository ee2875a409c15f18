/*
 * Quantiles that were paid for (parser/quantile.h): a draw is kept whole, all its ranks together,
 * and given again where it is at least as sharp as what the request would buy. Draws of one
 * distribution do not add up, so that nothing is refined.
 */
#include <math.h>
#include <string.h>

#include "parser/auto_bounds.h"
#include "parser/quantile.h"
#include "parser/reuse.h"

/* The strength of the exponential mechanism is epsilon, whose mu^2 is no plain square of it. */
static bool is_sharp(const struct level *level, const struct release_draw *draw, uint64_t have,
                     uint64_t wanted)
{
    double rest = auto_bounds_rest(level);
    uint64_t had, asked;
    if (have >= wanted || rest >= 1)
        return have >= wanted;
    if (draw->whole.m != 0)
        return (double)have >= sqrt(rest) * (double)wanted;
    if (level->laplace)
        return (double)have >= rest * (double)wanted;
    return dp_mu2_of_pure(have, &had) && dp_mu2_of_pure(wanted, &asked) &&
           (double)had >= rest * (double)asked;
}

static bool is_usable(const struct level *level, const struct kept_answer *list,
                      const struct release_draw *draw, const struct kept_answer *kept)
{
    struct dp_calibration wanted = release_draw_sharpness(draw, level->bounding.unit_groups);
    const struct dp_calibration *have = &kept->calibration;
    return draw->identity != NULL && strcmp(kept->identity, draw->identity) == 0 &&
           reuse_is_of_list(kept, list) &&
           kept->n_groups == reuse_groups(level, list) * draw->plan.n &&
           have->mechanism == wanted.mechanism && have->grid.scale10 == wanted.grid.scale10 &&
           have->grid.exp2 == wanted.grid.exp2 && have->delta_grid == wanted.delta_grid &&
           have->groups == wanted.groups && is_sharp(level, draw, have->m, wanted.m);
}

/* The sharpest, of these the newest; -1: none. */
static int find(const struct level *level, const struct kept_answer *list,
                const struct level_histogram *histogram, const struct release_draw *draw)
{
    const struct plan_request *request = level->compile->request;
    int best = -1;
    /* With bounds that are bought the price is fixed before it is known what is measured. */
    for (size_t i = 0; i < request->n_kept && !histogram->bought; i++) {
        const struct kept_answer *kept = &request->kept[i];
        if (!is_usable(level, list, draw, kept))
            continue;
        const struct kept_answer *other = best < 0 ? NULL : &request->kept[best];
        if (other == NULL || kept->calibration.m > other->calibration.m ||
            (kept->calibration.m == other->calibration.m && kept->id > other->id))
            best = (int)i;
    }
    return best;
}

uint64_t reuse_draws_price(const struct level *level, const struct kept_answer *list)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < level->histograms.n; i++) {
        const struct level_histogram *histogram = &level->histograms.items[i];
        for (size_t n = 0; n < histogram->n_draws; n++)
            if (find(level, list, histogram, &histogram->draws[n]) < 0 &&
                __builtin_add_overflow(sum, histogram->draws[n].plan.charge.mu2_pico, &sum))
                return UINT64_MAX;
    }
    return sum;
}

void reuse_draws_settle(struct level *level)
{
    for (size_t i = 0; i < level->histograms.n; i++) {
        struct level_histogram *histogram = &level->histograms.items[i];
        for (size_t n = 0; n < histogram->n_draws; n++) {
            struct release_draw *draw = &histogram->draws[n];
            int kept = find(level, level->list, histogram, draw);
            if (kept < 0)
                continue;
            draw->is_kept = true;
            draw->kept = (size_t)kept;
            quantile_sharpen(histogram, draw, level->compile->request->kept[kept].calibration.m);
        }
    }
}

size_t reuse_draws_left(const struct level_histogram *histogram)
{
    size_t n = 0;
    for (size_t i = 0; i < histogram->n_draws; i++)
        n += !histogram->draws[i].is_kept;
    return n;
}
