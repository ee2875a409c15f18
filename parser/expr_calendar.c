/* Bounds of what is made of dates and time stamps. */
#include "parser/expr_calendar.h"

#include <stdio.h>
#include <string.h>

#define EPOCH_DAYS 10957 /* from 1970-01-01 to 2000-01-01 */

static bool bounded(const struct expr *expr)
{
    return expr->has_low && expr->has_high;
}

/* Number of days since 2000-01-01 of a date of the proleptic Gregorian calendar. */
static long long days_of(long long year, int month, int day)
{
    year -= month <= 2;
    long long era = (year >= 0 ? year : year - 399) / 400;
    long long of_era = year - era * 400;
    long long of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468 - EPOCH_DAYS;
}

static long long year_of(long long days)
{
    days += 719468 + EPOCH_DAYS;
    long long era = (days >= 0 ? days : days - 146096) / 146097;
    long long of_era = days - era * 146097;
    long long of_400 = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    long long of_year = of_era - (365 * of_400 + of_400 / 4 - of_400 / 100);
    return of_400 + era * 400 + ((5 * of_year + 2) / 153 >= 10);
}

/* The digits that come next, after the separator; false: there are none, or too many. */
static bool digits(const char **text, char separator, long long *value)
{
    size_t n;

    if (separator && *(*text)++ != separator)
        return false;
    n = strspn(*text, "0123456789");
    if (n == 0 || n > 6)
        return false;
    for (*value = 0; n > 0; n--)
        *value = *value * 10 + (*(*text)++ - '0');
    return true;
}

/* +hh, +hh:mm or Z, in seconds. */
static bool read_zone(const char **text, long long *zone)
{
    char sign = **text;
    long long hours = 0, minutes = 0;

    *zone = 0;
    if (sign == 'Z')
        (*text)++;
    if (sign != '+' && sign != '-')
        return true;
    if (!digits(text, sign, &hours) || (**text == ':' && !digits(text, ':', &minutes)))
        return false;
    *zone = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

bool expr_read_span(const char *text, long long *value)
{
    long long days, microseconds;
    int end = 0;
    if (sscanf(text, "0 mons %lld days %lld microseconds%n", &days, &microseconds, &end) != 2 ||
        end == 0 || text[end] != '\0')
        return false;
    return !__builtin_mul_overflow(days, DAY_US, value) &&
           !__builtin_add_overflow(*value, microseconds, value);
}

bool expr_read_stamp(const char *text, bool has_time, long long *value)
{
    long long year, month, day, hour = 0, minute = 0, second = 0, fraction = 0, zone = 0;

    if (!digits(&text, 0, &year) || !digits(&text, '-', &month) || !digits(&text, '-', &day) ||
        year < 1 || month < 1 || month > 12)
        return false;
    *value = days_of(year, (int)month, (int)day);
    if (!has_time)
        return *text == '\0';
    if ((*text == ' ' || *text == 'T') &&
        (!digits(&text, *text, &hour) || !digits(&text, ':', &minute) ||
         !digits(&text, ':', &second)))
        return false;
    if (*text == '.') {
        long long unit = 100000;
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            fraction += (*text - '0') * unit;
    }
    if (!read_zone(&text, &zone))
        return false;
    *value = *value * DAY_US + ((hour * 60 + minute) * 60 + second - zone) * 1000000 + fraction;
    return *text == '\0';
}

void expr_bounds_by_day(struct expr *expr, bool to_stamp)
{
    const struct expr *a = expr->args[0];
    const struct dp_decimal day = dp_decimal_from_int(DAY_US);
    struct dp_decimal low, high;

    if (!bounded(a))
        return;
    bool fits = to_stamp ? dp_decimal_multiply(&a->low, &day, &low) &&
                               dp_decimal_multiply(&a->high, &day, &high)
                         : dp_decimal_divide(&a->low, &day, 0, false, &low) &&
                               dp_decimal_divide(&a->high, &day, 0, false, &high);
    if (!fits)
        return;
    /* The time zone can move a day's begin by one day. */
    struct dp_decimal margin = dp_decimal_from_int(expr->type.oid == TYPE_TIMESTAMPTZ ? DAY_US : 0);
    if (dp_decimal_subtract(&low, &margin, &low) && dp_decimal_add(&high, &margin, &high))
        expr_set_bounds(expr, &low, &high);
}

void expr_bounds_truncated(struct expr *expr)
{
    const struct expr *a = expr->args[1];
    const struct dp_decimal year = dp_decimal_from_int(367 * DAY_US);

    expr->has_high = a->has_high;
    expr->high = a->high;
    if (!a->has_low || strstr("decade century millennium", expr->text))
        return;
    expr->has_low = dp_decimal_subtract(&a->low, &year, &expr->low);
}

/* Bounds of the argument in whole days, widened where the time zone decides on the day. */
static bool day_bounds(const struct expr *arg, long long *low, long long *high)
{
    const struct dp_decimal unit = dp_decimal_from_int(arg->type.oid == TYPE_DATE ? 1 : DAY_US);
    struct dp_decimal from, to;
    const long long most = 1000000000;

    if (!bounded(arg) || !dp_decimal_divide(&arg->low, &unit, 0, false, &from) ||
        !dp_decimal_divide(&arg->high, &unit, 0, false, &to))
        return false;
    if (from.digits < -most || to.digits > most)
        return false;
    *low = (long long)from.digits - (arg->type.oid == TYPE_TIMESTAMPTZ);
    *high = (long long)to.digits + (arg->type.oid == TYPE_TIMESTAMPTZ);
    return true;
}

static long long floor_divide(long long a, long long b)
{
    return a / b - (a % b < 0);
}

static void extract_of_calendar(struct expr *expr, const struct expr *arg)
{
    long long low, high;

    if (!day_bounds(arg, &low, &high))
        return;
    if (strcmp(expr->text, "epoch") == 0) {
        expr_set_integers(expr, (low + EPOCH_DAYS) * 86400, (high + 1 + EPOCH_DAYS) * 86400);
        return;
    }
    if (strcmp(expr->text, "julian") == 0) {
        expr_set_integers(expr, low + 2451545, high + 2451546);
        return;
    }
    low = year_of(low);
    high = year_of(high);
    if (low < 1) /* before our era years are counted backwards */
        low = low - 1;
    if (strcmp(expr->text, "year") == 0)
        expr_set_integers(expr, low, high);
    else if (strcmp(expr->text, "isoyear") == 0)
        expr_set_integers(expr, low - 1, high + 1);
    else if (strcmp(expr->text, "decade") == 0)
        expr_set_integers(expr, floor_divide(low, 10), floor_divide(high, 10));
    else if (strcmp(expr->text, "century") == 0)
        expr_set_integers(expr, floor_divide(low, 100), floor_divide(high, 100) + 1);
    else if (strcmp(expr->text, "millennium") == 0)
        expr_set_integers(expr, floor_divide(low, 1000), floor_divide(high, 1000) + 1);
}

/* The fields of an interval have signs and, the largest, no end. */
static void extract_of_span(struct expr *expr, const struct expr *arg, bool exact)
{
    struct dp_decimal low = arg->low, high = arg->high;
    if (strcmp(expr->text, "epoch") != 0)
        return;
    expr->scale = exact ? 6 : -1;
    low.scale += 6;
    high.scale += 6;
    if (bounded(arg) && low.scale <= DP_DECIMAL_SCALE_MAX && high.scale <= DP_DECIMAL_SCALE_MAX)
        expr_set_bounds(expr, &low, &high);
}

void expr_bounds_extracted(struct expr *expr)
{
    static const struct {
        const char *field;
        int low, high, scale;
    } natural[] = {
        {"quarter", 1, 4, 0},
        {"month", 1, 12, 0},
        {"week", 1, 53, 0},
        {"day", 1, 31, 0},
        {"doy", 1, 366, 0},
        {"dow", 0, 6, 0},
        {"isodow", 1, 7, 0},
        {"hour", 0, 23, 0},
        {"minute", 0, 59, 0},
        {"second", 0, 60, 6},
        {"milliseconds", 0, 60000, 3},
        {"microseconds", 0, 60000000, 0},
        {"timezone_hour", -16, 16, 0},
        {"timezone_minute", -59, 59, 0},
        {"timezone", -57600, 57600, 0},
    };
    const struct expr *arg = expr->args[1];
    bool exact = expr->type.oid == TYPE_NUMERIC;
    bool time = arg->type.oid == TYPE_TIME;

    if (arg->type.oid == TYPE_INTERVAL) {
        extract_of_span(expr, arg, exact);
        return;
    }
    for (size_t i = 0; i < sizeof natural / sizeof *natural; i++) {
        if (strcmp(expr->text, natural[i].field) != 0)
            continue;
        /* Type time has the hour 24. */
        expr_set_integers(expr, natural[i].low, natural[i].high + (time && natural[i].high == 23));
        expr->scale = exact ? natural[i].scale : -1;
        return;
    }
    if (exact && strcmp(expr->text, "julian") != 0)
        expr->scale = strcmp(expr->text, "epoch") == 0 ? 6 : 0;
    if (time && strcmp(expr->text, "epoch") == 0)
        expr_set_integers(expr, 0, 86400);
    else
        extract_of_calendar(expr, arg);
}
