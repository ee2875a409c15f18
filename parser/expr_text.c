/* How long the texts of an expression may be, whatever the rows hold: what makes longer texts of
 * them must not come near the gigabyte at which PostgreSQL raises. */
#include <string.h>

#include "parser/expr_internal.h"

/* Numbers, dates and labels in text form, and then some. */
enum { PRINTED_MAX = 2100, CHARACTER_BYTES = 4 };

static long joined(const struct expr *expr)
{
    size_t first, step;
    long most = 0;

    expr_results(expr, &first, &step);
    for (size_t i = first; i < expr->n_args; i += step) {
        if (expr->args[i]->bytes < 0)
            return -1;
        most = expr->args[i]->bytes > most ? expr->args[i]->bytes : most;
    }
    long last = expr->args[expr->n_args - 1]->bytes;
    return last < 0 ? -1 : last > most ? last : most;
}

/* left(text, 10) and substring(text, n, 10) limit what they are given. */
static long cut(const struct expr *expr)
{
    const char *name = expr->operation->name;
    const struct expr *count = NULL;
    long n;

    if ((strcmp(name, "left") == 0 || strcmp(name, "right") == 0) && expr->n_args == 2)
        count = expr->args[1];
    else if (strncmp(name, "substr", 6) == 0 && expr->n_args == 3)
        count = expr->args[2];
    if (!count || !expr_small_integer(count, &n) || n < 0)
        return -1;
    return n * CHARACTER_BYTES;
}

static long operation_bytes(const struct expr *expr)
{
    if (expr->operation == &expr_op_tame_text)
        return EXPR_TAME_BYTES;
    if (strcmp(expr->operation->name, "||") == 0)
        return expr->args[0]->bytes + expr->args[1]->bytes;
    long limit = cut(expr);
    const struct expr *text = NULL;
    for (size_t i = 0; i < expr->n_args && !text; i++)
        if (expr_type_is_text(expr->args[i]->type.oid))
            text = expr->args[i];
    if (!text)
        return PRINTED_MAX;
    if (limit >= 0)
        return text->bytes >= 0 && text->bytes < limit ? text->bytes : limit;
    return text->bytes;
}

void expr_derive_bytes(struct expr *expr)
{
    const struct catalog_type *type = &expr->type;

    expr->bytes = 0;
    if (!expr_type_is_text(type->oid))
        return;
    bool limited = (type->oid == TYPE_VARCHAR || type->oid == TYPE_BPCHAR) && type->typmod > 4;
    if (limited)
        expr->bytes = (type->typmod - 4L) * CHARACTER_BYTES;
    else if (expr->kind == EXPR_COLUMN)
        expr->bytes = -1;
    else if (expr->kind == EXPR_VALUE)
        expr->bytes = expr->text ? (long)strlen(expr->text) : 0;
    else if (expr->kind == EXPR_OPERATION)
        expr->bytes = operation_bytes(expr);
    else
        expr->bytes = joined(expr);
}
