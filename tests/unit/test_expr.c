#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/expr_internal.h"
#include "tests/support/expr_fixture.h"

static struct expr_fixture *fixture;

static void setup(void)
{
    fixture = expr_fixture_new();
}

static void teardown(void)
{
    expr_fixture_free(fixture);
}

TestSuite(expr, .init = setup, .fini = teardown);

static const struct expr *compiled(const char *text)
{
    const struct expr *expr = expr_fixture_compile(fixture, text);
    cr_assert_not_null(expr, "%s: %s", text, fixture->refusal.message);
    return expr;
}

static void refused(const char *text, const char *sqlstate)
{
    const struct expr *expr = expr_fixture_compile(fixture, text);
    cr_assert_null(expr, "%s is accepted", text);
    cr_assert_str_eq(fixture->refusal.sqlstate, sqlstate, "%s: %s %s", text,
                     fixture->refusal.sqlstate, fixture->refusal.message);
    cr_assert_neq(fixture->refusal.message[0], '\0', "%s has no message", text);
}

static const char *declared(const char *text)
{
    return expr_type(compiled(text))->declared;
}

static void within(const char *text, const char *low, const char *high)
{
    const struct expr *expr = compiled(text);
    struct dp_decimal from, to, expected_from, expected_to;

    cr_assert(expr_bounds(expr, &from, &to), "%s has no bounds", text);
    cr_assert(dp_decimal_parse(low, strlen(low), &expected_from));
    cr_assert(dp_decimal_parse(high, strlen(high), &expected_to));
    char a[DP_DECIMAL_TEXT_MAX], b[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(&from, a);
    dp_decimal_print(&to, b);
    cr_assert_eq(dp_decimal_compare(&from, &expected_from), 0, "%s: low is %s", text, a);
    cr_assert_eq(dp_decimal_compare(&to, &expected_to), 0, "%s: high is %s", text, b);
}

static void unbounded(const char *text)
{
    struct dp_decimal low, high;
    cr_assert_not(expr_bounds(compiled(text), &low, &high), "%s has bounds", text);
}

Test(expr, columns_are_qualified_with_the_alias_of_the_measurement)
{
    cr_assert_str_eq(expr_fixture_sql(fixture, "i"), "\"r0\".\"i\"");
    cr_assert_str_eq(expr_fixture_sql(fixture, "t.i"), "\"r0\".\"i\"");
    cr_assert_str_eq(expr_fixture_sql(fixture, "public.t.i"), "\"r0\".\"i\"");
}

Test(expr, names_that_are_not_there_or_not_clear_are_refused)
{
    refused("nothing", "42703");
    refused("t.nothing", "42703");
    refused("p.i", "42P01");
    refused("other.t.i", "42P01");
    refused("db.public.t.i", "0A000");
    refused("ctid", "0A000");
    refused("t.xmin", "0A000");
    refused("tableoid", "0A000");
    refused("t.*", "0A000");
    expr_fixture_join(fixture);
    refused("i", "42702");
    cr_assert_str_eq(expr_fixture_sql(fixture, "o.i"), "\"r1\".\"i\"");
}

Test(expr, columns_on_the_null_extended_side_may_be_null)
{
    expr_fixture_join(fixture);
    cr_assert(expr_not_null(compiled("t.j")));
    cr_assert_not(expr_not_null(compiled("o.j")));
}

Test(expr, positions_count_characters_of_the_statement)
{
    refused("x = 'é' AND nothing", "42703");
    cr_assert_eq(fixture->refusal.position, 20);
}

Test(expr, constants_travel_as_parameters_and_equal_ones_share_one)
{
    const char *sql = expr_fixture_sql(fixture, "x = 'it''s' OR x = 'it''s' OR v = 'other'");
    cr_assert_eq(fixture->scope.n_params, 2);
    cr_assert_eq(fixture->scope.params[0].type, TYPE_TEXT);
    cr_assert_str_eq(fixture->scope.params[0].text, "it's");
    cr_assert_null(strstr(sql, "it"), "%s", sql);
    cr_assert_not_null(strstr(sql, "$1::pg_catalog.text"));
}

Test(expr, nothing_of_the_analysts_text_is_in_the_sql)
{
    static const char *const texts[] = {"x = 'zebra'",
                                        "x LIKE 'zebra%'",
                                        "x IN ('zebra', 'b')",
                                        "x || 'zebra'",
                                        "e = 'zebra'",
                                        "left(x, 4242) = 'a'",
                                        "i + 4242",
                                        "n * 42.42",
                                        "strpos(x, 'zebra')",
                                        "COALESCE(v, 'zebra')"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *sql = expr_fixture_sql(fixture, texts[i]);
        cr_assert_neq(sql[0], '\0', "%s: %s", texts[i], fixture->refusal.message);
        cr_assert(!strstr(sql, "zebra") && !strstr(sql, "42"), "%s", sql);
    }
}

Test(expr, literals_that_depend_on_the_session_are_wanted_first)
{
    compiled("d >= '1.2.2020' AND g < timestamp 'yesterday' AND d <> '1.2.2020'");
    cr_assert_eq(fixture->scope.n_wanted, 2);
    cr_assert_eq(fixture->scope.wanted[0].type, TYPE_DATE);
    cr_assert_str_eq(fixture->scope.wanted[0].literal, "1.2.2020");
    cr_assert_eq(fixture->scope.wanted[1].type, TYPE_TIMESTAMP);

    expr_fixture_constant(fixture, TYPE_DATE, "1.2.2020", "2020-02-01");
    compiled("d >= '1.2.2020'");
    cr_assert_eq(fixture->scope.n_wanted, 0);
    cr_assert_str_eq(fixture->scope.params[0].text, "2020-02-01");
}

Test(expr, a_canonical_form_that_is_none_is_refused)
{
    expr_fixture_constant(fixture, TYPE_DATE, "x", "2020-02-01'; DROP TABLE t; --");
    refused("d = 'x'", "22P02");
}

Test(expr, client_parameters_keep_their_type)
{
    expr_fixture_param(fixture, TYPE_INT4, "7");
    expr_fixture_param(fixture, TYPE_TEXT, "sad");
    expr_fixture_param(fixture, TYPE_NUMERIC, NULL);
    cr_assert_str_eq(declared("i + $1"), "pg_catalog.int4");
    within("$1 * 2", "14", "14");
    cr_assert_not_null(
        strstr(expr_fixture_sql(fixture, "e = $2"), "$1::pg_catalog.text::\"public\".\"mood\""));
    cr_assert_not_null(strstr(expr_fixture_sql(fixture, "n + $3"), "NULL::pg_catalog.numeric"));
    refused("$4", "42P02");
}

Test(expr, types_follow_postgresql)
{
    static const struct {
        const char *text, *type;
    } cases[] = {
        {"s + s", "pg_catalog.int2"},
        {"s + i", "pg_catalog.int4"},
        {"i + l", "pg_catalog.int8"},
        {"i + n", "pg_catalog.numeric"},
        {"i / n", "pg_catalog.numeric"},
        {"r + r", "pg_catalog.float4"},
        {"r + i", "pg_catalog.float8"},
        {"r + n", "pg_catalog.float8"},
        {"d - d", "pg_catalog.int4"},
        {"d + 1", "pg_catalog.date"},
        {"d + interval '1 day'", "pg_catalog.timestamp"},
        {"g - g", "pg_catalog.interval"},
        {"z + w", "pg_catalog.timestamptz"},
        {"date_trunc('month', d)", "pg_catalog.timestamptz"},
        {"date_trunc('month', g)", "pg_catalog.timestamp"},
        {"extract(year FROM d)", "pg_catalog.numeric"},
        {"date_part('year', d)", "pg_catalog.float8"},
        {"round(i)", "pg_catalog.float8"},
        {"round(n)", "pg_catalog.numeric"},
        {"3000000000", "pg_catalog.int8"},
        {"99999999999999999999", "pg_catalog.numeric"},
        {"1e2", "pg_catalog.numeric"},
        {"'a'", "pg_catalog.text"},
        {"NULL", "pg_catalog.text"},
        {"n", "pg_catalog.numeric(10,2)"},
        {"n::numeric", "pg_catalog.numeric"},
        {"CASE WHEN b THEN n END", "pg_catalog.numeric"},
        {"CASE WHEN b THEN n ELSE n END", "pg_catalog.numeric(10,2)"},
        {"CASE WHEN b THEN i ELSE n END", "pg_catalog.numeric"},
        {"COALESCE(v, 'a')", "pg_catalog.varchar"},
        {"COALESCE(v, x)", "pg_catalog.varchar"},
        {"COALESCE(x, v)", "pg_catalog.text"},
        {"NULLIF(i, 2.5)", "pg_catalog.numeric"},
        {"i::varchar(3)", "pg_catalog.varchar(3)"},
        {"x || i", "pg_catalog.text"},
        {"lower(v)", "pg_catalog.text"},
        {"i::numeric(7,3)", "pg_catalog.numeric(7,3)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_str_eq(declared(cases[i].text), cases[i].type, "%s", cases[i].text);
}

Test(expr, bounds_go_through_arithmetic)
{
    within("i", "0", "120");
    within("i + s", "-10", "1120");
    within("i - s", "-1000", "130");
    within("-i", "-120", "0");
    within("i * s", "-1200", "120000");
    within("s * s", "-10000", "1000000");
    within("n * 2.5", "-2500", "50001.25");
    within("i / 7", "0", "17");
    within("s / 3", "-3", "333");
    within("s / i", "-1000", "1000");
    within("i % 7", "0", "6");
    within("s % 7", "-6", "6");
    within("abs(s)", "0", "1000");
    within("abs(s - 2000)", "1000", "2010");
    within("sign(n)", "-1", "1");
    within("round(n)", "-1000", "20001");
    within("floor(n)", "-1000", "20000");
    within("ceil(n)", "-1000", "20001");
    within("trunc(n)", "-1000", "20000");
    within("round(n / 3, 1)", "-333.3", "6666.8");
    within("k / 4.0", "0.25", "24.75");
    within("n::int", "-1000", "20001");
    within("n::numeric(9,1)", "-1000", "20000.5");
    within("f * 2", "0", "2000");
    within("CAST(i AS bigint)", "0", "120");
    within("(i > 3)::int", "0", "1");
    unbounded("j");
    unbounded("i + j");
    unbounded("n / s");
    unbounded("n / NULLIF(i, 0)");
}

Test(expr, bounds_go_through_choices)
{
    within("CASE WHEN b THEN i END", "0", "120");
    within("CASE WHEN b THEN i ELSE -5 END", "-5", "120");
    within("CASE WHEN b THEN i WHEN q THEN 1000 ELSE NULL END", "0", "1000");
    within("CASE i WHEN 1 THEN 7 ELSE 9 END", "7", "9");
    within("COALESCE(i, 500)", "0", "500");
    within("least(greatest(j, 0), 100)", "0", "100");
    within("greatest(least(l, 10), 5)", "5", "10");
    within("least(i, s)", "-10", "1000"); /* i may be NULL */
    within("least(k, s)", "-10", "99");
    within("NULLIF(i, 0)", "0", "120");
    unbounded("greatest(j, 0)");
    unbounded("CASE WHEN b THEN i ELSE j END");
    /* NULL is passed over: the result may be the argument without bounds. */
    unbounded("least(i, j)");
}

Test(expr, bounds_go_through_dates)
{
    within("extract(year FROM d)", "2001", "2026");
    within("extract(month FROM d)", "1", "12");
    within("extract(dow FROM g)", "0", "6");
    within("extract(hour FROM g)", "0", "23");
    within("extract(year FROM g)", "2000", "2024");
    within("extract(year FROM z)", "2009", "2020");
    within("extract(century FROM d)", "20", "21");
    within("extract(year FROM date_trunc('month', g))", "1998", "2024");
    within("d - d", "-9462", "9462");
    expr_fixture_constant(fixture, TYPE_DATE, "2000-01-01", "2000-01-01");
    within("d - date '2000-01-01'", "399", "9861");
    within("d + 1 - date '2000-01-01'", "400", "9862");
    within("length(v)", "0", "10");
    within("char_length(c)", "0", "5");
    unbounded("length(x)");
    unbounded("extract(year FROM w)");
}

/* In microseconds. 2000-01-01 to 2024-02-29 are 8825 days, 2010 to 2020 are 3652. */
Test(expr, bounds_go_through_intervals)
{
    expr_fixture_constant(fixture, TYPE_INTERVAL, "2 days 1 second",
                          "0 mons 2 days 1000000 microseconds");
    expr_fixture_constant(fixture, TYPE_INTERVAL, "1 month", "1 mons 0 days 0 microseconds");
    expr_fixture_constant(fixture, TYPE_INTERVAL, "minus", "0 mons 0 days -1 microseconds");
    within("g - g", "-762480000000000", "762480000000000");
    within("z - z", "-315532800000000", "315532800000000");
    within("interval '2 days 1 second'", "172801000000", "172801000000");
    unbounded("interval '1 month'");
    within("-(interval '2 days 1 second') + interval 'minus'", "-172801000001", "-172801000001");
    within("interval '2 days 1 second' * 0.5 - interval 'minus'", "86400500001", "86400500001");
    within("(g - g) / -4", "-190620000000000", "190620000000000");
    within("t - t", "-86400000000", "86400000000");
    within("t::interval", "0", "86400000000");
    unbounded("w");
    unbounded("w + (g - g)");
    within("least(greatest(w, interval 'minus'), interval '2 days 1 second')", "-1",
           "172801000000");
    within("extract(epoch FROM g - g)", "-762480000", "762480000");
    unbounded("extract(day FROM g - g)");
}

Test(expr, constant_dates_are_read_in_days_and_time_stamps_in_microseconds)
{
    expr_fixture_constant(fixture, TYPE_TIMESTAMPTZ, "a", "2000-01-02 03:04:05.5+02:30");
    expr_fixture_constant(fixture, TYPE_TIMESTAMPTZ, "b", "1999-12-31T19:00:00-05");
    expr_fixture_constant(fixture, TYPE_TIMESTAMP, "c", "2000-03-01 00:00:00.000001");
    expr_fixture_constant(fixture, TYPE_DATE, "d", "infinity");
    expr_fixture_constant(fixture, TYPE_DATE, "e", "0044-03-15 BC");
    expr_fixture_constant(fixture, TYPE_DATE, "f", "1970-01-01");
    within("timestamptz 'a'", "88445500000", "88445500000");
    within("timestamptz 'b'", "0", "0");
    within("timestamp 'c'", "5184000000001", "5184000000001");
    unbounded("date 'd'");
    unbounded("date 'e'");
    within("date 'f'", "-10957", "-10957");
}

Test(expr, scales_are_those_of_the_values)
{
    static const struct {
        const char *text;
        int scale;
    } cases[] = {{"i", 0},
                 {"n", 2},
                 {"m", -1},
                 {"f", -1},
                 {"n + 1", 2},
                 {"n + 1.125", 3},
                 {"n * n", 4},
                 {"n * 0.5", 3},
                 {"n / 2", -1},
                 {"round(n, 1)", 1},
                 {"round(n / 3, 4)", 4},
                 {"floor(n)", 0},
                 {"floor(f)", -1},
                 {"CASE WHEN b THEN n ELSE 1.5 END", 2},
                 {"COALESCE(n, 0)", 2},
                 {"i / 2", 0},
                 {"extract(month FROM d)", 0},
                 {"extract(second FROM g)", 6},
                 {"m::numeric(8,3)", 3},
                 {"n % 3", 2},
                 {"x", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(expr_scale(compiled(cases[i].text)), cases[i].scale, "%s: %d", cases[i].text,
                     expr_scale(compiled(cases[i].text)));
}

Test(expr, not_null_is_claimed_only_where_nothing_can_make_it_null)
{
    static const char *const never[] = {"j",
                                        "j IS NULL",
                                        "COALESCE(i, 0)",
                                        "k + 1",
                                        "j > 3",
                                        "b IS TRUE",
                                        "i IS DISTINCT FROM j",
                                        "greatest(i, 0)",
                                        "CASE WHEN b THEN 1 ELSE j END",

                                        "NOT q",
                                        "q AND j > 1"};
    static const char *const maybe[] = {"i",
                                        "j + 1",
                                        "k / j",
                                        "j % 3",
                                        "NULLIF(j, 3)",
                                        "b",
                                        "CASE WHEN b THEN j END",
                                        "j::int2",
                                        "k::int",
                                        "i > 3",
                                        "j IN (1, NULL)",
                                        "q AND b",
                                        "-j",
                                        "NULL",
                                        "abs(j)",
                                        "extract(year FROM date '2020-01-01')"};
    for (size_t i = 0; i < sizeof maybe / sizeof *maybe; i++)
        cr_assert_not(expr_not_null(compiled(maybe[i])), "%s", maybe[i]);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        cr_assert(expr_not_null(compiled(never[i])), "%s", never[i]);
}

Test(expr, equal_meaning_is_found_by_structure)
{
    const struct expr *a = compiled("CASE WHEN i > 3 THEN x ELSE 'n' END");
    cr_assert(expr_equal(a, compiled("CASE WHEN t.i > 3 THEN public.t.x ELSE 'n' END")));
    cr_assert_not(expr_equal(a, compiled("CASE WHEN i > 4 THEN x ELSE 'n' END")));
    cr_assert_not(expr_equal(a, compiled("CASE WHEN i >= 3 THEN x ELSE 'n' END")));
    cr_assert_not(expr_equal(a, compiled("CASE WHEN s > 3 THEN x ELSE 'n' END")));
    cr_assert(expr_equal(compiled("date_trunc('month', g)"), compiled("date_trunc('MONTH', g)")));
    cr_assert_not(
        expr_equal(compiled("date_trunc('month', g)"), compiled("date_trunc('week', g)")));
    cr_assert_not(expr_equal(compiled("n::numeric(8,1)"), compiled("n::numeric(9,1)")));
    cr_assert_not(expr_equal(compiled("i IN (1, 2)"), compiled("i IN (1, 3)")));
    cr_assert_not(expr_equal(compiled("d = 'x'"), compiled("d = 'y'")));
    expr_fixture_join(fixture);
    cr_assert_not(expr_equal(compiled("t.i"), compiled("o.i")));
}

Test(expr, plain_columns_are_known_as_such)
{
    size_t relation = 9;
    const struct catalog_column *column = expr_column(compiled("t.n"), &relation);
    cr_assert_not_null(column);
    cr_assert_str_eq(column->name, "n");
    cr_assert_eq(relation, 0);
    cr_assert_null(expr_column(compiled("n + 1"), &relation));
    cr_assert_null(expr_column(compiled("1"), &relation));
}

Test(expr, conditions_are_boolean)
{
    cr_assert_not_null(expr_fixture_condition(fixture, "i > 3"));
    cr_assert_not_null(expr_fixture_condition(fixture, "NULL"));
    cr_assert_not_null(expr_fixture_condition(fixture, "b"));
    cr_assert_null(expr_fixture_condition(fixture, "i"));
    cr_assert_str_eq(fixture->refusal.sqlstate, "42804");
    refused("NOT i", "42804");
    refused("i AND b", "42804");
}

Test(expr, only_the_allow_list_is_let_through)
{
    static const char *const texts[] = {"pg_sleep(1)",
                                        "random()",
                                        "now()",
                                        "current_date",
                                        "current_user",
                                        "localtime",
                                        "repeat(x, 3)",
                                        "lpad(x, 1000000)",
                                        "regexp_replace(x, 'a', 'b')",
                                        "x ~ 'a'",
                                        "x SIMILAR TO 'a'",
                                        "x LIKE v",
                                        "x LIKE 'a' ESCAPE '!'",
                                        "exp(f)",
                                        "2 ^ i",
                                        "sqrt(f)",
                                        "ln(f)",
                                        "power(f, 2)",
                                        "generate_series(1, i)",
                                        "(SELECT 1)",
                                        "EXISTS (SELECT 1)",
                                        "i IN (SELECT 1)",
                                        "ARRAY[i]",
                                        "ROW(i, s)",
                                        "i = ANY (ARRAY[1, 2])",
                                        "x COLLATE \"C\"",
                                        "count(*)",
                                        "sum(i)",
                                        "row_number() OVER ()",
                                        "lower(DISTINCT x)",
                                        "abs(VARIADIC ARRAY[1])",
                                        "evil.lower(x)",
                                        "public.abs(i)",
                                        "i OPERATOR(public.+) 1",
                                        "B'101'",
                                        "x::int",
                                        "x::date",
                                        "x::uuid",
                                        "x::mood",
                                        "v::numeric",
                                        "x::json",
                                        "x::bytea",
                                        "i::oid",
                                        "i::regclass",
                                        "g::timestamp(0)",
                                        "i::numeric(5,7)",
                                        "i::int[]",
                                        "extract(hour FROM d)",
                                        "date_trunc(x, g)",
                                        "date_trunc('fortnight', g)",
                                        "extract(epoch_ms FROM g)",
                                        "g AT TIME ZONE 'Europe/Berlin'",
                                        "left(x, i)",
                                        "split_part(x, v, 1)",
                                        "strpos(x, v)",
                                        "round(n, i)",
                                        "a = a",
                                        "a::text",
                                        "COALESCE(a, a)",
                                        "y = 'a'",
                                        "lower(y)",
                                        "y || 'a'",
                                        "replace(x, 'a', 'bb')",
                                        "concat(x, v)",
                                        "to_char(d, 'YYYY')",
                                        "age(d)",
                                        "overlay(x placing 'a' from 1)",
                                        "substring(x from 'a.*')",
                                        "i::text::int",
                                        "d + time with time zone '10:00+00'",
                                        "make_date(2020, 1, i)",
                                        "current_setting('x')",
                                        "t IS NORMALIZED",
                                        "x IS DOCUMENT",
                                        "i NOTNULL AND pg_backend_pid() > 0",
                                        "lower(x => x)",
                                        "DEFAULT",
                                        "GROUPING(i)",
                                        "width_bucket(i, 1, 2, 3)",
                                        "i << 3",
                                        "~ i",
                                        "@ i",
                                        "|/ f",
                                        "i # 3"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct expr *expr = expr_fixture_compile(fixture, texts[i]);
        cr_assert_null(expr, "%s is accepted", texts[i]);
        cr_assert(strcmp(fixture->refusal.sqlstate, "0A000") == 0 ||
                      strcmp(fixture->refusal.sqlstate, "42601") == 0,
                  "%s: %s %s", texts[i], fixture->refusal.sqlstate, fixture->refusal.message);
    }
}

Test(expr, refusals_name_the_construct_and_a_form_that_works)
{
    refused("repeat(x, 3)", "0A000");
    cr_assert_not_null(strstr(fixture->refusal.message, "function repeat"));
    cr_assert_neq(fixture->refusal.detail[0], '\0');
    cr_assert_neq(fixture->refusal.hint[0], '\0');
    cr_assert_eq(fixture->refusal.position, 8);
    refused("i + x::int", "0A000");
    cr_assert_not_null(strstr(fixture->refusal.message, "from type text to integer"));
    refused("d > current_date", "0A000");
    cr_assert_not_null(strstr(fixture->refusal.hint, "literal"));
}

Test(expr, patterns_and_lists_and_places_have_limits)
{
    char text[20000] = "i IN (0";

    refused("x LIKE 'a\\'", "22025");
    refused("x LIKE '%a%b%c%d%e%f%g%h%i%'", "54000");
    compiled("x LIKE '%a\\%b%'");
    compiled("x LIKE 'a\\\\'");
    refused("round(n, 2000)", "22023");
    refused("left(x, 2000000000)", "22023");
    refused("split_part(x, 'a', 0)", "22023");
    refused("substring(x, 1, -1)", "22011");
    for (int i = 1; i <= EXPR_LIST_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",%d", i);
    strcat(text, ")");
    refused(text, "54000");
}

Test(expr, literals_that_another_server_might_not_read_are_refused)
{
    refused("i = '0x1f'", "22P02");
    refused("i = '1_000'", "22P02");
    refused("i = '99999999999'", "22P02");
    refused("n = '1e'", "22P02");
    refused("f = '1e999'", "22P02");
    refused("f = '1e-400'", "22P02");
    refused("u = 'zz'", "22P02");
    refused("b = 'perhaps'", "22P02");
    compiled("i = ' -42 '");
    compiled("b = 'Y'");
    compiled("n = 'nan'");
    compiled("u = '{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}'");
    cr_assert_str_eq(fixture->scope.params[0].text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
}

/* left, then middle repeated, then right repeated. */
static const char *nested(const char *left, const char *open, const char *close, int levels)
{
    size_t size = strlen(left) + (size_t)levels * (strlen(open) + strlen(close)) + 1;
    char *text = arena_alloc(fixture->arena, size);
    char *end = text;

    for (int i = 0; i < levels; i++)
        end = stpcpy(end, open);
    end = stpcpy(end, left);
    for (int i = 0; i < levels; i++)
        end = stpcpy(end, close);
    return text;
}

Test(expr, depth_and_size_are_limited)
{
    compiled(nested("i", "", " + 1", 100));
    refused(nested("i", "", " + 1", 999), "54001");
    refused(nested("i", "", " + 1", 3000), "54001");
    refused(nested("f", "", " * 2", 100), "54001");
    refused(nested("b", "NOT (", ")", 2000), "54001");
    /* Every level writes the argument twice. */
    refused(nested("i", "CASE WHEN (", ") BETWEEN 1 AND 2 THEN 1 ELSE 0 END", 40), "54001");
    refused(nested("m", "", " * m", 12), "54000");
}

Test(expr, what_depends_on_the_time_zone_says_so)
{
    static const char *const depends[] = {"g::timestamptz",
                                          "z::date",
                                          "z::text",
                                          "g < z",
                                          "date_trunc('day', z)",
                                          "extract(hour FROM z)",
                                          "z + interval '1 day'",
                                          "date_trunc('month', d)",
                                          "CASE z WHEN g THEN 1 END"};
    static const char *const independent[] = {"z < z",     "g::date",
                                              "g::text",   "z - z",
                                              "d < g",     "date_trunc('day', g)",
                                              "z IS NULL", "z AT TIME ZONE 'UTC'"};
    for (size_t i = 0; i < sizeof depends / sizeof *depends; i++) {
        compiled(depends[i]);
        cr_assert(fixture->scope.uses_time_zone, "%s", depends[i]);
    }
    for (size_t i = 0; i < sizeof independent / sizeof *independent; i++) {
        compiled(independent[i]);
        cr_assert_not(fixture->scope.uses_time_zone, "%s", independent[i]);
    }
}

static const char *key(const char *text)
{
    struct text out = text_new(fixture->arena);
    const struct expr *expr = compiled(text);
    return expr_write_key(&fixture->scope, expr, 0, &out) ? out.data : NULL;
}

Test(expr, keys_are_canonical_text)
{
    cr_assert_str_eq(key("i"), "((\"r0\".\"i\")::pg_catalog.text COLLATE pg_catalog.\"C\")");
    cr_assert_not_null(strstr(key("n"), "(\"r0\".\"n\")::pg_catalog.text"));
    cr_assert_not_null(strstr(key("m"), "trim_scale"));
    cr_assert_not_null(strstr(key("n + 1"), "trim_scale"));
    cr_assert_not_null(strstr(key("f"), "OPERATOR(pg_catalog.+) '0'"));
    cr_assert_not_null(key("e"));
    cr_assert_not_null(key("u"));
    cr_assert_not_null(key("date_trunc('month', g)"));
    cr_assert_null(key("w"));
    cr_assert_str_eq(fixture->refusal.sqlstate, "0A000");
    cr_assert_neq(fixture->refusal.hint[0], '\0');
    cr_assert_null(key("a"));
    cr_assert_null(key("y"));
}

Test(expr, texts_that_grow_have_a_limit)
{
    cr_assert_not_null(strstr(expr_fixture_sql(fixture, "x || 'a'"), "octet_length(\"r0\".\"x\")"));
    cr_assert_not_null(strstr(expr_fixture_sql(fixture, "lower(x)"), "octet_length"));
    cr_assert_null(strstr(expr_fixture_sql(fixture, "v || 'a'"), "octet_length"));
    cr_assert_null(strstr(expr_fixture_sql(fixture, "left(x, 10) || v"), "octet_length"));
    cr_assert_null(strstr(expr_fixture_sql(fixture, "x = 'a'"), "octet_length"));
    cr_assert_not_null(strstr(key("x"), "octet_length"));
    compiled(nested("x", "", " || x", 40));
    refused(nested("x", "", " || x", 80), "54000");
    compiled(nested("v", "", " || v", 200));
}

Test(expr, columns_of_any_type_can_be_counted_and_tested_for_null)
{
    compiled("a");
    compiled("a IS NOT NULL");
    compiled("y IS NULL");
    compiled("w IS NULL AND a IS NULL");
}

Test(expr, the_first_refusal_wins)
{
    refused("repeat(x, 3) || nothing", "0A000");
    cr_assert_not_null(strstr(fixture->refusal.message, "repeat"));
}

/* Templates whose holes are filled without regard to types. */
static void untyped(struct text *out, unsigned long long *state, int depth)
{
    static const char *const leaves[] = {"i",
                                         "n",
                                         "m",
                                         "f",
                                         "r",
                                         "x",
                                         "v",
                                         "c",
                                         "d",
                                         "g",
                                         "z",
                                         "w",
                                         "t",
                                         "u",
                                         "e",
                                         "a",
                                         "y",
                                         "b",
                                         "1",
                                         "2.5",
                                         "'a'",
                                         "NULL",
                                         "true",
                                         "''",
                                         "'2020-01-01'",
                                         "$1",
                                         "$2",
                                         "nothing",
                                         "t.*",
                                         "interval '2' day",
                                         "date '2020-01-01'",
                                         "1e300",
                                         "-7",
                                         "current_date",
                                         "B'1'"};
    static const char *const shapes[] = {"(@ + @)",
                                         "(@ - @)",
                                         "(@ * @)",
                                         "(@ / @)",
                                         "(@ % @)",
                                         "(@ || @)",
                                         "(@ = @)",
                                         "(@ < @)",
                                         "(- @)",
                                         "(NOT @)",
                                         "(@ AND @)",
                                         "(@ OR @)",
                                         "(@ IS NULL)",
                                         "(@ IS TRUE)",
                                         "(@ IN (@, @))",
                                         "(@ BETWEEN @ AND @)",
                                         "(@ LIKE @)",
                                         "NULLIF(@, @)",
                                         "COALESCE(@, @)",
                                         "greatest(@, @)",
                                         "CASE WHEN @ THEN @ ELSE @ END",
                                         "CASE @ WHEN @ THEN @ END",
                                         "@::int4",
                                         "@::numeric(8,2)",
                                         "@::text",
                                         "@::varchar(3)",
                                         "@::date",
                                         "@::mood",
                                         "@::timestamptz",
                                         "@::interval",
                                         "abs(@)",
                                         "round(@, @)",
                                         "lower(@)",
                                         "left(@, @)",
                                         "substring(@, @, @)",
                                         "strpos(@, @)",
                                         "date_trunc(@, @)",
                                         "extract(year FROM @)",
                                         "date_part('hour', @)",
                                         "mod(@, @)",
                                         "(@ ^ @)",
                                         "(@ IS DISTINCT FROM @)",
                                         "(@ AT TIME ZONE @)",
                                         "pg_sleep(@)",
                                         "@::xml",
                                         "(@ <> @)",
                                         "(@ NOT IN (@, @, NULL))",
                                         "(@ ILIKE '%a')",
                                         "trim(both @ from @)",
                                         "(@ >= @)"};

    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    size_t draw = (size_t)(*state >> 20);
    if (depth == 0 || draw % 5 == 0) {
        text_add(out, leaves[draw / 5 % (sizeof leaves / sizeof *leaves)]);
        return;
    }
    for (const char *c = shapes[draw / 5 % (sizeof shapes / sizeof *shapes)]; *c; c++) {
        if (*c == '@')
            untyped(out, state, depth - 1);
        else
            text_printf(out, "%c", *c);
    }
}

Test(expr, whatever_is_combined_is_compiled_or_refused_with_a_reason)
{
    unsigned long long state = 88172645463325252ULL;
    unsigned accepted = 0;

    for (int i = 0; i < 6000; i++) {
        struct text text = text_new(fixture->arena);
        untyped(&text, &state, 1 + i % 4);
        fixture->request.n_params = 0;
        expr_fixture_param(fixture, TYPE_TEXT, "sad");
        expr_fixture_param(fixture, TYPE_FLOAT8, "-0.5");
        const struct expr *expr = expr_fixture_compile(fixture, text.data);
        if (expr) {
            struct text out = text_new(fixture->arena), key_text = text_new(fixture->arena);
            struct dp_decimal low, high;
            expr_write(expr, &out);
            cr_assert_gt(out.length, 0, "%s", text.data);
            cr_assert_null(strstr(out.data, "unknown"), "%s: %s", text.data, out.data);
            cr_assert(!expr_bounds(expr, &low, &high) || dp_decimal_compare(&low, &high) <= 0);
            cr_assert(expr_equal(expr, expr));
            if (!expr_write_key(&fixture->scope, expr, 0, &key_text))
                cr_assert_neq(fixture->refusal.message[0], '\0');
            accepted++;
        } else {
            cr_assert_neq(fixture->refusal.sqlstate[0], '\0', "%s", text.data);
            cr_assert(fixture->refusal.message[0] || !strcmp(fixture->refusal.sqlstate, "42601"),
                      "%s", text.data);
        }
        if (i % 500 == 499) {
            teardown();
            setup();
        }
    }
    cr_assert_gt(accepted, 300);
}
