/* Constants become parameters of the measurement when the whole expression is known: the analyst's
 * text is never part of its SQL. Equal constants share one, so that equal expressions are written
 * alike. */
#include <string.h>

#include "parser/expr_internal.h"

static uint32_t param_type(const struct expr *value)
{
    return value->type.is_enum ? TYPE_TEXT : value->type.oid;
}

static unsigned find_param(const struct scope *scope, uint32_t type, const char *text)
{
    for (size_t i = scope->n_params; i-- > 0;)
        if (scope->params[i].type == type && scope->params[i].text &&
            strcmp(scope->params[i].text, text) == 0)
            return (unsigned)i + 1;
    return 0;
}

static unsigned add_param(struct scope *scope, uint32_t type, const char *text, int location)
{
    unsigned found = find_param(scope, type, text);
    if (found)
        return found;
    if (scope->n_params >= EXPR_PARAMS_MAX) {
        expr_refuse(scope, "54000", location, "too many constants in a private statement", NULL,
                    "Write a list of values as IN (...), or a range with BETWEEN.");
        return 0;
    }
    if (scope->n_params == scope->capacity_params) {
        size_t capacity = scope->capacity_params ? 2 * scope->capacity_params : 16;
        struct sql_value *grown = arena_alloc(scope->arena, capacity * sizeof *grown);
        if (scope->n_params)
            memcpy(grown, scope->params, scope->n_params * sizeof *grown);
        scope->params = grown;
        scope->capacity_params = capacity;
    }
    scope->params[scope->n_params] = (struct sql_value){.type = type, .text = text};
    return (unsigned)++scope->n_params;
}

uint32_t expr_array_type(const struct catalog_type *element)
{
    static const struct {
        uint32_t element, array;
    } arrays[] = {
        {TYPE_INT2, TYPE_INT2_ARRAY},         {TYPE_INT4, TYPE_INT4_ARRAY},
        {TYPE_INT8, TYPE_INT8_ARRAY},         {TYPE_FLOAT4, TYPE_FLOAT4_ARRAY},
        {TYPE_FLOAT8, TYPE_FLOAT8_ARRAY},     {TYPE_NUMERIC, TYPE_NUMERIC_ARRAY},
        {TYPE_TEXT, TYPE_TEXT_ARRAY},         {TYPE_DATE, TYPE_DATE_ARRAY},
        {TYPE_BPCHAR, TYPE_BPCHAR_ARRAY},     {TYPE_TIMESTAMP, TYPE_TIMESTAMP_ARRAY},
        {TYPE_UUID, TYPE_UUID_ARRAY},         {TYPE_TIMESTAMPTZ, TYPE_TIMESTAMPTZ_ARRAY},
        {TYPE_INTERVAL, TYPE_INTERVAL_ARRAY}, {TYPE_TIME, TYPE_TIME_ARRAY},
        {TYPE_BOOL, TYPE_BOOL_ARRAY},
    };
    if (element->is_enum)
        return TYPE_TEXT_ARRAY;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].element == element->oid)
            return arrays[i].array;
    return 0;
}

/* {"a","b",NULL}: every element quoted, so that array_nulls and delimiters do not matter. */
static const char *array_text(struct scope *scope, const struct expr *in)
{
    struct text out = text_new(scope->arena);

    text_add(&out, "{");
    for (size_t i = 1; i < in->n_args; i++) {
        const char *element = in->args[i]->text;
        if (i > 1)
            text_add(&out, ",");
        if (!element) {
            text_add(&out, "NULL");
            continue;
        }
        char *escaped = arena_alloc(scope->arena, 2 * strlen(element) + 3);
        char *end = escaped;
        *end++ = '"';
        for (; *element; element++) {
            if (*element == '"' || *element == '\\')
                *end++ = '\\';
            *end++ = *element;
        }
        *end++ = '"';
        text_add(&out, escaped);
    }
    text_add(&out, "}");
    return out.data;
}

bool expr_assign_params(struct scope *scope, const struct expr *expr)
{
    /* The tree is the scope's own until it is handed out. */
    struct expr *own = (struct expr *)(uintptr_t)expr;

    if (expr->param)
        return true;
    if (expr->kind == EXPR_VALUE) {
        if (expr->text)
            own->param = add_param(scope, param_type(expr), expr->text, expr->location);
        return !expr->text || own->param;
    }
    if (expr->kind == EXPR_IN) {
        own->param = add_param(scope, expr_array_type(&expr->args[1]->type),
                               array_text(scope, expr), expr->location);
        return own->param && expr_assign_params(scope, expr->args[0]);
    }
    for (size_t i = 0; i < expr->n_args; i++) {
        /* A field is written as it stands in the allow-list, not as a parameter. */
        if (i == 0 && expr->kind == EXPR_OPERATION && expr->operation->flags & OP_FIELD_FIRST)
            continue;
        if (!expr_assign_params(scope, expr->args[i]))
            return false;
    }
    return true;
}
