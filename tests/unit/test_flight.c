/* The planner's question to the twin: nothing in it can be shadowed, and what comes back is read
 * strictly. */
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <string.h>

#include "proxy/flight.h"

static const struct statement_name names[] = {{NULL, "pe\"ople"}, {"s'x", "t"}};
static const struct statement statement = {
    .class = STATEMENT_CANDIDATE, .n_names = 2, .names = names};

Test(flight, names_are_quoted_twice_and_functions_are_qualified)
{
    struct arena *arena = arena_new();
    const char *sql = flight_sql(arena, &statement, "", "", 0, NULL);
    cr_assert_not_null(strstr(sql, "pg_catalog.to_regclass('\"pe\"\"ople\"')"), "%s", sql);
    cr_assert_not_null(strstr(sql, "pg_catalog.to_regclass('\"s''x\".\"t\"')"), "%s", sql);
    for (const char *at = sql; (at = strstr(at, "current_setting(")) != NULL; at++)
        cr_assert(strncmp(at - 11, "pg_catalog.", 11) == 0);
    arena_free(arena);
}

static struct wire_message row(struct evbuffer *out, size_t n, const char *const *cells)
{
    struct wire_writer writer = wire_begin(out, 'D');
    wire_add_int16(&writer, (uint16_t)n);
    for (size_t i = 0; i < n; i++) {
        wire_add_int32(&writer, cells[i] ? (uint32_t)strlen(cells[i]) : UINT32_MAX);
        if (cells[i])
            wire_add_bytes(&writer, cells[i], strlen(cells[i]));
    }
    wire_end(&writer);
    struct wire_message message;
    cr_assert_eq(wire_peek(out, false, SIZE_MAX, &message), WIRE_READY);
    return message;
}

Test(flight, values_come_back_in_a_form_no_setting_can_bend)
{
    static const uint32_t types[] = {TYPE_FLOAT8, TYPE_INTERVAL, TYPE_TEXT, TYPE_DATE, 99999};
    static const char *const cells[] = {
        "302e35", /* 0.5 */
        NULL,
        "",
        NULL,
        NULL,
        NULL,
        NULL,
        "6e6f74696365",
        "555443",
        "t",
        "16500",
        NULL,
        "3fb999999999999a",                 /* 0.1 */
        "000000000000000affffffff00000002", /* 10 us, -1 day, 2 months */
        "c3a4",
        "2020-02-29",
        "6c6f77"};
    struct arena *arena = arena_new();
    struct evbuffer *buffer = evbuffer_new();
    struct wire_message message = row(buffer, 17, cells);
    struct flight flight;
    cr_assert(flight_read(arena, &message, 2, 5, types, &flight));
    cr_assert(flight.still_prepared);
    cr_assert_str_eq(flight.settings[FLIGHT_EPSILON], "0.5");
    cr_assert_str_eq(flight.settings[FLIGHT_DELTA], "");
    cr_assert_str_eq(flight.settings[FLIGHT_MIN_MESSAGES], "notice");
    cr_assert_eq(flight.oids[0], 16500);
    cr_assert_eq(flight.oids[1], 0);
    cr_assert_str_eq(flight.params[0].text, "0.10000000000000001");
    cr_assert_str_eq(flight.params[1].text, "2 mons -1 days 10 microseconds");
    cr_assert_str_eq(flight.params[2].text, "\xC3\xA4");
    cr_assert_str_eq(flight.params[3].text, "2020-02-29");
    cr_assert_eq(flight.params[4].type, TYPE_TEXT);
    evbuffer_free(buffer);
    arena_free(arena);
}

Test(flight, a_row_of_another_shape_or_with_bad_digits_is_not_believed)
{
    static const uint32_t types[] = {TYPE_TEXT};
    static const char *const cells[] = {"", "", "", "", "", "", "", "555443", "", "t", "zz"};
    struct arena *arena = arena_new();
    struct evbuffer *buffer = evbuffer_new();
    struct wire_message message = row(buffer, 11, cells);
    struct flight flight;
    cr_assert_not(flight_read(arena, &message, 0, 1, types, &flight));
    cr_assert_not(flight_read(arena, &message, 1, 1, types, &flight));
    cr_assert_not(flight_read(arena, &message, 0, 0, NULL, &flight));
    evbuffer_free(buffer);
    arena_free(arena);
}

Test(flight, wanted_constants_are_cast_on_the_twin_and_read_back)
{
    struct sql_constant constants[] = {{.type = TYPE_DATE, .literal = "1.2.'20"},
                                       {.type = TYPE_TIMESTAMPTZ, .literal = "today"}};
    static const char *const cells[] = {"2020-02-01", "2026-11-22T00:00:00+01:00"};
    struct arena *arena = arena_new();
    const char *sql = flight_constants_sql(arena, 2, constants);
    cr_assert_not_null(strstr(sql, "('1.2.''20'::pg_catalog.date)"), "%s", sql);
    struct evbuffer *buffer = evbuffer_new();
    struct wire_message message = row(buffer, 2, cells);
    cr_assert(flight_read_constants(arena, &message, 2, constants));
    cr_assert_str_eq(constants[1].canonical, "2026-11-22T00:00:00+01:00");
    evbuffer_free(buffer);
    arena_free(arena);
}
