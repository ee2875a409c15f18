#ifndef PARSER_EXPR_CALENDAR_H
#define PARSER_EXPR_CALENDAR_H

/* Bounds of dates (days), time stamps (microseconds since 2000-01-01) and intervals (microseconds);
 * for parser/expr_*.c only. */
#include "parser/expr_internal.h"

#define SECOND_US 1000000LL
#define DAY_US (86400 * SECOND_US)

/* Canonical dates and time stamps of years of our era; false: anything else. */
bool expr_read_stamp(const char *text, bool has_time, long long *value);
/* Canonical intervals ("0 mons 1 days 60000000 microseconds") without months, whose length is not
 * fixed; false: anything else. */
bool expr_read_span(const char *text, long long *value);
/* A cast from date to a time stamp, or back. */
void expr_bounds_by_day(struct expr *expr, bool to_stamp);
void expr_bounds_truncated(struct expr *expr); /* date_trunc */
void expr_bounds_extracted(struct expr *expr); /* extract, date_part */

/* expr_bounds.c */
void expr_set_bounds(struct expr *expr, const struct dp_decimal *low,
                     const struct dp_decimal *high);
void expr_set_integers(struct expr *expr, long long low, long long high);

#endif
