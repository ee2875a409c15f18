#include "parser/ast.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parser/walk.h"

static const struct parser_limits limits = {1 << 20, 20000, 1000};

static enum ast_result parse(const char *text, const char **limit)
{
    struct arena *arena = arena_new();
    struct ast_bytes bytes;
    *limit = "";
    enum ast_result result = ast_parse(arena, text, &limits, &bytes, limit);
    arena_free(arena);
    return result;
}

/* start, then piece count times, then end. */
static char *repeated(const char *start, const char *piece, size_t count, const char *end)
{
    size_t length = strlen(piece);
    char *text = malloc(strlen(start) + count * length + strlen(end) + 1);
    cr_assert_not_null(text);
    char *at = stpcpy(text, start);
    for (size_t i = 0; i < count; i++, at += length)
        memcpy(at, piece, length);
    strcpy(at, end);
    return text;
}

Test(ast, ordinary_statements_parse)
{
    static const char *const texts[] = {
        "SELECT 1",
        "",
        "SELECT 1; SELECT 2;",
        "-- nothing",
        "SELECT 'it''s', $$x$$, E'\\n', U&'\\0041'",
        "SELECT CASE WHEN a THEN b ELSE c END FROM t WHERE x IN (1,2,3) AND y BETWEEN 1 AND 2"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *limit;
        cr_expect_eq(parse(texts[i], &limit), AST_PARSED, "%s", texts[i]);
    }
}

Test(ast, what_postgresql_cannot_parse_is_unparsable)
{
    static const char *const texts[] = {"SELEC 1", "SELECT 'open",  "SELECT $$open", "SELECT (1",
                                        "/* open", "SELECT 1 FROM", "\xc3\x28"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *limit;
        cr_expect_eq(parse(texts[i], &limit), AST_UNPARSABLE, "%s", texts[i]);
    }
}

/* Shapes that nest once per repetition, in the text or in the tree that a parser makes of it. */
static const struct shape {
    const char *start, *piece, *end;
} shapes[] = {
    {"SELECT 1", "+1", ""},
    {"SELECT 1", "||1", ""},
    {"SELECT 1", "::int", ""},
    {"SELECT ", "- ", "1"},
    {"SELECT ", "NOT ", "true"},
    {"SELECT ", "(", "1"},
    {"SELECT ", "f(", "1"},
    {"SELECT ", "ARRAY[", "1"},
    {"SELECT a", "[1]", ""},
    {"SELECT a", ".b", ""},
    {"SELECT a", " COLLATE c", ""},
    {"SELECT a", " IS NULL", ""},
    {"SELECT a", " AT TIME ZONE b", ""},
    {"SELECT ", "CASE WHEN ", "1"},
    {"SELECT 1", " UNION SELECT 1", ""},
    {"SELECT 1", " EXCEPT SELECT 1", ""},
    {"SELECT * FROM t", " JOIN t ON true", ""},
    {"SELECT * FROM t", " NATURAL JOIN t", ""},
    {"", "SELECT * FROM (", "SELECT 1"},
    {"", "WITH a AS (", "SELECT 1"},
    {"SELECT ", "EXISTS(SELECT ", "1"},
    {"SELECT ", "(SELECT ", "1"},
    {"", "EXPLAIN ", "SELECT 1"},
};

Test(ast, deep_statements_are_refused_before_a_tree_is_built)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct shape *shape = &shapes[i];
        const char *limit;
        for (size_t count = 1500; count <= 15000; count *= 10) {
            char *text = repeated(shape->start, shape->piece, count, shape->end);
            cr_expect_eq(parse(text, &limit), AST_TOO_LARGE, "%s x %zu", shape->piece, count);
            free(text);
        }
    }
}

struct stack_test {
    const char *text;
    enum ast_result result;
};

static void parse_and_unpack(void *context)
{
    struct stack_test *test = context;
    struct arena *arena = arena_new();
    struct ast_bytes bytes;
    const char *limit;
    test->result = ast_parse(arena, test->text, &limits, &bytes, &limit);
    if (test->result == AST_PARSED) {
        PgQuery__ParseResult *tree = ast_unpack(arena, &bytes);
        cr_expect_not_null(tree, "%.40s", test->text);
        cr_expect(walk_equal(&tree->base, walk_copy(arena, &tree->base)), "%.40s", test->text);
    }
    arena_free(arena);
}

Test(ast, the_deepest_statements_that_pass_fit_the_stack)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct shape *shape = &shapes[i];
        for (size_t count = 100; count < 1000; count += 150) {
            struct stack_test test = {repeated(shape->start, shape->piece, count, shape->end), 0};
            cr_expect(ast_run(parse_and_unpack, &test));
            free((char *)(size_t)test.text);
        }
    }
}

Test(ast, long_flat_statements_pass)
{
    static const struct shape flat[] = {
        {"SELECT 1", ", 1", ""},
        {"SELECT a FROM t WHERE a IN (0", ", 1", ")"},
        {"SELECT a FROM t WHERE a = 1", " OR a = 1", ""},
        {"SELECT a FROM t WHERE a = 1", " AND a = 1", ""},
        {"SELECT CASE", " WHEN a = 1 THEN 'x'", " END FROM t"},
        {"SELECT 1", "; SELECT 1", ""},
    };
    for (size_t i = 0; i < sizeof flat / sizeof flat[0]; i++) {
        const char *limit;
        char *text = repeated(flat[i].start, flat[i].piece, 2000, flat[i].end);
        cr_expect_eq(parse(text, &limit), AST_PARSED, "%s: %s", flat[i].piece, limit);
        free(text);
    }
}

Test(ast, length_and_tokens_are_limited)
{
    const char *limit;
    char *text = repeated("SELECT '", "x", 1 << 20, "'");
    cr_expect_eq(parse(text, &limit), AST_TOO_LARGE);
    cr_expect_str_eq(limit, "length");
    free(text);
    text = repeated("SELECT 1", ",1", 10000, "");
    cr_expect_eq(parse(text, &limit), AST_TOO_LARGE);
    cr_expect_str_eq(limit, "tokens");
    free(text);
}

Test(ast, what_is_written_back_parses_to_the_same_tree)
{
    static const char *const texts[] = {
        "SELECT a AS \"B c\", count(*) FILTER (WHERE x > 1) OVER (PARTITION BY y ORDER BY z ROWS "
        "BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t ORDER BY 1 DESC NULLS LAST LIMIT 5 OFFSET $1",
        "WITH RECURSIVE q(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM q WHERE n < 5) SELECT * FROM q",
        "SELECT x OPERATOR(pg_catalog.+) y, 'a'::pg_catalog.text, CAST(b AS numeric(8,2))",
        "SELECT interval '1 day', timestamp '2020-01-01', date '2020-01-01', extract(year FROM d)",
        "SELECT count(*) FROM unnest($1::pg_catalog.bytea[], $2::pg_catalog.numeric[]) AS u(a, b)",
        "CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1 AS a",
        "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1",
        "SELECT 'quote''s', E'back\\\\slash', U&'\\00e9', 1e10, -5, 12345678901234567890, NULL, true",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct arena *arena = arena_new();
        PgQuery__ParseResult *tree = ast_parse_own(arena, texts[i]);
        cr_assert_not_null(tree, "%s", texts[i]);
        cr_expect_not_null(ast_deparse(arena, tree), "%s", texts[i]);
        arena_free(arena);
    }
}

Test(ast, a_difference_is_seen_wherever_it_is)
{
    static const char *const pairs[][2] = {
        {"SELECT a FROM t", "SELECT b FROM t"},
        {"SELECT a FROM t", "SELECT a FROM t, u"},
        {"SELECT 1", "SELECT 2"},
        {"SELECT 1", "SELECT '1'"},
        {"SELECT a FROM t LIMIT 1", "SELECT a FROM t OFFSET 1"},
        {"SELECT a FROM s.t", "SELECT a FROM t"},
        {"SELECT true", "SELECT NULL"},
        {"SELECT x FROM t ORDER BY x", "SELECT x FROM t ORDER BY x DESC"},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const PgQuery__ParseResult *a = ast_parse_own(arena, pairs[i][0]);
        const PgQuery__ParseResult *b = ast_parse_own(arena, pairs[i][1]);
        cr_expect_not(walk_equal(&a->base, &b->base), "%s = %s", pairs[i][0], pairs[i][1]);
        cr_expect(walk_equal(&a->base, &a->base));
    }
    const PgQuery__ParseResult *a = ast_parse_own(arena, "SELECT a,b FROM t");
    const PgQuery__ParseResult *b = ast_parse_own(arena, "  SELECT  a , b\nFROM t");
    cr_expect(walk_equal(&a->base, &b->base), "blanks do not count");
    arena_free(arena);
}

static void parse_something(void *context)
{
    const char *limit;
    *(int *)context += parse("SELECT 1", &limit) == AST_PARSED;
}

Test(ast, thousands_of_calls_take_no_more_keys_and_threads_than_one)
{
    int done = 0;
    pthread_key_t before, after;
    cr_assert(ast_run(parse_something, &done));
    cr_assert_eq(pthread_key_create(&before, NULL), 0);
    for (int i = 0; i < 3000; i++)
        cr_assert(ast_run(parse_something, &done));
    cr_expect_eq(done, 3001);
    cr_assert_eq(pthread_key_create(&after, NULL), 0);
    cr_expect_eq(after, before + 1);
}

Test(ast, a_child_of_fork_gets_a_thread_of_its_own)
{
    int done = 0, status = -1;
    cr_assert(ast_run(parse_something, &done));
    pid_t child = fork();
    if (child == 0)
        _exit(ast_run(parse_something, &done) && done == 2 ? 7 : 8);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 7);
}
