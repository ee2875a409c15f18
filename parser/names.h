#ifndef PARSER_NAMES_H
#define PARSER_NAMES_H

/* The relations that a statement names, whatever kind of node names them. Names of common table
 * expressions are not relations where they are in scope. */
#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>

#include "parser/arena.h"
#include "parser/parser.h"

/* Names in scope from WITH clauses, innermost first. */
struct cte_scope {
    const struct cte_scope *outer;
    const char *name;
    /* Private rows that its references stand for, and the names of their columns; NULL: the twin
     * knows the query. */
    PgQuery__SelectStmt *rows;
    PgQuery__Node **columns;
    size_t n_columns;
};

/* The WITH query that the relation's name stands for; NULL: none. */
const struct cte_scope *cte_scope_find(const struct cte_scope *scope,
                                       const PgQuery__RangeVar *range);

struct name_list {
    struct arena *arena;
    struct statement_name *names; /* distinct */
    size_t n, capacity;
};

void names_collect(struct name_list *list, ProtobufCMessage *root);
/* Index of the relation's name in the list; -1: not there. */
int names_find(const struct statement_name *names, size_t n, const PgQuery__RangeVar *range);

/* The WITH clause of any statement that can have one, or NULL. */
PgQuery__WithClause *names_with_clause(ProtobufCMessage *message);

#endif
