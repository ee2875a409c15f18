/* Group keys: text in which equal values are identical (DESIGN 2). */
#include "parser/expr_internal.h"

/* What goes around the expression; NULL: the type has no canonical form. */
static const char *after_key(const struct expr *expr, const char **before)
{
    *before = "(";
    if (expr->type.is_enum)
        return ")::pg_catalog.text";
    switch (expr->type.oid) {
    case TYPE_BOOL:
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_DATE:
    case TYPE_TIME:
    case TYPE_TIMESTAMP:
    case TYPE_UUID:
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR: /* as text it loses the blanks that do not count */
        return ")::pg_catalog.text";
    case TYPE_NUMERIC:
        if (expr->type.typmod >= 0)
            return ")::pg_catalog.text";
        *before = "(pg_catalog.trim_scale(";
        return "))::pg_catalog.text";
    case TYPE_FLOAT4: /* zero has two forms; adding zero leaves the positive one */
        return " OPERATOR(pg_catalog.+) '0'::pg_catalog.float4)::pg_catalog.text";
    case TYPE_FLOAT8:
        return " OPERATOR(pg_catalog.+) '0'::pg_catalog.float8)::pg_catalog.text";
    case TYPE_TIMESTAMPTZ: /* the time zone may be that of another expression; infinities stay */
        *before = "pg_catalog.replace(pg_catalog.timezone('0'::pg_catalog.interval, ";
        return ")::pg_catalog.text OPERATOR(pg_catalog.||) '+00', 'infinity+00', 'infinity')";
    default:
        return NULL;
    }
}

bool expr_write_key(struct scope *scope, const struct expr *expr, int location, struct text *out)
{
    const char *before, *after;

    if (!expr_usable(scope, expr))
        return false;
    after = after_key(expr, &before);
    if (!after)
        return expr_refuse(scope, "0A000", location,
                           arena_printf(scope->arena, "type %s is not supported as a group key",
                                        expr_type_name(&expr->type)),
                           "Equal values of this type can have different forms.",
                           expr->type.oid == TYPE_INTERVAL
                               ? "Group by extract(epoch from ...) or by a date_trunc."
                               : "Group by a number, a date, a text or a boolean made of it.");
    /* A key travels whole: not the longest texts. */
    const struct expr_operation limit = {.flags = OP_TAME_TEXT};
    expr = expr_tame(scope, &limit, expr);
    if (!expr)
        return false;
    text_add(out, "(");
    text_add(out, before);
    expr_write(expr, out);
    text_add(out, after);
    /* Bytes decide: the same groups and the same order on every server. */
    text_add(out, " COLLATE pg_catalog.\"C\")");
    return true;
}
