#ifndef PROXY_RELEASE_QUANTILES_H
#define PROXY_RELEASE_QUANTILES_H

/*
 * From exact histograms to drawn bins, for proxy/release.c. Groups come one after the other; each
 * is drawn when its last bin has come, so that one group's weights are held at a time, and wiped. A
 * group without any bin is drawn like the others.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/noise.h"
#include "parser/plan.h"

struct quantile_output;

/* For n_groups groups, all of them to be drawn, but for the values that were kept; kept as for
 * release_begin. All is borrowed. */
struct quantile_output *quantiles_begin(struct dp_noise *noise,
                                        const struct release_histogram *histogram,
                                        const __int128 *const *kept, size_t n_groups);
/* A bin of a group. False without entropy, where a group comes back after another one, or where
 * there is no such bin, which the SQL does not let happen. */
bool quantiles_add(struct quantile_output *output, size_t group, __int128 bin, __int128 weight);
/* Draws what is left to draw, groups of which no bin came, until *steps have been taken off: each
 * is some ten microseconds of work. With steps left all is drawn. False without entropy. */
bool quantiles_finish(struct quantile_output *output, size_t *steps);
/* Bins of a group, histogram->n_values of them. */
const uint32_t *quantiles_of(const struct quantile_output *output, size_t group);
/* The noisy distributions of all groups, n_bins each, one after the other: of a draw that is to be
 * kept whole. */
const __int128 *quantiles_distribution(const struct quantile_output *output);
/* Wipes what is exact. Accepts NULL. */
void quantiles_free(struct quantile_output *output);

#endif
