#ifndef TESTS_SUPPORT_EXPR_SERVER_H
#define TESTS_SUPPORT_EXPR_SERVER_H

/* A PostgreSQL server with the table t of tests/support/expr_fixture.h and random rows in it, on
 * which compiled expressions run. */
#include <libpq-fe.h>

#include "parser/expr_internal.h"
#include "tests/support/expr_fixture.h"

/* By id: rows within the columns' bounds; rows beyond them; and rows that only totality can bear:
 * there the compiled SQL may say NULL, which changes what stands around it. */
enum { EXPR_BOUNDED = 30, EXPR_COMPARED = 60, EXPR_ROWS = 90 };

extern PGconn *expr_server_connection;

/* Fixtures of a suite. reference(source) gives what PostgreSQL makes of an expression, row by row.
 */
void expr_server_start(void);
void expr_server_stop(void);
void expr_server_fill(void);
/* A statement that must succeed. */
PGresult *expr_server_run(const char *sql);

/* Compiles with all constants that are wanted, in PostgreSQL's canonical forms. */
bool expr_server_compile(struct expr_fixture *fixture, const char *source,
                         const struct expr **expr);
void expr_server_params(const struct scope *scope, const char **values, Oid *types);
/* In every row: the value as text, whether it is within the bounds that are claimed (NULL: not to
 * be said), and whether it has no more digits than are claimed. It must not fail. */
PGresult *expr_server_run_compiled(struct expr_fixture *fixture, const struct expr *expr,
                                   const char *source);

#endif
