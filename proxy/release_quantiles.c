#include "proxy/release_quantiles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NO_GROUP = -1 };

struct quantile_output {
    struct dp_noise *noise;
    const struct release_histogram *histogram;
    size_t n_groups;
    uint64_t *weights, total; /* of the group under way */
    ptrdiff_t group;          /* under way */
    bool *drawn;              /* by group */
    uint32_t *bins;           /* n_groups * n_values */
};

/* A group's weights stay below this whatever the server says; more people than that do not exist.
 */
static const uint64_t total_max = UINT64_C(1) << 61;

struct quantile_output *quantiles_begin(struct dp_noise *noise,
                                        const struct release_histogram *histogram, size_t n_groups)
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
    return output;
}

static bool draw(struct quantile_output *output, size_t group)
{
    const struct release_histogram *histogram = output->histogram;
    uint32_t *bins = output->bins + group * histogram->n_values;
    for (size_t i = 0; i < histogram->n_draws; i++) {
        const struct release_draw *each = &histogram->draws[i];
        if (!dp_noise_quantiles(output->noise, &each->plan, output->weights, histogram->n_bins,
                                each->ranks, bins))
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
    free(output->weights);
    free(output->drawn);
    free(output->bins);
    free(output);
}
