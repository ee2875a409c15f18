#ifndef PARSER_NODE_H
#define PARSER_NODE_H

/* Reading and making the nodes that the compiler deals with most. All in an arena. */
#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>

#include "parser/arena.h"

/* Text of a String node, or NULL. */
const char *node_string(const PgQuery__Node *node);
/* Integer constant; false where it is anything else. */
bool node_integer(const PgQuery__Node *node, int *value);
/* Last name of a function call, and whether it is unqualified or in pg_catalog. */
const char *node_function_name(const PgQuery__FuncCall *call, bool *builtin);
bool node_function_in_schema(const PgQuery__FuncCall *call, const char *schema);
/* The unqualified operator's name of an A_Expr ("=" also as OPERATOR(pg_catalog.=)), or NULL. */
const char *node_operator(const PgQuery__AExpr *expr);
/* Offset in the text of the node or of the first one below that has one; -1: none. */
int node_location(PgQuery__Node *node);

PgQuery__Node *node_new(struct arena *arena, PgQuery__Node__NodeCase kind, void *message);
PgQuery__Node *node_new_string(struct arena *arena, const char *text);
PgQuery__Node *node_new_integer(struct arena *arena, int value);
/* qualifier.name, or name where the qualifier is NULL. */
PgQuery__Node *node_new_column(struct arena *arena, const char *qualifier, const char *name,
                               int location);
/* name AS a subquery of FROM. */
PgQuery__Node *node_new_subselect(struct arena *arena, PgQuery__SelectStmt *query,
                                  const char *alias);
PgQuery__Node *node_new_equality(struct arena *arena, PgQuery__Node *left, PgQuery__Node *right,
                                 int location);

/* The name that PostgreSQL gives to a column of a select list without AS. */
const char *node_column_name(const PgQuery__Node *value);

#endif
