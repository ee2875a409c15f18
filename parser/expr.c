#include <assert.h>
#include <string.h>

#include "parser/expr_internal.h"
#include "parser/refuse.h"

bool expr_refuse(struct scope *scope, const char *sqlstate, int location, const char *message,
                 const char *detail, const char *hint)
{
    const struct refusal_text text = {.message = message, .detail = detail, .hint = hint};
    return refuse(scope->refusal, scope->source, location, sqlstate, &text);
}

const struct expr *expr_refuse_null(struct scope *scope, const char *sqlstate, int location,
                                    const char *message, const char *detail, const char *hint)
{
    expr_refuse(scope, sqlstate, location, message, detail, hint);
    return NULL;
}

const struct expr *expr_unsupported(struct scope *scope, int location, const char *construct,
                                    const char *hint)
{
    const char *message =
        arena_printf(scope->arena, "%s is not supported over private rows", construct);
    return expr_refuse_null(
        scope, "0A000", location, message,
        "Only expressions on pgveil's allow-list are evaluated on private rows.", hint);
}

const struct expr **expr_list(struct scope *scope, size_t n)
{
    return arena_alloc(scope->arena, n * sizeof(void *));
}

struct expr *expr_new(struct scope *scope, enum expr_kind kind, size_t n_args,
                      const struct expr *const *args, int location)
{
    struct expr *expr = arena_alloc(scope->arena, sizeof *expr);

    expr->kind = kind;
    expr->location = location;
    expr->n_args = n_args;
    expr->scale = -1;
    if (n_args > 0) {
        expr->args = expr_list(scope, n_args);
        for (size_t i = 0; i < n_args; i++)
            expr->args[i] = args[i];
    }
    return expr;
}

bool expr_is_null_value(const struct expr *expr)
{
    return expr->kind == EXPR_VALUE && expr->text == NULL;
}

void expr_results(const struct expr *expr, size_t *first, size_t *step)
{
    *first = expr->kind == EXPR_CASE ? 1 : expr->kind == EXPR_CASE_VALUE ? 2 : 0;
    *step = expr->kind == EXPR_CASE || expr->kind == EXPR_CASE_VALUE ? 2 : 1;
}

/* The value of a CASE: its THEN arms and, last, its ELSE. */
static bool case_not_null(const struct expr *expr)
{
    size_t first, step;

    expr_results(expr, &first, &step);
    for (size_t i = first; i < expr->n_args; i += step)
        if (!expr->args[i]->not_null)
            return false;
    return expr->args[expr->n_args - 1]->not_null;
}

static bool is_not_null(const struct expr *expr)
{
    bool all = true, any = false;

    for (size_t i = 0; i < expr->n_args; i++) {
        all = all && expr->args[i]->not_null;
        any = any || expr->args[i]->not_null;
    }
    switch (expr->kind) {
    case EXPR_VALUE:
        return expr->text != NULL;
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_IN:
        return all;
    case EXPR_COALESCE:
    case EXPR_GREATEST:
    case EXPR_LEAST:
        return any;
    case EXPR_CASE:
    case EXPR_CASE_VALUE:
        return case_not_null(expr);
    case EXPR_OPERATION: {
        if (expr->operation->flags & OP_NEVER_NULL)
            return true;
        bool in_range = false;
        if (expr->operation->flags & OP_INTEGER && expr->range.known &&
            expr->operation->rule != RULE_DIVIDE && expr->operation->rule != RULE_MODULO) {
            struct expr_range type = expr_integer_range(expr->type.oid);
            in_range = expr->range.low >= type.low && expr->range.high <= type.high;
        }
        return all && (in_range || !(expr->operation->flags & OP_NULLABLE));
    }
    case EXPR_COLUMN: /* set where it is made */
        return expr->not_null;
    case EXPR_NULLIF:
    default:
        return false;
    }
}

/* PostgreSQL's rule for implicit collations: the default one gives way, others must agree. */
static void derive_collation(struct expr *expr)
{
    uint32_t collation = expr_type_is_text(expr->type.oid) ? COLLATION_DEFAULT : 0;

    if (expr->kind == EXPR_COLUMN)
        return;
    for (size_t i = 0; i < expr->n_args; i++) {
        uint32_t next = expr->args[i]->collation;
        if (next == 0 || next == COLLATION_DEFAULT || next == collation)
            continue;
        collation = collation == 0 || collation == COLLATION_DEFAULT ? next : COLLATION_CONFLICT;
        if (collation == COLLATION_CONFLICT)
            break;
    }
    expr->collation = collation;
}

static void derive_cost(struct expr *expr)
{
    const char *sql = expr->kind == EXPR_OPERATION ? expr->operation->sql : "";
    int height = expr_template_height(sql) + 4;
    size_t size = strlen(sql) / 32 + 1;
    bool binds = false;
    int lets = 0, below = 0;

    for (size_t i = 0; i < expr->n_args; i++) {
        const struct expr *arg = expr->args[i];
        size_t uses = expr->kind == EXPR_OPERATION ? expr_template_uses(sql, i) : 1;
        bool bound = uses > 1 && !expr_is_simple(arg);
        binds = binds || bound;
        size += bound ? arg->size : (uses ? uses : 1) * arg->size;
        lets = arg->lets > lets ? arg->lets : lets;
        below = arg->height > below ? arg->height : below;
    }
    expr->height = height + below;
    expr->lets = lets + binds;
    expr->size = size;
}

const struct expr *expr_finish(struct scope *scope, struct expr *expr)
{
    bool constant = expr->kind != EXPR_COLUMN;

    for (size_t i = 0; i < expr->n_args; i++)
        constant = constant && expr->args[i]->constant;
    expr->constant = constant;
    derive_collation(expr);
    derive_cost(expr);
    expr_derive_digits(expr);
    expr_derive_bounds(expr);
    expr_derive_bytes(expr);
    expr->not_null = is_not_null(expr);
    if (expr->height > EXPR_HEIGHT_MAX || expr->lets > EXPR_LETS_MAX || expr->size > EXPR_SIZE_MAX)
        return expr_refuse_null(scope, "54001", expr->location, "expression is too complex",
                                "Its SQL would be nested too deeply or grow too long.",
                                "Simplify the expression, or split it into several columns.");
    if (expr->digits.before > EXPR_DIGITS_MAX || expr->digits.after > EXPR_DIGITS_MAX)
        return expr_refuse_null(scope, "54000", expr->location,
                                "numbers of this expression may have too many digits",
                                "Private rows are computed with at most 1000 digits on either side "
                                "of the point.",
                                "Round the factors, or cast them to double precision.");
    if (expr->bytes > EXPR_BYTES_MAX)
        return expr_refuse_null(scope, "54000", expr->location,
                                "texts of this expression may grow too long",
                                "At most 64 unconstrained texts can be joined to one.",
                                "Use left(text, n) to limit the parts.");
    return expr;
}

static const struct expr *compile_root(struct scope *scope, const struct PgQuery__Node *node)
{
    const struct expr *expr = expr_node(scope, node);
    if (!expr)
        return NULL;
    if (expr->type.oid == TYPE_UNKNOWN) {
        struct catalog_type text = expr_builtin(scope, TYPE_TEXT, -1);
        expr = expr_coerce(scope, expr, &text, false, expr->location);
        if (!expr)
            return NULL;
    }
    return expr_assign_params(scope, expr) ? expr : NULL;
}

const struct expr *expr_compile(struct scope *scope, const struct PgQuery__Node *node)
{
    return scope->refusal->sqlstate[0] ? NULL : compile_root(scope, node);
}

const struct expr *expr_compile_condition(struct scope *scope, const struct PgQuery__Node *node)
{
    const struct catalog_type boolean = expr_builtin(scope, TYPE_BOOL, -1);

    if (scope->refusal->sqlstate[0])
        return NULL;
    const struct expr *expr = expr_node(scope, node);
    if (!expr)
        return NULL;
    if (expr->type.oid != TYPE_BOOL && expr->type.oid != TYPE_UNKNOWN) {
        const char *message =
            arena_printf(scope->arena, "argument of a condition must be type boolean, not type %s",
                         expr_type_name(&expr->type));
        return expr_refuse_null(scope, "42804", expr->location, message, NULL, NULL);
    }
    expr = expr_coerce(scope, expr, &boolean, false, expr->location);
    return expr && expr_assign_params(scope, expr) ? expr : NULL;
}

const struct catalog_type *expr_type(const struct expr *expr)
{
    return &expr->type;
}

bool expr_not_null(const struct expr *expr)
{
    return expr->not_null;
}

bool expr_is_constant(const struct expr *expr)
{
    return expr->constant;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool expr_equal(const struct expr *a, const struct expr *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || !expr_type_same(&a->type, &b->type) || a->n_args != b->n_args ||
        a->size != b->size || a->relation != b->relation || a->column != b->column ||
        !same_text(a->text, b->text))
        return false;
    if (a->kind == EXPR_OPERATION && a->operation != b->operation &&
        (a->operation->rule != b->operation->rule || a->operation->flags != b->operation->flags ||
         strcmp(a->operation->sql, b->operation->sql) != 0))
        return false;
    for (size_t i = 0; i < a->n_args; i++)
        if (!expr_equal(a->args[i], b->args[i]))
            return false;
    return true;
}

const struct catalog_column *expr_column(const struct expr *expr, size_t *relation)
{
    if (expr->kind != EXPR_COLUMN)
        return NULL;
    if (relation)
        *relation = expr->relation;
    return expr->column;
}

bool expr_bounds(const struct expr *expr, struct dp_decimal *low, struct dp_decimal *high)
{
    if (!expr->has_low || !expr->has_high || dp_decimal_compare(&expr->low, &expr->high) > 0)
        return false;
    *low = expr->low;
    *high = expr->high;
    return true;
}

int expr_scale(const struct expr *expr)
{
    return expr->scale;
}
