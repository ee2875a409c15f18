#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/policy.h"

/* Reads a policy from text. */
static struct policy *read_text(const char *text, struct config_error *error)
{
    char path[] = "/tmp/pgveil-policy-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct policy *policy = policy_read(path, error);
    unlink(path);
    return policy;
}

static struct policy *read_good(const char *text)
{
    struct config_error error;
    struct policy *policy = read_text(text, &error);
    cr_assert_not_null(policy, "%s: %s", error.key, error.text);
    return policy;
}

static void assert_refused(const char *text, const char *key, const char *piece)
{
    struct config_error error;
    struct policy *policy = read_text(text, &error);
    cr_assert_null(policy, "accepted: %s", text);
    cr_assert_str_eq(error.key, key, "key '%s' (%s) for %s", error.key, error.text, text);
    cr_assert_not_null(strstr(error.text, piece), "'%s' lacks '%s'", error.text, piece);
    cr_assert_neq(error.file[0], '\0');
}

static const struct policy_column *column(const struct policy *policy, const char *table,
                                          const char *name)
{
    const struct policy_table *found = policy_find_table(policy, "public", table);
    cr_assert_not_null(found);
    for (size_t i = 0; i < found->n_columns; i++) {
        if (strcmp(found->columns[i].name, name) == 0)
            return &found->columns[i];
    }
    cr_assert_fail("no column %s", name);
    return NULL;
}

static void assert_decimal(const struct dp_decimal *value, const char *expected)
{
    char text[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, text);
    cr_assert_str_eq(text, expected);
}

#define CLINIC                                                                                     \
    "{\"tables\": {"                                                                               \
    " \"public.patients\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {},"          \
    "   \"age\": {\"bounds\": [0, 120]}, \"sex\": {\"domain\": [\"f\", \"m\", null]},"             \
    "   \"weight\": {\"bounds\": [\"0.5\", 300.25]}}},"                                            \
    " \"public.visits\": {\"unit\": {\"column\": \"patient_id\","                                  \
    "   \"references\": \"public.patients\"}, \"max_rows\": 50, \"max_groups\": 8,"                \
    "   \"columns\": {\"patient_id\": {},"                                                         \
    "     \"day\": {\"bounds\": [\"2020-01-01\", \"2026-12-31\"]},"                                \
    "     \"at\": {\"bounds\": [\"1999-12-31 23:59:59.5\", \"2000-01-01T00:00:01\"]},"             \
    "     \"ward\": {\"domain\": [1, 2.5, true]}}},"                                               \
    " \"public.icd_codes\": {\"public\": true}}}"

#define PRIVATE(rest) "{\"tables\": {\"public.t\": {\"unit\": \"id\", " rest "}}}"
#define COLUMN(rest) PRIVATE("\"max_rows\": 1, \"columns\": {\"id\": {}, \"x\": " rest "}")

Test(policy, reads_tables_units_and_contribution_bounds)
{
    struct policy *policy = read_good(CLINIC);
    const struct policy_table *patients = policy_find_table(policy, "public", "patients");
    const struct policy_table *visits = policy_find_table(policy, "public", "visits");
    const struct policy_table *codes = policy_find_table(policy, "public", "icd_codes");
    cr_assert_eq(policy->n_tables, 3);
    cr_assert_eq(policy->minimum_units, 1);
    cr_assert_str_eq(patients->unit, "id");
    cr_assert_null(patients->ref_name);
    cr_assert_eq(patients->max_rows, 1);
    cr_assert_str_eq(visits->unit, "patient_id");
    cr_assert_str_eq(visits->ref_schema, "public");
    cr_assert_str_eq(visits->ref_name, "patients");
    cr_assert_eq(visits->max_groups, 8);
    cr_assert_eq(visits->max_rows_per_group, 0);
    cr_assert(codes->is_public);
    cr_assert_eq(codes->n_columns, 0);
    cr_assert_null(policy_find_table(policy, "other", "patients"));
    policy_free(policy);
}

Test(policy, reads_bounds_exactly_whatever_their_kind)
{
    struct policy *policy = read_good(CLINIC);
    assert_decimal(&column(policy, "patients", "weight")->bounds->low, "0.5");
    assert_decimal(&column(policy, "patients", "weight")->bounds->high, "300.25");
    const struct policy_bounds *day = column(policy, "visits", "day")->bounds;
    cr_assert_eq(day->kind, POLICY_BOUND_DATE);
    assert_decimal(&day->low, "7305");
    assert_decimal(&day->high, "9861");
    const struct policy_bounds *at = column(policy, "visits", "at")->bounds;
    cr_assert_eq(at->kind, POLICY_BOUND_TIMESTAMP);
    assert_decimal(&at->low, "-500000");
    assert_decimal(&at->high, "1000000");
    policy_free(policy);
}

Test(policy, reads_domains_as_texts_with_null_as_itself)
{
    struct policy *policy = read_good(CLINIC);
    const struct policy_column *sex = column(policy, "patients", "sex");
    cr_assert_eq(sex->n_domain, 3);
    cr_assert_str_eq(sex->domain[0], "f");
    cr_assert_null(sex->domain[2]);
    const struct policy_column *ward = column(policy, "visits", "ward");
    cr_assert_str_eq(ward->domain[0], "1");
    cr_assert_str_eq(ward->domain[1], "2.5");
    cr_assert_str_eq(ward->domain[2], "true");
    policy_free(policy);
}

Test(policy, version_is_the_sha256_of_the_bytes)
{
    struct policy *policy = read_good("{\"tables\":{\"a.b\":{\"unit\":\"c\",\"max_rows\":1,"
                                      "\"columns\":{\"c\":{}}}}}");
    /* printf '%s' '{"tables":...}' | sha256sum */
    cr_assert_str_eq(policy->version,
                     "4377e0fd67d214927750d38fbf66a5aa515762adf584b2c3ca623a4713c44c5d");
    policy_free(policy);
}

Test(policy, names_follow_postgresqls_quoting)
{
    struct policy *policy = read_good("{\"tables\": {\"\\\"My Schema\\\".\\\"a.b\\\"\": "
                                      "{\"unit\": \"ID\", \"max_rows\": 1, \"columns\": "
                                      "{\"Id\": {}, \"\\\"Say \\\"\\\"Hi\\\"\\\"\\\"\": {}}}}}");
    const struct policy_table *table = policy_find_table(policy, "My Schema", "a.b");
    cr_assert_not_null(table);
    cr_assert_str_eq(table->unit, "id");
    cr_assert_str_eq(table->columns[0].name, "id");
    cr_assert_str_eq(table->columns[1].name, "Say \"Hi\"");
    policy_free(policy);
}

Test(policy, refuses_names_that_are_none)
{
    static const char *const names[] = {
        "patients",
        "a.b.c",
        ".b",
        "a.",
        "1a.b",
        "a b.c",
        "a.b ",
        "\\\"a.b",
        "\\\"\\\".b",
        "a.b\\\"",
        "",
        "public.t234567890123456789012345678901234567890123456789012"
        "345678901234567"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[512];
        struct config_error error;
        snprintf(text, sizeof text,
                 "{\"tables\": {\"%s\": {\"unit\": \"id\", \"max_rows\": 1, "
                 "\"columns\": {\"id\": {}}}}}",
                 names[i]);
        cr_assert_null(read_text(text, &error), "accepted %s", names[i]);
        cr_assert_not_null(strstr(error.text, "is no table's name"), "%s", error.text);
    }
}

Test(policy, refuses_bounds_that_bound_nothing)
{
    const char *key = "tables['public.t'].columns.x.bounds";
    assert_refused(COLUMN("{\"bounds\": [0, 0]}"), key, "empty");
    assert_refused(COLUMN("{\"bounds\": [5, 1]}"), key, "inverted");
    assert_refused(COLUMN("{\"bounds\": [\"2020-02-01\", \"2020-01-01\"]}"), key, "inverted");
    assert_refused(COLUMN("{\"bounds\": []}"), key, "[low, high]");
    assert_refused(COLUMN("{\"bounds\": [1]}"), key, "[low, high]");
    assert_refused(COLUMN("{\"bounds\": [1, 2, 3]}"), key, "[low, high]");
    assert_refused(COLUMN("{\"bounds\": 3}"), key, "a number");
    assert_refused(COLUMN("{\"bounds\": [0, \"2020-01-01\"]}"), key, "mixes");
    assert_refused(COLUMN("{\"bounds\": [\"2020-01-01\", \"2020-01-02 00:00\"]}"), key, "mixes");
}

Test(policy, refuses_bounds_that_are_not_finite_or_not_dates)
{
    static const char *const bad[] = {"\"NaN\"",
                                      "\"infinity\"",
                                      "\"-Infinity\"",
                                      "null",
                                      "true",
                                      "\"\"",
                                      "\"2021-02-29\"",
                                      "\"2020-13-01\"",
                                      "\"0000-01-01\"",
                                      "\"2020-01-01 24:00\"",
                                      "\"2020-01-01 1:00\"",
                                      "\"2020-1-1\"",
                                      "\"1e400\"",
                                      "\"2020-01-01 00:00:00.1234567\"",
                                      "[1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        struct config_error error;
        snprintf(text, sizeof text, COLUMN("{\"bounds\": [%s, 3]}"), bad[i]);
        cr_assert_null(read_text(text, &error), "accepted %s", bad[i]);
        cr_assert_str_eq(error.key, "tables['public.t'].columns.x.bounds[0]", "%s: %s", bad[i],
                         error.text);
    }
    assert_refused(COLUMN("{\"bounds\": [0, 1e999]}"), "", "not valid JSON");
}

Test(policy, leap_days_exist_where_the_calendar_has_them)
{
    struct policy *policy = read_good(COLUMN("{\"bounds\": [\"2000-02-29\", \"2024-02-29\"]}"));
    assert_decimal(&column(policy, "t", "x")->bounds->low, "59");
    assert_decimal(&column(policy, "t", "x")->bounds->high, "8825");
    policy_free(policy);
    assert_refused(COLUMN("{\"bounds\": [\"1900-02-29\", \"2024-02-29\"]}"),
                   "tables['public.t'].columns.x.bounds[0]", "accepted: a finite number");
}

Test(policy, refuses_domains_that_are_empty_or_repeat)
{
    const char *key = "tables['public.t'].columns.x.domain";
    assert_refused(COLUMN("{\"domain\": []}"), key, "empty");
    assert_refused(COLUMN("{\"domain\": \"a\"}"), key, "a string");
    assert_refused(COLUMN("{\"domain\": [\"b\", \"a\", \"b\"]}"), key, "b twice");
    assert_refused(COLUMN("{\"domain\": [null, \"a\", null]}"), key, "null twice");
    assert_refused(COLUMN("{\"domain\": [1, \"1\"]}"), key, "1 twice");
    assert_refused(COLUMN("{\"domain\": [{}]}"), "tables['public.t'].columns.x.domain[0]",
                   "an object");
}

Test(policy, a_finite_bound_of_each_units_rows_must_remain)
{
    assert_refused(PRIVATE("\"columns\": {\"id\": {}}"), "tables['public.t']", "unbounded");
    assert_refused(PRIVATE("\"max_groups\": 3, \"columns\": {\"id\": {}}"), "tables['public.t']",
                   "unbounded");
    assert_refused(PRIVATE("\"max_rows_per_group\": 3, \"columns\": {\"id\": {}}"),
                   "tables['public.t']", "unbounded");
    policy_free(read_good(PRIVATE("\"max_rows_per_group\": 3, \"max_groups\": 2, "
                                  "\"columns\": {\"id\": {}}")));
    assert_refused(PRIVATE("\"max_rows\": 0, \"columns\": {\"id\": {}}"),
                   "tables['public.t'].max_rows", "an integer from 1");
    assert_refused(PRIVATE("\"max_rows\": -1, \"columns\": {\"id\": {}}"),
                   "tables['public.t'].max_rows", "is -1");
    assert_refused(PRIVATE("\"max_rows\": 1.5, \"columns\": {\"id\": {}}"),
                   "tables['public.t'].max_rows", "is 1.5");
    assert_refused(PRIVATE("\"max_rows\": \"1\", \"columns\": {\"id\": {}}"),
                   "tables['public.t'].max_rows", "a string");
}

Test(policy, the_unit_is_a_listed_column_and_every_chain_ends_at_one_root)
{
    assert_refused("{\"tables\": {\"public.t\": {\"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['public.t'].unit", "missing");
    assert_refused(PRIVATE("\"max_rows\": 1, \"columns\": {\"x\": {}}"), "tables['public.t'].unit",
                   "not among the columns");
    assert_refused("{\"tables\": {\"public.p\": {\"public\": true}}}", "tables",
                   "no private table");
    assert_refused("{\"tables\": {"
                   "\"a.r\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {}}},"
                   "\"a.s\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['a.s'].unit", "one kind of privacy unit");
    assert_refused("{\"tables\": {"
                   "\"a.r\": {\"unit\": {\"column\": \"id\", \"references\": \"a.s\"}, "
                   "\"max_rows\": 1, \"columns\": {\"id\": {}}},"
                   "\"a.s\": {\"unit\": {\"column\": \"id\", \"references\": \"a.r\"}, "
                   "\"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['a.r'].unit", "circle");
    assert_refused("{\"tables\": {"
                   "\"a.r\": {\"unit\": {\"column\": \"id\", \"references\": \"a.x\"}, "
                   "\"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['a.r'].unit", "not in the policy");
    assert_refused("{\"tables\": {\"a.x\": {\"public\": true},"
                   "\"a.r\": {\"unit\": {\"column\": \"id\", \"references\": \"a.x\"}, "
                   "\"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['a.r'].unit", "public");
}

Test(policy, a_public_table_has_no_unit)
{
    assert_refused("{\"tables\": {\"a.x\": {\"public\": true, \"unit\": \"id\"}}}",
                   "tables['a.x'].unit", "public table");
    assert_refused("{\"tables\": {\"a.x\": {\"public\": true, \"max_rows\": 1}}}",
                   "tables['a.x'].max_rows", "public table");
    assert_refused("{\"tables\": {\"a.x\": {\"public\": \"yes\"}}}", "tables['a.x'].public",
                   "accepted: true, false");
}

Test(policy, a_view_declares_nothing_of_its_own_and_owns_no_rows)
{
    static const char patients[] =
        "{\"tables\": {\"public.v\": {%s}, \"public.t\": {\"unit\": %s, \"max_rows\": 1, "
        "\"columns\": {\"id\": {}}}}}";
    char text[400];
    snprintf(text, sizeof text, patients, "\"view\": true, \"hidden\": true", "\"id\"");
    struct policy *policy = read_good(text);
    const struct policy_table *view = policy_find_table(policy, "public", "v");
    cr_assert(view->is_view && view->hidden && !view->is_public);
    policy_free(policy);
    snprintf(text, sizeof text, patients, "\"view\": true, \"columns\": {\"id\": {}}", "\"id\"");
    assert_refused(text, "tables['public.v'].columns", "no meaning in a view");
    snprintf(text, sizeof text, patients, "\"view\": 1", "\"id\"");
    assert_refused(text, "tables['public.v'].view", "accepted: true, false");
    snprintf(text, sizeof text, patients, "\"view\": true",
             "{\"column\": \"id\", \"references\": \"public.v\"}");
    assert_refused(text, "tables['public.t'].unit", "a view");
}

Test(policy, unknown_and_repeated_keys_are_errors)
{
    assert_refused("{\"tables\": {}, \"epsilon\": 1}", "epsilon", "accepted: tables");
    assert_refused(PRIVATE("\"maxrows\": 1, \"columns\": {\"id\": {}}"),
                   "tables['public.t'].maxrows", "unknown key");
    assert_refused(COLUMN("{\"bound\": [1, 2]}"), "tables['public.t'].columns.x.bound",
                   "accepted: bounds, domain");
    assert_refused(PRIVATE("\"max_rows\": 1, \"max_rows\": 2, \"columns\": {\"id\": {}}"), "",
                   "duplicate");
    assert_refused(PRIVATE("\"max_rows\": 1, \"columns\": {\"id\": {}, \"ID\": {}}"),
                   "tables['public.t'].columns.ID", "second time");
    assert_refused("{\"tables\": {"
                   "\"a.r\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {}}},"
                   "\"A.R\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {}}}}}",
                   "tables['A.R']", "second time");
}

#define TOP(key)                                                                                   \
    "{" key                                                                                        \
    ", \"tables\": {\"a.b\": {\"unit\": \"id\", \"max_rows\": 1, \"columns\": {\"id\": {}}}}}"

Test(policy, answers_are_reused_within_a_day_unless_it_says_otherwise)
{
    static const struct {
        const char *text;
        bool reuse;
        enum policy_epoch epoch;
    } cases[] = {
        {CLINIC, true, POLICY_EPOCH_DAY},
        {TOP("\"reuse\": false"), false, POLICY_EPOCH_DAY},
        {TOP("\"reuse\": true, \"epoch\": \"hour\""), true, POLICY_EPOCH_HOUR},
        {TOP("\"epoch\": \"day\""), true, POLICY_EPOCH_DAY},
        {TOP("\"epoch\": \"week\""), true, POLICY_EPOCH_WEEK},
        {TOP("\"epoch\": \"month\""), true, POLICY_EPOCH_MONTH},
        {TOP("\"epoch\": \"none\""), true, POLICY_EPOCH_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct policy *policy = read_good(cases[i].text);
        cr_expect_eq(policy->reuse, cases[i].reuse, "%s", cases[i].text);
        cr_expect_eq(policy->epoch, cases[i].epoch, "%s", cases[i].text);
        policy_free(policy);
    }
    cr_assert_str_eq(policy_epoch_name(POLICY_EPOCH_HOUR), "hour");
    cr_assert_str_eq(policy_epoch_name(POLICY_EPOCH_NONE), "none");
    assert_refused(TOP("\"reuse\": 1"), "reuse", "a number");
    assert_refused(TOP("\"epoch\": \"year\""), "epoch", "hour, day, week, month, none");
    assert_refused(TOP("\"epoch\": \"Day\""), "epoch", "hour, day, week, month, none");
    assert_refused(TOP("\"epoch\": 3600"), "epoch", "a number");
}

Test(policy, what_is_no_policy_at_all_is_refused)
{
    assert_refused("", "", "not valid JSON");
    assert_refused("[]", "", "no JSON object");
    assert_refused("{}", "tables", "missing");
    assert_refused("{\"tables\": []}", "tables", "an array");
    assert_refused("{\"tables\": {}}", "tables", "empty");
    assert_refused("{\"tables\": {\"a.b\": 3}}", "tables['a.b']", "a number");
    assert_refused("{\"minimum_units\": 0, \"tables\": {}}", "minimum_units", "from 1");
    struct config_error error;
    cr_assert_null(policy_read("/nonexistent/policy.json", &error));
    cr_assert_str_eq(error.file, "/nonexistent/policy.json");
    cr_assert_str_eq(error.text, "No such file or directory");
}

Test(policy, reads_automatic_bounds_with_and_without_a_unit_and_a_range)
{
    struct policy *policy = read_good(COLUMN("{\"bounds\": \"auto\"}"));
    const struct policy_column *found = column(policy, "t", "x");
    cr_assert_not_null(found->automatic);
    cr_expect_null(found->bounds);
    cr_expect_not(found->automatic->has_unit || found->automatic->has_range);
    policy_free(policy);
    policy = read_good(
        COLUMN("{\"bounds\": {\"auto\": true, \"unit\": \"0.01\", \"within\": [-5, 1e6]}}"));
    found = column(policy, "t", "x");
    cr_assert(found->automatic != NULL && found->automatic->has_unit &&
              found->automatic->has_range);
    assert_decimal(&found->automatic->unit, "0.01");
    assert_decimal(&found->automatic->low, "-5");
    cr_expect_eq(found->automatic->high.digits, 1000000);
    policy_free(policy);
}

Test(policy, refuses_automatic_bounds_that_say_nothing_clear)
{
    const char *key = "tables['public.t'].columns.x.bounds";
    assert_refused(COLUMN("{\"bounds\": \"automatic\"}"), key,
                   "accepted: [low, high], or \"auto\"");
    assert_refused(COLUMN("{\"bounds\": {}}"), "tables['public.t'].columns.x.bounds.auto",
                   "missing; accepted: true");
    assert_refused(COLUMN("{\"bounds\": {\"auto\": false}}"),
                   "tables['public.t'].columns.x.bounds.auto", "accepted: true");
    assert_refused(COLUMN("{\"bounds\": {\"auto\": true, \"low\": 0}}"),
                   "tables['public.t'].columns.x.bounds.low", "accepted: auto, unit, within");
    static const char *const units[] = {"0", "-1", "\"0.00000009\"", "1e16", "\"x\"", "null"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char text[512];
        snprintf(text, sizeof text, COLUMN("{\"bounds\": {\"auto\": true, \"unit\": %s}}"),
                 units[i]);
        assert_refused(text, "tables['public.t'].columns.x.bounds.unit", "from 0.0000001 to");
    }
    const char *within = "tables['public.t'].columns.x.bounds.within";
    assert_refused(COLUMN("{\"bounds\": {\"auto\": true, \"within\": [3, 3]}}"), within, "empty");
    assert_refused(
        COLUMN("{\"bounds\": {\"auto\": true, \"within\": [\"2020-01-01\", \"2021-01-01\"]}}"),
        within, "numbers");
}

Test(policy, a_public_table_has_no_automatic_bounds)
{
    assert_refused("{\"tables\": {\"public.p\": {\"public\": true, \"columns\": {\"x\": "
                   "{\"bounds\": \"auto\"}}}}}",
                   "tables['public.p'].columns", "public table");
}
