#ifndef PARSER_QUANTILE_H
#define PARSER_QUANTILE_H

/*
 * Quantiles, MIN and MAX (ALGORITHMS 6): no measure, but a histogram of the argument in each group,
 * from which bins are drawn. Every person weighs the same in it, however many rows they have. MIN
 * and MAX are robust: as many people from the end as keeps the empty bins beyond the data from
 * being drawn.
 */
#include "parser/compile_internal.h"

/* Is it a function of this file? */
bool quantile_is(const char *name);
/* Compiles a call of one into the aggregate; false where refused or pending. */
bool quantile_compile(struct level *level, PgQuery__FuncCall *call, const char *name,
                      struct level_aggregate *aggregate);
/* Its place in a histogram, shared with others of the same argument; false where refused. */
bool quantile_share(struct level *level, struct level_aggregate *aggregate);

/* Index of the rank among those of the histogram; their number where it is none of them. */
size_t quantile_find(const struct level_histogram *histogram, const struct dp_rank *rank);

/* quantile_price.c: draws of the histogram for at most `share` (pico mu^2, or nano epsilon in a
 * Laplace release); false where refused. */
bool quantile_price(struct level *level, struct level_histogram *histogram, uint64_t share);
/* The draw is had with another strength (of its kind): errors and extremes follow it. */
void quantile_sharpen(struct level_histogram *histogram, struct release_draw *draw, uint64_t m);
/* Ranks by which the worst quantile of the aggregate may be off. */
double quantile_error(const struct level *level, const struct level_aggregate *aggregate);

/* The finished value over the released columns u.q1.., in PostgreSQL's type for it. */
const char *quantile_sql(const struct level *level, const struct level_aggregate *aggregate);
/* Quantiles of all histograms: the columns u.q1... */
size_t quantile_columns(const struct level *level);

/* fraction.c: what stands in the brackets of percentile_cont and percentile_disc, into ranks;
 * refused where it is not a constant from 0 to 1 or an array of them. */
bool fraction_compile(struct level *level, PgQuery__FuncCall *call,
                      struct level_aggregate *aggregate);
/* The nearest rank of a fraction from 0 to 1. */
struct dp_rank fraction_rank(const struct dp_decimal *fraction);

#endif
