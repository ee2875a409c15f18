/* Names: columns of the relations in scope, and types. */
#include <string.h>

#include "parser/auto_bounds.h"
#include "parser/expr_nodes.h"
#include "parser/node.h"

static const struct expr *column(struct scope *scope, size_t relation, size_t index, int location)
{
    const struct scope_relation *source = &scope->relations[relation];
    const struct catalog_column *found = &source->table->columns[index];
    struct expr *expr = expr_new(scope, EXPR_COLUMN, 0, NULL, location);

    expr->type = found->type;
    expr->column = found;
    expr->sql_alias = source->sql_alias;
    expr->relation = relation;
    expr->not_null = found->not_null && !source->nullable;
    if (expr_type_is_text(found->type.oid))
        expr->collation = found->collation ? found->collation : COLLATION_DEFAULT;
    expr->has_low = expr->has_high =
        found->is_automatic && scope->finder != NULL &&
        auto_bounds_range(scope->finder, source->table, found, &expr->low, &expr->high);
    return expr_finish(scope, expr);
}

static const struct expr *no_column(struct scope *scope, const char *qualifier, const char *name,
                                    int location)
{
    static const char *const system[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};

    for (size_t i = 0; i < sizeof system / sizeof *system; i++)
        if (strcmp(system[i], name) == 0)
            return expr_unsupported(scope, location,
                                    arena_printf(scope->arena, "the system column %s", name),
                                    "Use the columns that the policy lists.");
    const char *message =
        qualifier ? arena_printf(scope->arena, "column %s.%s does not exist", qualifier, name)
                  : arena_printf(scope->arena, "column \"%s\" does not exist", name);
    return expr_refuse_null(scope, "42703", location, message, NULL, NULL);
}

static bool is_relation(const struct scope_relation *relation, const char *schema, const char *name)
{
    if (strcmp(relation->alias, name) != 0)
        return false;
    return !schema || (strcmp(relation->table->schema, schema) == 0 &&
                       strcmp(relation->table->name, name) == 0);
}

static const struct expr *find_column(struct scope *scope, const char *schema,
                                      const char *qualifier, const char *name, int location)
{
    size_t relation = 0, index = 0, found = 0, relations = 0;

    for (size_t i = 0; i < scope->n_relations; i++) {
        if (qualifier && !is_relation(&scope->relations[i], schema, qualifier))
            continue;
        relations++;
        const struct catalog_table *table = scope->relations[i].table;
        for (size_t j = 0; j < table->n_columns; j++) {
            if (strcmp(table->columns[j].name, name) != 0)
                continue;
            relation = i;
            index = j;
            found++;
        }
    }
    if (qualifier && relations == 0)
        return expr_refuse_null(
            scope, "42P01", location,
            arena_printf(scope->arena, "missing FROM-clause entry for table \"%s\"", qualifier),
            NULL, NULL);
    if (found > 1)
        return expr_refuse_null(
            scope, "42702", location,
            arena_printf(scope->arena, "column reference \"%s\" is ambiguous", name), NULL,
            "Qualify the column with its table's name or alias.");
    if (found == 0 && !qualifier)
        for (size_t i = 0; i < scope->n_relations; i++)
            if (strcmp(scope->relations[i].alias, name) == 0)
                return expr_unsupported(scope, location, "a whole row",
                                        "Name the columns that are needed.");
    return found ? column(scope, relation, index, location)
                 : no_column(scope, qualifier, name, location);
}

const struct expr *expr_column_node(struct scope *scope, const PgQuery__ColumnRef *node)
{
    const char *names[3] = {NULL, NULL, NULL};

    if (node->n_fields == 0 || node->n_fields > 3)
        return expr_unsupported(scope, node->location, "this column reference",
                                "Write table.column or schema.table.column.");
    for (size_t i = 0; i < node->n_fields; i++) {
        names[i] = node_string(node->fields[i]);
        if (!names[i])
            return expr_unsupported(scope, node->location, "a whole row",
                                    "Name the columns that are needed.");
    }
    if (node->n_fields == 1)
        return find_column(scope, NULL, NULL, names[0], node->location);
    if (node->n_fields == 2)
        return find_column(scope, NULL, names[0], names[1], node->location);
    return find_column(scope, names[0], names[1], names[2], node->location);
}

/* ---- types ---- */

static bool builtin_type(const char *name, uint32_t *oid)
{
    static const struct {
        const char *name;
        uint32_t oid;
    } names[] = {
        {"bool", TYPE_BOOL},           {"int2", TYPE_INT2},
        {"int4", TYPE_INT4},           {"int8", TYPE_INT8},
        {"numeric", TYPE_NUMERIC},     {"float4", TYPE_FLOAT4},
        {"float8", TYPE_FLOAT8},       {"text", TYPE_TEXT},
        {"varchar", TYPE_VARCHAR},     {"bpchar", TYPE_BPCHAR},
        {"date", TYPE_DATE},           {"time", TYPE_TIME},
        {"timestamp", TYPE_TIMESTAMP}, {"timestamptz", TYPE_TIMESTAMPTZ},
        {"interval", TYPE_INTERVAL},   {"uuid", TYPE_UUID},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            *oid = names[i].oid;
            return true;
        }
    return false;
}

/* Enums are known by the columns that have them. */
static const struct catalog_type *enum_type(const struct catalog *catalog, const char *schema,
                                            const char *name)
{
    for (size_t i = 0; catalog && i < catalog->n_tables; i++)
        for (size_t j = 0; j < catalog->tables[i].n_columns; j++) {
            const struct catalog_type *type = &catalog->tables[i].columns[j].type;
            if (type->is_enum && strcmp(type->name, name) == 0 &&
                (!schema || strcmp(type->schema, schema) == 0))
                return type;
        }
    return NULL;
}

static bool modifier(const PgQuery__TypeName *name, uint32_t oid, int32_t *typmod)
{
    int first = 0, second = 0;

    *typmod = -1;
    if (name->n_typmods == 0)
        return true;
    if (name->n_typmods > 2 || !node_integer(name->typmods[0], &first) ||
        (name->n_typmods == 2 && !node_integer(name->typmods[1], &second)))
        return false;
    if (oid == TYPE_NUMERIC) {
        if (first < 1 || first > 1000 || second < 0 || second > first)
            return false;
        *typmod = ((first << 16) | (second & 0x7ff)) + 4;
        return true;
    }
    if ((oid != TYPE_VARCHAR && oid != TYPE_BPCHAR) || name->n_typmods != 1 || first < 1 ||
        first > 10485760)
        return false;
    *typmod = first + 4;
    return true;
}

static bool resolve_type(struct scope *scope, const PgQuery__TypeName *name,
                         struct catalog_type *type, int location)
{
    const char *schema = name->n_names == 2 ? node_string(name->names[0]) : NULL;
    const char *last = name->n_names ? node_string(name->names[name->n_names - 1]) : NULL;
    uint32_t oid = 0;
    int32_t typmod;

    bool plain = last && name->n_names <= 2 && (name->n_names == 1 || schema) && !name->setof &&
                 !name->pct_type && name->n_array_bounds == 0 && name->type_oid == 0;
    bool builtin = plain && (!schema || strcmp(schema, "pg_catalog") == 0);
    if (builtin && builtin_type(last, &oid)) {
        if (modifier(name, oid, &typmod)) {
            *type = expr_builtin(scope, oid, typmod);
            return true;
        }
        expr_unsupported(scope, location, "this type modifier",
                         "Cast to the type without it, or to numeric(p, s) or varchar(n).");
        return false;
    }
    const struct catalog_type *found =
        plain && name->n_typmods == 0 ? enum_type(scope->catalog, schema, last) : NULL;
    if (found) {
        *type = *found;
        return true;
    }
    expr_unsupported(scope, location,
                     arena_printf(scope->arena, "the type %s", last ? last : "of this cast"),
                     "Cast to a number, text, boolean, date, timestamp or interval.");
    return false;
}

/* INTERVAL '3' DAY: the unit becomes part of the literal. */
static const struct expr *interval_unit(struct scope *scope, const PgQuery__TypeCast *node,
                                        bool *is_unit)
{
    static const struct {
        int mask;
        const char *unit;
    } units[] = {{1 << 2, "year"},  {1 << 1, "month"},   {1 << 3, "day"},
                 {1 << 10, "hour"}, {1 << 11, "minute"}, {1 << 12, "second"}};
    const PgQuery__TypeName *name = node->type_name;
    const PgQuery__AConst *literal =
        node->arg && node->arg->node_case == PG_QUERY__NODE__NODE_A_CONST ? node->arg->a_const
                                                                          : NULL;
    int mask = 0;

    *is_unit = false;
    if (!literal || literal->isnull || literal->val_case != PG_QUERY__A__CONST__VAL_SVAL ||
        name->n_typmods != 1 || name->n_names == 0 || name->n_array_bounds ||
        !node_integer(name->typmods[0], &mask))
        return NULL;
    const char *last = node_string(name->names[name->n_names - 1]);
    const char *digits = literal->sval->sval;
    size_t length = strlen(digits);
    if (!last || strcmp(last, "interval") != 0 || length == 0 || length > 9 ||
        strspn(digits + (*digits == '-'), "0123456789") != length - (*digits == '-') ||
        strcmp(digits, "-") == 0)
        return NULL;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].mask != mask)
            continue;
        /* The modifier shows in the result's description: the fields, and full precision. */
        struct catalog_type type = expr_builtin(scope, TYPE_INTERVAL, mask << 16 | 0xffff);
        *is_unit = true;
        return expr_from_literal(scope, &type,
                                 arena_printf(scope->arena, "%s %s", digits, units[i].unit),
                                 literal->location);
    }
    return NULL;
}

const struct expr *expr_cast_node(struct scope *scope, const PgQuery__TypeCast *node)
{
    struct catalog_type type;
    bool is_unit;

    if (!node->type_name)
        return expr_unsupported(scope, node->location, "this cast", NULL);
    const struct expr *interval = interval_unit(scope, node, &is_unit);
    if (is_unit)
        return interval;
    if (!resolve_type(scope, node->type_name, &type, node->location))
        return NULL;
    const struct expr *arg = expr_node(scope, node->arg);
    return arg ? expr_coerce(scope, arg, &type, true, node->location) : NULL;
}
