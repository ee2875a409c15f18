/* Interval arithmetic: the range of an expression when every column lies within its bounds, exact
 * where decimals are, outward where a quotient has to be rounded. Dates count in days, time stamps
 * in microseconds, both since 2000-01-01; intervals in microseconds, a month as 30 days. */
#include <string.h>

#include "parser/expr_calendar.h"
#include "parser/expr_internal.h"

void expr_set_bounds(struct expr *expr, const struct dp_decimal *low, const struct dp_decimal *high)
{
    expr->has_low = expr->has_high = true;
    expr->low = *low;
    expr->high = *high;
}

void expr_set_integers(struct expr *expr, long long low, long long high)
{
    struct dp_decimal from = dp_decimal_from_int(low), to = dp_decimal_from_int(high);
    expr_set_bounds(expr, &from, &to);
}

static bool bounded(const struct expr *expr)
{
    return expr->has_low && expr->has_high;
}

static bool less(const struct dp_decimal *a, const struct dp_decimal *b)
{
    /* Most bounds are plain numbers of one scale. */
    return a->scale == b->scale ? a->digits < b->digits : dp_decimal_compare(a, b) < 0;
}

static bool is_short(const struct dp_decimal *value)
{
    const __int128 most = 1000000000000000000; /* two of these multiply to less than 10^38 */
    return value->digits < most && value->digits > -most;
}

static void derive_value(struct expr *expr)
{
    struct dp_decimal value;
    long long stamp;

    if (!expr->text || expr->wanted)
        return;
    if (expr_type_is_number(expr->type.oid)) {
        if (!dp_decimal_parse(expr->text, strlen(expr->text), &value))
            return;
        if (expr->type.oid == TYPE_NUMERIC || expr_type_is_integer(expr->type.oid))
            expr->scale = expr->digits.after;
        expr_set_bounds(expr, &value, &value);
    } else if (expr->type.oid == TYPE_DATE || expr->type.oid == TYPE_TIMESTAMP ||
               expr->type.oid == TYPE_TIMESTAMPTZ) {
        if (expr_read_stamp(expr->text, expr->type.oid != TYPE_DATE, &stamp))
            expr_set_integers(expr, stamp, stamp);
    } else if (expr->type.oid == TYPE_INTERVAL) {
        if (expr_read_span(expr->text, &stamp))
            expr_set_integers(expr, stamp, stamp);
    }
}

static void derive_column(struct expr *expr)
{
    const struct policy_bounds *bounds = expr->column->bounds;
    int precision, scale;

    if (expr_type_is_integer(expr->type.oid))
        expr->scale = 0;
    else if (expr->type.oid == TYPE_NUMERIC &&
             expr_numeric_typmod(expr->type.typmod, &precision, &scale) && scale >= 0)
        expr->scale = scale;
    if (!bounds)
        return;
    uint32_t oid = expr->type.oid;
    bool number = expr_type_is_number(oid);
    bool stamp = oid == TYPE_TIMESTAMP || oid == TYPE_TIMESTAMPTZ;
    if ((bounds->kind == POLICY_BOUND_NUMBER && number) ||
        (bounds->kind == POLICY_BOUND_DATE && oid == TYPE_DATE) ||
        (bounds->kind == POLICY_BOUND_TIMESTAMP && stamp)) {
        expr_set_bounds(expr, &bounds->low, &bounds->high);
    } else if ((bounds->kind == POLICY_BOUND_DATE && stamp) ||
               (bounds->kind == POLICY_BOUND_NUMBER && oid == TYPE_INTERVAL)) {
        const struct dp_decimal unit = dp_decimal_from_int(stamp ? DAY_US : SECOND_US);
        struct dp_decimal low, high;
        if (dp_decimal_multiply(&bounds->low, &unit, &low) &&
            dp_decimal_multiply(&bounds->high, &unit, &high))
            expr_set_bounds(expr, &low, &high);
    }
}

/* ---- arithmetic ---- */

/* To whole numbers: towards plus or minus infinity. */
static bool whole(const struct dp_decimal *value, bool up, struct dp_decimal *out)
{
    const struct dp_decimal one = dp_decimal_from_int(1);
    return dp_decimal_divide(value, &one, 0, up, out);
}

static bool quotient(const struct dp_decimal *a, const struct dp_decimal *b, bool up,
                     struct dp_decimal *out)
{
    for (int scale = 20; scale >= 0; scale -= 5)
        if (dp_decimal_divide(a, b, scale, up, out))
            return true;
    return false;
}

typedef bool corner_function(const struct dp_decimal *a, const struct dp_decimal *b, bool up,
                             struct dp_decimal *out);

static bool multiply(const struct dp_decimal *a, const struct dp_decimal *b, bool up,
                     struct dp_decimal *out)
{
    (void)up; /* exact */
    if (!is_short(a) || !is_short(b) || a->scale + b->scale > DP_DECIMAL_SCALE_MAX)
        return dp_decimal_multiply(a, b, out);
    *out = (struct dp_decimal){.digits = a->digits * b->digits, .scale = a->scale + b->scale};
    return true;
}

/* The least and the greatest of the four results at the ends. */
static void corners(struct expr *expr, corner_function *function)
{
    const struct expr *a = expr->args[0], *b = expr->args[1];
    struct dp_decimal low, high;

    for (int i = 0; i < 4; i++) {
        const struct dp_decimal *left = i & 1 ? &a->high : &a->low;
        const struct dp_decimal *right = i & 2 ? &b->high : &b->low;
        struct dp_decimal down, up;
        if (!function(left, right, false, &down))
            return;
        if (function == multiply)
            up = down;
        else if (!function(left, right, true, &up))
            return;
        if (i == 0 || less(&down, &low))
            low = down;
        if (i == 0 || less(&high, &up))
            high = up;
    }
    expr_set_bounds(expr, &low, &high);
}

static struct dp_decimal largest(const struct expr *expr)
{
    struct dp_decimal low = dp_decimal_abs(&expr->low), high = dp_decimal_abs(&expr->high);
    return less(&low, &high) ? high : low;
}

static void divide(struct expr *expr)
{
    const struct expr *a = expr->args[0], *b = expr->args[1];
    const struct dp_decimal zero = dp_decimal_from_int(0);
    bool integer = expr_type_is_integer(expr->type.oid);
    struct dp_decimal low, high;

    if (!bounded(a))
        return;
    if (bounded(b) && (less(&zero, &b->low) || less(&b->high, &zero))) {
        corners(expr, quotient);
    } else if (integer) {
        /* Rows that divide by zero are NULL; any other divisor only makes the value smaller. */
        struct dp_decimal most = largest(a), least = dp_decimal_negate(&most);
        expr_set_bounds(expr, &least, &most);
    }
    /* The fraction is dropped towards zero. */
    if (bounded(expr) && (integer || expr->operation->rule == RULE_DIV) &&
        whole(&expr->low, less(&expr->low, &zero), &low) &&
        whole(&expr->high, less(&expr->high, &zero), &high))
        expr_set_bounds(expr, &low, &high);
}

static void modulo(struct expr *expr)
{
    const struct expr *a = expr->args[0], *b = expr->args[1];
    const struct dp_decimal zero = dp_decimal_from_int(0), one = dp_decimal_from_int(1);
    struct dp_decimal most, least;

    if (!bounded(b) && !bounded(a))
        return;
    most = bounded(b) ? largest(b) : largest(a);
    if (bounded(b) && expr_type_is_integer(expr->type.oid) && less(&zero, &most))
        dp_decimal_subtract(&most, &one, &most);
    if (bounded(a)) {
        struct dp_decimal other = largest(a);
        most = less(&other, &most) ? other : most;
    }
    least = dp_decimal_negate(&most);
    /* The remainder has the dividend's sign. */
    if (a->has_low && !less(&a->low, &zero))
        least = zero;
    if (a->has_high && !less(&zero, &a->high))
        most = zero;
    expr_set_bounds(expr, &least, &most);
}

static void absolute(struct expr *expr)
{
    const struct expr *a = expr->args[0];
    const struct dp_decimal zero = dp_decimal_from_int(0);

    expr->has_low = true;
    expr->low = zero;
    if (!bounded(a))
        return;
    struct dp_decimal most = largest(a);
    struct dp_decimal other =
        dp_decimal_compare(&most, &a->high) == 0 ? a->low : dp_decimal_negate(&a->high);
    expr_set_bounds(expr, less(&zero, &other) ? &other : &zero, &most);
}

/* Rounded to the places with the direction given for each end; -1 as direction: to the nearest. */
static bool rounded(const struct dp_decimal *value, int places, int direction,
                    struct dp_decimal *out)
{
    const struct dp_decimal one = dp_decimal_from_int(1), zero = dp_decimal_from_int(0);
    struct dp_decimal half = {.digits = 5, .scale = places + 1}, moved;
    bool negative = less(value, &zero);

    if (direction >= 0)
        return dp_decimal_divide(value, &one, places, direction, out);
    if (negative)
        half = dp_decimal_negate(&half);
    return dp_decimal_add(value, &half, &moved) &&
           dp_decimal_divide(&moved, &one, places, negative, out);
}

static void round_to(struct expr *expr)
{
    const struct expr *a = expr->args[0];
    const struct dp_decimal zero = dp_decimal_from_int(0);
    struct dp_decimal low, high;
    long places = 0;
    int down = -1, up = -1;

    if (expr->n_args > 1 && !expr_small_integer(expr->args[1], &places))
        return;
    expr->scale = places > 0 ? (int)places : 0;
    if (expr->type.oid == TYPE_FLOAT8)
        expr->scale = -1;
    if (!bounded(a))
        return;
    if (places < 0 || places > 20) { /* not worth more than a range that surely holds */
        long long unit = 1;
        for (long i = places; i < 0 && unit < 1000000000000000LL; i++)
            unit *= 10;
        struct dp_decimal margin = dp_decimal_from_int(unit);
        if (places >= -15 && dp_decimal_subtract(&a->low, &margin, &low) &&
            dp_decimal_add(&a->high, &margin, &high))
            expr_set_bounds(expr, &low, &high);
        return;
    }
    switch ((int)expr->operation->rule) {
    case RULE_FLOOR:
        down = up = 0;
        break;
    case RULE_CEIL:
        down = up = 1;
        break;
    case RULE_TRUNC:
        down = less(&a->low, &zero);
        up = less(&a->high, &zero);
        break;
    case RULE_ROUND_EVEN:
        down = 0;
        up = 1;
        break;
    default:
        break;
    }
    if (rounded(&a->low, (int)places, down, &low) && rounded(&a->high, (int)places, up, &high))
        expr_set_bounds(expr, &low, &high);
}

static void shift(struct expr *expr, bool subtract)
{
    const struct expr *a = expr->args[0], *b = expr->args[1];
    struct dp_decimal low, high;

    if (!bounded(a) || !bounded(b))
        return;
    bool fits = subtract ? dp_decimal_subtract(&a->low, &b->high, &low) &&
                               dp_decimal_subtract(&a->high, &b->low, &high)
                         : dp_decimal_add(&a->low, &b->low, &low) &&
                               dp_decimal_add(&a->high, &b->high, &high);
    if (fits)
        expr_set_bounds(expr, &low, &high);
}

static void negate(struct expr *expr)
{
    const struct expr *a = expr->args[0];
    expr->has_low = a->has_high;
    expr->has_high = a->has_low;
    expr->low = dp_decimal_negate(&a->high);
    expr->high = dp_decimal_negate(&a->low);
}

static void keep(struct expr *expr)
{
    const struct expr *a = expr->args[0];
    expr->has_low = a->has_low;
    expr->has_high = a->has_high;
    expr->low = a->low;
    expr->high = a->high;
}

/* ---- operations ---- */

static int larger_scale(const struct expr *a, const struct expr *b)
{
    if (a->scale < 0 || b->scale < 0)
        return -1;
    return a->scale > b->scale ? a->scale : b->scale;
}

static int operation_scale(const struct expr *expr)
{
    const struct expr *a = expr->args[0];
    const struct expr *b = expr->n_args > 1 ? expr->args[1] : a;
    int precision, scale;

    if (expr_type_is_integer(expr->type.oid))
        return 0;
    if (expr->type.oid != TYPE_NUMERIC)
        return -1;
    switch ((int)expr->operation->rule) {
    case RULE_ADD:
    case RULE_SUBTRACT:
    case RULE_MODULO:
        return larger_scale(a, b);
    case RULE_MULTIPLY:
        return a->scale < 0 || b->scale < 0 ? -1 : a->scale + b->scale;
    case RULE_NEGATE:
    case RULE_ABS:
    case RULE_KEEP:
        return a->scale;
    case RULE_DIV:
    case RULE_SIGN:
    case RULE_FLOOR:
    case RULE_CEIL:
        return 0;
    case RULE_TYPMOD:
        return expr_numeric_typmod(expr->type.typmod, &precision, &scale) ? scale : -1;
    default:
        return -1;
    }
}

/* numeric(p,s) rounds to s places. */
static void to_typmod(struct expr *expr)
{
    const struct expr *a = expr->args[0];
    struct dp_decimal low, high;

    bool rounds = expr->scale >= 0 && expr->scale <= 20 && bounded(a) &&
                  rounded(&a->low, expr->scale, -1, &low) &&
                  rounded(&a->high, expr->scale, -1, &high);
    if (rounds)
        expr_set_bounds(expr, &low, &high);
    else
        keep(expr);
}

static void length_of(struct expr *expr)
{
    const struct catalog_type *type = &expr->args[0]->type;
    bool limited = (type->oid == TYPE_VARCHAR || type->oid == TYPE_BPCHAR) && type->typmod > 4;
    /* A cast to text in between keeps the length's bound. */
    const struct expr *arg = expr->args[0];
    while (!limited && arg->kind == EXPR_OPERATION && arg->n_args == 1 &&
           arg->operation->rule == RULE_NONE && expr_type_is_text(arg->type.oid) &&
           arg->operation->name[0] == '\0' && expr_type_is_text(arg->args[0]->type.oid)) {
        arg = arg->args[0];
        type = &arg->type;
        limited = (type->oid == TYPE_VARCHAR || type->oid == TYPE_BPCHAR) && type->typmod > 4;
    }
    long long most = limited ? type->typmod - 4 : 0;
    if (limited && strcmp(expr->operation->name, "octet_length") == 0)
        most *= 4;
    expr->has_low = true;
    expr->low = dp_decimal_from_int(0);
    expr->has_high = limited;
    expr->high = dp_decimal_from_int(most);
}

static void derive_operation(struct expr *expr)
{
    const struct expr *a = expr->args[0];

    expr->scale = operation_scale(expr);
    switch (expr->operation->rule) {
    case RULE_ADD:
        shift(expr, false);
        break;
    case RULE_SUBTRACT:
    case RULE_DATE_DIFFERENCE:
        shift(expr, true);
        break;
    case RULE_DATE_SHIFT:
        shift(expr, expr->operation->name[0] == '-');
        break;
    case RULE_MULTIPLY:
        if (bounded(a) && bounded(expr->args[1]))
            corners(expr, multiply);
        break;
    case RULE_DIVIDE:
    case RULE_DIV:
        divide(expr);
        break;
    case RULE_MODULO:
        modulo(expr);
        break;
    case RULE_NEGATE:
        negate(expr);
        break;
    case RULE_KEEP:
        keep(expr);
        break;
    case RULE_ABS:
        absolute(expr);
        break;
    case RULE_SIGN:
        expr_set_integers(expr, -1, 1);
        break;
    case RULE_ROUND:
    case RULE_ROUND_EVEN:
    case RULE_TRUNC:
    case RULE_FLOOR:
    case RULE_CEIL:
        round_to(expr);
        break;
    case RULE_DATE_TO_TIMESTAMP:
        expr_bounds_by_day(expr, true);
        break;
    case RULE_TIMESTAMP_TO_DATE:
        expr_bounds_by_day(expr, false);
        break;
    case RULE_DATE_TRUNC:
        expr_bounds_truncated(expr);
        break;
    case RULE_OF_DAY:
        expr_set_integers(expr, expr->n_args > 1 ? -DAY_US : 0, DAY_US);
        break;
    case RULE_EXTRACT:
        expr_bounds_extracted(expr);
        break;
    case RULE_LENGTH:
        length_of(expr);
        break;
    case RULE_BOOL_TO_INT:
        expr_set_integers(expr, 0, 1);
        break;
    case RULE_TYPMOD:
        to_typmod(expr);
        break;
    case RULE_NONE:
    case RULE_COMPARE:
    case RULE_COMPARE_EQUAL:
    case RULE_LIKE:
        break;
    }
}

/* ---- choices ---- */

static void widen(struct expr *expr, const struct expr *arm, bool first)
{
    expr->has_low = (first || expr->has_low) && arm->has_low;
    expr->has_high = (first || expr->has_high) && arm->has_high;
    if (expr->has_low && (first || less(&arm->low, &expr->low)))
        expr->low = arm->low;
    if (expr->has_high && (first || less(&expr->high, &arm->high)))
        expr->high = arm->high;
    if (first)
        expr->scale = arm->scale;
    else if (expr->scale >= 0)
        expr->scale = arm->scale < 0 ? -1 : arm->scale > expr->scale ? arm->scale : expr->scale;
}

static void join_arms(struct expr *expr)
{
    size_t first, step;
    bool none = true;

    expr_results(expr, &first, &step);
    for (size_t i = first; i < expr->n_args; i += step) {
        if (expr_is_null_value(expr->args[i]))
            continue;
        widen(expr, expr->args[i], none);
        none = false;
    }
    bool is_case = expr->kind == EXPR_CASE || expr->kind == EXPR_CASE_VALUE;
    const struct expr *last = expr->args[expr->n_args - 1];
    if (is_case && !expr_is_null_value(last))
        widen(expr, last, none);
}

/* GREATEST is at least each argument that is not NULL, whatever the others are. */
static void tighten(struct expr *expr)
{
    for (size_t i = 0; i < expr->n_args; i++) {
        const struct expr *arg = expr->args[i];
        if (!arg->not_null)
            continue;
        if (expr->kind == EXPR_GREATEST && arg->has_low &&
            (!expr->has_low || less(&expr->low, &arg->low))) {
            expr->has_low = true;
            expr->low = arg->low;
        }
        if (expr->kind == EXPR_LEAST && arg->has_high &&
            (!expr->has_high || less(&arg->high, &expr->high))) {
            expr->has_high = true;
            expr->high = arg->high;
        }
    }
}

void expr_derive_bounds(struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_COLUMN:
        derive_column(expr);
        break;
    case EXPR_VALUE:
        derive_value(expr);
        break;
    case EXPR_OPERATION:
        derive_operation(expr);
        break;
    case EXPR_CASE:
    case EXPR_CASE_VALUE:
    case EXPR_COALESCE:
        join_arms(expr);
        break;
    case EXPR_GREATEST:
    case EXPR_LEAST:
        join_arms(expr);
        tighten(expr);
        break;
    case EXPR_NULLIF:
        widen(expr, expr->args[0], true);
        break;
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_IN:
        break;
    }
}
