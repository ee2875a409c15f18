/* libpg_query's nodes to expressions: one function a kind of node, everything else is refused. */
#include <pg_query/pg_query.pb-c.h>
#include <string.h>

#include "parser/expr_nodes.h"

static const struct expr *boolean(struct scope *scope, const PgQuery__Node *node)
{
    const struct catalog_type type = expr_builtin(scope, TYPE_BOOL, -1);
    const struct expr *expr = expr_node(scope, node);

    if (!expr)
        return NULL;
    if (expr->type.oid != TYPE_BOOL && expr->type.oid != TYPE_UNKNOWN)
        return expr_refuse_null(scope, "42804", expr->location,
                                arena_printf(scope->arena,
                                             "argument must be type boolean, not type %s",
                                             expr_type_name(&expr->type)),
                                NULL, NULL);
    return expr_coerce(scope, expr, &type, false, expr->location);
}

static const struct expr *constant_node(struct scope *scope, const PgQuery__AConst *constant)
{
    struct catalog_type type;

    type = expr_builtin(scope, TYPE_UNKNOWN, -1);
    if (constant->isnull)
        return expr_null(scope, &type, constant->location);
    switch (constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL:
        return expr_from_number(scope, arena_printf(scope->arena, "%d", constant->ival->ival),
                                constant->location);
    case PG_QUERY__A__CONST__VAL_FVAL:
        return expr_from_number(scope, arena_strdup(scope->arena, constant->fval->fval),
                                constant->location);
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
        type = expr_builtin(scope, TYPE_BOOL, -1);
        return expr_value(scope, &type, constant->boolval->boolval ? "true" : "false",
                          constant->location);
    case PG_QUERY__A__CONST__VAL_SVAL:
        return expr_value(scope, &type, arena_strdup(scope->arena, constant->sval->sval),
                          constant->location);
    case PG_QUERY__A__CONST__VAL_BSVAL:
    case PG_QUERY__A__CONST__VAL__NOT_SET:
    case _PG_QUERY__A__CONST__VAL__CASE_IS_INT_SIZE:
    default:
        return expr_unsupported(scope, constant->location, "a bit string",
                                "Write a number or a text.");
    }
}

static const struct expr *bool_node(struct scope *scope, const PgQuery__BoolExpr *node)
{
    const struct expr *args[1];

    if (node->xpr || node->n_args == 0)
        return expr_unsupported(scope, node->location, "this condition", NULL);
    if (node->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR && node->n_args == 1) {
        args[0] = boolean(scope, node->args[0]);
        return args[0] ? expr_apply(scope, &expr_op_not, args, 1, node->location) : NULL;
    }
    bool is_and = node->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
    if (!is_and && node->boolop != PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR)
        return expr_unsupported(scope, node->location, "this condition", NULL);
    const struct expr **all = expr_list(scope, node->n_args);
    for (size_t i = 0; i < node->n_args; i++)
        if (!(all[i] = boolean(scope, node->args[i])))
            return NULL;
    return expr_logic(scope, is_and ? EXPR_AND : EXPR_OR, all, node->n_args, node->location);
}

static const struct expr *null_test(struct scope *scope, const PgQuery__NullTest *node)
{
    bool is_null = node->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL;

    if (node->xpr || node->argisrow ||
        (!is_null && node->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL))
        return expr_unsupported(scope, node->location, "this test for NULL", NULL);
    const struct expr *arg = expr_node(scope, node->arg);
    return arg ? expr_null_test(scope, arg, is_null, node->location) : NULL;
}

static const struct expr *boolean_test(struct scope *scope, const PgQuery__BooleanTest *node)
{
    const struct expr *arg = node->xpr ? NULL : boolean(scope, node->arg);
    const struct expr_operation *op = expr_boolean_test((int)node->booltesttype);

    if (node->xpr || !op)
        return expr_unsupported(scope, node->location, "this test", NULL);
    return arg ? expr_apply(scope, op, &arg, 1, node->location) : NULL;
}

/* Arms of CASE, COALESCE and the like, brought to their common type in place. */
static bool unify(struct scope *scope, const struct expr **exprs, size_t n, const char *construct,
                  int location, struct catalog_type *common)
{
    for (size_t i = 0; i < n; i++)
        if (!expr_usable(scope, exprs[i]))
            return false;
    if (!expr_common_type(scope, exprs, n, common))
        return expr_refuse(scope, "42804", location,
                           arena_printf(scope->arena, "%s types cannot be matched", construct),
                           NULL, "Cast the values to one type.");
    for (size_t i = 0; i < n; i++)
        if (!(exprs[i] = expr_coerce(scope, exprs[i], common, false, exprs[i]->location)))
            return false;
    return true;
}

static const struct expr *unified(struct scope *scope, enum expr_kind kind,
                                  PgQuery__Node *const *nodes, size_t n, const char *construct,
                                  int location)
{
    struct catalog_type common;

    if (n == 0)
        return expr_unsupported(scope, location, construct, NULL);
    const struct expr **all = expr_list(scope, n);
    for (size_t i = 0; i < n; i++)
        if (!(all[i] = expr_node(scope, nodes[i])))
            return NULL;
    if (!unify(scope, all, n, construct, location, &common))
        return NULL;
    struct expr *expr = expr_new(scope, kind, n, all, location);
    expr->type = common;
    const struct expr *done = expr_finish(scope, expr);
    if (done && kind != EXPR_COALESCE && done->collation == COLLATION_CONFLICT)
        return expr_refuse_null(scope, "42P22", location,
                                "could not determine which collation to use", NULL,
                                "Compare columns that have the same collation.");
    return done;
}

/* CASE x WHEN a: every comparison must take x in the same type, for it is written once. */
static const struct expr *case_value(struct scope *scope, const struct expr **value,
                                     const struct expr *when, int location)
{
    const struct expr *probe = *value;

    if (!expr_usable(scope, probe) || !expr_usable(scope, when))
        return NULL;
    if (when->is_client_param && when->type.oid == TYPE_TEXT && probe->type.is_enum)
        return expr_coerce(scope, when, &probe->type, true, location);
    const struct expr_operation *op = expr_resolve_operator("=", probe, when);
    if (!op || !op->sql)
        return expr_unsupported(scope, location, "this comparison in CASE",
                                "Write CASE WHEN ... = ... THEN ...");
    if (op->args[0] == TYPE_ANYENUM)
        return expr_coerce(scope, when, &probe->type, false, location);
    if (op->args[0] != probe->type.oid) {
        struct catalog_type type = expr_builtin(scope, op->args[0], -1);
        if (!(*value = expr_coerce(scope, probe, &type, false, location)))
            return NULL;
    }
    struct catalog_type right = expr_builtin(scope, op->args[1], -1);
    if (op->flags & OP_TIME_ZONE)
        scope->uses_time_zone = true;
    return expr_coerce(scope, when, &right, false, location);
}

static bool case_arms(struct scope *scope, const PgQuery__CaseExpr *node, const struct expr **value,
                      const struct expr **whens, const struct expr **results)
{
    for (size_t i = 0; i < node->n_args; i++) {
        if (!node->args[i] || node->args[i]->node_case != PG_QUERY__NODE__NODE_CASE_WHEN ||
            node->args[i]->case_when->xpr)
            return expr_refuse(scope, "0A000", node->location, "this CASE is not supported", NULL,
                               NULL);
        const PgQuery__CaseWhen *arm = node->args[i]->case_when;
        whens[i] = *value ? expr_node(scope, arm->expr) : boolean(scope, arm->expr);
        if (!whens[i] || !(results[i] = expr_node(scope, arm->result)))
            return false;
    }
    for (size_t i = 0; *value && i < node->n_args; i++) {
        const struct expr *before = *value;
        if (!(whens[i] = case_value(scope, value, whens[i], node->location)))
            return false;
        if (*value != before && i > 0)
            return expr_refuse(scope, "0A000", node->location,
                               "CASE with values of several types is not supported over private "
                               "rows",
                               NULL, "Write CASE WHEN ... = ... THEN ...");
        if ((*value)->collation == COLLATION_CONFLICT || whens[i]->collation == COLLATION_CONFLICT)
            return expr_refuse(scope, "42P22", node->location,
                               "could not determine which collation to use", NULL,
                               "Compare columns that have the same collation.");
    }
    return true;
}

static const struct expr *case_node(struct scope *scope, const PgQuery__CaseExpr *node)
{
    const struct catalog_type text = expr_builtin(scope, TYPE_TEXT, -1);
    const struct catalog_type unknown = expr_builtin(scope, TYPE_UNKNOWN, -1);
    size_t n = node->n_args;
    const struct expr *value = NULL;
    struct catalog_type common;

    if (node->xpr || node->casetype || node->casecollid || n == 0)
        return expr_unsupported(scope, node->location, "this CASE", NULL);
    if (node->arg && !(value = expr_node(scope, node->arg)))
        return NULL;
    if (value && value->type.oid == TYPE_UNKNOWN &&
        !(value = expr_coerce(scope, value, &text, false, value->location)))
        return NULL;
    const struct expr **whens = expr_list(scope, n);
    /* The ELSE comes first where types are matched, as in PostgreSQL. */
    const struct expr **results = expr_list(scope, (n + 1));
    if (!case_arms(scope, node, &value, whens, results + 1))
        return NULL;
    results[0] = node->defresult ? expr_node(scope, node->defresult)
                                 : expr_null(scope, &unknown, node->location);
    if (!results[0] || !unify(scope, results, n + 1, "CASE", node->location, &common))
        return NULL;
    const struct expr **all = expr_list(scope, (2 * n + 2));
    size_t used = 0;
    if (value)
        all[used++] = value;
    for (size_t i = 0; i < n; i++) {
        all[used++] = whens[i];
        all[used++] = results[i + 1];
    }
    all[used++] = results[0];
    struct expr *expr =
        expr_new(scope, value ? EXPR_CASE_VALUE : EXPR_CASE, used, all, node->location);
    expr->type = common;
    return expr_finish(scope, expr);
}

static const struct expr *min_max(struct scope *scope, const PgQuery__MinMaxExpr *node)
{
    bool greatest = node->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST;

    if (node->xpr || node->minmaxtype || node->minmaxcollid || node->inputcollid ||
        (!greatest && node->op != PG_QUERY__MIN_MAX_OP__IS_LEAST))
        return expr_unsupported(scope, node->location, "GREATEST or LEAST in this form", NULL);
    return unified(scope, greatest ? EXPR_GREATEST : EXPR_LEAST, node->args, node->n_args,
                   greatest ? "GREATEST" : "LEAST", node->location);
}

static const struct expr *coalesce(struct scope *scope, const PgQuery__CoalesceExpr *node)
{
    if (node->xpr || node->coalescetype || node->coalescecollid)
        return expr_unsupported(scope, node->location, "COALESCE in this form", NULL);
    return unified(scope, EXPR_COALESCE, node->args, node->n_args, "COALESCE", node->location);
}

static const struct expr *dispatch(struct scope *scope, const PgQuery__Node *node)
{
    switch ((int)node->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
        return expr_column_node(scope, node->column_ref);
    case PG_QUERY__NODE__NODE_A_CONST:
        return constant_node(scope, node->a_const);
    case PG_QUERY__NODE__NODE_PARAM_REF:
        return expr_from_param(scope, node->param_ref->number, node->param_ref->location);
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        return expr_cast_node(scope, node->type_cast);
    case PG_QUERY__NODE__NODE_A_EXPR:
        return expr_operator_node(scope, node->a_expr);
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
        return bool_node(scope, node->bool_expr);
    case PG_QUERY__NODE__NODE_NULL_TEST:
        return null_test(scope, node->null_test);
    case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
        return boolean_test(scope, node->boolean_test);
    case PG_QUERY__NODE__NODE_CASE_EXPR:
        return case_node(scope, node->case_expr);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        return coalesce(scope, node->coalesce_expr);
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        return min_max(scope, node->min_max_expr);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
        return expr_function_node(scope, node->func_call);
    default:
        return expr_refuse_node(scope, node);
    }
}

const struct expr *expr_node(struct scope *scope, const PgQuery__Node *node)
{
    if (!node)
        return expr_unsupported(scope, -1, "an empty expression", NULL);
    if (scope->depth >= EXPR_DEPTH_MAX)
        return expr_refuse_null(scope, "54001", -1, "expression is nested too deeply",
                                "At most 1000 levels are allowed.",
                                "Write long sums or conditions with fewer levels.");
    scope->depth++;
    const struct expr *expr = dispatch(scope, node);
    scope->depth--;
    return expr;
}
