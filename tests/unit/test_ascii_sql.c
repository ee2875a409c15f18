/* SQL with escapes in the place of characters outside ASCII. That PostgreSQL reads both forms alike
 * is tested in tests/integration/test_encodings.py. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "parser/ascii_sql.h"
#include "parser/ast.h"
#include "parser/utf8.h"

static void expect(const char *sql, const char *wanted)
{
    struct arena *arena = arena_new();
    const char *ascii = ascii_sql(arena, sql);
    cr_expect_not_null(ascii, "%s", sql);
    if (ascii != NULL)
        cr_expect_str_eq(ascii, wanted);
    arena_free(arena);
}

Test(ascii_sql, ascii_stays_as_it_is)
{
    static const char *const texts[] = {"", "SELECT 'it''s', E'\\n', \"a\"\"b\", $1 -- x", "'",
                                        "\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], texts[i]);
}

Test(ascii_sql, literals_and_identifiers_get_escapes)
{
    expect("SELECT 'gr\xC3\xB6\xC3\x9F"
           "er' AS \"\xC3\xA4\"",
           "SELECT  E'gr\\u00f6\\u00dfer' AS  U&\"\\00e4\"");
    expect("SELECT t.\"\xF0\x9F\x98\x80\", '\xF0\x9F\x98\x80'",
           "SELECT t. U&\"\\+01f600\",  E'\\U0001f600'");
    expect("'\xE2\x82\xAC'::text || 'it''s'", " E'\\u20ac'::text || 'it''s'");
}

Test(ascii_sql, quotes_and_backslashes_keep_their_meaning)
{
    expect("'a''b\\c\xC3\xA4'", " E'a''b\\\\c\\u00e4'");
    expect("E'a\\'b\\\\c\\n\xC3\xA4'", "E'a\\'b\\\\c\\n\\u00e4'");
    expect("(E'\\\xC3\xA4')", "(E'\\u00e4')");
    expect("\"a\"\"b\\c\xC3\xA4\"", " U&\"a\"\"b\\\\c\\00e4\"");
    expect("E'\\\\', '\xC3\xA4'", "E'\\\\',  E'\\u00e4'");
    expect("'\\', '\xC3\xA4'", "'\\',  E'\\u00e4'");
    expect("\"'\", '\xC3\xA4', \"'\"", "\"'\",  E'\\u00e4', \"'\"");
}

Test(ascii_sql, what_cannot_be_escaped_is_refused)
{
    static const char *const texts[] = {"SELECT \xC3\xA4",           "SELECT '\xC3\xA4",
                                        "SELECT \"\xC3\xA4",         "SELECT '\xC3'",
                                        "SELECT B'\xC3\xA4'",        "SELECT U&\"\xC3\xA4\"",
                                        "SELECT U&'\xC3\xA4'",       "SELECT $$'\xC3\xA4'$$",
                                        "SELECT $a$'\xC3\xA4'$a$",   "SELECT 1 -- '\xC3\xA4'\n",
                                        "SELECT /* ' */ '\xC3\xA4'", "SELECT nameE'\xC3\xA4'"};
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect_null(ascii_sql(arena, texts[i]), "%s", texts[i]);
    arena_free(arena);
}

static const char *some_text(struct arena *arena, unsigned *seed)
{
    static const char *const pieces[] = {
        "a",  "u00e4", "'",  "\\",       "\"",           ";",
        "$$", "--",    "/*", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    struct text out = text_new(arena);
    text_add(&out, "x");
    for (int n = rand_r(seed) % 8; n > 0; n--)
        text_add(&out, pieces[(size_t)rand_r(seed) % (sizeof pieces / sizeof *pieces)]);
    return out.data;
}

Test(ascii_sql, both_forms_are_the_same_to_the_parser)
{
    unsigned seed = 20260101, escaped = 0;
    for (int i = 0; i < 2000; i++) {
        struct arena *arena = arena_new();
        struct text sql = text_new(arena);
        text_add(&sql, "SELECT ");
        text_literal(&sql, some_text(arena, &seed));
        text_add(&sql, "::text AS ");
        text_identifier(&sql, some_text(arena, &seed));
        text_add(&sql, ", ");
        text_identifier(&sql, some_text(arena, &seed));
        text_add(&sql, ".");
        text_identifier(&sql, some_text(arena, &seed));
        text_add(&sql, " || ");
        text_literal(&sql, some_text(arena, &seed));
        const PgQuery__ParseResult *tree = ast_parse_own(arena, sql.data);
        cr_assert_not_null(tree, "%s", sql.data);
        const char *written = ast_deparse(arena, tree);
        const char *ascii = written != NULL ? ascii_sql(arena, written) : NULL;
        cr_assert(ascii != NULL && utf8_is_ascii(ascii), "%s", sql.data);
        const PgQuery__ParseResult *same = ast_parse_own(arena, ascii);
        cr_assert_not_null(same, "%s", ascii);
        cr_assert_str_eq(ast_deparse(arena, same), written);
        escaped += strcmp(ascii, written) != 0;
        arena_free(arena);
    }
    cr_assert_gt(escaped, 1000);
}
