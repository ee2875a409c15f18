#include "proxy/release_quantiles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/cdf.h"

enum { NO_GROUP = -1 };

/* A distribution that is noised as a whole. */
struct whole {
    struct dp_cdf cdf;
    __int128 *exact, *noisy; /* n_bins each */
    double *work, *prefix;
    size_t *ends;
};

struct quantile_output {
    struct dp_noise *noise;
    const struct release_histogram *histogram;
    size_t n_groups;
    uint64_t *weights, total; /* of the group under way */
    ptrdiff_t group;          /* under way */
    bool *drawn;              /* by group */
    uint32_t *bins;           /* n_groups * n_values */
    struct whole *whole;      /* NULL: no draw reads from the whole */
};

/* A group's weights stay below this whatever the server says; more people than that do not exist.
 */
static const uint64_t total_max = UINT64_C(1) << 61;

/* As it was priced, or the program is not the one that made the plan. */
static struct whole *whole_new(const struct release_histogram *histogram,
                               const struct release_draw *draw)
{
    size_t n = histogram->n_bins;
    struct whole *whole = calloc(1, sizeof *whole);
    assert(whole != NULL);
    bool planned = dp_cdf_init(n, histogram->unit_weight, histogram->groups, draw->whole_mu2_pico,
                               &whole->cdf);
    assert(planned && whole->cdf.calibration.m == draw->whole.m &&
           whole->cdf.calibration.delta_grid == draw->whole.delta_grid);
    whole->exact = calloc(n, sizeof *whole->exact);
    whole->noisy = calloc(n, sizeof *whole->noisy);
    whole->work = calloc(n, sizeof *whole->work);
    whole->prefix = calloc(n, sizeof *whole->prefix);
    whole->ends = calloc(n, sizeof *whole->ends);
    assert(whole->exact && whole->noisy && whole->work && whole->prefix && whole->ends);
    return whole;
}

static void whole_free(struct whole *whole)
{
    if (whole == NULL)
        return;
    dp_cdf_clear(&whole->cdf);
    free(whole->exact);
    free(whole->noisy);
    free(whole->work);
    free(whole->prefix);
    free(whole->ends);
    free(whole);
}

/* Bins that were drawn before, into their places. */
static void fill_kept(struct quantile_output *output, const __int128 *const *kept)
{
    const struct release_histogram *histogram = output->histogram;
    size_t first = 0;
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        size_t n = draw->plan.n;
        for (size_t at = 0; draw->is_kept && at < output->n_groups * n; at++) {
            __int128 bin = kept[draw->kept][at], last = histogram->n_bins - 1;
            bin = bin < 0 ? 0 : bin > last ? last : bin;
            output->bins[at / n * histogram->n_values + first + at % n] = (uint32_t)bin;
        }
        first += n;
    }
}

struct quantile_output *quantiles_begin(struct dp_noise *noise,
                                        const struct release_histogram *histogram,
                                        const __int128 *const *kept, size_t n_groups)
{
    struct quantile_output *output = calloc(1, sizeof *output);
    assert(output != NULL);
    output->noise = noise;
    output->histogram = histogram;
    output->n_groups = n_groups;
    output->group = NO_GROUP;
    output->weights = calloc(histogram->n_bins, sizeof *output->weights);
    output->drawn = calloc(n_groups + 1, sizeof *output->drawn);
    output->bins = calloc(n_groups * histogram->n_values + 1, sizeof *output->bins);
    assert(output->weights != NULL && output->drawn != NULL && output->bins != NULL);
    for (size_t i = 0; i < histogram->n_draws; i++)
        if (histogram->draws[i].whole.m != 0 && !histogram->draws[i].is_kept)
            output->whole = whole_new(histogram, &histogram->draws[i]);
    fill_kept(output, kept);
    return output;
}

/* Noise for every bin of the transformed distribution; everything else is read from that. */
static bool draw_whole(struct quantile_output *output, const struct release_draw *draw,
                       uint32_t *bins)
{
    struct whole *whole = output->whole;
    size_t n = output->histogram->n_bins;
    bool drawn = true;
    dp_cdf_encode(&whole->cdf, output->weights, whole->exact);
    for (size_t i = 0; i < n && drawn; i++)
        drawn =
            dp_noise_add(output->noise, &whole->cdf.calibration, whole->exact[i], &whole->noisy[i]);
    explicit_bzero(whole->exact, n * sizeof *whole->exact);
    if (!drawn)
        return false;
    dp_cdf_decode(&whole->cdf, whole->noisy, whole->work, whole->prefix);
    dp_make_monotone(whole->prefix, whole->ends, n);
    for (size_t i = 0; i < draw->plan.n; i++) {
        double fraction = (double)draw->ranks[i].numerator / draw->ranks[i].denominator;
        /* A little less: rounding must not carry a rank beyond the bin that ends with it. */
        bins[i] = (uint32_t)dp_cdf_quantile(whole->prefix, n, fraction * (1 - 1e-12));
    }
    return true;
}

static bool draw(struct quantile_output *output, size_t group)
{
    const struct release_histogram *histogram = output->histogram;
    uint32_t *bins = output->bins + group * histogram->n_values;
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *each = &histogram->draws[i];
        if (!each->is_kept &&
            !(each->whole.m != 0 ? draw_whole(output, each, bins)
                                 : dp_noise_quantiles(output->noise, &each->plan, output->weights,
                                                      histogram->n_bins, each->ranks, bins)))
            return false;
        bins += each->plan.n;
    }
    output->drawn[group] = true;
    return true;
}

static void wipe(struct quantile_output *output)
{
    explicit_bzero(output->weights, output->histogram->n_bins * sizeof *output->weights);
    output->total = 0;
}

/* The group under way is complete. */
static bool leave_group(struct quantile_output *output)
{
    if (output->group == NO_GROUP)
        return true;
    bool done = draw(output, (size_t)output->group);
    output->group = NO_GROUP;
    wipe(output);
    return done;
}

bool quantiles_add(struct quantile_output *output, size_t group, __int128 bin, __int128 weight)
{
    assert(group < output->n_groups);
    if (output->group != (ptrdiff_t)group) {
        if (!leave_group(output) || output->drawn[group])
            return false;
        output->group = (ptrdiff_t)group;
    }
    if (bin < 0 || bin >= output->histogram->n_bins || weight < 0)
        return false;
    uint64_t room = total_max - output->total;
    uint64_t taken = weight > (__int128)room ? room : (uint64_t)weight;
    output->weights[(size_t)bin] += taken;
    output->total += taken;
    return true;
}

bool quantiles_finish(struct quantile_output *output)
{
    bool done = leave_group(output);
    for (size_t i = 0; i < output->n_groups && done; i++)
        done = output->drawn[i] || draw(output, i);
    return done;
}

const uint32_t *quantiles_of(const struct quantile_output *output, size_t group)
{
    return output->bins + group * output->histogram->n_values;
}

void quantiles_free(struct quantile_output *output)
{
    if (output == NULL)
        return;
    wipe(output);
    whole_free(output->whole);
    free(output->weights);
    free(output->drawn);
    free(output->bins);
    free(output);
}
