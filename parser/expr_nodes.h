#ifndef PARSER_EXPR_NODES_H
#define PARSER_EXPR_NODES_H

/* The kinds of nodes that need a file of their own; for parser/expr_*.c only. */
#include <pg_query/pg_query.pb-c.h>

#include "parser/expr_internal.h"

/* expr_names.c */
const struct expr *expr_column_node(struct scope *scope, const PgQuery__ColumnRef *node);
const struct expr *expr_cast_node(struct scope *scope, const PgQuery__TypeCast *node);

/* expr_calls.c */
const struct expr *expr_function_node(struct scope *scope, const PgQuery__FuncCall *node);
const struct expr *expr_refuse_node(struct scope *scope, const PgQuery__Node *node);
/* IS TRUE and the like, by libpg_query's number; NULL: unknown. */
const struct expr_operation *expr_boolean_test(int number);

/* expr_comparisons.c */
const struct expr *expr_operator_node(struct scope *scope, const PgQuery__AExpr *node);
const struct expr *expr_logic(struct scope *scope, enum expr_kind kind,
                              const struct expr *const *args, size_t n_args, int location);

const struct expr *expr_null_test(struct scope *scope, const struct expr *arg, bool is_null,
                                  int location);

#endif
