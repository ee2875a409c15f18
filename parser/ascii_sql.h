#ifndef PARSER_ASCII_SQL_H
#define PARSER_ASCII_SQL_H

#include "parser/arena.h"

/*
 * SQL that pgveil itself writes for a twin session, with escapes in the place of characters outside
 * ASCII: E'\u00e4' and U&"\00e4". The twin reads what it is sent in the client's encoding, and
 * ASCII is the same in all of them. sql: UTF-8, without comments and dollar quotes. NULL where such
 * a character stands outside of quotes, or the text is not what pgveil writes. Borrowed from sql,
 * or in the arena.
 */
const char *ascii_sql(struct arena *arena, const char *sql);

#endif
