#ifndef PARSER_CLASSIFY_H
#define PARSER_CLASSIFY_H

/* Which statements the twin may see as they are, which are refused, and which name what may be a
 * private table: allow-lists of kinds and of settings, from the text and the catalogue alone. */
#include <pg_query/pg_query.pb-c.h>

#include "parser/arena.h"
#include "parser/parser.h"

/* Fills in class, transaction, refusal and names. */
void classify_statement(struct arena *arena, const struct catalog *catalog, const char *source,
                        PgQuery__Node *node, struct statement *out);

/* The query of a statement around one: EXPLAIN, DECLARE CURSOR, CREATE TABLE AS; else the node. */
PgQuery__Node *classify_inner_query(PgQuery__Node *node);

#endif
