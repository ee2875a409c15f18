#include "tests/support/expr_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/expr_random.h"
#include "tests/support/pg_server.h"

enum { TEXT_MAX = 4000 };

PGconn *expr_server_connection;
static struct pg_server server;

PGresult *expr_server_run(const char *sql)
{
    PGresult *result = PQexec(expr_server_connection, sql);
    ExecStatusType status = PQresultStatus(result);
    cr_assert(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, "%s: %s", sql,
              PQerrorMessage(expr_server_connection));
    return result;
}

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
    return wild[column][expr_random_pick(n)];
}

static const char *pool_value(size_t column, bool within)
{
    size_t bounded = 0, all = 0;

    for (; pools[column][bounded]; bounded++)
        ;
    for (all = bounded + 1; all < 20 && pools[column][all]; all++)
        ;
    if (within || expr_random_pick(3) == 0 || all == bounded + 1)
        return pools[column][expr_random_pick((unsigned)bounded)];
    return pools[column][bounded + 1 + expr_random_pick((unsigned)(all - bounded - 1))];
}

void expr_server_fill(void)
{
    char sql[TEXT_MAX * 4];

    for (int row = 0; row < EXPR_ROWS; row++) {
        size_t used = (size_t)snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d", row);
        for (size_t i = 1; expr_fixture_columns[i].name; i++)
            used += (size_t)snprintf(sql + used, sizeof sql - used, ", %s",
                                     row < EXPR_COMPARED ? pool_value(i, row < EXPR_BOUNDED)
                                                         : wild_value(i));
        snprintf(sql + used, sizeof sql - used, ")");
        PQclear(expr_server_run(sql));
    }
}

void expr_server_start(void)
{
    static const char *const settings[] = {"fsync = off", "max_stack_depth = '2MB'", NULL};
    char text[TEXT_MAX];

    pg_server_start(&server, settings);
    snprintf(text, sizeof text, "%s dbname=postgres", server.conninfo);
    expr_server_connection = PQconnectdb(text);
    cr_assert_eq(PQstatus(expr_server_connection), CONNECTION_OK, "%s",
                 PQerrorMessage(expr_server_connection));
    PQclear(expr_server_run(
        "CREATE FUNCTION pg_temp.microseconds(interval) RETURNS numeric LANGUAGE sql AS $$ "
        "SELECT 1000000 * (extract(epoch FROM $1) - 453600 * extract(year FROM $1)) $$"));
    PQclear(expr_server_run("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')"));
    size_t used = (size_t)snprintf(text, sizeof text, "CREATE TABLE t (");
    for (size_t i = 0; expr_fixture_columns[i].name; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", i ? ", " : "",
                                 expr_fixture_columns[i].name, expr_fixture_columns[i].declared);
    snprintf(text + used, sizeof text - used, ")");
    PQclear(expr_server_run(text));
    PQclear(expr_server_run(
        "CREATE FUNCTION reference(source text, OUT id int, OUT value text, OUT raised bool, "
        "OUT nan bool) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN "
        "FOR id, nan IN SELECT t.id, 'NaN' IN (t.n::text, t.k::text, t.m::text) FROM t ORDER BY 1 "
        "LOOP raised := false; value := NULL; BEGIN EXECUTE 'SELECT (' || source || ')::text FROM t "
        "WHERE id = $1' INTO value USING id; EXCEPTION WHEN OTHERS THEN raised := true; END; "
        "RETURN NEXT; END LOOP; END $$"));
    PQclear(expr_server_run("SET TimeZone = 'America/New_York'"));
    PQclear(expr_server_run("SET extra_float_digits = 1"));
    PQclear(expr_server_run("SET plan_cache_mode = force_custom_plan"));
}

void expr_server_stop(void)
{
    PQfinish(expr_server_connection);
    pg_server_stop(&server);
}

bool expr_server_compile(struct expr_fixture *fixture, const char *source, const struct expr **expr)
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
            PGresult *result = expr_server_run(sql);
            expr_fixture_constant(fixture, wanted->type, wanted->literal, PQgetvalue(result, 0, 0));
            PQclear(result);
        }
    }
    return false;
}

void expr_server_params(const struct scope *scope, const char **values, Oid *types)
{
    for (size_t i = 0; i < scope->n_params; i++) {
        values[i] = scope->params[i].text;
        types[i] = scope->params[i].type;
    }
}

PGresult *expr_server_run_compiled(struct expr_fixture *fixture, const struct expr *expr,
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
        text_printf(&sql, ", CASE WHEN r0.id < %d THEN (%.*s%s%s)::numeric", EXPR_BOUNDED,
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
    expr_server_params(scope, values, types);
    PGresult *result = PQexecParams(expr_server_connection, sql.data, (int)scope->n_params, types,
                                    values, NULL, NULL, 0);
    cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s\n%s", source, sql.data,
                 PQerrorMessage(expr_server_connection));
    return result;
}
