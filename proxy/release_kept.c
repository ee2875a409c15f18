#include "proxy/release_kept.h"

#include <assert.h>
#include <stdlib.h>

#include "mechanisms/refine.h"

enum { RELEASE_DRAWS_MAX = 64 };

struct release_kept {
    const struct release *release;
    const __int128 *const *kept;
    size_t n_groups;
    __int128 ***folded; /* by measure, then by its kept draws; NULL: nothing is added up */
};

_Static_assert(((__int128)FOLD_GROUPS_MAX << KEPT_VALUE_BITS_MAX) <= (__int128)1 << 125,
               "sums of kept values are within the limit of dp_combine_draws");

/* The values of the parts of each group, added up. */
static __int128 *add_up(const struct kept_draw *draw, const __int128 *values, size_t n_groups)
{
    __int128 *sums = calloc(n_groups + 1, sizeof *sums);
    assert(sums != NULL && draw->n_fold <= FOLD_GROUPS_MAX);
    for (size_t i = 0; i < draw->n_fold; i++) {
        assert(draw->fold[i] < n_groups);
        sums[draw->fold[i]] += values[i];
    }
    return sums;
}

struct release_kept *release_kept_begin(const struct release *release, const __int128 *const *kept)
{
    struct release_kept *own = calloc(1, sizeof *own);
    assert(own != NULL);
    *own = (struct release_kept){release, kept, release->n_keys > 0 ? release->n_domain : 1, NULL};
    own->folded = calloc(release->n_measures + 1, sizeof *own->folded);
    assert(own->folded != NULL);
    for (size_t i = 0; i < release->n_measures; i++) {
        const struct measure *measure = &release->measures[i];
        assert(measure->n_kept <= RELEASE_DRAWS_MAX);
        own->folded[i] = calloc(measure->n_kept + 1, sizeof **own->folded);
        assert(own->folded[i] != NULL);
        for (size_t n = 0; n < measure->n_kept; n++)
            if (measure->kept[n].fold != NULL)
                own->folded[i][n] =
                    add_up(&measure->kept[n], kept[measure->kept[n].answer], own->n_groups);
    }
    return own;
}

__int128 release_kept_value(const struct release_kept *kept, size_t group, size_t measure,
                            __int128 drawn)
{
    const struct measure *of = &kept->release->measures[measure];
    uint64_t m[RELEASE_DRAWS_MAX + 1];
    __int128 values[RELEASE_DRAWS_MAX + 1];
    size_t n = of->n_kept;
    if (n == 0)
        return drawn;
    for (size_t i = 0; i < n; i++) {
        const __int128 *folded = kept->folded[measure][i];
        m[i] = of->kept[i].m;
        values[i] = folded != NULL ? folded[group] : kept->kept[of->kept[i].answer][group];
    }
    if (of->draw.m != 0) {
        m[n] = of->draw.m;
        values[n++] = drawn;
    }
    return dp_combine_draws(m, values, n);
}

void release_kept_free(struct release_kept *kept)
{
    if (kept == NULL)
        return;
    for (size_t i = 0; i < kept->release->n_measures; i++) {
        for (size_t n = 0; n < kept->release->measures[i].n_kept; n++)
            free(kept->folded[i][n]);
        free(kept->folded[i]);
    }
    free(kept->folded);
    free(kept);
}
