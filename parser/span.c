#include "parser/span.h"

#include <stdlib.h>

#define DAYS_MOST 2147483647LL
#define SECONDS_MOST "185542587100800" /* DAYS_MOST * 86400 */
#define DAY_US 86400000000LL

bool span_seconds(struct dp_decimal *value)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    const struct dp_decimal most = {(__int128)DAYS_MOST * DAY_US, 0};
    struct dp_decimal size = dp_decimal_abs(value);
    if (dp_decimal_compare(&size, &most) >= 0 ||
        !dp_decimal_divide(value, &one, 0, value->digits >= 0, value))
        return false;
    value->scale = SPAN_SCALE;
    return true;
}

/* As days and hours, which every style of input reads alike. The value has SPAN_SCALE digits. */
static const char *literal(struct arena *arena, const struct dp_decimal *seconds)
{
    long long us = (long long)seconds->digits;
    long long rest = llabs(us % DAY_US);
    const char *sign = us < 0 ? "-" : "";
    return arena_printf(arena, "'%s%lld days %s%02lld:%02lld:%02lld.%06lld'::pg_catalog.interval",
                        sign, llabs(us / DAY_US), sign, rest / 3600000000, rest / 60000000 % 60,
                        rest / 1000000 % 60, rest % 1000000);
}

const char *span_clamped_sql(struct arena *arena, const char *x, const struct dp_decimal *low,
                             const struct dp_decimal *high)
{
    const char *clamped = arena_printf(arena, "LEAST(GREATEST(%s, %s), %s)", x, literal(arena, low),
                                       literal(arena, high));
    /* EXTRACT gives a year of twelve months 365.25 days, 453600 seconds more than twelve of 30. */
    return arena_printf(arena,
                        "(pg_catalog.\"extract\"('epoch', %s) OPERATOR(pg_catalog.-) "
                        "(pg_catalog.\"extract\"('year', %s) OPERATOR(pg_catalog.*) 453600))",
                        clamped, clamped);
}

const char *span_interval_sql(struct arena *arena, const char *seconds)
{
    const char *value = arena_printf(arena,
                                     "LEAST(GREATEST(%s, '-" SECONDS_MOST "'::pg_catalog.numeric), "
                                     "'" SECONDS_MOST "'::pg_catalog.numeric)",
                                     seconds);
    return arena_printf(arena,
                        "pg_catalog.make_interval(0, 0, 0, pg_catalog.div(%s, 86400)"
                        "::pg_catalog.int4, 0, 0, pg_catalog.mod(%s, 86400)::pg_catalog.float8)",
                        value, value);
}
