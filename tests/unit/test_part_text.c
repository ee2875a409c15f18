/* One statement of several, cut from the text as the client wrote it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/part_text.h"

static void expect(const char *sql, const char *raw, const char *part, const char *wanted)
{
    const char *at = strstr(sql, part);
    cr_assert_not_null(at);
    char *text = part_text(sql, raw, (size_t)(at - sql), strlen(part));
    cr_assert_not_null(text, "%s", part);
    cr_expect_str_eq(text, wanted);
    free(text);
}

Test(part_text, what_is_before_a_part_is_blank_by_the_character)
{
    const char *sql = "SELECT '\xC3\xA4\xE2\x82\xAC';\n SELECT 2; SELECT '\xC3\xA4'";
    expect(sql, sql, "SELECT '\xC3\xA4\xE2\x82\xAC'", "SELECT '\xC3\xA4\xE2\x82\xAC'");
    expect(sql, sql, "SELECT 2", "            \n SELECT 2");
    expect(sql, sql, "SELECT '\xC3\xA4'", "            \n           SELECT '\xC3\xA4'");
}

Test(part_text, parts_keep_the_clients_bytes)
{
    const char *sql = "SELECT ';\xE8\xA1\xA8'; SELECT '\xE8\xA1\xA8;'";
    const char *sjis = "SELECT ';\x95\x5C'; SELECT '\x95\x5C;'";
    expect(sql, sjis, "SELECT ';\xE8\xA1\xA8'", "SELECT ';\x95\x5C'");
    expect(sql, sjis, "SELECT '\xE8\xA1\xA8;'", "             SELECT '\x95\x5C;'");
    const char *two_for_one = "SELECT '\xE3\x81\x8B\xE3\x82\x9A';SELECT 1;";
    expect(two_for_one, "SELECT '\x82\xF5';SELECT 1;", "SELECT 1", "            SELECT 1");
}

Test(part_text, texts_that_do_not_match_are_not_cut)
{
    cr_expect_null(part_text("a; b", "a b", 3, 1), "another number of statements");
    cr_expect_null(part_text("a; b",
                             "a;\xE4"
                             "b",
                             3, 1),
                   "other bytes before it");
    cr_expect_null(part_text("a; bc", "a; bc", 3, 1), "no end of a statement");
    cr_expect_null(part_text("a; b", "a;", 3, 1), "nothing left");
}
