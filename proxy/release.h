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
#include "proxy/measure.h"

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

/* Appends the arrays of one release. rows NULL: empty arrays (a probe), or, for a release without
 * measures, its domain. False without entropy: nothing may be answered. */
bool release_arrays(struct dp_noise *noise, const struct release *release,
                    const struct exact_rows *rows, bool empty, struct array_params *params);
/* Appends one text[] per column; cells row by row, NULL: SQL NULL. */
void release_text_arrays(size_t n_columns, size_t n_rows, const char *const *cells,
                         struct array_params *params);

#endif
