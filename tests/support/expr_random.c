#include "tests/support/expr_random.h"

#include <string.h>

static unsigned long long state = 20150630;

void expr_random_seed(unsigned long long seed)
{
    state = seed;
}

unsigned expr_random_pick(unsigned n)
{
    /* xorshift: the same expressions in every run of one seed */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 20) % n;
}

void expr_source_put(struct expr_source *out, const char *piece)
{
    size_t length = strlen(piece);
    if (out->used + length + 1 < sizeof out->text) {
        memcpy(out->text + out->used, piece, length + 1);
        out->used += length;
    }
}

static void put_one(struct expr_source *out, const char *const *pieces)
{
    unsigned n = 0;
    while (pieces[n])
        n++;
    expr_source_put(out, pieces[expr_random_pick(n)]);
}

#define ONE(out, ...) put_one(out, (const char *const[]){__VA_ARGS__, NULL})

static void number(struct expr_source *out, int depth);
static void condition(struct expr_source *out, int depth);
static void text(struct expr_source *out, int depth);
static void stamp(struct expr_source *out, int depth);
static void interval(struct expr_source *out, int depth);

static void number_leaf(struct expr_source *out)
{
    ONE(out, "s", "i", "j", "l", "n", "k", "m", "f", "r", "i", "n", "id", "0", "1", "-1", "2", "10",
        "2.5", "0.1", "-3.75", "100000", "3000000000", "12345678901234567890", "1e3", "NULL", "'7'",
        "float8 '0.5'", "int2 '3'");
}

static void call(struct expr_source *out, const char *name,
                 void (*argument)(struct expr_source *, int), int depth, const char *rest)
{
    expr_source_put(out, name);
    expr_source_put(out, "(");
    argument(out, depth);
    expr_source_put(out, rest);
    expr_source_put(out, ")");
}

static void date_value(struct expr_source *out, int depth)
{
    if (depth <= 0 || expr_random_pick(3) == 0) {
        ONE(out, "d", "d", "date '2015-06-30'", "date '2020-02-29'", "date 'infinity'", "g::date",
            "z::date");
        return;
    }
    expr_source_put(out, "(");
    switch (expr_random_pick(3)) {
    case 0:
        date_value(out, depth - 1);
        ONE(out, " + ", " - ");
        ONE(out, "1", "i", "s", "365", "j");
        break;
    case 1:
        expr_source_put(out, "CASE WHEN ");
        condition(out, depth - 1);
        expr_source_put(out, " THEN ");
        date_value(out, depth - 1);
        ONE(out, " END", " ELSE d END");
        break;
    default:
        expr_source_put(out, "COALESCE(d, ");
        date_value(out, depth - 1);
        expr_source_put(out, ")");
    }
    expr_source_put(out, ")");
}

static void number(struct expr_source *out, int depth)
{
    if (depth <= 0) {
        number_leaf(out);
        return;
    }
    expr_source_put(out, "(");
    switch (expr_random_pick(16)) {
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
        expr_source_put(out, "(");
        number(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 5:
        number(out, depth - 1);
        ONE(out, "::int4", "::int8", "::int2", "::numeric", "::float8", "::float4",
            "::numeric(10,2)", "::numeric(6,1)", "::numeric(4,0)", "::decimal");
        break;
    case 6:
        expr_source_put(out, "CASE WHEN ");
        condition(out, depth - 1);
        expr_source_put(out, " THEN ");
        number(out, depth - 1);
        if (expr_random_pick(2)) {
            expr_source_put(out, " ELSE ");
            number(out, depth - 1);
        }
        expr_source_put(out, " END");
        break;
    case 7:
        ONE(out, "COALESCE(", "greatest(", "least(", "NULLIF(");
        number(out, depth - 1);
        expr_source_put(out, ", ");
        number(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 8:
        ONE(out, "round", "floor", "ceil", "trunc", "sign", "ceiling");
        expr_source_put(out, "(");
        number(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 9:
        ONE(out, "round", "trunc");
        expr_source_put(out, "((");
        number(out, depth - 1);
        ONE(out, ")::numeric, 1)", ")::numeric, 0)", ")::numeric, -2)", "), 2)");
        break;
    case 10:
        ONE(out, "mod", "div", "mod");
        expr_source_put(out, "(");
        number(out, depth - 1);
        expr_source_put(out, ", ");
        number(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 11:
        expr_source_put(out, "extract(");
        ONE(out, "year", "month", "day", "dow", "doy", "quarter", "week", "epoch", "isodow",
            "isoyear", "decade", "century", "millennium", "julian");
        expr_source_put(out, " FROM ");
        expr_random_pick(2) ? date_value(out, depth - 1) : stamp(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 12:
        ONE(out, "date_part('hour', ", "date_part('year', ", "date_part('epoch', ",
            "extract(second FROM ", "extract(minute FROM ", "extract(milliseconds FROM ");
        stamp(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 13:
        if (expr_random_pick(3) == 0) {
            ONE(out, "extract(hour FROM ", "extract(day FROM ", "extract(epoch FROM ",
                "extract(year FROM ", "date_part('month', ", "extract(microseconds FROM ");
            interval(out, depth - 1);
            expr_source_put(out, ")");
            break;
        }
        if (expr_random_pick(4) == 0) {
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
            expr_source_put(out, ", 'b'");
        } else {
            text(out, depth - 1);
        }
        expr_source_put(out, ")");
        break;
    case 14:
        expr_source_put(out, "(");
        date_value(out, depth - 1);
        expr_source_put(out, ") - (");
        date_value(out, depth - 1);
        expr_source_put(out, ")");
        break;
    default:
        expr_source_put(out, "CASE ");
        number(out, depth - 1);
        expr_source_put(out, " WHEN 1 THEN ");
        number(out, depth - 1);
        expr_source_put(out, " WHEN 0 THEN 2 ELSE ");
        number(out, depth - 1);
        expr_source_put(out, " END");
    }
    expr_source_put(out, ")");
}

static void text(struct expr_source *out, int depth)
{
    if (depth <= 0) {
        ONE(out, "x", "v", "c", "x", "'lit'", "'Abc'", "''", "NULL", "e::text");
        return;
    }
    expr_source_put(out, "(");
    switch (expr_random_pick(9)) {
    case 0:
        call(out, expr_random_pick(2) ? "lower" : "upper", text, depth - 1, "");
        break;
    case 1:
        text(out, depth - 1);
        expr_source_put(out, " || ");
        expr_random_pick(3) ? text(out, depth - 1) : number(out, depth - 1);
        break;
    case 2:
        call(out, expr_random_pick(2) ? "left" : "right", text, depth - 1,
             expr_random_pick(2) ? ", 2" : ", -1");
        break;
    case 3:
        call(out, "substring", text, depth - 1, expr_random_pick(2) ? ", 2" : ", 0, 3");
        break;
    case 4:
        expr_source_put(out, "(");
        number(out, depth - 1);
        ONE(out, ")::text", ")::varchar", ")::varchar(4)", ")::char(3)");
        break;
    case 5:
        expr_source_put(out, "CASE WHEN ");
        condition(out, depth - 1);
        expr_source_put(out, " THEN ");
        text(out, depth - 1);
        expr_source_put(out, " ELSE ");
        text(out, depth - 1);
        expr_source_put(out, " END");
        break;
    case 6:
        ONE(out, "COALESCE(", "NULLIF(", "greatest(", "least(");
        text(out, depth - 1);
        expr_source_put(out, ", ");
        text(out, depth - 1);
        expr_source_put(out, ")");
        break;
    case 7:
        ONE(out, "trim(", "btrim(", "ltrim(", "rtrim(", "trim(both 'a' from ", "reverse(",
            "initcap(");
        text(out, depth - 1);
        expr_source_put(out, ")");
        break;
    default:
        text(out, depth - 1);
        ONE(out, "::varchar(3)", "::char(4)", "::text", "::varchar");
    }
    expr_source_put(out, ")");
}

static void interval(struct expr_source *out, int depth)
{
    if (depth <= 0 || expr_random_pick(2)) {
        ONE(out, "w", "w", "interval '1 month'", "interval '1 day 02:03:04'", "interval '3' day",
            "interval '-1 year'", "t::interval");
        return;
    }
    expr_source_put(out, "(");
    switch (expr_random_pick(4)) {
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
        expr_source_put(out, " - ");
        stamp(out, depth - 1);
        break;
    default:
        expr_source_put(out, "-");
        interval(out, depth - 1);
    }
    expr_source_put(out, ")");
}

static void stamp(struct expr_source *out, int depth)
{
    if (depth <= 0) {
        ONE(out, "g", "z", "g", "z", "d", "timestamp '2020-02-29 12:00:00'",
            "timestamptz '2019-11-03 01:30:00-04'");
        return;
    }
    expr_source_put(out, "(");
    switch (expr_random_pick(6)) {
    case 0:
        expr_source_put(out, "date_trunc(");
        ONE(out, "'month'", "'year'", "'week'", "'day'", "'hour'", "'quarter'", "'century'",
            "'minute'", "'millennium'");
        expr_source_put(out, ", ");
        stamp(out, depth - 1);
        expr_source_put(out, ")");
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
        expr_source_put(out, "CASE WHEN ");
        condition(out, depth - 1);
        expr_source_put(out, " THEN ");
        stamp(out, depth - 1);
        expr_source_put(out, " ELSE ");
        stamp(out, depth - 1);
        expr_source_put(out, " END");
        break;
    case 4:
        stamp(out, depth - 1);
        expr_source_put(out, " AT TIME ZONE 'UTC'");
        break;
    default:
        ONE(out, "greatest(", "least(", "COALESCE(");
        stamp(out, depth - 1);
        expr_source_put(out, ", ");
        stamp(out, depth - 1);
        expr_source_put(out, ")");
    }
    expr_source_put(out, ")");
}

static void comparison(struct expr_source *out, void (*side)(struct expr_source *, int), int depth)
{
    side(out, depth);
    ONE(out, " = ", " <> ", " < ", " <= ", " > ", " >= ", " IS DISTINCT FROM ",
        " IS NOT DISTINCT FROM ");
    side(out, depth);
}

static void condition(struct expr_source *out, int depth)
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
    expr_source_put(out, "(");
    switch (expr_random_pick(10)) {
    case 0:
        condition(out, depth - 1);
        ONE(out, " AND ", " OR ");
        condition(out, depth - 1);
        break;
    case 1:
        expr_source_put(out, "NOT ");
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
        comparison(out, expr_random_pick(2) ? stamp : date_value, depth - 1);
        break;
    case 6:
        number(out, depth - 1);
        ONE(out, " BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC ");
        number(out, 0);
        expr_source_put(out, " AND ");
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
        expr_random_pick(2) ? number(out, depth - 1) : text(out, depth - 1);
        ONE(out, " IS NULL", " IS NOT NULL");
    }
    expr_source_put(out, ")");
}

void expr_random(struct expr_source *out)
{
    static void (*const kinds[])(struct expr_source *, int) = {number, number,   condition, text,
                                                               stamp,  interval, date_value};
    kinds[expr_random_pick(7)](out, 1 + (int)expr_random_pick(3));
}
