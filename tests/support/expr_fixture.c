#include "tests/support/expr_fixture.h"

#include <pg_query/pg_query.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parser/ast.h"

enum { CONSTANTS_MAX = 64, PARAMS_MAX = 8, ENUM_OID = 99999, INET_OID = 869 };

const struct expr_fixture_column expr_fixture_columns[] = {
    {"id", "int4", NULL, NULL, true},
    {"s", "int2", "-10", "1000", false},
    {"i", "int4", "0", "120", false},
    {"j", "int4", NULL, NULL, true},
    {"l", "int8", "-1000000", "1000000", false},
    {"n", "numeric(10,2)", "-1000", "20000.50", false},
    {"k", "numeric(5,0)", "1", "99", true},
    {"m", "numeric", "-5000", "5000", false},
    {"f", "float8", "0", "1000", false},
    {"r", "float4", "-1", "1", false},
    {"b", "bool", NULL, NULL, false},
    {"q", "bool", NULL, NULL, true},
    {"x", "text", NULL, NULL, false},
    {"v", "varchar(10)", NULL, NULL, false},
    {"c", "bpchar(5)", NULL, NULL, false},
    {"d", "date", "2001-02-03", "2026-12-31", false},
    {"g", "timestamp", "2000-01-01", "2024-02-29", false},
    {"z", "timestamptz", "2010-01-01", "2020-01-01", false},
    {"w", "interval", NULL, NULL, false},
    {"t", "time", NULL, NULL, false},
    {"u", "uuid", NULL, NULL, false},
    {"e", "mood", NULL, NULL, false},
    {"a", "inet", NULL, NULL, false},
    {"y", "text", NULL, NULL, false}, /* nondeterministic collation */
    {NULL, NULL, NULL, NULL, false},
};

static void set_type(struct arena *arena, struct catalog_type *type, const char *declared)
{
    static const struct {
        const char *name;
        uint32_t oid;
    } oids[] = {{"int2", TYPE_INT2},       {"int4", TYPE_INT4},
                {"int8", TYPE_INT8},       {"numeric", TYPE_NUMERIC},
                {"float4", TYPE_FLOAT4},   {"float8", TYPE_FLOAT8},
                {"bool", TYPE_BOOL},       {"text", TYPE_TEXT},
                {"varchar", TYPE_VARCHAR}, {"bpchar", TYPE_BPCHAR},
                {"date", TYPE_DATE},       {"timestamp", TYPE_TIMESTAMP},
                {"time", TYPE_TIME},       {"timestamptz", TYPE_TIMESTAMPTZ},
                {"uuid", TYPE_UUID},       {"interval", TYPE_INTERVAL},
                {"mood", ENUM_OID},        {"inet", INET_OID}};
    int precision = 0, scale = 0;
    size_t length = strcspn(declared, "(");

    type->name = arena_strndup(arena, declared, length);
    type->is_enum = strcmp(declared, "mood") == 0;
    type->schema = arena_strdup(arena, type->is_enum ? "public" : "pg_catalog");
    type->declared = arena_printf(arena, "%s.%s", type->schema, declared);
    type->typmod = -1;
    for (size_t i = 0; i < sizeof oids / sizeof *oids; i++)
        if (strcmp(oids[i].name, type->name) == 0)
            type->oid = oids[i].oid;
    if (sscanf(declared + length, "(%d,%d)", &precision, &scale) == 2)
        type->typmod = (precision << 16 | scale) + 4;
    else if (sscanf(declared + length, "(%d)", &precision) == 1)
        type->typmod = precision + 4;
}

static struct dp_decimal bound(const char *text, enum policy_bound_kind kind)
{
    struct dp_decimal value = dp_decimal_from_int(0);
    struct tm tm = {0};

    if (kind == POLICY_BOUND_NUMBER) {
        if (!dp_decimal_parse(text, strlen(text), &value))
            abort();
        return value;
    }
    if (sscanf(text, "%d-%d-%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3)
        abort();
    tm.tm_year -= 1900;
    tm.tm_mon--;
    long long days = timegm(&tm) / 86400 - 10957;
    return dp_decimal_from_int(kind == POLICY_BOUND_DATE ? days : days * 86400000000LL);
}

static void set_bounds(struct arena *arena, struct catalog_column *column,
                       const struct expr_fixture_column *source)
{
    if (!source->low)
        return;
    struct policy_bounds *bounds = arena_alloc(arena, sizeof *bounds);
    bounds->kind = column->type.oid == TYPE_DATE                     ? POLICY_BOUND_DATE
                   : strncmp(column->type.name, "timestamp", 9) == 0 ? POLICY_BOUND_TIMESTAMP
                                                                     : POLICY_BOUND_NUMBER;
    bounds->low = bound(source->low, bounds->kind);
    bounds->high = bound(source->high, bounds->kind);
    column->bounds = bounds;
}

static struct catalog *new_catalog(struct arena *arena)
{
    size_t n = 0;
    while (expr_fixture_columns[n].name)
        n++;
    struct catalog_table *table = arena_alloc(arena, sizeof *table);
    table->schema = arena_strdup(arena, "public");
    table->name = arena_strdup(arena, "t");
    table->n_columns = n;
    table->columns = arena_alloc(arena, n * sizeof *table->columns);
    for (size_t i = 0; i < n; i++) {
        const struct expr_fixture_column *source = &expr_fixture_columns[i];
        struct catalog_column *column = &table->columns[i];
        column->name = arena_strdup(arena, source->name);
        column->attnum = (int)i + 1;
        column->not_null = source->not_null;
        column->deterministic = strcmp(source->name, "y") != 0;
        set_type(arena, &column->type, source->declared);
        set_bounds(arena, column, source);
    }
    struct catalog *catalog = arena_alloc(arena, sizeof *catalog);
    catalog->n_tables = 1;
    catalog->tables = table;
    return catalog;
}

struct expr_fixture *expr_fixture_new(void)
{
    struct arena *arena = arena_new();
    struct expr_fixture *fixture = arena_alloc(arena, sizeof *fixture);
    struct scope_relation *relations = arena_alloc(arena, 2 * sizeof *relations);
    struct catalog *catalog = new_catalog(arena);

    fixture->arena = arena;
    relations[0] =
        (struct scope_relation){.alias = "t", .sql_alias = "r0", .table = catalog->tables};
    relations[1] = (struct scope_relation){
        .alias = "o", .sql_alias = "r1", .table = catalog->tables, .nullable = true};
    fixture->request.params = arena_alloc(arena, PARAMS_MAX * sizeof(struct sql_value));
    fixture->request.constants = arena_alloc(arena, CONSTANTS_MAX * sizeof(struct sql_constant));
    fixture->scope = (struct scope){.arena = arena,
                                    .catalog = catalog,
                                    .request = &fixture->request,
                                    .n_relations = 1,
                                    .relations = relations,
                                    .refusal = &fixture->refusal};
    return fixture;
}

void expr_fixture_free(struct expr_fixture *fixture)
{
    if (fixture)
        arena_free(fixture->arena);
}

void expr_fixture_join(struct expr_fixture *fixture)
{
    fixture->scope.n_relations = 2;
}

void expr_fixture_constant(struct expr_fixture *fixture, uint32_t type, const char *literal,
                           const char *canonical)
{
    struct sql_constant *constants = (struct sql_constant *)(uintptr_t)fixture->request.constants;

    if (fixture->request.n_constants == CONSTANTS_MAX)
        abort();
    constants[fixture->request.n_constants++] =
        (struct sql_constant){.type = type,
                              .literal = arena_strdup(fixture->arena, literal),
                              .canonical = arena_strdup(fixture->arena, canonical)};
}

void expr_fixture_param(struct expr_fixture *fixture, uint32_t type, const char *text)
{
    struct sql_value *params = (struct sql_value *)(uintptr_t)fixture->request.params;

    if (fixture->request.n_params == PARAMS_MAX)
        abort();
    params[fixture->request.n_params++] =
        (struct sql_value){.type = type, .text = text ? arena_strdup(fixture->arena, text) : NULL};
}

static const struct expr *compile(struct expr_fixture *fixture, const char *text, bool condition)
{
    struct scope *scope = &fixture->scope;
    char *source = arena_printf(fixture->arena, "SELECT %s FROM t", text);
    PgQuery__ParseResult *tree = ast_parse_own(fixture->arena, source);

    memset(&fixture->refusal, 0, sizeof fixture->refusal);
    scope->n_params = scope->capacity_params = scope->n_wanted = scope->capacity_wanted = 0;
    scope->uses_time_zone = false;
    scope->depth = 0;
    scope->source = source;
    if (!tree || tree->n_stmts != 1 ||
        tree->stmts[0]->stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT ||
        tree->stmts[0]->stmt->select_stmt->n_target_list != 1) {
        snprintf(fixture->refusal.sqlstate, sizeof fixture->refusal.sqlstate, "42601");
        return NULL;
    }
    const PgQuery__Node *node = tree->stmts[0]->stmt->select_stmt->target_list[0]->res_target->val;
    return condition ? expr_compile_condition(scope, node) : expr_compile(scope, node);
}

const struct expr *expr_fixture_compile(struct expr_fixture *fixture, const char *text)
{
    return compile(fixture, text, false);
}

const struct expr *expr_fixture_condition(struct expr_fixture *fixture, const char *text)
{
    return compile(fixture, text, true);
}

const char *expr_fixture_sql(struct expr_fixture *fixture, const char *text)
{
    const struct expr *expr = expr_fixture_compile(fixture, text);
    struct text out = text_new(fixture->arena);

    if (!expr)
        return "";
    expr_write(expr, &out);
    return out.data;
}
