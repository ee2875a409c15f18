/*
 * Random expressions over random rows, compared with PostgreSQL itself: where PostgreSQL gives a
 * value, the compiled SQL gives the same one of the same type; where it raises, the compiled SQL
 * does not. Bounds, scale and "not null" hold for what comes out.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/expr_random.h"
#include "tests/support/expr_server.h"

TestSuite(expr_random, .init = expr_server_start, .fini = expr_server_stop, .timeout = 600);

/* Where our NULL may stand for a value: documented limits of the total forms. */
struct counts {
    unsigned made, accepted, refused, invalid, values, nulls, raised;
};

static void check_type(const char *source, const struct expr *expr)
{
    PGresult *described = PQdescribePrepared(expr_server_connection, "original");
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
    PGresult *reference =
        PQexecParams(expr_server_connection, "SELECT value, raised, nan FROM reference($1)", 1,
                     NULL, values, NULL, NULL, 0);

    cr_assert_eq(PQresultStatus(reference), PGRES_TUPLES_OK, "%s",
                 PQerrorMessage(expr_server_connection));
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
        if (raised || row >= EXPR_COMPARED)
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
    char sql[EXPR_SOURCE_MAX + 64];

    counts->made++;
    if (getenv("EXPR_SHOW"))
        fprintf(stderr, "%s\n", source);
    snprintf(sql, sizeof sql, "SELECT %s FROM t", source);
    PGresult *prepared = PQprepare(expr_server_connection, "original", sql, 0, NULL);
    bool valid = PQresultStatus(prepared) == PGRES_COMMAND_OK;
    PQclear(prepared);
    if (!valid) {
        counts->invalid++;
        return;
    }
    struct expr_fixture *fixture = expr_fixture_new();
    const struct expr *expr;
    if (expr_server_compile(fixture, source, &expr)) {
        counts->accepted++;
        check_type(source, expr);
        PGresult *compiled = expr_server_run_compiled(fixture, expr, source);
        check_rows(source, expr, compiled, counts);
        PQclear(compiled);
    } else {
        counts->refused++;
        if (getenv("EXPR_SHOW_REFUSALS"))
            fprintf(stderr, "REFUSED: %s: %s\n", source, fixture->refusal.message);
        cr_assert_neq(fixture->refusal.message[0], '\0', "%s", source);
    }
    expr_fixture_free(fixture);
    PQclear(expr_server_run("DEALLOCATE original"));
}

Test(expr_random, random_expressions_mean_what_postgresql_means)
{
    struct counts counts = {0};
    const char *seed = getenv("EXPR_SEED"), *rounds = getenv("EXPR_ROUNDS");
    if (seed)
        expr_random_seed(strtoull(seed, NULL, 10));
    expr_server_fill();
    unsigned n = rounds ? (unsigned)atoi(rounds) : 800;
    for (unsigned i = 0; i < n; i++) {
        struct expr_source source = {.used = 0};
        expr_random(&source);
        compare(source.text, &counts);
    }
    fprintf(stderr, "%u made, %u invalid, %u refused, %u accepted; %u values, %u raised, %u null\n",
            counts.made, counts.invalid, counts.refused, counts.accepted, counts.values,
            counts.raised, counts.nulls);
    cr_assert_gt(counts.accepted * 3, counts.made, "too few expressions are accepted");
    cr_assert_lt(counts.refused * 4, counts.accepted, "too many are refused");
    cr_assert_lt(counts.nulls * 20, counts.values, "too often NULL stands for a value");
}
