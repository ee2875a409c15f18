#ifndef PARSER_EXPR_CALENDAR_H
#define PARSER_EXPR_CALENDAR_H

/* Bounds of dates (days) and time stamps (microseconds since 2000-01-01); for parser/expr_*.c only.
 */
#include "parser/expr_internal.h"

#define DAY_US 86400000000LL

/* Canonical dates and time stamps of years of our era; false: anything else. */
bool expr_read_stamp(const char *text, bool has_time, long long *value);
/* A cast from date to a time stamp, or back. */
void expr_bounds_by_day(struct expr *expr, bool to_stamp);
void expr_bounds_truncated(struct expr *expr); /* date_trunc */
void expr_bounds_extracted(struct expr *expr); /* extract, date_part */

/* expr_bounds.c */
void expr_set_bounds(struct expr *expr, const struct dp_decimal *low,
                     const struct dp_decimal *high);
void expr_set_integers(struct expr *expr, long long low, long long high);

#endif
