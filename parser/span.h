#ifndef PARSER_SPAN_H
#define PARSER_SPAN_H

/*
 * Sums and averages of type interval, as numbers of seconds with six digits. A day has 24 hours and
 * a month 30 days, as in PostgreSQL's own comparison of intervals, so that equal intervals are
 * equal numbers. Differences of time stamps have no months.
 */
#include "parser/arena.h"
#include "parser/compile_internal.h"

enum { SPAN_SCALE = 6 };

/* From the microseconds of expr_bounds to seconds; false where a sum could not be told as an
 * interval. */
bool span_seconds(struct dp_decimal *value);

/* The interval x, within low and high (seconds), in seconds; never fails. */
const char *span_clamped_sql(struct arena *arena, const char *x, const struct dp_decimal *low,
                             const struct dp_decimal *high);

/* The interval of so many seconds, an expression of type numeric: days, and what is left of them.
 * Beyond 2147483647 days it is that. */
const char *span_interval_sql(struct arena *arena, const char *seconds);

#endif
