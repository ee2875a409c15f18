/* How many digits the numbers of an expression may have, whatever the rows hold: from the types
 * alone. Integer arithmetic is computed in int8 where this proves that it suffices. */
#include <stdlib.h>
#include <string.h>

#include "parser/expr_internal.h"

/* Sums and products of what fits here cannot overflow __int128. */
#define RANGE_MAX ((__int128)1 << 126)

static bool fits(struct expr_range range, __int128 low, __int128 high)
{
    return range.known && range.low >= low && range.high <= high;
}

static struct expr_range limited(__int128 low, __int128 high)
{
    return (struct expr_range){
        .low = low, .high = high, .known = low >= -RANGE_MAX && high <= RANGE_MAX};
}

static struct expr_range product(struct expr_range a, struct expr_range b)
{
    if (!fits(a, INT64_MIN, INT64_MAX) || !fits(b, INT64_MIN, INT64_MAX))
        return (struct expr_range){.known = false};
    const __int128 corners[4] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
    __int128 low = corners[0], high = corners[0];
    for (int i = 1; i < 4; i++) {
        low = corners[i] < low ? corners[i] : low;
        high = corners[i] > high ? corners[i] : high;
    }
    return limited(low, high);
}

static __int128 magnitude(struct expr_range range)
{
    __int128 low = range.low < 0 ? -range.low : range.low;
    __int128 high = range.high < 0 ? -range.high : range.high;
    return low > high ? low : high;
}

static struct expr_range integer_result(const struct expr *expr)
{
    struct expr_range a = expr->args[0]->range;
    struct expr_range b = expr->n_args > 1 ? expr->args[1]->range : a;
    struct expr_range unknown = {.known = false};

    switch ((int)expr->operation->rule) {
    case RULE_KEEP:
        return a;
    case RULE_ADD:
        return a.known && b.known ? limited(a.low + b.low, a.high + b.high) : unknown;
    case RULE_SUBTRACT:
        return a.known && b.known ? limited(a.low - b.high, a.high - b.low) : unknown;
    case RULE_MULTIPLY:
        return product(a, b);
    case RULE_NEGATE:
        return a.known ? limited(-a.high, -a.low) : unknown;
    case RULE_ABS:
        return a.known ? limited(0, magnitude(a)) : unknown;
    case RULE_DIVIDE:
        return a.known ? limited(-magnitude(a), magnitude(a)) : unknown;
    case RULE_MODULO:
        /* No larger than either side. */
        if (a.known && (!b.known || magnitude(a) < magnitude(b)))
            return limited(-magnitude(a), magnitude(a));
        return b.known ? limited(-magnitude(b), magnitude(b)) : unknown;
    default:
        return unknown;
    }
}

static bool in_int8(struct expr_range range)
{
    return fits(range, INT64_MIN, INT64_MAX);
}

static void derive_integer(struct expr *expr)
{
    expr->range = integer_result(expr);
    bool narrow = in_int8(expr->range);
    for (size_t i = 0; i < expr->n_args; i++)
        narrow = narrow && in_int8(expr->args[i]->range);
    expr->width = narrow ? WIDTH_INT8 : WIDTH_NUMERIC;
    if (expr->operation->rule == RULE_KEEP && expr->args[0]->kind == EXPR_OPERATION &&
        expr->args[0]->operation->flags & OP_INTEGER)
        expr->width = expr->args[0]->width;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

static struct expr_digits number_digits(const char *text)
{
    struct expr_digits digits = {0, 0, false};
    bool point = false;

    if (strchr("NIn", *text) || strncmp(text, "-I", 2) == 0)
        return (struct expr_digits){1, 0, true};
    for (; *text && *text != 'e' && *text != 'E'; text++) {
        point = point || *text == '.';
        if (*text >= '0' && *text <= '9')
            *(point ? &digits.after : &digits.before) += 1;
    }
    if (*text) {
        int exponent = atoi(text + 1);
        digits.before = most(digits.before + exponent, 1);
        digits.after = most(digits.after - exponent, 0);
    }
    return digits;
}

static struct expr_digits type_digits(const struct catalog_type *type)
{
    int precision, scale;

    switch (type->oid) {
    case TYPE_INT2:
        return (struct expr_digits){5, 0, false};
    case TYPE_INT4:
        return (struct expr_digits){10, 0, false};
    case TYPE_INT8:
        return (struct expr_digits){19, 0, false};
    case TYPE_FLOAT4:
        return (struct expr_digits){39, 60, true};
    case TYPE_FLOAT8:
        return (struct expr_digits){309, 345, true};
    case TYPE_NUMERIC:
        if (!expr_numeric_typmod(type->typmod, &precision, &scale))
            return (struct expr_digits){-1, -1, true};
        return (struct expr_digits){most(precision - scale, 0), most(scale, 0), true};
    default:
        return (struct expr_digits){0, 0, false};
    }
}

/* Places of the rounding's second argument. */
static int places(const struct expr *expr)
{
    long value;
    return expr->n_args > 1 && expr_small_integer(expr->args[1], &value) && value > 0 ? (int)value
                                                                                      : 0;
}

static struct expr_digits operation_digits(const struct expr *expr)
{
    struct expr_digits a = expr->args[0]->digits;
    struct expr_digits b = expr->n_args > 1 ? expr->args[1]->digits : a;
    struct expr_digits type = type_digits(&expr->type);
    bool special = a.special || (expr->n_args > 1 && b.special);

    switch ((int)expr->operation->rule) {
    case RULE_ADD:
    case RULE_SUBTRACT:
        return (struct expr_digits){most(a.before, b.before) + 1, most(a.after, b.after), special};
    case RULE_MULTIPLY:
        return (struct expr_digits){a.before + b.before, a.after + b.after, special};
    case RULE_DIVIDE:
        /* PostgreSQL keeps at least 16 significant digits, of a quotient as small as it can be. */
        return (struct expr_digits){a.before + b.after + 1,
                                    most(most(a.after, b.after), a.after + b.before + 24), special};
    case RULE_DIV:
        return (struct expr_digits){a.before + b.after + 1, 0, special};
    case RULE_MODULO:
        return (struct expr_digits){b.before, most(a.after, b.after), special};
    case RULE_KEEP:
        if (expr->operation == &expr_op_tame)
            return (struct expr_digits){EXPR_TAME_DIGITS, EXPR_TAME_DIGITS, true};
        return a.before || a.after ? a : type;
    case RULE_NEGATE:
    case RULE_ABS:
        return a;
    case RULE_ROUND:
    case RULE_TRUNC:
    case RULE_FLOOR:
    case RULE_CEIL:
        return (struct expr_digits){a.before + 1, places(expr), special};
    case RULE_SIGN:
        return (struct expr_digits){1, 0, special};
    case RULE_EXTRACT:
        return (struct expr_digits){25, 25, true};
    default:
        return type;
    }
}

static struct expr_digits joined_digits(const struct expr *expr)
{
    struct expr_digits all = {0, 0, false};
    size_t first, step;

    expr_results(expr, &first, &step);
    for (size_t i = first; i < expr->n_args; i += step) {
        struct expr_digits next = expr->args[i]->digits;
        all.special = all.special || next.special;
        all.before = next.before < 0 || all.before < 0 ? -1 : most(all.before, next.before);
        all.after = most(all.after, next.after);
    }
    if (expr->kind == EXPR_CASE || expr->kind == EXPR_CASE_VALUE) {
        struct expr_digits last = expr->args[expr->n_args - 1]->digits;
        all.special = all.special || last.special;
        all.before = last.before < 0 || all.before < 0 ? -1 : most(all.before, last.before);
        all.after = most(all.after, last.after);
    }
    return all;
}

static struct expr_range exact_range(const struct expr *expr)
{
    if (expr->kind == EXPR_VALUE && expr->text && expr_type_is_integer(expr->type.oid)) {
        long long value = strtoll(expr->text, NULL, 10);
        return (struct expr_range){.low = value, .high = value, .known = true};
    }
    return expr_integer_range(expr->type.oid);
}

void expr_derive_digits(struct expr *expr)
{
    if (!expr_type_is_number(expr->type.oid))
        return;
    bool integer = expr_type_is_integer(expr->type.oid);
    if (expr->kind == EXPR_OPERATION && expr->operation->flags & OP_INTEGER)
        derive_integer(expr);
    else if (integer)
        expr->range = exact_range(expr);
    if (expr->kind == EXPR_VALUE)
        expr->digits = expr->text ? number_digits(expr->text) : (struct expr_digits){1, 0, false};
    else if (expr->kind == EXPR_COLUMN)
        expr->digits = type_digits(&expr->type);
    else if (expr->kind == EXPR_OPERATION)
        expr->digits = operation_digits(expr);
    else
        expr->digits = joined_digits(expr);
    /* Floating point, and integers outside of their arithmetic, have no more than their type. */
    struct expr_digits type = type_digits(&expr->type);
    bool floating = expr->type.oid == TYPE_FLOAT4 || expr->type.oid == TYPE_FLOAT8;
    if (floating || (integer && expr->kind != EXPR_OPERATION && expr->kind != EXPR_VALUE))
        expr->digits = type;
    if (expr->kind == EXPR_OPERATION && expr->operation->rule == RULE_TYPMOD &&
        expr->type.oid == TYPE_NUMERIC) {
        expr->digits = type;
        expr->digits.special = expr->args[0]->digits.special;
    }
}
