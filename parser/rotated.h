#ifndef PARSER_ROTATED_H
#define PARSER_ROTATED_H

/*
 * The rotated pair (ALGORITHMS 4.3): with Laplace noise the count and the sum of the same rows are
 * measured as B = sum(x - low) and its complement A = sum(high - x). One person moves both together
 * by no more than either alone, so that one charge covers the two, and count = (A + B) / width and
 * sum = low * count + B have half the variance of a count and a sum that are paid for apart. A is
 * made of B's own integers, width - B row by row: rounding the two apart would add one.
 *
 * B stands in the sum's place among the level's measures, A in the count's. The functions below are
 * for every measure, of a pair or not: what the level's aggregates see are counts and sums.
 */
#include "parser/price.h"

/* Makes pairs of the level's counts and sums, once its mechanism is Laplace. Not of a count that
 * decides about private keys. */
void rotated_choose(struct level *level);
/* Calibrates the pair of which measure is the B; epsilon is for both. */
bool rotated_calibrate(struct level *level, struct level_measure *measure, dp_nano epsilon);

bool rotated_any(const struct level *level);
/* The select list that makes counts, numeric, and sums about their middle, numeric or float8
 * (measure.floating), of the noisy measures r.m1..: m1.. again. */
void rotated_write_values(const struct level *level, struct text *out);
/* Standard deviation of that value's noise; 0 where measure is negative. */
double rotated_deviation(const struct level *level, int measure);
/* Of the sum's two noises what each adds to sum + factor * count, as a standard deviation. */
void rotated_parts(const struct level *level, int sum, double factor, double parts[2]);

#endif
