#ifndef PROXY_COPIED_H
#define PROXY_COPIED_H

/* COPY takes no parameters: its final statement holds the noisy arrays as constants (PLAN_ARRAY).
 */
#include <stddef.h>

#include "parser/plan.h"
#include "proxy/release.h"

/* The final statement of a PLAN_COPY with the arrays in their places; arrays[0] has number 1.
 * Allocated. */
char *copied_sql(const struct plan *plan, size_t n_arrays, const struct array_params *arrays);

#endif
