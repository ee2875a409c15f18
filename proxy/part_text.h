#ifndef PROXY_PART_TEXT_H
#define PROXY_PART_TEXT_H

#include <stddef.h>

/*
 * One statement of a text as the client wrote it, to be sent by itself: all before it is blank, one
 * blank a character, so that the positions in errors stay right. sql is the text in UTF-8, raw the
 * same in the client's encoding; location and length (bytes of sql) are the parser's. Allocated;
 * NULL where it cannot be told where the statement stands in raw.
 */
char *part_text(const char *sql, const char *raw, size_t location, size_t length);

#endif
