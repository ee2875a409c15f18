/*
 * Compiled expressions where a measurement needs them, on a PostgreSQL server: as deep as they are
 * accepted, in every clause, and as keys.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/expr_random.h"
#include "tests/support/expr_server.h"

TestSuite(expr_server, .init = expr_server_start, .fini = expr_server_stop, .timeout = 600);

/* left, then open and close around it. */
static void nest(struct expr_source *out, const char *left, const char *open, const char *close,
                 int levels)
{
    out->used = 0;
    for (int i = 0; i < levels; i++)
        expr_source_put(out, open);
    expr_source_put(out, left);
    for (int i = 0; i < levels; i++)
        expr_source_put(out, close);
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

    expr_server_fill();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        struct expr_source source;
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
        PQclear(expr_server_run_compiled(fixture, expr, source.text));
        if (getenv("EXPR_SHOW"))
            fprintf(stderr, "%d levels of %s%s\n", low, shapes[i].open, shapes[i].close);
        expr_fixture_free(fixture);
    }
}

Test(expr_server, expressions_may_stand_wherever_a_measurement_needs_them)
{
    static const char *const texts[] = {"f * 2 + f", "w * 2", "(f + 1)::numeric(10,2)",
                                        "g + w",     "r * r", "d + i"};

    expr_server_fill();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        const struct expr *expr;
        const char *values[8];
        Oid types[8];
        cr_assert(expr_server_compile(fixture, texts[i], &expr), "%s", texts[i]);
        struct text written = text_new(fixture->arena), sql = text_new(fixture->arena);
        expr_write(expr, &written);
        const char *e = written.data;
        text_printf(&sql,
                    "SELECT %s, count(%s), count(*) FILTER (WHERE (%s) IS NOT NULL), "
                    "max(CASE WHEN (%s)::text <> '' THEN 1 END), row_number() OVER (ORDER BY %s) "
                    "FROM t AS r0 WHERE (%s) IS NOT NULL GROUP BY %s HAVING count(%s) > 0",
                    e, e, e, e, e, e, e, e);
        expr_server_params(&fixture->scope, values, types);
        PGresult *result = PQexecParams(expr_server_connection, sql.data,
                                        (int)fixture->scope.n_params, types, values, NULL, NULL, 0);
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s", sql.data,
                     PQerrorMessage(expr_server_connection));
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

    expr_server_fill();
    PQclear(expr_server_run(
        "UPDATE t SET m = 1.50 WHERE id = 3; UPDATE t SET m = 1.5 WHERE id = 4; "
        "UPDATE t SET f = '-0', r = '-0' WHERE id = 5; UPDATE t SET f = 0, r = 0 WHERE id = "
        "6; UPDATE t SET c = 'a' WHERE id = 7; UPDATE t SET c = 'a   ' WHERE id = 8"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct expr_fixture *fixture = expr_fixture_new();
        const struct expr *expr;
        const char *values[8];
        Oid types[8];
        cr_assert(expr_server_compile(fixture, texts[i], &expr), "%s", texts[i]);
        struct text key = text_new(fixture->arena), value = text_new(fixture->arena),
                    sql = text_new(fixture->arena);
        cr_assert(expr_write_key(&fixture->scope, expr, 0, &key));
        expr_write(expr, &value);
        text_printf(
            &sql,
            "WITH v AS (SELECT %s AS k, %s AS v FROM t AS r0) SELECT count(*) FROM v a, v b "
            "WHERE (a.k IS NOT DISTINCT FROM b.k) <> (a.v IS NOT DISTINCT FROM b.v)",
            key.data, value.data);
        expr_server_params(&fixture->scope, values, types);
        PGresult *result = PQexecParams(expr_server_connection, sql.data,
                                        (int)fixture->scope.n_params, types, values, NULL, NULL, 0);
        cr_assert_eq(PQresultStatus(result), PGRES_TUPLES_OK, "%s\n%s", sql.data,
                     PQerrorMessage(expr_server_connection));
        cr_assert_str_eq(PQgetvalue(result, 0, 0), "0", "%s", texts[i]);
        PQclear(result);
        expr_fixture_free(fixture);
    }
}
