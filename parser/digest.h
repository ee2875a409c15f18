#ifndef PARSER_DIGEST_H
#define PARSER_DIGEST_H

/* Texts and numbers into one byte string that no other list of them has, and its SHA-256. */
#include <stdint.h>

#include "parser/arena.h"

/* NULL differs from every text. */
void digest_add(struct text *out, const char *text);
void digest_add_number(struct text *out, uint64_t number);
/* Hexadecimal, in the text's arena; NULL where SHA-256 is not to be had. */
const char *digest_finish(const struct text *all);

#endif
