/* What is UTF-8, and what is not. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "parser/utf8.h"

Test(utf8, characters_of_every_length_are_read)
{
    const char *text = "a\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
    static const uint32_t codes[] = {'a', 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF};
    cr_expect(utf8_is_valid(text));
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        cr_expect_eq(utf8_next(&text), codes[i]);
    cr_expect_eq(*text, '\0');
}

Test(utf8, every_code_point_is_valid_but_surrogates)
{
    for (uint32_t code = 1; code <= 0x110000; code++) {
        char bytes[5] = {0};
        if (code < 0x80) {
            bytes[0] = (char)code;
        } else if (code < 0x800) {
            bytes[0] = (char)(0xC0 | code >> 6);
            bytes[1] = (char)(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            bytes[0] = (char)(0xE0 | code >> 12);
            bytes[1] = (char)(0x80 | (code >> 6 & 0x3F));
            bytes[2] = (char)(0x80 | (code & 0x3F));
        } else {
            bytes[0] = (char)(0xF0 | code >> 18);
            bytes[1] = (char)(0x80 | (code >> 12 & 0x3F));
            bytes[2] = (char)(0x80 | (code >> 6 & 0x3F));
            bytes[3] = (char)(0x80 | (code & 0x3F));
        }
        bool valid = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
        const char *at = bytes;
        cr_assert_eq(utf8_is_valid(bytes), valid, "U+%04X", code);
        cr_assert_eq(utf8_next(&at), valid ? code : UTF8_INVALID);
        cr_assert_eq(at - bytes, valid ? (long)strlen(bytes) : 0);
    }
}

Test(utf8, what_is_too_long_or_ends_too_early_is_not_read)
{
    static const char *const bad[] = {"\x80",
                                      "\xBF",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xC2'",
                                      "\xE0\x9F\xBF",
                                      "\xE2\x82",
                                      "\xE2\x82'",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF0\x90\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFE",
                                      "\xFF",
                                      "a\xC2\xA0\xA0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(!utf8_is_valid(bad[i]), "%zu", i);
}

Test(utf8, a_copy_in_ascii_has_a_mark_for_each_character)
{
    static const char *const pairs[][2] = {{"plain", "plain"},
                                           {"", ""},
                                           {"gr\xC3\xB6\xC3\x9F"
                                            "e",
                                            "gr??e"},
                                           {"\xF0\x9F\x98\x80!", "?!"},
                                           {"cut \xE2\x82", "cut ??"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *copy = utf8_ascii_copy(pairs[i][0]);
        cr_expect_str_eq(copy, pairs[i][1]);
        free(copy);
    }
}
