/*
 * Metadata probes in the literal forms that tools send: LIMIT 0, WHERE false, 0 = 1, 1 <> 1, NULL.
 * They ask for the columns of a result and for none of its rows, so that an empty relation of the
 * same columns answers them. Any other empty selection is measured.
 */
#include <string.h>

#include "parser/compile_internal.h"
#include "parser/node.h"
#include "parser/walk.h"

static bool is_false_constant(const PgQuery__AConst *constant)
{
    return constant->isnull ||
           (constant->val_case == PG_QUERY__A__CONST__VAL_BOOLVAL && !constant->boolval->boolval);
}

/* Two integers compared: 0 = 1, 1 <> 1. */
static bool is_false_comparison(const PgQuery__AExpr *expr)
{
    int left, right;
    const char *name = node_operator(expr);
    if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || name == NULL ||
        !node_integer(expr->lexpr, &left) || !node_integer(expr->rexpr, &right))
        return false;
    return (strcmp(name, "=") == 0 && left != right) || (strcmp(name, "<>") == 0 && left == right);
}

static bool is_false(const PgQuery__Node *node)
{
    if (node == NULL)
        return false;
    int kind = (int)node->node_case;
    switch (kind) {
    case PG_QUERY__NODE__NODE_A_CONST:
        return is_false_constant(node->a_const);
    case PG_QUERY__NODE__NODE_A_EXPR:
        return is_false_comparison(node->a_expr);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        return is_false(node->type_cast->arg);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
        if (node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR)
            return false;
        for (size_t i = 0; i < node->bool_expr->n_args; i++)
            if (is_false(node->bool_expr->args[i]))
                return true;
        return false;
    default:
        return false;
    }
}

static bool finds_subquery(void *context, const ProtobufCFieldDescriptor *field,
                           ProtobufCMessage **child)
{
    (void)field;
    return (*child)->descriptor != &pg_query__sub_link__descriptor &&
           walk_children(*child, finds_subquery, context);
}

static bool hold_subquery(PgQuery__Node **nodes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!walk_children(&nodes[i]->base, finds_subquery, NULL))
            return true;
    return false;
}

/* Where no row is selected, an aggregate still returns one; a subquery beside it would be asked. */
static bool selects_nothing(const PgQuery__SelectStmt *top)
{
    return top->op == PG_QUERY__SET_OPERATION__SETOP_NONE && is_false(top->where_clause) &&
           top->having_clause == NULL && !hold_subquery(top->target_list, top->n_target_list) &&
           !hold_subquery(top->sort_clause, top->n_sort_clause);
}

bool probe_is(const PgQuery__SelectStmt *top)
{
    int limit;
    if (node_integer(top->limit_count, &limit) && limit == 0)
        return true;
    return selects_nothing(top);
}
