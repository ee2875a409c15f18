#include "proxy/release_quantiles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/refine.h"
#include "proxy/distribution.h"

enum { NO_GROUP = -1 };

struct quantile_output {
    struct dp_noise *noise;
    const struct release_histogram *histogram;
    size_t n_groups;
    uint64_t *weights, total;          /* of the group under way */
    ptrdiff_t group;                   /* under way */
    bool *drawn;                       /* by group */
    size_t finished;                   /* groups of which nothing more is to be drawn */
    uint32_t *bins;                    /* n_groups * n_values */
    uint32_t *draws;                   /* of the draw under way */
    struct distribution *distribution; /* that is drawn; NULL: none is */
    /* Its noisy integers, group by group, where they are kept; else of the group under way. */
    __int128 *noisy;
    const __int128 *const *kept;
    __int128 *together; /* of a group: a distribution that was noised several times */
};

/* A group's weights stay below this whatever the server says; more people than that do not exist.
 */
static const uint64_t total_max = UINT64_C(1) << 61;

/* A group's distribution that was noised several times, and perhaps now (drawn; NULL: not). */
static void put_together(const struct release_histogram *histogram, const struct kept_draw *draws,
                         size_t n_draws, const __int128 *const *kept, size_t group,
                         const __int128 *drawn, uint64_t drawn_m, __int128 *out)
{
    uint64_t m[DISTRIBUTIONS_MAX + 1];
    __int128 values[DISTRIBUTIONS_MAX + 1];
    assert(n_draws <= DISTRIBUTIONS_MAX);
    for (size_t bin = 0; bin < histogram->n_bins; bin++) {
        size_t n = 0;
        for (; n < n_draws; n++) {
            m[n] = draws[n].m;
            values[n] = kept[draws[n].answer][group * histogram->n_bins + bin];
        }
        if (drawn != NULL) {
            m[n] = drawn_m;
            values[n++] = drawn[bin];
        }
        out[bin] = dp_combine_draws(m, values, n);
    }
}

/* The ranks that are read from distributions which were noised before. */
static void read_kept(struct quantile_output *output)
{
    const struct release_histogram *histogram = output->histogram;
    const struct kept_distribution *from = &histogram->kept;
    struct distribution *distribution =
        distribution_new(histogram->n_bins, DISTRIBUTION_UNIT_WEIGHT, &from->together);
    for (size_t group = 0; group < output->n_groups; group++) {
        uint32_t *bins = output->bins + group * histogram->n_values;
        put_together(histogram, from->kept, from->n_kept, output->kept, group, NULL, 0,
                     output->together);
        distribution_take(distribution, output->together);
        for (size_t i = 0; i < histogram->n_values; i++)
            if (histogram->values[i].source == VALUE_OF_KEPT_DISTRIBUTION)
                bins[i] = distribution_bin(distribution, &histogram->values[i].rank);
    }
    distribution_free(distribution);
}

/* What was drawn before, into its places. */
static void fill_kept(struct quantile_output *output)
{
    const struct release_histogram *histogram = output->histogram;
    bool reads = false;
    for (size_t i = 0; i < histogram->n_values; i++) {
        const struct release_value *value = &histogram->values[i];
        reads = reads || value->source == VALUE_OF_KEPT_DISTRIBUTION;
        for (size_t group = 0; value->source == VALUE_KEPT && group < output->n_groups; group++) {
            __int128 bin = output->kept[value->from][group], last = histogram->n_bins - 1;
            bin = bin < 0 ? 0 : bin > last ? last : bin;
            output->bins[group * histogram->n_values + i] = (uint32_t)bin;
        }
    }
    if (reads)
        read_kept(output);
}

/* Room for the draws; a distribution is noised as it was priced, or the program is not the one that
 * made the plan. */
static void prepare_draws(struct quantile_output *output)
{
    const struct release_histogram *histogram = output->histogram;
    size_t most = 0;
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *draw = &histogram->draws[i];
        most = draw->plan.n > most ? draw->plan.n : most;
        if (draw->whole.m == 0)
            continue;
        assert(output->distribution == NULL && histogram->groups == draw->whole.groups);
        output->distribution =
            distribution_new(histogram->n_bins, histogram->unit_weight, &draw->whole);
    }
    output->draws = calloc(most + 1, sizeof *output->draws);
    assert(output->draws != NULL);
    if (output->distribution == NULL)
        return;
    output->noisy = calloc(
        (histogram->distribution != NULL ? output->n_groups : 1) * (size_t)histogram->n_bins + 1,
        sizeof *output->noisy);
    assert(output->noisy != NULL);
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
    output->kept = kept;
    output->together = calloc(histogram->n_bins, sizeof *output->together);
    assert(output->together != NULL);
    prepare_draws(output);
    fill_kept(output);
    return output;
}

/* Noise for every bin of the transformed distribution; everything else is read from that. */
static bool draw_distribution(struct quantile_output *output, const struct release_draw *draw,
                              size_t group)
{
    const struct release_histogram *histogram = output->histogram;
    __int128 *noisy =
        output->noisy + (histogram->distribution != NULL ? group * histogram->n_bins : 0);
    if (!distribution_draw(output->distribution, output->noise, output->weights, noisy))
        return false;
    if (draw->n_kept > 0) {
        put_together(histogram, draw->kept, draw->n_kept, output->kept, group, noisy, draw->whole.m,
                     output->together);
        noisy = output->together;
    }
    distribution_take(output->distribution, noisy);
    return true;
}

static bool draw(struct quantile_output *output, size_t group)
{
    const struct release_histogram *histogram = output->histogram;
    uint32_t *bins = output->bins + group * histogram->n_values;
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *each = &histogram->draws[i];
        bool whole = each->whole.m != 0;
        if (!(whole ? draw_distribution(output, each, group)
                    : dp_noise_quantiles(output->noise, &each->plan, output->weights,
                                         histogram->n_bins, each->ranks, output->draws)))
            return false;
        for (size_t n = 0; n < histogram->n_values; n++) {
            const struct release_value *value = &histogram->values[n];
            if (value->source == VALUE_DRAWN && value->from == i)
                bins[n] = whole ? distribution_bin(output->distribution, &value->rank)
                                : output->draws[value->place];
        }
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

/* Of one group: a step for each quantile, and for each few thousand products of a distribution. */
static size_t steps_of_group(const struct release_histogram *histogram)
{
    const size_t products = 4096, n_bins = histogram->n_bins;
    size_t steps = 1;
    for (size_t i = 0; i < histogram->n_draws; i++)
        steps += histogram->draws[i].whole.m != 0 ? n_bins * n_bins / products
                                                  : histogram->draws[i].plan.n;
    return steps;
}

bool quantiles_finish(struct quantile_output *output, size_t *steps)
{
    const size_t each = steps_of_group(output->histogram);
    if (!leave_group(output))
        return false;
    for (; output->finished<output->n_groups && * steps> 0; output->finished++) {
        if (output->drawn[output->finished])
            continue;
        if (!draw(output, output->finished))
            return false;
        *steps -= each < *steps ? each : *steps;
    }
    return true;
}

const __int128 *quantiles_distribution(const struct quantile_output *output)
{
    assert(output->histogram->distribution != NULL && output->noisy != NULL);
    return output->noisy;
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
    distribution_free(output->distribution);
    free(output->noisy);
    free(output->together);
    free(output->draws);
    free(output->weights);
    free(output->drawn);
    free(output->bins);
    free(output);
}
