/*
 * The cases of tests/cases without a server: every accepted statement has the plan and the SQL that
 * stand in the .plan file beside it, every refused one is refused as its case says. After a change
 * that is meant, PGVEIL_WRITE_PLANS=1 writes the .plan files anew; review the difference.
 */
#include <criterion/criterion.h>
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "tests/support/planning.h"

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t length = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (length < 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* The value of a comment line "-- name: value" at the top. */
static char *header(const char *text, const char *name)
{
    char start[64];
    snprintf(start, sizeof start, "-- %s: ", name);
    const char *found = strstr(text, start);
    if (found == NULL)
        return NULL;
    found += strlen(start);
    return strndup(found, strcspn(found, "\n"));
}

static void print_statement(const struct catalog *catalog, const char *sql, const json_t *params,
                            FILE *out)
{
    struct sql_value values[16];
    char texts[16][64];
    size_t n = 0;
    for (; n < json_array_size(params); n++) {
        const json_t *param = json_array_get(params, n);
        snprintf(texts[n], sizeof texts[n], "%lld", (long long)json_integer_value(param));
        values[n] = (struct sql_value){TYPE_INT4, texts[n]};
    }
    struct planning planning = plan_with(catalog, sql, NULL, values, n);
    fprintf(out, "%s\n", sql);
    planning_print(&planning, out);
    cr_expect_eq(planning.result, PLANNED, "%s: %s %s", sql, planning.refusal.sqlstate,
                 planning.refusal.message);
    planning_clear(&planning);
}

static char *print_file(const char *text, size_t *length)
{
    char *printed = NULL, *dataset = header(text, "dataset"), *written = header(text, "params");
    json_t *params = written == NULL ? NULL : json_loads(written, 0, NULL);
    FILE *out = open_memstream(&printed, length);
    cr_assert(out != NULL && dataset != NULL);
    const struct catalog *catalog = catalogs_get(dataset);
    cr_assert_not_null(catalog, "dataset %s", dataset);
    char *copy = strdup(text), *rest = copy, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0' && strncmp(line, "--", 2) != 0) {
            line[strcspn(line, ";")] = '\0';
            print_statement(catalog, line, params, out);
        }
    fclose(out);
    json_decref(params);
    free(copy);
    free(dataset);
    free(written);
    return printed;
}

static void check_file(const char *path)
{
    char golden_path[512];
    size_t length = 0;
    snprintf(golden_path, sizeof golden_path, "%.*splan", (int)strlen(path) - 3, path);
    char *text = read_file(path), *printed = print_file(text, &length);
    if (getenv("PGVEIL_WRITE_PLANS") != NULL) {
        FILE *out = fopen(golden_path, "w");
        cr_assert_not_null(out);
        fwrite(printed, 1, length, out);
        fclose(out);
    }
    char *golden = read_file(golden_path);
    cr_assert_not_null(golden, "%s is missing: PGVEIL_WRITE_PLANS=1 writes it", golden_path);
    size_t same = 0, line = 1;
    while (golden[same] != '\0' && golden[same] == printed[same])
        line += golden[same++] == '\n';
    cr_expect(golden[same] == printed[same], "%s: line %zu differs:\n%.400s", golden_path, line,
              printed + same);
    free(golden);
    free(printed);
    free(text);
}

static void for_each(const char *pattern, void (*check)(const char *path))
{
    glob_t found;
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no %s: run from the top folder", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check(found.gl_pathv[i]);
    globfree(&found);
}

Test(cases, accepted_statements_have_their_golden_plans)
{
    for_each("tests/cases/accept/*.sql", check_file);
}

static void check_refusal(const struct catalog *catalog, const json_t *test)
{
    const char *sql = json_string_value(json_object_get(test, "sql"));
    const char *states = json_string_value(json_object_get(test, "sqlstate"));
    const char *at = json_string_value(json_object_get(test, "at"));
    const char *says = json_string_value(json_object_get(test, "says"));
    if (json_object_get(test, "by") != NULL) /* the twin's to refuse */
        return;
    struct planning planning = plan_statement(catalog, sql, NULL);
    const struct refusal *refusal = &planning.refusal;
    /* What does not exist gets PostgreSQL's own error from the twin. */
    if (planning.result == PLANNING_RELAYED || planning.result == PLANNING_UNPARSABLE) {
        cr_expect(strstr(states, "42P01") != NULL || strstr(states, "42601") != NULL, "relayed: %s",
                  sql);
        planning_clear(&planning);
        return;
    }
    cr_expect_eq(planning.result, PLANNING_REFUSED, "not refused: %s", sql);
    if (strstr(states, "42703") == NULL && strstr(states, "42883") == NULL &&
        strstr(states, "42P01") == NULL)
        cr_expect(strstr(states, refusal->sqlstate) != NULL, "%s: %s %s", sql, refusal->sqlstate,
                  refusal->message);
    bool explained = refusal->detail[0] != '\0' && refusal->hint[0] != '\0';
    cr_expect(explained || strcmp(refusal->sqlstate, "42803") == 0, "no DETAIL or HINT: %s: %s",
              sql, refusal->message);
    if (at != NULL)
        cr_expect(refusal->position > 0 &&
                      strncmp(sql + refusal->position - 1, at, strlen(at)) == 0,
                  "%s: position %d", sql, refusal->position);
    if (says != NULL)
        cr_expect(strstr(refusal->message, says) != NULL || strstr(refusal->detail, says) != NULL ||
                      strstr(refusal->hint, says) != NULL,
                  "%s: %s | %s | %s", sql, refusal->message, refusal->detail, refusal->hint);
    planning_clear(&planning);
}

static void check_refusals(const char *path)
{
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    cr_assert_not_null(document, "%s: %s", path, error.text);
    const json_t *tests = json_object_get(document, "cases");
    const struct catalog *catalog =
        catalogs_get(json_string_value(json_object_get(document, "dataset")));
    cr_assert_not_null(catalog, "%s", path);
    cr_assert_gt(json_array_size(tests), 0, "%s", path);
    for (size_t i = 0; i < json_array_size(tests); i++)
        check_refusal(catalog, json_array_get(tests, i));
    json_decref(document);
}

Test(cases, refused_statements_say_why_where_and_what_works)
{
    for_each("tests/cases/refuse/*.json", check_refusals);
}
