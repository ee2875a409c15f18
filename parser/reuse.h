#ifndef PARSER_REUSE_H
#define PARSER_REUSE_H

/* What reuse.c (measures), reuse_forms.c and reuse_draws.c (quantiles) have in common. */
#include "parser/compile_internal.h"

/* Was the answer measured on this list of private groups? NULL: on none. */
bool reuse_is_of_list(const struct kept_answer *kept, const struct kept_answer *list);
/* Groups of the level's answers with this list. */
size_t reuse_groups(const struct level *level, const struct kept_answer *list);

/* The kept answers of an identity, *n of them. */
const struct kept_answer *const *reuse_find(const struct level *level, const char *identity,
                                            size_t *n);

/* reuse_forms.c: leaves undrawn what all that read it do not need. */
void reuse_relax(struct level *level);

/* reuse_distribution.c: the sharpest noisy distribution that kept ones are together; false where
 * there is none. */
bool reuse_find_distribution(const struct level *level, const struct kept_answer *list,
                             const struct level_histogram *histogram,
                             struct kept_distribution *out);
/* The draw that with them is as sharp as the wanted draw of the distribution; false: there is none.
 */
bool reuse_refine_distribution(const struct level *level, const struct level_histogram *histogram,
                               const struct kept_distribution *kept,
                               const struct release_draw *wanted, struct release_draw *out);

/* reuse_draws.c: mu^2 of the quantiles that the list leaves to be drawn; and the decision. */
uint64_t reuse_draws_price(const struct level *level, const struct kept_answer *list);
void reuse_draws_settle(struct level *level);

#endif
