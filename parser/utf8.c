#include "parser/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* How many bytes follow a first byte; 4: it is none. */
static unsigned bytes_after(unsigned char first)
{
    return first < 0x80   ? 0
           : first < 0xC2 ? 4
           : first < 0xE0 ? 1
           : first < 0xF0 ? 2
           : first < 0xF5 ? 3
                          : 4;
}

uint32_t utf8_next(const char **at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)*at;
    unsigned after = bytes_after(bytes[0]);
    if (after > 3)
        return UTF8_INVALID;
    uint32_t code = after == 0 ? bytes[0] : bytes[0] & (0x3Fu >> after);
    for (unsigned i = 1; i <= after; i++) {
        if ((bytes[i] & 0xC0) != 0x80) /* the end of the text, too */
            return UTF8_INVALID;
        code = code << 6 | (bytes[i] & 0x3F);
    }
    if (code < least[after] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return UTF8_INVALID;
    *at += after + 1;
    return code;
}

bool utf8_is_valid(const char *text)
{
    while (*text != '\0')
        if (utf8_next(&text) == UTF8_INVALID)
            return false;
    return true;
}

bool utf8_is_ascii(const char *text)
{
    while (*text != '\0' && (unsigned char)*text < 0x80)
        text++;
    return *text == '\0';
}

char *utf8_ascii_copy(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    assert(copy != NULL);
    size_t length = 0;
    while (*text != '\0') {
        uint32_t code = utf8_next(&text);
        if (code == UTF8_INVALID)
            text++;
        copy[length++] = code < 0x80 ? (char)code : '?';
    }
    copy[length] = '\0';
    return copy;
}
