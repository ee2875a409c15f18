/* Operators: binary and prefix ones, IN, BETWEEN, LIKE, IS DISTINCT FROM, NULLIF. */
#include <string.h>

#include "parser/expr_nodes.h"
#include "parser/node.h"

const struct expr *expr_logic(struct scope *scope, enum expr_kind kind,
                              const struct expr *const *args, size_t n_args, int location)
{
    if (n_args == 1)
        return args[0];
    struct expr *expr = expr_new(scope, kind, n_args, args, location);
    expr->type = expr_builtin(scope, TYPE_BOOL, -1);
    return expr_finish(scope, expr);
}

static const struct expr *compare(struct scope *scope, const char *sign, const struct expr *left,
                                  const struct expr *right, int location)
{
    const struct expr *result = expr_apply_operator(scope, sign, left, right, location);
    if (result && result->type.oid != TYPE_BOOL)
        return expr_unsupported(scope, location, "this comparison", NULL);
    return result;
}

static const struct expr *negated(struct scope *scope, const struct expr *expr, int location)
{
    return expr ? expr_apply(scope, &expr_op_not, &expr, 1, location) : NULL;
}

const struct expr *expr_null_test(struct scope *scope, const struct expr *arg, bool is_null,
                                  int location)
{
    if (arg->type.oid == TYPE_UNKNOWN) {
        struct catalog_type text = expr_builtin(scope, TYPE_TEXT, -1);
        arg = expr_coerce(scope, arg, &text, false, arg->location);
    }
    return arg ? expr_apply(scope, is_null ? &expr_op_is_null : &expr_op_is_not_null, &arg, 1,
                            location)
               : NULL;
}

/* ---- IN ---- */

static const struct expr *in_array(struct scope *scope, const struct expr *value,
                                   const struct expr *const *items, size_t n, bool not_in,
                                   int location)
{
    struct catalog_type common;
    const struct expr **all = expr_list(scope, (n + 1));

    all[0] = value;
    for (size_t i = 0; i < n; i++)
        all[i + 1] = items[i];
    if (!expr_common_type(scope, all, n + 1, &common))
        return NULL; /* not refused: the caller compares one by one */
    if (!common.is_enum)
        common = expr_builtin(scope, common.oid, -1);
    for (size_t i = 0; i <= n; i++)
        if (!(all[i] = expr_coerce(scope, all[i], &common, false, all[i]->location)))
            return NULL;
    /* The comparison is =, which takes varchar as text. */
    if (common.oid == TYPE_VARCHAR) {
        common = expr_builtin(scope, TYPE_TEXT, -1);
        for (size_t i = 0; i <= n; i++)
            if (!(all[i] = expr_coerce(scope, all[i], &common, false, all[i]->location)))
                return NULL;
    }
    for (size_t i = 1; i <= n; i++)
        if (all[i]->kind != EXPR_VALUE)
            return NULL;
    if (expr_array_type(&common) == 0 || all[0]->collation == COLLATION_CONFLICT)
        return NULL;
    struct expr *in = expr_new(scope, EXPR_IN, n + 1, all, location);
    in->type = expr_builtin(scope, TYPE_BOOL, -1);
    const struct expr *done = expr_finish(scope, in);
    return not_in ? negated(scope, done, location) : done;
}

static const struct expr *in_list(struct scope *scope, const PgQuery__AExpr *node, bool not_in)
{
    const struct expr *value = expr_node(scope, node->lexpr);
    const PgQuery__List *list = node->rexpr && node->rexpr->node_case == PG_QUERY__NODE__NODE_LIST
                                    ? node->rexpr->list
                                    : NULL;
    size_t n_constants = 0, n_parts = 0;

    if (!value || !list || list->n_items == 0)
        return value ? expr_unsupported(scope, node->location, "IN in this form", NULL) : NULL;
    if (list->n_items > EXPR_LIST_MAX)
        return expr_refuse_null(scope, "54000", node->location, "IN list is too long",
                                "At most 1000 entries are allowed over private rows.",
                                "Use BETWEEN, or join a public table.");
    const struct expr **constants = expr_list(scope, list->n_items);
    const struct expr **parts = expr_list(scope, (list->n_items + 1));
    const struct expr **others = expr_list(scope, list->n_items);
    size_t n_others = 0;
    if (!expr_usable(scope, value))
        return NULL;
    for (size_t i = 0; i < list->n_items; i++) {
        const struct expr *item = expr_node(scope, list->items[i]);
        if (!item || !expr_usable(scope, item))
            return NULL;
        if (item->constant)
            constants[n_constants++] = item;
        else
            others[n_others++] = item;
    }
    /* As PostgreSQL does: several constants have one common type, others are compared one by one.
     */
    if (n_constants > 1) {
        const struct expr *array =
            in_array(scope, value, constants, n_constants, not_in, node->location);
        if (scope->refusal->sqlstate[0])
            return NULL;
        if (array) {
            parts[n_parts++] = array;
            n_constants = 0;
        }
    }
    for (size_t i = 0; i < n_constants + n_others; i++) {
        const struct expr *item = i < n_constants ? constants[i] : others[i - n_constants];
        parts[n_parts] = compare(scope, not_in ? "<>" : "=", value, item, node->location);
        if (!parts[n_parts++])
            return NULL;
    }
    return expr_logic(scope, not_in ? EXPR_AND : EXPR_OR, parts, n_parts, node->location);
}

/* ---- BETWEEN ---- */

static const struct expr *range(struct scope *scope, const struct expr *value,
                                const struct expr *low, const struct expr *high, bool outside,
                                int location)
{
    const struct expr *parts[2];

    parts[0] = compare(scope, outside ? "<" : ">=", value, low, location);
    parts[1] = parts[0] ? compare(scope, outside ? ">" : "<=", value, high, location) : NULL;
    return parts[1] ? expr_logic(scope, outside ? EXPR_OR : EXPR_AND, parts, 2, location) : NULL;
}

static const struct expr *between(struct scope *scope, const PgQuery__AExpr *node)
{
    const PgQuery__List *list = node->rexpr && node->rexpr->node_case == PG_QUERY__NODE__NODE_LIST
                                    ? node->rexpr->list
                                    : NULL;
    bool symmetric = node->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM ||
                     node->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM;
    bool outside = node->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN ||
                   node->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM;

    if (!list || list->n_items != 2)
        return expr_unsupported(scope, node->location, "BETWEEN in this form", NULL);
    const struct expr *value = expr_node(scope, node->lexpr);
    const struct expr *low = value ? expr_node(scope, list->items[0]) : NULL;
    const struct expr *high = low ? expr_node(scope, list->items[1]) : NULL;
    if (!high)
        return NULL;
    const struct expr *parts[2];
    parts[0] = range(scope, value, low, high, outside, node->location);
    if (!symmetric || !parts[0])
        return parts[0];
    parts[1] = range(scope, value, high, low, outside, node->location);
    if (!parts[1])
        return NULL;
    return expr_logic(scope, outside ? EXPR_AND : EXPR_OR, parts, 2, node->location);
}

/* ---- those that use = ---- */

/* Both sides as = takes them; false, refused: there is no such =. */
static bool equal_sides(struct scope *scope, const struct expr **left, const struct expr **right,
                        int location)
{
    const struct expr *equal = compare(scope, "=", *left, *right, location);

    if (!equal)
        return false;
    *left = equal->args[0];
    *right = equal->args[1];
    return true;
}

static const struct expr *distinct(struct scope *scope, const PgQuery__AExpr *node,
                                   bool not_distinct)
{
    const struct expr *args[2] = {expr_node(scope, node->lexpr), NULL};
    args[1] = args[0] ? expr_node(scope, node->rexpr) : NULL;
    if (!args[1])
        return NULL;
    /* PostgreSQL reads a comparison with NULL as a test for NULL. */
    for (int i = 0; i < 2; i++)
        if (args[i]->type.oid == TYPE_UNKNOWN && !args[i]->text)
            return expr_null_test(scope, args[1 - i], not_distinct, node->location);
    if (!equal_sides(scope, &args[0], &args[1], node->location))
        return NULL;
    return expr_apply(scope, not_distinct ? &expr_op_not_distinct : &expr_op_distinct, args, 2,
                      node->location);
}

static const struct expr *nullif(struct scope *scope, const PgQuery__AExpr *node)
{
    const struct expr *args[2] = {expr_node(scope, node->lexpr), NULL};
    args[1] = args[0] ? expr_node(scope, node->rexpr) : NULL;
    if (!args[1] || !equal_sides(scope, &args[0], &args[1], node->location))
        return NULL;
    if (args[0]->collation != args[1]->collation && args[0]->collation > COLLATION_DEFAULT &&
        args[1]->collation > COLLATION_DEFAULT)
        return expr_refuse_null(scope, "42P22", node->location,
                                "could not determine which collation to use", NULL,
                                "Compare columns that have the same collation.");
    struct expr *expr = expr_new(scope, EXPR_NULLIF, 2, args, node->location);
    expr->type = args[0]->type;
    return expr_finish(scope, expr);
}

static const struct expr *plain(struct scope *scope, const PgQuery__AExpr *node, const char *name)
{
    const struct expr *left = NULL, *right;

    if (node->lexpr && !(left = expr_node(scope, node->lexpr)))
        return NULL;
    right = expr_node(scope, node->rexpr);
    return right ? expr_apply_operator(scope, name, left, right, node->location) : NULL;
}

static const struct expr *like(struct scope *scope, const PgQuery__AExpr *node, const char *name)
{
    /* With ESCAPE the pattern is a call of like_escape. */
    if (node->rexpr && node->rexpr->node_case == PG_QUERY__NODE__NODE_FUNC_CALL)
        return expr_unsupported(scope, node->location, "LIKE with ESCAPE or a computed pattern",
                                "Write a constant pattern with the backslash as escape.");
    if (strcmp(name, "~~") != 0 && strcmp(name, "!~~") != 0 && strcmp(name, "~~*") != 0 &&
        strcmp(name, "!~~*") != 0)
        return expr_unsupported(scope, node->location, "LIKE in this form", NULL);
    return plain(scope, node, name);
}

const struct expr *expr_operator_node(struct scope *scope, const PgQuery__AExpr *node)
{
    const char *name = node_operator(node);

    if (!name)
        return expr_unsupported(scope, node->location, "an operator outside of pg_catalog",
                                "Use the operators of PostgreSQL itself.");
    switch ((int)node->kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
        return plain(scope, node, strcmp(name, "!=") == 0 ? "<>" : name);
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
        return in_list(scope, node, strcmp(name, "<>") == 0);
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
    case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
        return between(scope, node);
    case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
        return distinct(scope, node, false);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
        return distinct(scope, node, true);
    case PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF:
        return nullif(scope, node);
    case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
    case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE:
        return like(scope, node, name);
    case PG_QUERY__A__EXPR__KIND__AEXPR_SIMILAR:
        return expr_unsupported(scope, node->location, "SIMILAR TO", "Use LIKE.");
    default:
        return expr_unsupported(scope, node->location, "an operator with ANY or ALL",
                                "Use IN with a list of values.");
    }
}
