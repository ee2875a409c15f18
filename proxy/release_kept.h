#ifndef PROXY_RELEASE_KEPT_H
#define PROXY_RELEASE_KEPT_H

/*
 * Draws of a release's measures that were made before, group by group of the release: as they are
 * kept, or those of finer groups added up. For proxy/release.c. All of it was released before.
 */
#include <stddef.h>

#include "parser/plan.h"

/* Kept integers are below 2^KEPT_VALUE_BITS_MAX: FOLD_GROUPS_MAX of them, added up, are below the
 * limit of dp_combine_draws. */
enum { KEPT_VALUE_BITS_MAX = 105 };

struct release_kept;

/* kept: as for release_begin. Borrows both. */
struct release_kept *release_kept_begin(const struct release *release, const __int128 *const *kept);
/* What is handed over of a measure in a group: the draws that were kept and what is drawn now
 * (which counts where the measure's draw.m is not 0), weighted by their precision. */
__int128 release_kept_value(const struct release_kept *kept, size_t group, size_t measure,
                            __int128 drawn);
/* Accepts NULL. */
void release_kept_free(struct release_kept *kept);

#endif
