/* The names of unnamed columns, by the rules of PostgreSQL: a strong name (2) wins over the weak
 * one (1) of the type of a cast or of a CASE. */
#include <string.h>

#include "parser/node.h"

static int figure(const PgQuery__Node *node, const char **name);

static int take(const char *found, int strength, const char **name)
{
    if (found == NULL || found[0] == '\0')
        return 0;
    *name = found;
    return strength;
}

static int last_string(PgQuery__Node *const *items, size_t count, const char **name)
{
    const char *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (node_string(items[i]) != NULL)
            found = node_string(items[i]);
    return take(found, 2, name);
}

static int figure_cast(const PgQuery__TypeCast *cast, const char **name)
{
    int strength = figure(cast->arg, name);
    if (strength <= 1 && cast->type_name != NULL && cast->type_name->n_names > 0)
        return take(node_string(cast->type_name->names[cast->type_name->n_names - 1]), 1, name);
    return strength;
}

static int figure_sublink(const PgQuery__SubLink *link, const char **name)
{
    switch (link->sub_link_type) {
    case PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK:
        return take("exists", 2, name);
    case PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK:
        return take("array", 2, name);
    case PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK: {
        const PgQuery__SelectStmt *query = link->subselect->select_stmt;
        while (query->larg != NULL)
            query = query->larg;
        if (query->n_target_list == 0)
            return 0;
        const PgQuery__ResTarget *target = query->target_list[0]->res_target;
        if (target->name != NULL && target->name[0] != '\0')
            return take(target->name, 2, name);
        return figure(target->val, name);
    }
    case PG_QUERY__SUB_LINK_TYPE__SUB_LINK_TYPE_UNDEFINED:
    case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK:
    case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
    case PG_QUERY__SUB_LINK_TYPE__ROWCOMPARE_SUBLINK:
    case PG_QUERY__SUB_LINK_TYPE__MULTIEXPR_SUBLINK:
    case PG_QUERY__SUB_LINK_TYPE__CTE_SUBLINK:
    case _PG_QUERY__SUB_LINK_TYPE_IS_INT_SIZE:
    default:
        return 0;
    }
}

static const char *value_function_name(PgQuery__SQLValueFunctionOp op)
{
    static const char *const names[] = {
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE] = "current_date",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIME] = "current_time",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIME_N] = "current_time",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP] = "current_timestamp",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP_N] = "current_timestamp",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIME] = "localtime",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIME_N] = "localtime",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP] = "localtimestamp",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N] = "localtimestamp",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_ROLE] = "current_role",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_USER] = "current_user",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_USER] = "user",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_SESSION_USER] = "session_user",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_CATALOG] = "current_catalog",
        [PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_SCHEMA] = "current_schema",
    };
    size_t index = (size_t)op;
    return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

static int figure_indirection(const PgQuery__AIndirection *indirection, const char **name)
{
    int strength = last_string(indirection->indirection, indirection->n_indirection, name);
    return strength > 0 ? strength : figure(indirection->arg, name);
}

static int figure_case(const PgQuery__CaseExpr *expr, const char **name)
{
    int strength = figure(expr->defresult, name);
    return strength <= 1 ? take("case", 1, name) : strength;
}

static int figure(const PgQuery__Node *node, const char **name)
{
    if (node == NULL)
        return 0;
    int kind = (int)node->node_case; /* hundreds of kinds have no name of their own */
    switch (kind) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
        return last_string(node->column_ref->fields, node->column_ref->n_fields, name);
    case PG_QUERY__NODE__NODE_A_INDIRECTION:
        return figure_indirection(node->a_indirection, name);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return last_string(node->func_call->funcname, node->func_call->n_funcname, name);
    case PG_QUERY__NODE__NODE_A_EXPR:
        return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF ? take("nullif", 2, name)
                                                                           : 0;
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        return figure_cast(node->type_cast, name);
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
        return figure(node->collate_clause->arg, name);
    case PG_QUERY__NODE__NODE_GROUPING_FUNC:
        return take("grouping", 2, name);
    case PG_QUERY__NODE__NODE_SUB_LINK:
        return figure_sublink(node->sub_link, name);
    case PG_QUERY__NODE__NODE_CASE_EXPR:
        return figure_case(node->case_expr, name);
    case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
        return take("array", 2, name);
    case PG_QUERY__NODE__NODE_ROW_EXPR:
        return take("row", 2, name);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        return take("coalesce", 2, name);
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return take(node->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST ? "greatest"
                                                                                : "least",
                    2, name);
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
        return take(value_function_name(node->sqlvalue_function->op), 2, name);
    default:
        return 0;
    }
}

const char *node_column_name(const PgQuery__Node *value)
{
    const char *name = NULL;
    return figure(value, &name) > 0 ? name : "?column?";
}
