/*
 * Random expressions over random rows, compared with PostgreSQL itself: where PostgreSQL gives a
 * value, the compiled SQL gives the same one of the same type; where it raises, the compiled SQL
 * does not. Bounds, scale and "not null" hold for what comes out.
 */
#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/expr_internal.h"
#include "tests/support/expr_fixture.h"
#include "tests/support/pg_server.h"

/* Rows within the columns' bounds, rows beyond them, and rows that only totality can bear: there
 * the compiled SQL may say NULL, which changes what stands around it. */
enum { BOUNDED = 30, COMPARED = 60, ROWS = 90, TEXT_MAX = 4000, SOURCE_MAX = 40000 };

static struct pg_server server;
static PGconn *connection;
static unsigned long long state = 20150630;

static unsigned pick(unsigned n)
{
    /* xorshift: the same expressions in every run of one seed */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 20) % n;
}

static PGresult *run(const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
              PQerrorMessage(connection));
    return result;
}

/* ---- rows ---- */

/* Values at the edges of a type; the first group lies within the column's bounds. */
static const char *const pools[][20] = {
    {"id"},
    {"0", "1", "-10", "7", "999", NULL, "32767", "-32768", "NULL"},
    {"0", "1", "3", "120", "57", NULL, "2147483647", "-2147483648", "-1", "NULL", "1000000"},
    {"0", "-3", "17", "12345", NULL, "2147483647", "-2147483648", "-1", "46341"},
    {"0", "1", "-1000000", "999999", "12", NULL, "9223372036854775807", "-9223372036854775808",
     "NULL", "3037000500", "-1"},
    {"0", "0.01", "-1000", "20000.50", "1.50", "123.45", NULL, "99999999.99", "-99999999.99",
     "'NaN'", "NULL"},
    {"1", "99", "50", NULL, "99999", "-99999", "0", "'NaN'"},
    {"0", "0.5", "-5000", "4999.999999999", "1.10", "2.500", NULL, "-1e99", "1e-90", "'NaN'",
     "'Infinity'", "'-Infinity'", "NULL", "12345678901234567890.123456789", "9e99"},
    {"0", "1", "999.5", "0.1", "2.5", "1e-5", NULL, "'NaN'", "'Infinity'", "'-Infinity'", "'-0'",
     "1.7976931348623157e308", "-1.7976931348623157e308", "4.9406564584124654e-324", "1e-200",
     "NULL", "9.3e18", "1e154"},
    {"0", "-1", "1", "0.5", "0.1", NULL, "'NaN'", "'Infinity'", "3.4028235e38", "-3.4028235e38",
     "1.4e-45", "'-0'", "NULL", "16777217"},
    {"true", "false", NULL, "NULL"},
    {"true", "false"},
    {"'a'", "'Abc'", "'x y '", "''", "'12'", NULL, "NULL", "'%'", "'\\'", "'é'", "'sad'",
     "'2020-01-01'", "repeat('ab', 300)"},
    {"'v'", "'Abc'", "''", NULL, "NULL", "'0123456789'", "'a  '"},
    {"'c'", "'Abc'", "'a'", "'x y'", NULL, "NULL", "''", "'12345'"},
    {"'2001-02-03'", "'2026-12-31'", "'2012-02-29'", "'2020-01-01'", NULL, "'infinity'",
     "'-infinity'", "'3999-11-24 BC'", "'5874897-12-31'", "'0001-01-01'", "'9999-12-31'", "NULL",
     "'294277-01-01'", "'0044-03-15 BC'"},
    {"'2000-01-01'", "'2024-02-29 00:00:00'", "'2012-02-29 12:34:56.789'", "'2020-01-01'", NULL,
     "'infinity'", "'-infinity'", "'3999-11-25 00:00:00 BC'", "'284999-12-30 23:59:59.999999'",
     "'1999-12-31 23:59:59.999999'", "'0001-01-01'", "NULL", "'0044-03-15 BC'"},
    {"'2010-01-01 00:00:00+00'", "'2012-07-01 12:34:56.789+00'", "'2019-12-31 23:00:00+00'", NULL,
     "'infinity'", "'-infinity'", "'3999-11-25 00:00:00+00 BC'",
     "'284999-12-30 23:59:59.999999+00'", "NULL", "'1970-01-01 00:00:00+00'"},
    {"'1 day'", "'-3 mons 2 days 04:05:06.7'", "'0'", NULL, "'178000000 years'",
     "'-178000000 years'", "'2147483647 days'", "'-2562047788:00:00'", "'2562047788:00:54.775807'",
     "NULL", "'1 year 1 day -1 hour'"},
    {"'00:00'", "'12:34:56.789'", "'24:00'", NULL, "NULL"},
    {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'", NULL,
     "NULL"},
    {"'sad'", "'ok'", "'happy'", NULL, "NULL"},
    {"'10.0.0.1'", NULL, "NULL"},
    {"'y'", NULL, "NULL"},
};

/* Beyond what the guards let through. */
static const char *const wild[][12] = {
    {"id"},
    {"32767", "-32768", "-1", "0"},
    {"2147483647", "-2147483648", "-1", "0"},
    {"2147483647", "-2147483648", "-1", "0"},
    {"9223372036854775807", "-9223372036854775808", "-1", "0"},
    {"99999999.99", "-99999999.99", "'NaN'", "0"},
    {"99999", "-99999", "'NaN'", "0"},
    {"1e131071", "9.99e130000", "1e-16383", "-1e131071", "1e101", "1e-101", "'Infinity'",
     "'-Infinity'", "'NaN'"},
    {"1.7976931348623157e308", "-1.7976931348623157e308", "4.9406564584124654e-324",
     "-4.9406564584124654e-324", "2.2250738585072014e-308", "1e200", "'NaN'", "'-Infinity'", "0",
     "9223372036854775807", "-9223372036854775808"},
    {"3.4028235e38", "-3.4028235e38", "1.4e-45", "'NaN'", "'Infinity'", "0"},
    {"true", "NULL"},
    {"true", "false"},
    {"repeat('x', 100000)", "'\\'", "''", "chr(1)"},
    {"''", "'\\'"},
    {"''", "'\\'"},
    {"'infinity'", "'-infinity'", "'4714-11-24 BC'", "'5874897-12-31'", "'294276-12-31'",
     "'294277-01-01'"},
    {"'infinity'", "'-infinity'", "'4714-11-24 00:00:00 BC'", "'294276-12-31 23:59:59.999999'",
     "'4713-01-01 BC'", "'4001-12-31 BC'", "'290000-01-01'"},
    {"'infinity'", "'-infinity'", "'4714-11-24 00:00:00+00 BC'",
     "'294276-12-31 23:59:59.999999+00'", "'4000-01-01 00:00:00+14 BC'"},
    {"'178000000 years'", "'-178000000 years'", "'2147483647 days'", "'-2147483648 days'",
     "'2147483647 mons'", "'-2147483648 mons'", "'-2562047788:00:54.775807'",
     "'2562047788:00:54.775807'", "'178956970 years 2147483647 days 2562047788:00:54.775807'",
     "'200 years'", "'80000000 years'"},
    {"'00:00'", "'24:00'", "'23:59:59.999999'"},
    {"'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
    {"'sad'", "NULL"},
    {"'10.0.0.1'"},
    {"'y'"},
};

static const char *wild_value(size_t column)
{
    unsigned n = 0;
    while (n < 12 && wild[column][n])
        n++;
    return wild[column][pick(n)];
}

static const char *pool_value(size_t column, bool within)
{
    size_t bounded = 0, all = 0;

    for (; pools[column][bounded]; bounded++)
        ;
    for (all = bounded + 1; all < 20 && pools[column][all]; all++)
        ;
    if (within || pick(3) == 0 || all == bounded + 1)
        return pools[column][pick((unsigned)bounded)];
    return pools[column][bounded + 1 + pick((unsigned)(all - bounded - 1))];
}

static void fill(void)
{
    char sql[TEXT_MAX * 4];

    for (int row = 0; row < ROWS; row++) {
        size_t used = (size_t)snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d", row);
        for (size_t i = 1; expr_fixture_columns[i].name; i++)
            used += (size_t)snprintf(sql + used, sizeof sql - used, ", %s",
                                     row < COMPARED ? pool_value(i, row < BOUNDED) : wild_value(i));
        snprintf(sql + used, sizeof sql - used, ")");
        PQclear(run(sql));
    }
}

static void start(void)
{
    static const char *const settings[] = {"fsync = off", "max_stack_depth = '2MB'", NULL};
    char text[TEXT_MAX];

    pg_server_start(&server, settings);
    snprintf(text, sizeof text, "%s dbname=postgres", server.conninfo);
    connection = PQconnectdb(text);
    cr_assert_eq(PQstatus(connection), CONNECTION_OK, "%s", PQerrorMessage(connection));
    PQclear(run("CREATE FUNCTION pg_temp.microseconds(interval) RETURNS numeric LANGUAGE sql AS $$ "
                "SELECT 1000000 * (extract(epoch FROM $1) - 453600 * extract(year FROM $1)) $$"));
    PQclear(run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')"));
    size_t used = (size_t)snprintf(text, sizeof text, "CREATE TABLE t (");
    for (size_t i = 0; expr_fixture_columns[i].name; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", i ? ", " : "",
                                 expr_fixture_columns[i].name, expr_fixture_columns[i].declared);
    snprintf(text + used, sizeof text - used, ")");
    PQclear(run(text));
    PQclear(run(
        "CREATE FUNCTION reference(source text, OUT id int, OUT value text, OUT raised bool, "
        "OUT nan bool) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN "
        "FOR id, nan IN SELECT t.id, 'NaN' IN (t.n::text, t.k::text, t.m::text) FROM t ORDER BY 1 "
        "LOOP raised := false; value := NULL; BEGIN EXECUTE 'SELECT (' || source || ')::text FROM t "
        "WHERE id = $1' INTO value USING id; EXCEPTION WHEN OTHERS THEN raised := true; END; "
        "RETURN NEXT; END LOOP; END $$"));
    PQclear(run("SET TimeZone = 'America/New_York'"));
    PQclear(run("SET extra_float_digits = 1"));
    PQclear(run("SET plan_cache_mode = force_custom_plan"));
}

static void stop(void)
{
    PQfinish(connection);
    pg_server_stop(&server);
}

TestSuite(expr_server, .init = start, .fini = stop, .timeout = 600);

/* ---- expressions ---- */

struct source {
    char text[SOURCE_MAX];
    size_t used;
};

static void put(struct source *out, const char *piece)
{
    size_t length = strlen(piece);
    if (out->used + length + 1 < sizeof out->text) {
        memcpy(out->text + out->used, piece, length + 1);
        out->used += length;
    }
}

static void put_one(struct source *out, const char *const *pieces)
{
    unsigned n = 0;
    while (pieces[n])
        n++;
    put(out, pieces[pick(n)]);
}

#define ONE(out, ...) put_one(out, (const char *const[]){__VA_ARGS__, NULL})

static void number(struct source *out, int depth);
static void condition(struct source *out, int depth);
static void text(struct source *out, int depth);
static void stamp(struct source *out, int depth);
static void interval(struct source *out, int depth);

static void number_leaf(struct source *out)
{
    ONE(out, "s", "i", "j", "l", "n", "k", "m", "f", "r", "i", "n", "id", "0", "1", "-1", "2", "10",
        "2.5", "0.1", "-3.75", "100000", "3000000000", "12345678901234567890", "1e3", "NULL", "'7'",
        "float8 '0.5'", "int2 '3'");
}

static void call(struct source *out, const char *name, void (*argument)(struct source *, int),
                 int depth, const char *rest)
{
    put(out, name);
    put(out, "(");
    argument(out, depth);
    put(out, rest);
    put(out, ")");
}

static void date_value(struct source *out, int depth)
{
    if (depth <= 0 || pick(3) == 0) {
        ONE(out, "d", "d", "date '2015-06-30'", "date '2020-02-29'", "date 'infinity'", "g::date",
            "z::date");
        return;
    }
    put(out, "(");
    switch (pick(3)) {
    case 0:
        date_value(out, depth - 1);
        ONE(out, " + ", " - ");
        ONE(out, "1", "i", "s", "365", "j");
        break;
    case 1:
        put(out, "CASE WHEN ");
        condition(out, depth - 1);
        put(out, " THEN ");
        date_value(out, depth - 1);
        ONE(out, " END", " ELSE d END");
        break;
    default:
        put(out, "COALESCE(d, ");
        date_value(out, depth - 1);
        put(out, ")");
    }
    put(out, ")");
}

static void number(struct source *out, int depth)
{
    if (depth <= 0) {
        number_leaf(out);
        return;
    }
    put(out, "(");
    switch (pick(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        number(out, depth - 1);
        ONE(out, " + ", " - ", " * ", " / ", " % ", " + ", " * ");
        number(out, depth - 1);
        break;
    case 4:
        ONE(out, "- ", "+ ", "abs", "-", "abs");
        put(out, "(");
        number(out, depth - 1);
        put(out, ")");
        break;
    case 5:
        number(out, depth - 1);
        ONE(out, "::int4", "::int8", "::int2", "::numeric", "::float8", "::float4",
            "::numeric(10,2)", "::numeric(6,1)", "::numeric(4,0)", "::decimal");
        break;
    case 6:
        put(out, "CASE WHEN ");
        condition(out, depth - 1);
        put(out, " THEN ");
        number(out, depth - 1);
        if (pick(2)) {
            put(out, " ELSE ");
            number(out, depth - 1);
        }
        put(out, " END");
        break;
    case 7:
        ONE(out, "COALESCE(", "greatest(", "least(", "NULLIF(");
        number(out, depth - 1);
        put(out, ", ");
        number(out, depth - 1);
        put(out, ")");
        break;
    case 8:
        ONE(out, "round", "floor", "ceil", "trunc", "sign", "ceiling");
        put(out, "(");
        number(out, depth - 1);
        put(out, ")");
        break;
    case 9:
        ONE(out, "round", "trunc");
        put(out, "((");
        number(out, depth - 1);
        ONE(out, ")::numeric, 1)", ")::numeric, 0)", ")::numeric, -2)", "), 2)");
        break;
    case 10:
        ONE(out, "mod", "div", "mod");
        put(out, "(");
        number(out, depth - 1);
        put(out, ", ");
        number(out, depth - 1);
        put(out, ")");
        break;
    case 11:
        put(out, "extract(");
        ONE(out, "year", "month", "day", "dow", "doy", "quarter", "week", "epoch", "isodow",
            "isoyear", "decade", "century", "millennium", "julian");
        put(out, " FROM ");
        pick(2) ? date_value(out, depth - 1) : stamp(out, depth - 1);
        put(out, ")");
        break;
    case 12:
        ONE(out, "date_part('hour', ", "date_part('year', ", "date_part('epoch', ",
            "extract(second FROM ", "extract(minute FROM ", "extract(milliseconds FROM ");
        stamp(out, depth - 1);
        put(out, ")");
        break;
    case 13:
        if (pick(3) == 0) {
            ONE(out, "extract(hour FROM ", "extract(day FROM ", "extract(epoch FROM ",
                "extract(year FROM ", "date_part('month', ", "extract(microseconds FROM ");
            interval(out, depth - 1);
            put(out, ")");
            break;
        }
        if (pick(4) == 0) {
            ONE(out, "extract(hour FROM t)", "date_part('epoch', t)", "extract(second FROM t + w)",
                "b::int", "(i > 3)::int4", "extract(timezone FROM z)",
                "extract(timezone_hour FROM "
                "z)",
                "extract(epoch FROM t - time '01:00')", "position('b' IN x)", "octet_length(c)",
                "length(c)", "length(v)");
            break;
        }
        ONE(out, "length(", "strpos(", "char_length(", "octet_length(");
        if (strcmp(out->text + out->used - 7, "strpos(") == 0) {
            text(out, depth - 1);
            put(out, ", 'b'");
        } else {
            text(out, depth - 1);
        }
        put(out, ")");
        break;
    case 14:
        put(out, "(");
        date_value(out, depth - 1);
        put(out, ") - (");
        date_value(out, depth - 1);
        put(out, ")");
        break;
    default:
        put(out, "CASE ");
        number(out, depth - 1);
        put(out, " WHEN 1 THEN ");
        number(out, depth - 1);
        put(out, " WHEN 0 THEN 2 ELSE ");
        number(out, depth - 1);
        put(out, " END");
    }
    put(out, ")");
}

static void text(struct source *out, int depth)
{
    if (depth <= 0) {
        ONE(out, "x", "v", "c", "x", "'lit'", "'Abc'", "''", "NULL", "e::text");
        return;
    }
    put(out, "(");
    switch (pick(9)) {
    case 0:
        call(out, pick(2) ? "lower" : "upper", text, depth - 1, "");
        break;
    case 1:
        text(out, depth - 1);
        put(out, " || ");
        pick(3) ? text(out, depth - 1) : number(out, depth - 1);
        break;
    case 2:
        call(out, pick(2) ? "left" : "right", text, depth - 1, pick(2) ? ", 2" : ", -1");
        break;
    case 3:
        call(out, "substring", text, depth - 1, pick(2) ? ", 2" : ", 0, 3");
        break;
    case 4:
        put(out, "(");
        number(out, depth - 1);
        ONE(out, ")::text", ")::varchar", ")::varchar(4)", ")::char(3)");
        break;
    case 5:
        put(out, "CASE WHEN ");
        condition(out, depth - 1);
        put(out, " THEN ");
        text(out, depth - 1);
        put(out, " ELSE ");
        text(out, depth - 1);
        put(out, " END");
        break;
    case 6:
        ONE(out, "COALESCE(", "NULLIF(", "greatest(", "least(");
        text(out, depth - 1);
        put(out, ", ");
        text(out, depth - 1);
        put(out, ")");
        break;
    case 7:
        ONE(out, "trim(", "btrim(", "ltrim(", "rtrim(", "trim(both 'a' from ", "reverse(",
            "initcap(");
        text(out, depth - 1);
        put(out, ")");
        break;
    default:
        text(out, depth - 1);
        ONE(out, "::varchar(3)", "::char(4)", "::text", "::varchar");
    }
    put(out, ")");
}

static void interval(struct source *out, int depth)
{
    if (depth <= 0 || pick(2)) {
        ONE(out, "w", "w", "interval '1 month'", "interval '1 day 02:03:04'", "interval '3' day",
            "interval '-1 year'", "t::interval");
        return;
    }
    put(out, "(");
    switch (pick(4)) {
    case 0:
        interval(out, depth - 1);
        ONE(out, " * ", " / ");
        number(out, depth - 1);
        break;
    case 1:
        interval(out, depth - 1);
        ONE(out, " + ", " - ");
        interval(out, depth - 1);
        break;
    case 2:
        stamp(out, depth - 1);
        put(out, " - ");
        stamp(out, depth - 1);
        break;
    default:
        put(out, "-");
        interval(out, depth - 1);
    }
    put(out, ")");
}

static void stamp(struct source *out, int depth)
{
    if (depth <= 0) {
        ONE(out, "g", "z", "g", "z", "d", "timestamp '2020-02-29 12:00:00'",
            "timestamptz '2019-11-03 01:30:00-04'");
        return;
    }
    put(out, "(");
    switch (pick(6)) {
    case 0:
        put(out, "date_trunc(");
        ONE(out, "'month'", "'year'", "'week'", "'day'", "'hour'", "'quarter'", "'century'",
            "'minute'", "'millennium'");
        put(out, ", ");
        stamp(out, depth - 1);
        put(out, ")");
        break;
    case 1:
        stamp(out, depth - 1);
        ONE(out, " + ", " - ");
        interval(out, depth - 1);
        break;
    case 2:
        stamp(out, depth - 1);
        ONE(out, "::timestamp", "::timestamptz", "::date");
        break;
    case 3:
        put(out, "CASE WHEN ");
        condition(out, depth - 1);
        put(out, " THEN ");
        stamp(out, depth - 1);
        put(out, " ELSE ");
        stamp(out, depth - 1);
        put(out, " END");
        break;
    case 4:
        stamp(out, depth - 1);
        put(out, " AT TIME ZONE 'UTC'");
        break;
    default:
        ONE(out, "greatest(", "least(", "COALESCE(");
        stamp(out, depth - 1);
        put(out, ", ");
        stamp(out, depth - 1);
        put(out, ")");
    }
    put(out, ")");
}

static void comparison(struct source *out, void (*side)(struct source *, int), int depth)
{
    side(out, depth);
    ONE(out, " = ", " <> ", " < ", " <= ", " > ", " >= ", " IS DISTINCT FROM ",
        " IS NOT DISTINCT FROM ");
    side(out, depth);
}

static void condition(struct source *out, int depth)
{
    if (depth <= 0) {
        ONE(out, "b", "q", "i > 3", "x = 'Abc'", "e = 'ok'", "e > 'sad'", "d > '2015-01-01'",
            "n >= 1.5", "f < 10", "x LIKE 'A%'", "v ILIKE '%b_'",
            "u = "
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "a IS NULL", "t > '10:00'", "true", "NULL", "z >= '2012-01-01'", "c = 'a'",
            "w > '1 day'", "y IS NOT NULL", "starts_with(x, 'A')", "starts_with(x, v)", "i::bool",
            "split_part(x, 'b', 1) = 'A'", "substr(x, 2) > v", "t + w > t", "d + t > g", "x = v",
            "v = c", "x < v", "x LIKE 'A\\\\_%'", "x ~~ '%'", "c ILIKE 'A%'",
            "date_trunc('month', w) > '1 day'", "(t - time '02:00') < w", "x || v LIKE '%a'",
            "left(x, 3) IN ('a', 'Abc')", "f IN (0.1, 1, 2.5)", "n IN (0.01, 1.5)", "l IN (1, 12)",
            "u IN ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', NULL)", "b IN (true, NULL)",
            "CASE e WHEN 'sad' THEN b WHEN 'ok' THEN q END", "NULLIF(e, 'sad') IS NULL",
            "COALESCE(e, 'happy') = 'happy'", "e IS DISTINCT FROM 'ok'", "t = '12:34:56.789'",
            "CASE x WHEN 'a' THEN true WHEN v THEN false END", "u::text > x",
            "e IN ('sad', 'happy')", "c IN ('a', 'c')", "d IN ('2020-01-01', '2012-02-29')",
            "r IN (0.1, 0.5)", "x IN ('a', 'Abc', NULL)", "isfinite(d)", "c LIKE 'a%'",
            "v NOT LIKE '%a%'", "g > d", "g = z", "d = z");
        return;
    }
    put(out, "(");
    switch (pick(10)) {
    case 0:
        condition(out, depth - 1);
        ONE(out, " AND ", " OR ");
        condition(out, depth - 1);
        break;
    case 1:
        put(out, "NOT ");
        condition(out, depth - 1);
        break;
    case 2:
    case 3:
        comparison(out, number, depth - 1);
        break;
    case 4:
        comparison(out, text, depth - 1);
        break;
    case 5:
        comparison(out, pick(2) ? stamp : date_value, depth - 1);
        break;
    case 6:
        number(out, depth - 1);
        ONE(out, " BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC ");
        number(out, 0);
        put(out, " AND ");
        number(out, 0);
        break;
    case 7:
        number(out, depth - 1);
        ONE(out, " IN (1, 2, 3)", " NOT IN (0, 1)", " IN (0, 2.5)", " IN (1, i, s)",
            " IN (1, NULL)", " IN (7)");
        break;
    case 8:
        condition(out, depth - 1);
        ONE(out, " IS TRUE", " IS NOT TRUE", " IS FALSE", " IS NOT FALSE", " IS UNKNOWN",
            " IS NOT UNKNOWN", " IS NULL", " IS NOT NULL", " = q");
        break;
    default:
        pick(2) ? number(out, depth - 1) : text(out, depth - 1);
        ONE(out, " IS NULL", " IS NOT NULL");
    }
    put(out, ")");
}

/* ---- the comparison ---- */

/* Where our NULL may stand for a value: documented limits of the total forms. */
struct counts {
    unsigned made, accepted, refused, invalid, values, nulls, raised;
};

static bool compile_fully(struct expr_fixture *fixture, const char *source,
                          const struct expr **expr)
{
    fixture->request.n_constants = 0;
    for (int round = 0; round < 3; round++) {
        *expr = expr_fixture_compile(fixture, source);
        if (!*expr || fixture->scope.n_wanted == 0)
            return *expr != NULL;
        for (size_t i = 0; i < fixture->scope.n_wanted; i++) {
            const struct sql_constant *wanted = &fixture->scope.wanted[i];
            char sql[TEXT_MAX];
            struct catalog_type type = {.oid = wanted->type};
            const char *name = type.oid == TYPE_DATE          ? "date"
                               : type.oid == TYPE_TIMESTAMP   ? "timestamp"
                               : type.oid == TYPE_TIMESTAMPTZ ? "timestamptz"
                               : type.oid == TYPE_TIME        ? "time"
                                                              : "interval";
            snprintf(sql, sizeof sql, "SELECT %s '%s'", name, wanted->literal);
            PGresult *result = run(sql);
            expr_fixture_constant(fixture, wanted->type, wanted->literal, PQgetvalue(result, 0, 0));
            PQclear(result);
        }
    }
    return false;
}

static void prepare_params(const struct scope *scope, const char **values, Oid *types)
{
    for (size_t i = 0; i < scope->n_params; i++) {
        values[i] = scope->params[i].text;
        types[i] = scope->params[i].type;
    }
}

static PGresult *run_compiled(struct expr_fixture *fixture, const struct expr *expr,
                              const char *source)
{
    const struct scope *scope = &fixture->scope;
    struct text sql = text_new(fixture->arena), written = text_new(fixture->arena);
    const char *values[512];
    Oid types[512];

    expr_write(expr, &written);
    text_printf(&sql, "SELECT (%s)::pg_catalog.text", written.data);
    struct dp_decimal low, high;
    if (expr_bounds(expr, &low, &high)) {
        char from[DP_DECIMAL_TEXT_MAX], to[DP_DECIMAL_TEXT_MAX];
        uint32_t oid = expr_type(expr)->oid;
        const char *unit = oid == TYPE_DATE          ? "(%s) - date '2000-01-01'"
                           : oid == TYPE_TIMESTAMP   ? "extract(epoch from (%s)) * 1000000 - "
                                                       "946684800000000"
                           : oid == TYPE_TIMESTAMPTZ ? "extract(epoch from (%s)) * 1000000 - "
                                                       "946684800000000"
                           : oid == TYPE_INTERVAL    ? "pg_temp.microseconds(%s)"
                                                     : "(%s)";
        dp_decimal_print(&low, from);
        dp_decimal_print(&high, to);
        /* Only in rows whose columns are within theirs; floating point rounds what decimals do not.
         */
        const char *hole = strstr(unit, "%s");
        const char *margin =
            oid == TYPE_INTERVAL || (expr_type_is_number(oid) && expr_scale(expr) < 0) ? "1e-5"
                                                                                       : "0";
        text_printf(&sql, ", CASE WHEN r0.id < %d THEN (%.*s%s%s)::numeric", BOUNDED,
                    (int)(hole - unit), unit, written.data, hole + 2);
        text_printf(&sql, " BETWEEN %s - %s * (1 + abs(%s)) AND %s + %s * (1 + abs(%s)) END", from,
                    margin, from, to, margin, to);
    } else {
        text_add(&sql, ", true");
    }
    if (expr_scale(expr) >= 0)
        text_printf(&sql, ", scale(trim_scale((%s)::numeric)) <= %d", written.data,
                    expr_scale(expr));
    else
        text_add(&sql, ", true");
    text_add(&sql, " FROM t AS r0 ORDER BY r0.id");
    cr_assert_leq(scope->n_params, 512);
    prepare_params(scope, values, types);
    PGresult *result =
        PQexecParams(connection, sql.data, (int)scope->n_params, types, values, NULL, NULL, 0);
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s\n%s", source, sql.data,
                 PQerrorMessage(connection));
    return result;
}

static void check_type(const char *source, const struct expr *expr)
{
    PGresult *described = PQdescribePrepared(connection, "original");
    uint32_t oid = PQftype(described, 0);
    int typmod = PQfmod(described, 0);

    if (!expr_type(expr)->is_enum)
        cr_assert_eq(oid, expr_type(expr)->oid, "%s: type %u, not %u", source, oid,
                     expr_type(expr)->oid);
    cr_assert_eq(typmod, expr_type(expr)->typmod, "%s: modifier %d, not %d", source, typmod,
                 expr_type(expr)->typmod);
    PQclear(described);
}

static bool divides(const char *source)
{
    return strpbrk(source, "/%") || strstr(source, "mod(") || strstr(source, "div(");
}

static void check_rows(const char *source, const struct expr *expr, PGresult *compiled,
                       struct counts *counts)
{
    const char *values[1] = {source};
    PGresult *reference = PQexecParams(connection, "SELECT value, raised, nan FROM reference($1)",
                                       1, NULL, values, NULL, NULL, 0);

    cr_assert_eq(PQresultStatus(reference), PGRES_TUPLES_OK, "%s", PQerrorMessage(connection));
    cr_assert_eq(PQntuples(reference), PQntuples(compiled));
    for (int row = 0; row < PQntuples(compiled); row++) {
        bool raised = PQgetvalue(reference, row, 1)[0] == 't';
        bool is_null = PQgetisnull(compiled, row, 0);
        const char *ours = PQgetvalue(compiled, row, 0);
        const char *theirs = PQgetvalue(reference, row, 0);
        cr_assert(!expr_not_null(expr) || !is_null, "%s: row %d is null", source, row);
        cr_assert(PQgetisnull(compiled, row, 1) || PQgetvalue(compiled, row, 1)[0] == 't',
                  "%s: row %d, %s is out of bounds", source, row, ours);
        cr_assert(PQgetisnull(compiled, row, 2) || PQgetvalue(compiled, row, 2)[0] == 't',
                  "%s: row %d, %s has more digits", source, row, ours);
        counts->values++;
        counts->raised += raised;
        if (raised || row >= COMPARED)
            continue;
        /* NaN divided by zero is NaN to PostgreSQL and NULL here. */
        if (PQgetvalue(reference, row, 2)[0] == 't' && divides(source))
            continue;
        if (is_null && !PQgetisnull(reference, row, 0)) {
            counts->nulls++;
            if (getenv("EXPR_SHOW_NULLS"))
                fprintf(stderr, "NULL: %s: row %d: %s\n", source, row, theirs);
            continue;
        }
        cr_assert_eq(is_null, PQgetisnull(reference, row, 0), "%s: row %d: ours %s, theirs %s",
                     source, row, is_null ? "null" : ours, theirs);
        cr_assert_str_eq(ours, theirs, "%s: row %d: ours %s, theirs %s", source, row, ours, theirs);
    }
    PQclear(reference);
}

static void compare(const char *source, struct counts *counts)
{
    char sql[SOURCE_MAX + 64];

    counts->made++;
    if (getenv("EXPR_SHOW"))
        fprintf(stderr, "%s\n", source);
    snprintf(sql, sizeof sql, "SELECT %s FROM t", source);
    PGresult *prepared = PQprepare(connection, "original", sql, 0, NULL);
    bool valid = PQresultStatus(prepared) == PGRES_COMMAND_OK;
    PQclear(prepared);
    if (!valid) {
        counts->invalid++;
        return;
    }
    struct expr_fixture *fixture = expr_fixture_new();
    const struct expr *expr;
    if (compile_fully(fixture, source, &expr)) {
        counts->accepted++;
        check_type(source, expr);
        PGresult *compiled = run_compiled(fixture, expr, source);
        check_rows(source, expr, compiled, counts);
        PQclear(compiled);
    } else {
        counts->refused++;
        if (getenv("EXPR_SHOW_REFUSALS"))
            fprintf(stderr, "REFUSED: %s: %s\n", source, fixture->refusal.message);
        cr_assert_neq(fixture->refusal.message[0], '\0', "%s", source);
    }
    expr_fixture_free(fixture);
    PQclear(run("DEALLOCATE original"));
}

Test(expr_server, random_expressions_mean_what_postgresql_means)
{
    struct counts counts = {0};
    const char *seed = getenv("EXPR_SEED"), *rounds = getenv("EXPR_ROUNDS");
    static void (*const kinds[])(struct source *, int) = {number, number,   condition, text,
                                                          stamp,  interval, date_value};

    if (seed)
        state = strtoull(seed, NULL, 10);
    fill();
    unsigned n = rounds ? (unsigned)atoi(rounds) : 800;
    for (unsigned i = 0; i < n; i++) {
        struct source source = {.used = 0};
        kinds[pick(7)](&source, 1 + (int)pick(3));
        compare(source.text, &counts);
    }
    fprintf(stderr, "%u made, %u invalid, %u refused, %u accepted; %u values, %u raised, %u null\n",
            counts.made, counts.invalid, counts.refused, counts.accepted, counts.values,
            counts.raised, counts.nulls);
    cr_assert_gt(counts.accepted * 3, counts.made, "too few expressions are accepted");
    cr_assert_lt(counts.refused * 4, counts.accepted, "too many are refused");
    cr_assert_lt(counts.nulls * 20, counts.values, "too often NULL stands for a value");
}

/* ---- depth ---- */

/* left, then open and close around it. */
static void nest(struct source *out, const char *left, const char *open, const char *close,
                 int levels)
{
    out->used = 0;
    for (int i = 0; i < levels; i++)
        put(out, open);
    put(out, left);
    for (int i = 0; i < levels; i++)
        put(out, close);
}

Test(expr_server, the_deepest_accepted_expressions_run)
{
    static const struct {
        const char *left, *open, *close;
    } shapes[] = {
        {"i", "", "+1"},           {"l", "", "*1"},
        {"n", "", "+1"},           {"f", "", "*1"},
        {"x", "", "||v"},          {"b", "NOT (", ")"},
        {"i", "-(", ")"},          {"f", "-(", ")"},
        {"x", "lower(", ")"},      {"i", "CASE WHEN b THEN ", " END"},
        {"i", "COALESCE(", ",1)"}, {"i", "(", ")::int2"},
        {"f", "(", ")::float4"},   {"g", "(", ")::date"},
        {"d", "", "+1"},           {"g", "", "+w"},
        {"w", "", "*2"},           {"m", "round(", ")"},
        {"i", "NULLIF(", ",3)"},   {"i", "(", "=1)::int"},
    };

    fill();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        struct source source;
        int low = 1, high = 1000;
        /* The most levels that are still accepted. */
        while (low + 1 < high) {
            int middle = (low + high) / 2;
            nest(&source, shapes[i].left, shapes[i].open, shapes[i].close, middle);
            if (expr_fixture_compile(fixture, source.text))
                low = middle;
            else
                high = middle;
        }
        nest(&source, shapes[i].left, shapes[i].open, shapes[i].close, low);
        const struct expr *expr = expr_fixture_compile(fixture, source.text);
        cr_assert_not_null(expr, "%s", source.text);
        PQclear(run_compiled(fixture, expr, source.text));
        if (getenv("EXPR_SHOW"))
            fprintf(stderr, "%d levels of %s%s\n", low, shapes[i].open, shapes[i].close);
        expr_fixture_free(fixture);
    }
}

/* ---- where expressions stand ---- */

Test(expr_server, expressions_may_stand_wherever_a_measurement_needs_them)
{
    static const char *const texts[] = {"f * 2 + f", "w * 2", "(f + 1)::numeric(10,2)",
                                        "g + w",     "r * r", "d + i"};

    fill();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        const struct expr *expr;
        const char *values[8];
        Oid types[8];
        cr_assert(compile_fully(fixture, texts[i], &expr), "%s", texts[i]);
        struct text written = text_new(fixture->arena), sql = text_new(fixture->arena);
        expr_write(expr, &written);
        const char *e = written.data;
        text_printf(&sql,
                    "SELECT %s, count(%s), count(*) FILTER (WHERE (%s) IS NOT NULL), "
                    "max(CASE WHEN (%s)::text <> '' THEN 1 END), row_number() OVER (ORDER BY %s) "
                    "FROM t AS r0 WHERE (%s) IS NOT NULL GROUP BY %s HAVING count(%s) > 0",
                    e, e, e, e, e, e, e, e);
        prepare_params(&fixture->scope, values, types);
        PGresult *result = PQexecParams(connection, sql.data, (int)fixture->scope.n_params, types,
                                        values, NULL, NULL, 0);
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s", sql.data,
                     PQerrorMessage(connection));
        cr_assert_gt(PQntuples(result), 0);
        PQclear(result);
        expr_fixture_free(fixture);
    }
}

Test(expr_server, keys_are_identical_exactly_where_values_are_equal)
{
    static const char *const texts[] = {"i", "n", "m", "m + 0.00", "f",     "r",
                                        "x", "v", "c", "b",        "d",     "g",
                                        "z", "u", "e", "t",        "n / 3", "lower(x)"};

    fill();
    PQclear(
        run("UPDATE t SET m = 1.50 WHERE id = 3; UPDATE t SET m = 1.5 WHERE id = 4; "
            "UPDATE t SET f = '-0', r = '-0' WHERE id = 5; UPDATE t SET f = 0, r = 0 WHERE id = "
            "6; UPDATE t SET c = 'a' WHERE id = 7; UPDATE t SET c = 'a   ' WHERE id = 8"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        const struct expr *expr;
        const char *values[8];
        Oid types[8];
        cr_assert(compile_fully(fixture, texts[i], &expr), "%s", texts[i]);
        struct text key = text_new(fixture->arena), value = text_new(fixture->arena),
                    sql = text_new(fixture->arena);
        cr_assert(expr_write_key(&fixture->scope, expr, 0, &key));
        expr_write(expr, &value);
        text_printf(
            &sql,
            "WITH v AS (SELECT %s AS k, %s AS v FROM t AS r0) SELECT count(*) FROM v a, v b "
            "WHERE (a.k IS NOT DISTINCT FROM b.k) <> (a.v IS NOT DISTINCT FROM b.v)",
            key.data, value.data);
        prepare_params(&fixture->scope, values, types);
        PGresult *result = PQexecParams(connection, sql.data, (int)fixture->scope.n_params, types,
                                        values, NULL, NULL, 0);
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s", sql.data,
                     PQerrorMessage(connection));
        cr_assert_str_eq(PQgetvalue(result, 0, 0), "0", "%s", texts[i]);
        PQclear(result);
        expr_fixture_free(fixture);
    }
}
