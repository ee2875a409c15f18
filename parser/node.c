/* Nodes of libpg_query: accessors and constructors. */
#include "parser/node.h"

#include <string.h>

#include "parser/walk.h"

const char *node_string(const PgQuery__Node *node)
{
    if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_STRING)
        return NULL;
    return node->string->sval;
}

bool node_integer(const PgQuery__Node *node, int *value)
{
    if (node == NULL || node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull ||
        node->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL)
        return false;
    *value = node->a_const->ival->ival;
    return true;
}

const char *node_function_name(const PgQuery__FuncCall *call, bool *builtin)
{
    if (call->n_funcname == 0)
        return NULL;
    const char *schema = call->n_funcname == 2 ? node_string(call->funcname[0]) : NULL;
    *builtin = call->n_funcname == 1 || (schema != NULL && strcmp(schema, "pg_catalog") == 0);
    return node_string(call->funcname[call->n_funcname - 1]);
}

bool node_function_in_schema(const PgQuery__FuncCall *call, const char *schema)
{
    if (call->n_funcname < 2)
        return false;
    const char *name = node_string(call->funcname[call->n_funcname - 2]);
    return name != NULL && strcmp(name, schema) == 0;
}

const char *node_operator(const PgQuery__AExpr *expr)
{
    if (expr->n_name == 1)
        return node_string(expr->name[0]);
    const char *schema = expr->n_name == 2 ? node_string(expr->name[0]) : NULL;
    return schema != NULL && strcmp(schema, "pg_catalog") == 0 ? node_string(expr->name[1]) : NULL;
}

static bool find_location(void *context, const ProtobufCFieldDescriptor *field,
                          ProtobufCMessage **child)
{
    (void)field;
    int *found = context;
    const ProtobufCMessageDescriptor *type = (*child)->descriptor;
    bool is_node =
        type == &pg_query__node__descriptor; /* has hundreds of fields, and no location */
    for (unsigned i = 0; i < type->n_fields && !is_node; i++) {
        if (strcmp(type->fields[i].name, "location") != 0)
            continue;
        int32_t location;
        memcpy(&location, (const char *)*child + type->fields[i].offset, sizeof location);
        if (location >= 0 && (*found < 0 || location < *found))
            *found = location;
        return *found < 0;
    }
    return walk_children(*child, find_location, context);
}

int node_location(PgQuery__Node *node)
{
    int found = -1;
    if (node != NULL)
        walk_children(&node->base, find_location, &found);
    return found;
}

PgQuery__Node *node_new(struct arena *arena, PgQuery__Node__NodeCase kind, void *message)
{
    PgQuery__Node *node = arena_alloc(arena, sizeof *node);
    pg_query__node__init(node);
    node->node_case = kind;
    /* All members of the union are pointers to messages. */
    node->select_stmt = message;
    return node;
}

PgQuery__Node *node_new_string(struct arena *arena, const char *text)
{
    PgQuery__String *string = arena_alloc(arena, sizeof *string);
    pg_query__string__init(string);
    string->sval = arena_strdup(arena, text);
    return node_new(arena, PG_QUERY__NODE__NODE_STRING, string);
}

PgQuery__Node *node_new_integer(struct arena *arena, int value)
{
    PgQuery__Integer *integer = arena_alloc(arena, sizeof *integer);
    pg_query__integer__init(integer);
    integer->ival = value;
    PgQuery__AConst *constant = arena_alloc(arena, sizeof *constant);
    pg_query__a__const__init(constant);
    constant->val_case = PG_QUERY__A__CONST__VAL_IVAL;
    constant->ival = integer;
    constant->location = -1;
    return node_new(arena, PG_QUERY__NODE__NODE_A_CONST, constant);
}

PgQuery__Node *node_new_column(struct arena *arena, const char *qualifier, const char *name,
                               int location)
{
    PgQuery__ColumnRef *column = arena_alloc(arena, sizeof *column);
    pg_query__column_ref__init(column);
    column->location = location;
    column->fields = arena_alloc(arena, 2 * sizeof *column->fields);
    if (qualifier != NULL)
        column->fields[column->n_fields++] = node_new_string(arena, qualifier);
    column->fields[column->n_fields++] = node_new_string(arena, name);
    return node_new(arena, PG_QUERY__NODE__NODE_COLUMN_REF, column);
}

PgQuery__Node *node_new_subselect(struct arena *arena, PgQuery__SelectStmt *query,
                                  const char *alias)
{
    PgQuery__RangeSubselect *range = arena_alloc(arena, sizeof *range);
    pg_query__range_subselect__init(range);
    range->subquery = node_new(arena, PG_QUERY__NODE__NODE_SELECT_STMT, query);
    range->alias = arena_alloc(arena, sizeof *range->alias);
    pg_query__alias__init(range->alias);
    range->alias->aliasname = arena_strdup(arena, alias);
    return node_new(arena, PG_QUERY__NODE__NODE_RANGE_SUBSELECT, range);
}

PgQuery__Node *node_new_equality(struct arena *arena, PgQuery__Node *left, PgQuery__Node *right,
                                 int location)
{
    PgQuery__AExpr *expr = arena_alloc(arena, sizeof *expr);
    pg_query__a__expr__init(expr);
    expr->kind = PG_QUERY__A__EXPR__KIND__AEXPR_OP;
    expr->n_name = 1;
    expr->name = arena_alloc(arena, sizeof *expr->name);
    expr->name[0] = node_new_string(arena, "=");
    expr->lexpr = left;
    expr->rexpr = right;
    expr->location = location;
    return node_new(arena, PG_QUERY__NODE__NODE_A_EXPR, expr);
}
