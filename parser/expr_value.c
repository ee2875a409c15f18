/* Constants: literals and parameters, in canonical text. What is not plainly a value of its type in
 * a form that every server reads alike is refused, because the protected server must not fail on
 * it. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "parser/expr_internal.h"

const struct expr *expr_null(struct scope *scope, const struct catalog_type *type, int location)
{
    struct expr *expr = expr_new(scope, EXPR_VALUE, 0, NULL, location);
    expr->type = *type;
    return expr_finish(scope, expr);
}

const struct expr *expr_value(struct scope *scope, const struct catalog_type *type,
                              const char *text, int location)
{
    struct expr *expr = expr_new(scope, EXPR_VALUE, 0, NULL, location);
    expr->type = *type;
    expr->text = text;
    return expr_finish(scope, expr);
}

static const struct expr *invalid(struct scope *scope, const struct catalog_type *type,
                                  int location)
{
    return expr_refuse_null(
        scope, "22P02", location,
        arena_printf(scope->arena, "invalid input syntax for type %s", expr_type_name(type)), NULL,
        "Write the value in its plain form.");
}

static const char *trimmed(struct scope *scope, const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    return arena_strndup(scope->arena, text, length);
}

/* [+-] digits [. digits] [e [+-] digits], and not absurdly long. */
static bool is_plain_number(const char *text)
{
    size_t digits = 0;

    if (*text == '+' || *text == '-')
        text++;
    for (; isdigit((unsigned char)*text); text++)
        digits++;
    if (*text == '.')
        for (text++; isdigit((unsigned char)*text); text++)
            digits++;
    if (digits == 0 || digits > EXPR_DIGITS_MAX)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-')
            text++;
        size_t exponent = strspn(text, "0123456789");
        if (exponent == 0 || exponent > 3)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

static const char *special_number(const char *text)
{
    bool negative = *text == '-';
    if (strcasecmp(text, "nan") == 0)
        return "NaN";
    if (*text == '-' || *text == '+')
        text++;
    if (strcasecmp(text, "infinity") == 0 || strcasecmp(text, "inf") == 0)
        return negative ? "-Infinity" : "Infinity";
    return NULL;
}

static bool fits_float(const char *text, bool single)
{
    char *end;

    errno = 0;
    double value = single ? (double)strtof(text, &end) : strtod(text, &end);
    return *end == '\0' && isfinite(value) && !(errno == ERANGE && value == 0);
}

static const char *read_integer(struct scope *scope, uint32_t oid, const char *text)
{
    struct expr_range range = expr_integer_range(oid);
    char *end;

    if (strspn(text, "+-0123456789") != strlen(text) || !is_plain_number(text))
        return NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || value < range.low || value > range.high)
        return NULL;
    return arena_printf(scope->arena, "%lld", value);
}

static const char *read_bool(const char *text)
{
    static const struct {
        const char *word;
        size_t least;
        const char *value;
    } words[] = {{"true", 1, "true"}, {"false", 1, "false"}, {"yes", 1, "true"}, {"no", 1, "false"},
                 {"on", 2, "true"},   {"off", 2, "false"},   {"1", 1, "true"},   {"0", 1, "false"}};
    size_t length = strlen(text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (length >= words[i].least && length <= strlen(words[i].word) &&
            strncasecmp(words[i].word, text, length) == 0)
            return words[i].value;
    return NULL;
}

static const char *read_uuid(struct scope *scope, const char *text)
{
    char *out = arena_alloc(scope->arena, 37);
    size_t digits = 0, length = 0;
    size_t end = strlen(text);

    if (end > 1 && text[0] == '{' && text[end - 1] == '}') {
        text++;
        end -= 2;
    }
    for (size_t i = 0; i < end; i++) {
        if (text[i] == '-') {
            if (digits == 0 || digits % 4 != 0 || text[i - 1] == '-' || i + 1 == end)
                return NULL;
            continue;
        }
        if (!isxdigit((unsigned char)text[i]) || digits == 32)
            return NULL;
        out[length++] = (char)tolower((unsigned char)text[i]);
        digits++;
        if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
            out[length++] = '-';
    }
    return digits == 32 ? out : NULL;
}

static bool depends_on_session(uint32_t oid)
{
    return oid == TYPE_DATE || oid == TYPE_TIMESTAMP || oid == TYPE_TIMESTAMPTZ ||
           oid == TYPE_INTERVAL || oid == TYPE_TIME;
}

/* What the twin prints in ISO form has none of the characters that would surprise. */
static bool is_iso(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < 128 &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ :.+-") ==
               length;
}

static const struct expr *from_constant(struct scope *scope, const struct catalog_type *type,
                                        const char *literal, int location)
{
    const struct plan_request *request = scope->request;

    for (size_t i = 0; request && i < request->n_constants; i++) {
        const struct sql_constant *constant = &request->constants[i];
        if (constant->type != type->oid || !constant->canonical ||
            strcmp(constant->literal, literal) != 0)
            continue;
        if (!is_iso(constant->canonical))
            return invalid(scope, type, location);
        return expr_value(scope, type, constant->canonical, location);
    }
    bool known = false;
    for (size_t i = 0; i < scope->n_wanted; i++)
        known = known || (scope->wanted[i].type == type->oid &&
                          strcmp(scope->wanted[i].literal, literal) == 0);
    if (!known) {
        if (scope->n_wanted == scope->capacity_wanted) {
            size_t capacity = scope->capacity_wanted ? 2 * scope->capacity_wanted : 8;
            struct sql_constant *grown = arena_alloc(scope->arena, capacity * sizeof *grown);
            if (scope->n_wanted)
                memcpy(grown, scope->wanted, scope->n_wanted * sizeof *grown);
            scope->wanted = grown;
            scope->capacity_wanted = capacity;
        }
        scope->wanted[scope->n_wanted++] =
            (struct sql_constant){.type = type->oid, .literal = literal};
    }
    /* The plan is made again with the canonical text; until then the literal stands for it. */
    struct expr *expr = expr_new(scope, EXPR_VALUE, 0, NULL, location);
    expr->type = *type;
    expr->text = literal;
    expr->wanted = true;
    return expr_finish(scope, expr);
}

static const char *read_plain(struct scope *scope, const struct catalog_type *type,
                              const char *text)
{
    switch (type->oid) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return read_integer(scope, type->oid, text);
    case TYPE_NUMERIC:
        return is_plain_number(text) ? text : special_number(text);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        if (!is_plain_number(text))
            return special_number(text);
        return fits_float(text, type->oid == TYPE_FLOAT4) ? text : NULL;
    case TYPE_BOOL:
        return read_bool(text);
    case TYPE_UUID:
        return read_uuid(scope, text);
    default:
        return NULL;
    }
}

const struct expr *expr_from_literal(struct scope *scope, const struct catalog_type *type,
                                     const char *literal, int location)
{
    if (type->is_enum || type->oid == TYPE_TEXT || type->oid == TYPE_VARCHAR ||
        type->oid == TYPE_BPCHAR)
        return expr_value(scope, type, literal, location);
    if (depends_on_session(type->oid))
        return from_constant(scope, type, literal, location);
    const char *text = read_plain(scope, type, trimmed(scope, literal));
    return text ? expr_value(scope, type, text, location) : invalid(scope, type, location);
}

const struct expr *expr_from_number(struct scope *scope, const char *digits, int location)
{
    struct catalog_type type = expr_builtin(scope, TYPE_INT4, -1);
    const char *text = read_integer(scope, TYPE_INT4, digits);

    if (!text && (text = read_integer(scope, TYPE_INT8, digits)))
        type = expr_builtin(scope, TYPE_INT8, -1);
    if (!text && is_plain_number(digits)) {
        type = expr_builtin(scope, TYPE_NUMERIC, -1);
        text = digits;
    }
    return text ? expr_value(scope, &type, text, location)
                : expr_refuse_null(scope, "22003", location, "number has too many digits", NULL,
                                   "Use at most 1000 digits and an exponent of three.");
}

const struct expr *expr_from_param(struct scope *scope, int number, int location)
{
    const struct plan_request *request = scope->request;
    const char *text = NULL;

    if (number < 1 || !request || (size_t)number > request->n_params)
        return expr_refuse_null(scope, "42P02", location,
                                arena_printf(scope->arena, "there is no parameter $%d", number),
                                NULL, NULL);
    const struct sql_value *param = &request->params[number - 1];
    struct catalog_type type = expr_builtin(scope, param->type, -1);
    if (!expr_type_supported(&type) || type.oid == TYPE_UNKNOWN)
        return expr_unsupported(scope, location, "a parameter of this type",
                                "Pass a number, a text, a date, a time stamp or a boolean.");
    if (param->text) {
        if (expr_type_is_text(type.oid))
            text = param->text;
        else if (depends_on_session(type.oid))
            text = is_iso(param->text) ? param->text : NULL;
        else
            text = read_plain(scope, &type, trimmed(scope, param->text));
        if (!text)
            return invalid(scope, &type, location);
    }
    struct expr *expr = expr_new(scope, EXPR_VALUE, 0, NULL, location);
    expr->type = type;
    expr->text = text;
    expr->is_client_param = true;
    return expr_finish(scope, expr);
}

bool expr_small_integer(const struct expr *expr, long *value)
{
    char *end;

    if (expr->kind != EXPR_VALUE || !expr->text || !expr_type_is_integer(expr->type.oid))
        return false;
    errno = 0;
    *value = strtol(expr->text, &end, 10);
    return errno == 0 && *end == '\0';
}
