#ifndef PARSER_UTF8_H
#define PARSER_UTF8_H

/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include <stdbool.h>
#include <stdint.h>

enum { UTF8_INVALID = UINT32_MAX };

/* The code point at *at, which is moved behind it; UTF8_INVALID where there is none, *at stays.
 * The end of the text (NUL) is a code point of its own. */
uint32_t utf8_next(const char **at);
bool utf8_is_valid(const char *text);
bool utf8_is_ascii(const char *text);
/* A copy with a question mark for every character outside ASCII, and for every byte that belongs to
 * none. Allocated. */
char *utf8_ascii_copy(const char *text);

#endif
