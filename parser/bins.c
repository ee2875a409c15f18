#include "parser/bins.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "parser/catalog.h"

#define MINUS " OPERATOR(pg_catalog.-) "
#define PLUS " OPERATOR(pg_catalog.+) "
#define OVER " OPERATOR(pg_catalog./) "
#define TIMES " OPERATOR(pg_catalog.*) "

enum { NUMERIC_SCALE = 8, NUMERIC_SCALE_MAX = 15 };
/* Where PostgreSQL's dates begin and end; time stamps within 2^60 microseconds can be subtracted.
 */
enum { DATE_FIRST = -2451545, DATE_LAST = 2145031948 };
static const int64_t stamp_first = INT64_C(-211813488000000000), stamp_last = INT64_C(1) << 60;
static const __int128 digits_limit = (__int128)1 << 120; /* sums of two fit */
static const int64_t second = 1000000, day = INT64_C(86400000000);

static bool is_integer(uint32_t type)
{
    return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8;
}

static bool is_stamp(uint32_t type)
{
    return type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMPTZ;
}

/* --- choosing -----------------------------------------------------------------------------------
 */

/* The least of 1, 2, 5, 10, 20, ... times unit that is no less than the quotient. */
static __int128 round_up(__int128 quotient, __int128 unit)
{
    static const int steps[] = {1, 2, 5};
    for (__int128 power = unit;; power *= 10)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            if (power * steps[i] >= quotient)
                return power * steps[i];
}

/* The same in parts of the clock. */
static __int128 round_up_time(__int128 quotient)
{
    static const int seconds[] = {1,    2,    5,     10,    15,    20,    30,
                                  60,   120,  300,   600,   900,   1200,  1800,
                                  3600, 7200, 10800, 14400, 21600, 28800, 43200};
    if (quotient <= second / 2)
        return round_up(quotient, 1);
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        if (seconds[i] * second >= quotient)
            return seconds[i] * second;
    return round_up(quotient, day);
}

static void cut_up(struct bins *bins)
{
    __int128 values = bins->last - bins->first + 1;
    __int128 least = (values + BINS_MAX - 1) / BINS_MAX;
    bins->width = is_stamp(bins->type) ? round_up_time(least) : round_up(least, 1);
    bins->n = (uint32_t)((values + bins->width - 1) / bins->width);
}

/* Fewer digits after the point do where every edge is a multiple of ten. */
static void shorten(struct bins *bins)
{
    while (bins->grid.scale10 > 0 && bins->first % 10 == 0 && bins->last % 10 == 0 &&
           bins->width % 10 == 0) {
        bins->grid.scale10--;
        bins->first /= 10;
        bins->last /= 10;
        bins->width /= 10;
    }
}

static double as_double(const struct dp_decimal *value)
{
    char text[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, text);
    return strtod(text, NULL);
}

/* The finest power of two that cuts the range into few enough parts, all of whose edges are
 * floating point numbers. */
static bool choose_floating(const struct dp_decimal *low, const struct dp_decimal *high,
                            struct bins *out)
{
    const double limit = 0x1p52;
    out->floating = true;
    out->low = as_double(low);
    out->high = as_double(high);
    out->width = 1;
    for (int exponent = -100; exponent <= 130; exponent++) {
        double first = floor(ldexp(out->low, -exponent)), last = floor(ldexp(out->high, -exponent));
        if (fabs(first) > limit || fabs(last) > limit || last - first + 1 > BINS_MAX)
            continue;
        out->grid.exp2 = exponent;
        out->first = (__int128)first;
        out->last = (__int128)last;
        out->n = (uint32_t)(last - first + 1);
        return true;
    }
    return false;
}

static void limit_range(struct bins *bins, int64_t first, int64_t last)
{
    bins->first = bins->first < first ? first : bins->first > last ? last : bins->first;
    bins->last = bins->last < first ? first : bins->last > last ? last : bins->last;
}

bool bins_choose(uint32_t type, const struct dp_decimal *low, const struct dp_decimal *high,
                 int scale, struct bins *out)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    struct dp_decimal first, last;
    bool any_scale = type == TYPE_NUMERIC && scale < 0;
    *out = (struct bins){.type = type};
    if (type == TYPE_FLOAT4 || type == TYPE_FLOAT8)
        return choose_floating(low, high, out);
    if (type == TYPE_NUMERIC)
        out->grid.scale10 = any_scale                   ? NUMERIC_SCALE
                            : scale > NUMERIC_SCALE_MAX ? NUMERIC_SCALE_MAX
                                                        : scale;
    else if (!is_integer(type) && type != TYPE_DATE && !is_stamp(type))
        return false;
    if (!dp_decimal_divide(low, &one, out->grid.scale10, true, &first) ||
        !dp_decimal_divide(high, &one, out->grid.scale10, false, &last))
        return false;
    if (first.digits < -digits_limit || first.digits > digits_limit ||
        last.digits < -digits_limit || last.digits > digits_limit)
        return false;
    out->first = first.digits;
    out->last = last.digits < first.digits ? first.digits : last.digits;
    if (type == TYPE_DATE)
        limit_range(out, DATE_FIRST, DATE_LAST);
    if (is_stamp(type))
        limit_range(out, stamp_first, stamp_last);
    cut_up(out);
    if (any_scale)
        shorten(out);
    return true;
}

/* --- writing ------------------------------------------------------------------------------------
 */

static const char *integer(struct arena *arena, __int128 value, const char *type)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal decimal = {value, 0};
    dp_decimal_print(&decimal, digits);
    return arena_printf(arena, "'%s'::pg_catalog.%s", digits, type);
}

static const char *decimal(const struct bins *bins, __int128 steps, struct arena *arena)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal value = {steps, bins->grid.scale10};
    dp_decimal_print(&value, digits);
    return arena_printf(arena, "'%s'::pg_catalog.numeric", digits);
}

/* A time stamp from its days, an int4, and microseconds, a float8: exact. */
static const char *stamp(uint32_t type, const char *days, const char *microseconds,
                         struct arena *arena)
{
    const char *plain =
        arena_printf(arena,
                     "(('2000-01-01'::pg_catalog.date" PLUS "%s)::pg_catalog.timestamp" PLUS
                     "(%s" TIMES "'00:00:00.000001'::pg_catalog.interval))",
                     days, microseconds);
    return type == TYPE_TIMESTAMP ? plain
                                  : arena_printf(arena, "pg_catalog.timezone('UTC', %s)", plain);
}

static const char *stamp_constant(uint32_t type, __int128 value, struct arena *arena)
{
    __int128 days = value / day, rest = value % day;
    return stamp(type, integer(arena, days, "int4"), integer(arena, rest, "float8"), arena);
}

static const char *date_constant(__int128 value, struct arena *arena)
{
    return arena_printf(arena, "('2000-01-01'::pg_catalog.date" PLUS "%s)",
                        integer(arena, value, "int4"));
}

static const char *clamped(const char *x, const char *low, const char *high, struct arena *arena)
{
    return arena_printf(arena, "LEAST(GREATEST(%s, %s), %s)", x, low, high);
}

/* Bins apart, not steps: the quotient, without its fraction, of two integers of the type. */
static void write_quotient(const struct bins *bins, const char *steps, const char *type,
                           struct text *out)
{
    if (bins->width == 1)
        text_printf(out, "(%s)::pg_catalog.int8", steps);
    else
        text_printf(out, "((%s)" OVER "%s)::pg_catalog.int8", steps,
                    integer(out->arena, bins->width, type));
}

static bool fits_int8(const struct bins *bins)
{
    const __int128 limit = (__int128)1 << 61;
    return is_integer(bins->type) && bins->first > -limit && bins->last < limit;
}

/* A quotient that is too small to be one would be an underflow, and that an error. */
static void write_floating(const struct bins *bins, const char *x, struct text *out)
{
    struct arena *arena = out->arena;
    const char *low = arena_printf(arena, "'%.17g'::pg_catalog.float8", bins->low);
    const char *high = arena_printf(arena, "'%.17g'::pg_catalog.float8", bins->high);
    const char *value = arena_printf(arena, "%s::pg_catalog.float8", x);
    const char *distance =
        arena_printf(arena, "(%s" MINUS "'%.17g'::pg_catalog.float8)",
                     clamped(value, low, high, arena), ldexp((double)bins->first, bins->grid.exp2));
    const char *width =
        arena_printf(arena, "'%.17g'::pg_catalog.float8", ldexp(1, bins->grid.exp2));
    text_printf(out,
                "CASE WHEN %s OPERATOR(pg_catalog.<) %s THEN 0 ELSE LEAST(pg_catalog.floor(%s" OVER
                "%s), '%u'::pg_catalog.float8)::pg_catalog.int8 END",
                distance, width, distance, width, bins->n - 1);
}

void bins_write(const struct bins *bins, const char *x, struct text *out)
{
    struct arena *arena = out->arena;
    const char *low, *high;
    if (bins->floating) {
        write_floating(bins, x, out);
    } else if (bins->type == TYPE_DATE) {
        low = date_constant(bins->first, arena);
        high = date_constant(bins->last, arena);
        write_quotient(bins,
                       arena_printf(arena, "%s" MINUS "%s", clamped(x, low, high, arena), low),
                       "int4", out);
    } else if (is_stamp(bins->type)) {
        low = stamp_constant(bins->type, bins->first, arena);
        high = stamp_constant(bins->type, bins->last, arena);
        write_quotient(bins,
                       arena_printf(arena,
                                    "pg_catalog.round(pg_catalog.date_part('epoch', %s" MINUS
                                    "%s)" TIMES "'1000000'::pg_catalog.float8)::pg_catalog.int8",
                                    clamped(x, low, high, arena), low),
                       "int8", out);
    } else if (fits_int8(bins)) {
        low = integer(arena, bins->first, "int8");
        high = integer(arena, bins->last, "int8");
        x = arena_printf(arena, "%s::pg_catalog.int8", x);
        write_quotient(bins,
                       arena_printf(arena, "%s" MINUS "%s", clamped(x, low, high, arena), low),
                       "int8", out);
    } else {
        low = decimal(bins, bins->first, arena);
        high = decimal(bins, bins->last, arena);
        x = arena_printf(arena, "%s::pg_catalog.numeric", x);
        text_printf(out, "pg_catalog.div(%s" MINUS "%s, %s)::pg_catalog.int8",
                    clamped(x, low, high, arena), low, decimal(bins, bins->width, arena));
    }
}

static const char *type_name(uint32_t type)
{
    switch (type) {
    case TYPE_INT2:
        return "pg_catalog.int2";
    case TYPE_INT4:
        return "pg_catalog.int4";
    case TYPE_INT8:
        return "pg_catalog.int8";
    case TYPE_FLOAT4:
        return "pg_catalog.float4";
    case TYPE_FLOAT8:
        return "pg_catalog.float8";
    default:
        return "pg_catalog.numeric";
    }
}

const char *bins_value_sql(const struct bins *bins, const char *value, struct arena *arena)
{
    const char *day_length = integer(arena, day, "numeric");
    if (bins->type == TYPE_DATE)
        return arena_printf(arena, "('2000-01-01'::pg_catalog.date" PLUS "%s::pg_catalog.int4)",
                            value);
    if (is_stamp(bins->type))
        return stamp(
            bins->type,
            arena_printf(arena, "pg_catalog.div(%s, %s)::pg_catalog.int4", value, day_length),
            arena_printf(arena, "pg_catalog.mod(%s, %s)::pg_catalog.float8", value, day_length),
            arena);
    if (bins->floating) /* the first bin may begin before the range */
        value = arena_printf(arena, "GREATEST(%s, '%.17g'::pg_catalog.float8)", value, bins->low);
    return arena_printf(arena, "%s::%s", value, type_name(bins->type));
}

const char *bins_width_text(const struct bins *bins, struct arena *arena)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    struct dp_decimal width = {bins->width, bins->grid.scale10};
    if (bins->floating)
        return arena_printf(arena, "%.9g", ldexp(1, bins->grid.exp2));
    if (is_stamp(bins->type))
        return arena_printf(arena, "%.9g seconds", (double)bins->width / (double)second);
    width = dp_decimal_normalize(&width);
    dp_decimal_print(&width, digits);
    return arena_printf(arena, bins->type == TYPE_DATE ? "%s days" : "%s", digits);
}
