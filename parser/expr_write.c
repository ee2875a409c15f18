/* Writes an expression as SQL. Templates that use an argument more than once get it from a
 * subselect that computes it once, so that SQL grows with the tree and not with its power. */
#include <assert.h>
#include <string.h>

#include "parser/expr_internal.h"

#define OP(sign) " OPERATOR(pg_catalog." sign ") "

static void write_expr(const struct expr *expr, struct text *out);

bool expr_is_simple(const struct expr *expr)
{
    return expr->kind == EXPR_COLUMN || expr->kind == EXPR_VALUE;
}

size_t expr_template_uses(const char *sql, size_t arg)
{
    size_t uses = 0;

    for (const char *c = strchr(sql, '%'); c; c = strchr(c + 2, '%'))
        uses += c[1] == (char)('1' + arg);
    /* Integers have no template; every argument is written once. */
    return *sql ? uses : 1;
}

int expr_template_height(const char *sql)
{
    int height = 0, most = 0;

    for (; *sql; sql++) {
        if (*sql == '(' || strncmp(sql, "CASE", 4) == 0)
            most = ++height > most ? height : most;
        else if (*sql == ')' || strncmp(sql, " END", 4) == 0)
            height--;
    }
    return most;
}

static void write_type(const struct catalog_type *type, struct text *out)
{
    if (!type->is_enum) {
        text_add(out, type->declared);
        return;
    }
    text_identifier(out, type->schema);
    text_add(out, ".");
    text_identifier(out, type->name);
}

static void write_value(const struct expr *expr, struct text *out)
{
    if (!expr->text) {
        text_add(out, "NULL::");
    } else {
        assert(expr->param > 0);
        /* Labels travel as text; the enum's own number differs from server to server. */
        text_printf(out, expr->type.is_enum ? "$%u::pg_catalog.text::" : "$%u::", expr->param);
    }
    write_type(&expr->type, out);
}

static void write_column(const struct expr *expr, struct text *out)
{
    text_identifier(out, expr->sql_alias);
    text_add(out, ".");
    text_identifier(out, expr->column->name);
}

/* ---- templates ---- */

static bool is_bound(const struct expr *expr, size_t arg)
{
    return expr_template_uses(expr->operation->sql, arg) > 1 && !expr_is_simple(expr->args[arg]);
}

static bool needs_collation(const struct expr *expr, size_t arg)
{
    if (arg != 0 || expr->kind != EXPR_OPERATION ||
        (expr->operation->rule != RULE_COMPARE_EQUAL && expr->operation->rule != RULE_LIKE) ||
        expr->operation->flags & OP_COLLATES)
        return false;
    uint32_t left = expr->args[0]->collation;
    uint32_t right = expr->n_args > 1 ? expr->args[1]->collation : left;
    bool conflict = left == COLLATION_CONFLICT || right == COLLATION_CONFLICT;
    bool differ = left > COLLATION_DEFAULT && right > COLLATION_DEFAULT && left != right;
    return conflict || differ;
}

static void write_argument(const struct expr *expr, size_t arg, struct text *out)
{
    bool collate = needs_collation(expr, arg);

    if (collate)
        text_add(out, "(");
    if (is_bound(expr, arg))
        text_printf(out, "\"let\".\"%c\"", (char)('a' + arg));
    else
        write_expr(expr->args[arg], out);
    if (collate) /* equality goes by bytes: any collation will do */
        text_add(out, " COLLATE pg_catalog.\"C\")");
}

static void write_body(const struct expr *expr, struct text *out)
{
    const char *sql = expr->operation->sql;

    while (*sql) {
        const char *next = strchr(sql, '%');
        size_t length = next ? (size_t)(next - sql) : strlen(sql);
        text_printf(out, "%.*s", (int)length, sql);
        if (!next)
            return;
        if (next[1] == '%')
            text_add(out, "%");
        else if (next[1] == 'T')
            write_type(&expr->type, out);
        else if (next[1] == 'F')
            text_literal(out, expr->text);
        else
            write_argument(expr, (size_t)(next[1] - '1'), out);
        sql = next + 2;
    }
}

static void write_template(const struct expr *expr, struct text *out)
{
    bool bare = strncmp(expr->operation->sql, "CASE", 4) == 0;
    size_t bound = 0;

    for (size_t i = 0; i < expr->n_args; i++)
        bound += is_bound(expr, i);
    if (bound == 0) {
        text_add(out, bare ? "(" : "");
        write_body(expr, out);
        text_add(out, bare ? ")" : "");
        return;
    }
    text_add(out, "(SELECT ");
    write_body(expr, out);
    text_add(out, " FROM (SELECT ");
    for (size_t i = 0, n = 0; i < expr->n_args; i++) {
        if (!is_bound(expr, i))
            continue;
        text_add(out, n++ ? ", " : "");
        write_expr(expr->args[i], out);
        text_printf(out, " AS \"%c\"", (char)('a' + i));
    }
    /* OFFSET keeps the planner from writing the argument out again in every place. */
    text_add(out, " OFFSET 0) AS \"let\")");
}

/* ---- integers ---- */

static bool is_integer_operation(const struct expr *expr)
{
    return expr->kind == EXPR_OPERATION && expr->operation->flags & OP_INTEGER;
}

static const char *width_name(enum expr_width width)
{
    return width == WIDTH_INT8 ? "int8" : "numeric";
}

static void write_wide(const struct expr *expr, enum expr_width width, struct text *out);

static void write_infix(const struct expr *expr, const char *sign, const char *before_right,
                        const char *after_right, struct text *out)
{
    text_add(out, "(");
    write_wide(expr->args[0], expr->width, out);
    text_printf(out, " OPERATOR(pg_catalog.%s) %s", sign, before_right);
    write_wide(expr->args[1], expr->width, out);
    text_printf(out, "%s)", after_right);
}

static void write_div(const struct expr *expr, struct text *out)
{
    text_add(out, "pg_catalog.div(");
    write_wide(expr->args[0], expr->width, out);
    text_add(out, ", NULLIF(");
    write_wide(expr->args[1], expr->width, out);
    text_add(out, ", 0))");
}

/* The exact result, before the result type's own range is asked for. */
static void write_raw(const struct expr *expr, struct text *out)
{
    switch ((int)expr->operation->rule) {
    case RULE_ADD:
        write_infix(expr, "+", "", "", out);
        break;
    case RULE_SUBTRACT:
        write_infix(expr, "-", "", "", out);
        break;
    case RULE_MULTIPLY:
        write_infix(expr, "*", "", "", out);
        break;
    case RULE_DIVIDE:
        if (expr->width == WIDTH_NUMERIC)
            write_div(expr, out);
        else
            write_infix(expr, "/", "NULLIF(", ", 0)", out);
        break;
    case RULE_MODULO:
        write_infix(expr, "%", "NULLIF(", ", 0)", out);
        break;
    case RULE_NEGATE:
        text_add(out, "(OPERATOR(pg_catalog.-) ");
        write_wide(expr->args[0], expr->width, out);
        text_add(out, ")");
        break;
    case RULE_ABS:
        text_add(out, "pg_catalog.abs(");
        write_wide(expr->args[0], expr->width, out);
        text_add(out, ")");
        break;
    default: /* RULE_KEEP */
        write_wide(expr->args[0], expr->width, out);
        break;
    }
}

static void write_wide(const struct expr *expr, enum expr_width width, struct text *out)
{
    if (is_integer_operation(expr)) {
        if (expr->width == width) {
            write_raw(expr, out);
            return;
        }
        text_add(out, "(");
        write_raw(expr, out);
        text_printf(out, ")::pg_catalog.%s", width_name(width));
        return;
    }
    bool same = width == WIDTH_INT8 && expr->type.oid == TYPE_INT8;
    text_add(out, same ? "" : "(");
    write_expr(expr, out);
    if (!same)
        text_printf(out, ")::pg_catalog.%s", width_name(width));
}

/* Beyond the type's range: NULL, where PostgreSQL would raise. */
static void write_narrow(const struct expr *expr, struct text *out)
{
    struct expr_range type = expr_integer_range(expr->type.oid);
    const char *width = width_name(expr->width);
    const char *low, *high;

    if (expr->range.known && expr->range.low >= type.low && expr->range.high <= type.high) {
        text_add(out, "(");
        write_raw(expr, out);
        text_printf(out, ")::pg_catalog.%s", expr->type.name);
        return;
    }
    if (expr->type.oid == TYPE_INT2) {
        low = "-32769";
        high = "32768";
    } else if (expr->type.oid == TYPE_INT4) {
        low = "-2147483649";
        high = "2147483648";
    } else {
        low = "-9223372036854775809";
        high = "9223372036854775808";
    }
    text_add(out, "NULLIF(NULLIF(LEAST(GREATEST(");
    write_raw(expr, out);
    text_printf(out, ", '%s'::pg_catalog.%s), '%s'::pg_catalog.%s)", low, width, high, width);
    text_printf(out, ", '%s'::pg_catalog.%s), '%s'::pg_catalog.%s)::pg_catalog.%s", low, width,
                high, width, expr->type.name);
}

/* Comparing the exact results saves asking for their ranges. */
static bool write_integer_comparison(const struct expr *expr, struct text *out)
{
    enum expr_rule rule = expr->operation->rule;

    if ((rule != RULE_COMPARE && rule != RULE_COMPARE_EQUAL) || expr->n_args != 2 ||
        expr->operation->flags & OP_NEVER_NULL || !expr_type_is_integer(expr->args[0]->type.oid) ||
        !(is_integer_operation(expr->args[0]) || is_integer_operation(expr->args[1])))
        return false;
    enum expr_width width = WIDTH_INT8;
    for (size_t i = 0; i < 2; i++)
        if (is_integer_operation(expr->args[i]) && expr->args[i]->width == WIDTH_NUMERIC)
            width = WIDTH_NUMERIC;
    text_add(out, "(");
    write_wide(expr->args[0], width, out);
    text_printf(out, " OPERATOR(pg_catalog.%s) ", expr->operation->name);
    write_wide(expr->args[1], width, out);
    text_add(out, ")");
    return true;
}

/* ---- the other kinds ---- */

static void write_list(const struct expr *expr, const char *open, const char *between,
                       struct text *out)
{
    text_add(out, open);
    for (size_t i = 0; i < expr->n_args; i++) {
        text_add(out, i ? between : "");
        write_expr(expr->args[i], out);
    }
    text_add(out, ")");
}

static void write_case(const struct expr *expr, struct text *out)
{
    size_t i = 0;

    text_add(out, "(CASE");
    if (expr->kind == EXPR_CASE_VALUE) {
        text_add(out, " ");
        write_expr(expr->args[i++], out);
    }
    for (; i + 1 < expr->n_args; i += 2) {
        text_add(out, " WHEN ");
        write_expr(expr->args[i], out);
        text_add(out, " THEN ");
        write_expr(expr->args[i + 1], out);
    }
    text_add(out, " ELSE ");
    write_expr(expr->args[i], out);
    text_add(out, " END)");
}

static void write_in(const struct expr *expr, struct text *out)
{
    const struct catalog_type *type = &expr->args[1]->type;

    text_add(out, "(");
    write_expr(expr->args[0], out);
    text_printf(out,
                type->is_enum ? "::pg_catalog.text" OP("=") "ANY ($%u::pg_catalog.text[]))"
                              : OP("=") "ANY ($%u::pg_catalog.%s[]))",
                expr->param, type->name);
}

static void write_expr(const struct expr *expr, struct text *out)
{
    switch (expr->kind) {
    case EXPR_COLUMN:
        write_column(expr, out);
        break;
    case EXPR_VALUE:
        write_value(expr, out);
        break;
    case EXPR_OPERATION:
        if (is_integer_operation(expr))
            write_narrow(expr, out);
        else if (!write_integer_comparison(expr, out))
            write_template(expr, out);
        break;
    case EXPR_AND:
        write_list(expr, "(", " AND ", out);
        break;
    case EXPR_OR:
        write_list(expr, "(", " OR ", out);
        break;
    case EXPR_COALESCE:
        write_list(expr, "COALESCE(", ", ", out);
        break;
    case EXPR_GREATEST:
        write_list(expr, "GREATEST(", ", ", out);
        break;
    case EXPR_LEAST:
        write_list(expr, "LEAST(", ", ", out);
        break;
    case EXPR_NULLIF:
        write_list(expr, "NULLIF(", ", ", out);
        break;
    case EXPR_CASE:
    case EXPR_CASE_VALUE:
        write_case(expr, out);
        break;
    case EXPR_IN:
        write_in(expr, out);
        break;
    }
}

void expr_write(const struct expr *expr, struct text *out)
{
    write_expr(expr, out);
}
