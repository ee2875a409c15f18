#ifndef PARSER_INTERVAL_H
#define PARSER_INTERVAL_H

/*
 * Error statements of a level's aggregates (ALGORITHMS 8), at dp.confidence: before the answer for
 * EXPLAIN, and after it for dp.interval_low, dp.interval_high and dp.stddev. Noise alone: values
 * beyond their bounds and rows beyond a person's are not in them. All of it follows from the plan
 * and from what is released.
 */
#include "parser/compile_internal.h"

enum { INTERVAL_ASSUMED_COUNT = 1000 };

/* Half-width of the aggregate's error; of a quantile: in ranks; of an average: where the count is
 * INTERVAL_ASSUMED_COUNT and the mean in the middle of its range; of a variance: where it is
 * besides a quarter of its range.
 */
double interval_halfwidth(const struct level *level, const struct level_aggregate *aggregate);

/* A call of one of the three functions, *what then set. */
enum interval_kind { INTERVAL_LOW, INTERVAL_HIGH, INTERVAL_STDDEV };
bool interval_is(const PgQuery__Node *node, enum interval_kind *what);
/* Index of the call's column in the release; -1: refused or pending. */
int interval_add(struct level *level, const PgQuery__Node *node, enum interval_kind what);
/* Refuses calls that are left in the statement once all releases are taken out: their argument is
 * no aggregate of a release. */
bool interval_none_left(struct compile *c, ProtobufCMessage *statement);

/* interval_sql.c: the column as SQL over the released measures u.m1.., of type float8. */
const char *interval_sql(const struct level *level, const struct level_interval *interval);

/* Standard deviations that keep a sum or ratio of several noises within with probability
 * 1 - beta. A sum of Laplace noises has tails between a Gaussian's and a Laplace's. */
double interval_z(const struct level *level, double beta);
/* By how much an error of the count moves the sum. */
double interval_count_factor(const struct level_aggregate *aggregate);
/* For statements about errors, never for values. */
double interval_number(const struct dp_decimal *value);

#endif
