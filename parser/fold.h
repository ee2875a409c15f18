#ifndef PARSER_FOLD_H
#define PARSER_FOLD_H

/*
 * Coarser groups from finer ones (ALGORITHMS 9). Where each row falls into exactly one group, and
 * where what a unit adds is bounded in all its groups together and by the same number of rows, a
 * measure of coarse groups is the sum of the same measure of the fine groups that they are made of.
 * So the noisy values that were paid for by fine groups, added up, are noisy values of the coarse
 * ones, with the noise of so many draws. What must hold follows from catalogue and policy alone:
 *
 *   family     both are the same measure without any key: the same rows, values, bounds, dataset
 *              and policy (identity.c); it is a count or a sum, or a number of units of which each
 *              has one row
 *   bound      rows of a unit are bounded in all and not by group, so that neither the keys nor
 *              their number change how many of them count; one unit moves both by as much
 *   keys       each key of the coarse answer is one of the fine answer, with the same domain
 *   complete   each further key of the fine answer has a domain that holds every value of its
 *              column, so that no row is lost: what the type or a constraint allows, and NULL
 * unless the column has none
 *
 * Gaussian draws only: a sum of Laplace draws is no Laplace draw.
 */
#include "parser/compile_internal.h"

/* Is the measure a sum over groups, whatever public keys make them? */
bool fold_is_additive(const struct level *level, const struct level_measure *measure);

/* The digests of the level's keys, once its measures have families. */
void fold_find_keys(struct level *level);

/* What finer answers of the measure are asked for by (struct plan's also); NULL: there are none. */
const char *fold_wish(const struct level *level, const struct level_measure *measure);

/* Is the kept answer the measure in finer groups, or in the same ones in another order? What its
 * groups added up are worth is then in *calibration. */
bool fold_fits(struct level *level, const struct level_measure *measure,
               const struct kept_answer *kept, struct dp_calibration *calibration);

/* The group of the level in which each group of the kept answer is, which fits. */
const uint32_t *fold_groups(struct level *level, const struct kept_answer *kept);

/* The finer answers that the aggregate is made of: "smsa, region"; several behind semicolons. NULL:
 * none. */
const char *fold_sources(const struct level *level, const struct level_aggregate *aggregate);

#endif
