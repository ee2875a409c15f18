/* Statements of a text, found in it as the client wrote it. */
#include <criterion/criterion.h>
#include <string.h>

#include "proxy/part_text.h"

static void expect(struct part_finder *finder, const char *part, const char *wanted, size_t before)
{
    const char *at = strstr(finder->sql + finder->at, part);
    struct part found;
    cr_assert_not_null(at);
    cr_assert(part_find(finder, (size_t)(at - finder->sql), strlen(part), &found), "%s", part);
    cr_expect_eq(found.length, strlen(wanted), "%s", wanted);
    cr_expect(strncmp(finder->raw + found.location, wanted, found.length) == 0, "%s", wanted);
    cr_expect_eq(found.before, before, "%zu before %s", found.before, wanted);
}

Test(part_text, what_is_before_a_part_is_counted_by_the_character)
{
    const char *sql = "SELECT '\xC3\xA4\xE2\x82\xAC';\n SELECT 2; SELECT '\xC3\xA4'";
    struct part_finder finder;
    cr_assert(part_finder_init(&finder, sql, sql));
    expect(&finder, "SELECT '\xC3\xA4\xE2\x82\xAC'", "SELECT '\xC3\xA4\xE2\x82\xAC'", 0);
    expect(&finder, "SELECT 2", "SELECT 2", 14);
    expect(&finder, "SELECT '\xC3\xA4'", "SELECT '\xC3\xA4'", 24);
}

Test(part_text, parts_keep_the_clients_bytes)
{
    struct part_finder finder;
    cr_assert(part_finder_init(&finder, "SELECT ';\xE8\xA1\xA8';; SELECT '\xE8\xA1\xA8;'",
                               "SELECT ';\x95\x5C';; SELECT '\x95\x5C;'"));
    expect(&finder, "SELECT ';\xE8\xA1\xA8'", "SELECT ';\x95\x5C'", 0);
    expect(&finder, "SELECT '\xE8\xA1\xA8;'", "SELECT '\x95\x5C;'", 14);
    cr_assert(part_finder_init(&finder, "SELECT '\xE3\x81\x8B\xE3\x82\x9A';SELECT 1;",
                               "SELECT '\x82\xF5';SELECT 1;"));
    expect(&finder, "SELECT 1", "SELECT 1", 12);
}

static bool is_found(const char *sql, const char *raw, size_t location, size_t length)
{
    struct part_finder finder;
    struct part part;
    return part_finder_init(&finder, sql, raw) && part_find(&finder, location, length, &part);
}

Test(part_text, texts_that_do_not_match_are_not_cut)
{
    cr_expect_not(is_found("a; b", "a b", 3, 1), "another number of statements");
    cr_expect_not(is_found("a; b",
                           "a;\xE4"
                           "b",
                           3, 1),
                  "other bytes before it");
    cr_expect_not(is_found("a; bc", "a; bc", 3, 1), "no end of a statement");
    cr_expect_not(is_found("a; b", "a;", 3, 1), "nothing left");
    cr_expect(is_found("a; b", "a; b", 3, 1));
}
