#ifndef PARSER_VARIANCE_H
#define PARSER_VARIANCE_H

/*
 * Variances and standard deviations (ALGORITHMS 2.2, 2.3): beside the count and the sum about the
 * middle m of the range, the sum of (x - m)^2 about the middle of its own range. A third of the
 * column's budget goes to each.
 */
#include "parser/compile_internal.h"

/* Is it an aggregate of this file? Then its kind, sample and root are set. */
bool variance_named(const char *name, struct level_aggregate *aggregate);
/* The measure of the squares of the aggregate's argument, shared with others of the same argument;
 * false where refused. */
bool variance_squares(struct level *level, struct level_aggregate *aggregate);
/* The finished value over the released measures u.m1.., in PostgreSQL's type for it. */
const char *variance_sql(const struct level *level, const struct level_aggregate *aggregate);
/* Writes the grid integer of a row's square; x is a value as numeric or float8. */
void variance_write_steps(const struct level_measure *measure, const char *x, struct text *out);

#endif
