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

/* quantile_price.c: what the histogram's ranks would be had by for at most `share` (pico mu^2, or
 * nano epsilon in a Laplace release); false where refused. */
bool quantile_price(struct level *level, struct level_histogram *histogram, uint64_t share);
/* A draw of the missing ranks of wanted draw `number` alone, each with no larger an error (one of
 * each of the histogram's ranks) than it is allowed. False where there is none. */
bool quantile_price_rest(const struct level *level, const struct level_histogram *histogram,
                         size_t number, const bool *missing, const double *errors,
                         struct release_draw *out);
/* Fills in rank, place and sharpness of the values (one of each of the histogram's ranks) that come
 * from this draw, number `number`, and the offsets of its extremes; or their sharpness alone. */
void quantile_find_values(const struct level *level, const struct level_histogram *histogram,
                          struct release_draw *draw, size_t number, struct release_value *values);
void quantile_find_sharpness(const struct level *level, const struct level_histogram *histogram,
                             const struct release_draw *draw, size_t number,
                             struct release_value *values);
/* The value, whose rank is that of the histogram, is had from what is kept. */
void quantile_keep(const struct level_histogram *histogram, enum value_source source, size_t kept,
                   const struct dp_calibration *sharpness, struct release_value *value);

/* quantile_error.c: ranks by which a quantile with this sharpness may be off; negative: it is none
 * of the histogram's. */
double quantile_error_of(const struct level *level, const struct level_histogram *histogram,
                         const struct dp_calibration *sharpness, const struct dp_rank *rank);
/* Of the worst quantile of the aggregate. */
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
