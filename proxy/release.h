#ifndef PROXY_RELEASE_H
#define PROXY_RELEASE_H

/*
 * From exact integers to noisy arrays: the only place where both are seen. Adds the noise, applies
 * the key threshold, fills in the empty groups of a declared domain, and writes the arrays that the
 * final statement unnests.
 */
#include <stdbool.h>
#include <stddef.h>

#include "mechanisms/noise.h"
#include "parser/plan.h"

/* One array parameter of the final statement. */
struct array_param {
    uint32_t type;        /* the array type's OID */
    uint16_t format;      /* 0 text, 1 binary */
    unsigned char *bytes; /* owned */
    size_t length;
};

struct array_params {
    struct array_param *items;
    size_t count;
};
void array_params_clear(struct array_params *params);

/* One release under way: exact rows in, one by one, noisy arrays out. A private group's noisy unit
 * count is drawn and compared as its row comes, so that nothing is kept of a group that is
 * withheld, and how many groups there are truly changes nothing. */
struct release_output;

/* rows_max: most groups that may be released. kept: the values of the request's kept answers, one
 * per group each; NULL where the plan uses none. All is borrowed. */
struct release_output *release_begin(struct dp_noise *noise, const struct release *release,
                                     const __int128 *const *kept, size_t rows_max);
/* One exact row: the integers of the measures that are drawn. False without entropy, or with more
 * than rows_max groups released. */
bool release_add(struct release_output *output, const char *const *keys, const __int128 *values);
/* A bin of a group's index-th histogram: values are its number and weight. All bins of a group come
 * together, and after all rows of release_add. Bins of groups that are withheld are ignored. False
 * without entropy. */
bool release_add_bin(struct release_output *output, size_t index, const char *const *keys,
                     const __int128 *values);
/* Draws that were made before, in the place of exact rows: another analyst's of the same release.
 * keys: of private keys that the release would choose, n_keys texts a group; noisy: for each
 * measure that would be drawn its values, else NULL. All is copied. False where they do not fit. */
bool release_give(struct release_output *output, size_t n_groups, const char *const *keys,
                  const __int128 *const *noisy);
/* Draws quantiles of groups of which no row came, until *steps, of some ten microseconds each, have
 * been taken off: what release_finish would do at once. With steps left none are left to draw.
 * False without entropy. */
bool release_draw_some(struct release_output *output, size_t *steps);
/* Draws what is left to draw (a domain's groups, the row of a release without keys) and appends the
 * arrays; with empty, arrays without rows (a probe). False without entropy. */
bool release_finish(struct release_output *output, bool empty, struct array_params *params);
/* After release_finish, what was drawn now, to be kept: the groups, n_keys texts each (borrowed),
 * and the noisy integer of a measure that was drawn. */
size_t release_groups(const struct release_output *output);
const char *const *release_keys(const struct release_output *output);
__int128 release_drawn(const struct release_output *output, size_t group, size_t measure);
/* The bin of a histogram's value. */
uint32_t release_bin(const struct release_output *output, size_t group, size_t histogram,
                     size_t value);
/* The noisy distribution of a histogram that was drawn and is kept whole: n_bins integers of each
 * group. */
const __int128 *release_distribution(const struct release_output *output, size_t histogram);
/* Wipes what is exact. Accepts NULL. */
void release_free(struct release_output *output);

/* Appends one bytea[] of UTF-8 per column; cells row by row, NULL: SQL NULL. */
void release_text_arrays(size_t n_columns, size_t n_rows, const char *const *cells,
                         struct array_params *params);

#endif
