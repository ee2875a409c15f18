/* Applies operations to arguments: coercions, the checks that a row of the allow-list asks for, and
 * the guards that keep numbers within bounds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "parser/expr_internal.h"

static const char integer_hint[] = "Write a constant integer here.";

static const struct expr *operation(struct scope *scope, const struct expr_operation *op,
                                    const struct catalog_type *type, const struct expr *const *args,
                                    size_t n_args, int location)
{
    struct expr *expr = expr_new(scope, EXPR_OPERATION, n_args, args, location);
    expr->operation = op;
    expr->type = *type;
    return expr_finish(scope, expr);
}

const struct expr *expr_tame(struct scope *scope, const struct expr_operation *op,
                             const struct expr *arg)
{
    if (op->flags & OP_TAME && arg->type.oid == TYPE_NUMERIC && arg->digits.before < 0) {
        struct catalog_type numeric = expr_builtin(scope, TYPE_NUMERIC, -1);
        return operation(scope, &expr_op_tame, &numeric, &arg, 1, arg->location);
    }
    if (op->flags & OP_TAME_TEXT && expr_type_is_text(arg->type.oid) && arg->bytes < 0)
        return operation(scope, &expr_op_tame_text, &arg->type, &arg, 1, arg->location);
    return arg;
}

bool expr_usable(struct scope *scope, const struct expr *arg)
{
    if (!expr_type_supported(&arg->type)) {
        const char *what =
            arena_printf(scope->arena, "a value of type %s", expr_type_name(&arg->type));
        expr_unsupported(scope, arg->location, what,
                         "Such a column can be counted and tested with IS NULL.");
        return false;
    }
    if (arg->kind == EXPR_COLUMN && !arg->column->deterministic) {
        expr_unsupported(scope, arg->location, "a column with a nondeterministic collation",
                         "Such a column can be counted and tested with IS NULL.");
        return false;
    }
    return true;
}

/* Constants whose size decides what the function costs. */
static bool check_constant(struct scope *scope, const struct expr_operation *op,
                           const struct expr *const *args, size_t i)
{
    const struct expr *arg = args[i];
    long value;

    if (arg->kind != EXPR_VALUE)
        return expr_refuse(
            scope, "0A000", arg->location,
            arena_printf(scope->arena, "argument %zu of %s must be a constant", i + 1, op->name),
            "What the function costs would depend on the rows.",
            "Write a literal or a parameter here.");
    if (!expr_type_is_integer(arg->type.oid) || !arg->text)
        return true;
    long most = op->rule == RULE_ROUND || op->rule == RULE_TRUNC ? 100 : 1000000;
    if (!expr_small_integer(arg, &value) || labs(value) > most)
        return expr_refuse(
            scope, "22023", arg->location,
            arena_printf(scope->arena, "argument %zu of %s is out of range", i + 1, op->name), NULL,
            arena_printf(scope->arena, "Use -%ld to %ld.", most, most));
    if (strcmp(op->name, "split_part") == 0 && value == 0)
        return expr_refuse(scope, "22023", arg->location, "field position must not be zero", NULL,
                           integer_hint);
    if (strncmp(op->name, "subst", 5) == 0 && i == 2 && value < 0)
        return expr_refuse(scope, "22011", arg->location, "negative substring length not allowed",
                           NULL, integer_hint);
    return true;
}

struct field {
    const char *name;
    const char *types; /* extract: d date, s timestamp, z timestamptz, i interval, t time */
    bool truncates, truncates_interval;
};

static const struct field fields[] = {
    {"century", "dszi", true, true},      {"day", "dszi", true, true},
    {"decade", "dszi", true, true},       {"dow", "dsz", false, false},
    {"doy", "dsz", false, false},         {"epoch", "dszit", false, false},
    {"hour", "szit", true, true},         {"isodow", "dsz", false, false},
    {"isoyear", "dsz", false, false},     {"julian", "dsz", false, false},
    {"microseconds", "szit", true, true}, {"millennium", "dszi", true, true},
    {"milliseconds", "szit", true, true}, {"minute", "szit", true, true},
    {"month", "dszi", true, true},        {"quarter", "dszi", true, true},
    {"second", "szit", true, true},       {"timezone", "z", false, false},
    {"timezone_hour", "z", false, false}, {"timezone_minute", "z", false, false},
    {"week", "dsz", true, false},         {"year", "dszi", true, true},
};

static char field_type(uint32_t oid)
{
    switch (oid) {
    case TYPE_DATE:
        return 'd';
    case TYPE_TIMESTAMP:
        return 's';
    case TYPE_TIMESTAMPTZ:
        return 'z';
    case TYPE_INTERVAL:
        return 'i';
    default:
        return 't';
    }
}

/* Time zones: only the one that no server can lack. */
static const char *zone_name(const char *text)
{
    static const char *const names[] = {"UTC", "Etc/UTC", "GMT", "Z"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i]) == 0)
            return "UTC";
    return NULL;
}

static const char *find_field(const struct expr_operation *op, const char *text)
{
    if (op->rule == RULE_NONE)
        return zone_name(text);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const struct field *field = &fields[i];
        if (strcasecmp(field->name, text) != 0)
            continue;
        bool fits = op->rule == RULE_EXTRACT ? strchr(field->types, field_type(op->args[1])) != NULL
                    : op->args[1] == TYPE_INTERVAL ? field->truncates_interval
                                                   : field->truncates;
        return fits ? field->name : NULL;
    }
    return NULL;
}

static const char *check_field(struct scope *scope, const struct expr_operation *op,
                               const struct expr *arg)
{
    const char *field = arg->kind == EXPR_VALUE && arg->text ? find_field(op, arg->text) : NULL;
    if (field)
        return field;
    if (op->rule == RULE_NONE)
        expr_refuse(scope, "0A000", arg->location,
                    "AT TIME ZONE other than UTC is not supported over private rows", NULL,
                    "SET TimeZone to the zone and cast to timestamp, or use AT TIME ZONE 'UTC'.");
    else
        expr_refuse(
            scope, "0A000", arg->location,
            arena_printf(scope->arena, "this field of %s is not supported over private rows",
                         op->name),
            "The field must be a constant that the type has.",
            "Use year, quarter, month, week, day, hour, minute, second, dow, doy or epoch.");
    return NULL;
}

static bool check_pattern(struct scope *scope, const struct expr *pattern)
{
    size_t wildcards = 0;
    const char *c;

    if (pattern->kind != EXPR_VALUE)
        return expr_refuse(scope, "0A000", pattern->location,
                           "a LIKE pattern over private rows must be a constant",
                           "What matching costs would depend on the rows.",
                           "Use strpos(text, part) > 0 or starts_with(text, part).");
    if (!pattern->text)
        return true;
    for (c = pattern->text; *c; c++) {
        if (*c == '\\' && *++c == '\0')
            return expr_refuse(scope, "22025", pattern->location,
                               "LIKE pattern must not end with escape character", NULL,
                               "Double the backslash.");
        wildcards += *c == '%' && c[-(c > pattern->text)] != '\\';
    }
    if (wildcards > EXPR_WILDCARDS_MAX || c - pattern->text > EXPR_PATTERN_MAX)
        return expr_refuse(scope, "54000", pattern->location, "LIKE pattern is too complex",
                           "At most 8 wildcards and 256 bytes are allowed over private rows.",
                           "Combine simpler patterns with AND or OR.");
    return true;
}

static bool check_collation(struct scope *scope, const struct expr_operation *op,
                            const struct expr *const *args, size_t n_args, int location)
{
    uint32_t found = 0;

    if (!(op->flags & OP_COLLATES))
        return true;
    for (size_t i = 0; i < n_args; i++) {
        uint32_t next = args[i]->collation;
        bool weak = found == 0 || found == COLLATION_DEFAULT;
        if (next == COLLATION_CONFLICT || (!weak && next > COLLATION_DEFAULT && next != found))
            return expr_refuse(scope, "42P22", location,
                               "could not determine which collation to use for string comparison",
                               NULL, "Compare columns that have the same collation.");
        if (weak)
            found = next;
    }
    return true;
}

static bool check_arguments(struct scope *scope, const struct expr_operation *op,
                            const struct expr *const *args, size_t n_args, int location)
{
    for (size_t i = 0; i < n_args; i++)
        if (!(op->flags & OP_NEVER_NULL && n_args == 1) && !expr_usable(scope, args[i]))
            return false;
    if (op->flags & OP_CONSTANT_2 && !check_constant(scope, op, args, 1))
        return false;
    if (op->flags & OP_CONSTANT_3 && !check_constant(scope, op, args, 2))
        return false;
    if (op->rule == RULE_LIKE && !check_pattern(scope, args[1]))
        return false;
    return check_collation(scope, op, args, n_args, location);
}

const struct expr *expr_apply(struct scope *scope, const struct expr_operation *op,
                              const struct expr *const *args, size_t n_args, int location)
{
    const struct expr *own[EXPR_ARGS_MAX];
    bool narrows = op->result == TYPE_FLOAT4 && n_args == 2;

    assert(n_args <= EXPR_ARGS_MAX);
    if (!op->sql)
        return expr_unsupported(scope, location,
                                arena_printf(scope->arena, "%s in this form", op->name),
                                "Another form of it, or a cast of its arguments, may be allowed.");
    if (!check_arguments(scope, op, args, n_args, location))
        return NULL;
    for (size_t i = 0; i < n_args; i++) {
        own[i] = expr_tame(scope, op, args[i]);
        if (!own[i])
            return NULL;
    }
    if (op->flags & OP_TIME_ZONE)
        scope->uses_time_zone = true;
    const char *field = NULL;
    if (op->flags & OP_FIELD_FIRST) {
        struct catalog_type text = expr_builtin(scope, TYPE_TEXT, -1);
        if (!(field = check_field(scope, op, args[0])) ||
            !(own[0] = expr_value(scope, &text, field, args[0]->location)))
            return NULL;
    }
    struct catalog_type type = expr_builtin(scope, narrows ? TYPE_FLOAT8 : op->result, -1);
    struct expr *expr = expr_new(scope, EXPR_OPERATION, n_args, own, location);
    expr->operation = op;
    expr->type = type;
    expr->text = field;
    const struct expr *done = expr_finish(scope, expr);
    if (!narrows || !done)
        return done;
    type = expr_builtin(scope, TYPE_FLOAT4, -1);
    return operation(scope, expr_find_cast(TYPE_FLOAT8, TYPE_FLOAT4), &type, &done, 1, location);
}

/* The type of an argument that the operation takes; enums take the type of the one that is known.
 */
static struct catalog_type argument_type(struct scope *scope, const struct expr_operation *op,
                                         const struct expr *const *args, size_t n_args, size_t i)
{
    if (op->args[i] != TYPE_ANYENUM)
        return expr_builtin(scope, op->args[i], -1);
    for (size_t j = 0; j < n_args; j++)
        if (args[j]->type.is_enum)
            return args[j]->type;
    return expr_builtin(scope, TYPE_TEXT, -1);
}

const struct expr *expr_apply_coerced(struct scope *scope, const struct expr_operation *op,
                                      const struct expr *const *in, size_t n_args, int location)
{
    const struct expr *args[EXPR_ARGS_MAX];

    assert(n_args <= EXPR_ARGS_MAX);
    for (size_t i = 0; i < n_args; i++) {
        struct catalog_type type = argument_type(scope, op, in, n_args, i);
        args[i] = expr_coerce(scope, in[i], &type, false, location);
        if (!args[i])
            return NULL;
    }
    return expr_apply(scope, op, args, n_args, location);
}

/* Signatures that PostgreSQL implements by a cast to timestamp, done here with its guard. */
static const struct expr *shift_date(struct scope *scope, const char *name, const struct expr *left,
                                     const struct expr *right, int location)
{
    struct catalog_type stamp = expr_builtin(scope, TYPE_TIMESTAMP, -1);
    struct catalog_type interval = expr_builtin(scope, TYPE_INTERVAL, -1);
    bool date_first = left->type.oid == TYPE_DATE;

    left = expr_coerce(scope, left, date_first ? &stamp : &interval, true, location);
    right =
        left ? expr_coerce(scope, right, date_first ? &interval : &stamp, true, location) : NULL;
    return right ? expr_apply_operator(scope, name, left, right, location) : NULL;
}

static const struct expr *no_operator(struct scope *scope, const char *name,
                                      const struct expr *left, const struct expr *right,
                                      int location)
{
    const char *message =
        arena_printf(scope->arena, "operator %s%s%s %s is not supported over private rows",
                     left ? expr_type_name(&left->type) : "", left ? " " : "", name,
                     expr_type_name(&right->type));
    return expr_refuse_null(scope, "0A000", location, message,
                            "The operator is not on the allow-list for these types.",
                            "Use arithmetic, comparisons, LIKE, IN, BETWEEN or CASE, and cast the "
                            "arguments where needed.");
}

/* A text-typed client parameter may stand for an enum's label. */
static const struct expr *as_label(struct scope *scope, const struct expr *value,
                                   const struct expr *other)
{
    if (!value || !other->type.is_enum || !value->is_client_param || value->type.oid != TYPE_TEXT)
        return value;
    return value->text ? expr_value(scope, &other->type, value->text, value->location)
                       : expr_null(scope, &other->type, value->location);
}

/* text || anything: the other side as PostgreSQL prints it. */
static const struct expr *concatenate(struct scope *scope, const struct expr *left,
                                      const struct expr *right, int location)
{
    struct catalog_type text = expr_builtin(scope, TYPE_TEXT, -1);
    bool left_text = expr_type_is_text(left->type.oid),
         right_text = expr_type_is_text(right->type.oid);
    bool left_unknown = left->type.oid == TYPE_UNKNOWN,
         right_unknown = right->type.oid == TYPE_UNKNOWN;

    if (!expr_usable(scope, left) || !expr_usable(scope, right))
        return NULL;
    if (!left_text && !right_text && !left_unknown && !right_unknown)
        return no_operator(scope, "||", left, right, location);
    const struct expr *args[2] = {expr_coerce(scope, left, &text, true, location), NULL};
    args[1] = args[0] ? expr_coerce(scope, right, &text, true, location) : NULL;
    if (!args[1])
        return NULL;
    return expr_apply(scope, expr_resolve_operator("||", args[0], args[1]), args, 2, location);
}

const struct expr *expr_apply_operator(struct scope *scope, const char *name,
                                       const struct expr *left, const struct expr *right,
                                       int location)
{
    if (left && strcmp(name, "||") == 0)
        return concatenate(scope, left, right, location);
    if (left) {
        left = as_label(scope, left, right);
        right = as_label(scope, right, left);
    }
    if ((left && !expr_usable(scope, left)) || !expr_usable(scope, right))
        return NULL;
    const struct expr_operation *op = expr_resolve_operator(name, left, right);
    if (!op || (left == NULL) != !!(op->flags & OP_PREFIX))
        return no_operator(scope, name, left, right, location);
    if (op->sql && op->sql[0] == '\0' && !(op->flags & OP_INTEGER))
        return shift_date(scope, name, left, right, location);
    const struct expr *args[2] = {left ? left : right, right};
    return expr_apply_coerced(scope, op, args, left ? 2 : 1, location);
}
