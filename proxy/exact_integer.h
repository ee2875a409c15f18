#ifndef PROXY_EXACT_INTEGER_H
#define PROXY_EXACT_INTEGER_H

/* Integers as PostgreSQL prints them, numeric included, into 128 bits. */
#include <stdbool.h>
#include <stddef.h>

/* Digits with an optional minus sign; a fraction is accepted where it is zeros only (how many of
 * them a numeric prints can depend on the rows). False for anything else (NaN, infinity, an
 * exponent) and outside the range of __int128. */
bool exact_integer_read(const char *text, size_t length, __int128 *out);

#endif
