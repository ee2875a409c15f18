/* Casts, implicit and explicit, with what they do to constants and type modifiers. */
#include <string.h>

#include "parser/expr_internal.h"

static const struct expr *unary(struct scope *scope, const struct expr_operation *op,
                                const struct catalog_type *type, const struct expr *arg)
{
    struct expr *expr = expr_new(scope, EXPR_OPERATION, 1, &arg, arg->location);
    expr->operation = op;
    expr->type = *type;
    return expr_finish(scope, expr);
}

static struct expr_operation *cast_to(struct scope *scope, enum expr_rule rule, unsigned flags,
                                      const char *sql)
{
    struct expr_operation *op = arena_alloc(scope->arena, sizeof *op);
    *op =
        (struct expr_operation){.name = "", .n_args = 1, .rule = rule, .flags = flags, .sql = sql};
    return op;
}

/* numeric(p,s): PostgreSQL rounds, and raises where p digits do not suffice. */
static const struct expr *numeric_typmod(struct scope *scope, const struct expr *expr,
                                         const struct catalog_type *type, int location)
{
    int precision = 0, scale = 0;
    const char *sql;

    if (!expr_numeric_typmod(type->typmod, &precision, &scale) || scale < 0 || scale > precision)
        return expr_unsupported(scope, location, "this precision and scale of numeric",
                                "Use numeric(p, s) with 0 <= s <= p.");
    bool fits = expr->digits.before >= 0 && expr->digits.before <= precision - scale &&
                expr->digits.after <= scale;
    if (fits && !expr->digits.special)
        return unary(scope, cast_to(scope, RULE_TYPMOD, 0, "(%1)::%T"), type, expr);
    if (expr->digits.special || expr->digits.before < 0)
        /* Rounding the longest numbers would itself overflow: their size is asked for first. */
        sql = arena_printf(scope->arena,
                           "CASE WHEN %%1 OPERATOR(pg_catalog.=) 'NaN'::pg_catalog.numeric THEN "
                           "(%%1)::%%T WHEN pg_catalog.abs(%%1) OPERATOR(pg_catalog.<) "
                           "'1e%d'::pg_catalog.numeric THEN CASE WHEN pg_catalog.abs("
                           "pg_catalog.round(%%1, %d)) OPERATOR(pg_catalog.<) "
                           "'1e%d'::pg_catalog.numeric THEN (%%1)::%%T END END",
                           precision - scale, scale, precision - scale);
    else
        sql = arena_printf(scope->arena,
                           "NULLIF(NULLIF(LEAST(GREATEST(pg_catalog.round(%%1, %d), "
                           "'-1e%d'::pg_catalog.numeric), '1e%d'::pg_catalog.numeric), "
                           "'-1e%d'::pg_catalog.numeric), '1e%d'::pg_catalog.numeric)::%%T",
                           scale, precision - scale, precision - scale, precision - scale,
                           precision - scale);
    return unary(scope, cast_to(scope, RULE_TYPMOD, OP_NULLABLE, sql), type, expr);
}

static const struct expr *apply_typmod(struct scope *scope, const struct expr *expr,
                                       const struct catalog_type *type, int location)
{
    if (type->typmod == expr->type.typmod)
        return expr;
    if (expr_is_null_value(expr))
        return expr_null(scope, type, expr->location);
    if (type->typmod < 0)
        return unary(scope, cast_to(scope, RULE_KEEP, 0, "(%1)::%T"), type, expr);
    switch (type->oid) {
    case TYPE_NUMERIC:
        return numeric_typmod(scope, expr, type, location);
    case TYPE_VARCHAR:
    case TYPE_BPCHAR: /* an explicit cast cuts and pads, it never fails */
        return unary(scope, cast_to(scope, RULE_NONE, 0, "(%1)::%T"), type, expr);
    default:
        return expr_unsupported(scope, location, "a precision of this type",
                                "Cast to the type without a precision.");
    }
}

/* A number that is written down needs no cast: its text means the same in the other type. */
static const struct expr *retyped_constant(struct scope *scope, const struct expr *expr,
                                           const struct catalog_type *type)
{
    if (expr->kind != EXPR_VALUE || !expr->text || expr->wanted || expr->digits.special)
        return NULL;
    bool from_int = expr_type_is_integer(expr->type.oid);
    if (!from_int && expr->type.oid != TYPE_NUMERIC)
        return NULL;
    if (!expr_type_is_number(type->oid))
        return NULL;
    if (expr_type_is_integer(type->oid)) {
        struct expr_range range = expr_integer_range(type->oid);
        if (!from_int || expr->range.low < range.low || expr->range.high > range.high)
            return NULL;
    }
    if (type->oid == TYPE_FLOAT4 && (expr->digits.before > 37 || expr->digits.after > 37))
        return NULL;
    if (expr->digits.before > 300 || expr->digits.after > 300)
        return NULL;
    struct catalog_type base = expr_builtin(scope, type->oid, -1);
    return expr_value(scope, &base, expr->text, expr->location);
}

static const struct expr_operation *find_cast(const struct expr *expr,
                                              const struct catalog_type *type)
{
    uint32_t from = expr->type.is_enum ? TYPE_ANYENUM : expr->type.oid;
    return type->is_enum ? NULL : expr_find_cast(from, type->oid);
}

static const struct expr *cannot_cast(struct scope *scope, const struct expr *expr,
                                      const struct catalog_type *type, int location)
{
    const char *what = arena_printf(scope->arena, "a cast from type %s to %s",
                                    expr_type_name(&expr->type), expr_type_name(type));
    return expr_unsupported(scope, location, what,
                            expr_type_is_text(expr->type.oid)
                                ? "Text that is no such value would fail; compare it as text, or "
                                  "map it with CASE."
                                : "Cast to a number, a date or text.");
}

static const struct expr *convert(struct scope *scope, const struct expr *expr,
                                  const struct catalog_type *type, bool explicit_cast, int location)
{
    const struct expr *constant = retyped_constant(scope, expr, type);
    if (constant)
        return constant;
    const struct expr_operation *cast = find_cast(expr, type);
    if (!cast || !(explicit_cast || cast->flags & OP_IMPLICIT))
        return cannot_cast(scope, expr, type, location);
    if (cast->flags & OP_TIME_ZONE)
        scope->uses_time_zone = true;
    struct catalog_type base = expr_builtin(scope, type->oid, -1);
    const struct expr *arg = expr_tame(scope, cast, expr);
    if (!arg)
        return NULL;
    bool small = expr->type.oid == TYPE_NUMERIC && !expr->digits.special &&
                 expr->digits.before >= 0 && expr->digits.before <= 37 && expr->digits.after <= 37;
    if (small && (type->oid == TYPE_FLOAT8 || type->oid == TYPE_FLOAT4))
        cast = cast_to(scope, RULE_KEEP, 0, "(%1)::%T");
    return unary(scope, cast, &base, arg);
}

const struct expr *expr_coerce(struct scope *scope, const struct expr *expr,
                               const struct catalog_type *type, bool explicit_cast, int location)
{
    struct catalog_type base = *type;

    if (!type->is_enum && type->typmod >= 0)
        base = expr_builtin(scope, type->oid, -1);
    if (!expr_type_supported(type))
        return expr_unsupported(scope, location,
                                arena_printf(scope->arena, "type %s", expr_type_name(type)),
                                "Cast to a number, a date or text.");
    if (expr->type.oid == TYPE_UNKNOWN) {
        expr = expr->text ? expr_from_literal(scope, &base, expr->text, expr->location)
                          : expr_null(scope, &base, expr->location);
    } else if (!expr_usable(scope, expr)) {
        return NULL;
    } else if (expr_is_null_value(expr)) {
        if (expr->type.oid != type->oid)
            expr = expr_null(scope, &base, expr->location);
    } else if (expr->type.oid != type->oid) {
        if (type->is_enum && expr->is_client_param && expr->type.oid == TYPE_TEXT)
            expr = expr_value(scope, type, expr->text, expr->location);
        else
            expr = convert(scope, expr, &base, explicit_cast, location);
    }
    if (!expr || type->is_enum)
        return expr;
    /* An implicit coercion asks for no modifier: the value keeps the one it has. */
    if (type->typmod < 0 && !explicit_cast)
        return expr;
    return apply_typmod(scope, expr, type, location);
}
