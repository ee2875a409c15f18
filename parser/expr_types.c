#include <limits.h>
#include <string.h>

#include "parser/expr_internal.h"

struct type_row {
    uint32_t oid;
    char category;
    bool preferred, supported;
    const char *name; /* in pg_catalog */
};

static const struct type_row types[] = {
    {TYPE_BOOL, 'B', true, true, "bool"},
    {TYPE_BYTEA, 'U', false, false, "bytea"},
    {TYPE_NAME, 'S', false, false, "name"},
    {TYPE_INT8, 'N', false, true, "int8"},
    {TYPE_INT2, 'N', false, true, "int2"},
    {TYPE_INT4, 'N', false, true, "int4"},
    {TYPE_TEXT, 'S', true, true, "text"},
    {TYPE_OID, 'N', true, false, "oid"},
    {TYPE_FLOAT4, 'N', false, true, "float4"},
    {TYPE_FLOAT8, 'N', true, true, "float8"},
    {TYPE_UNKNOWN, 'X', false, true, "unknown"},
    {TYPE_BPCHAR, 'S', false, true, "bpchar"},
    {TYPE_VARCHAR, 'S', false, true, "varchar"},
    {TYPE_DATE, 'D', false, true, "date"},
    {TYPE_TIME, 'D', false, true, "time"},
    {TYPE_TIMESTAMP, 'D', false, true, "timestamp"},
    {TYPE_TIMESTAMPTZ, 'D', true, true, "timestamptz"},
    {TYPE_TIMETZ, 'D', false, false, "timetz"},
    {TYPE_INTERVAL, 'T', true, true, "interval"},
    {TYPE_NUMERIC, 'N', false, true, "numeric"},
    {TYPE_UUID, 'U', false, true, "uuid"},
};

/* What PostgreSQL coerces without being asked (pg_cast, context i), among these types. */
static const struct {
    uint32_t from, to;
} implicit_casts[] = {
    {TYPE_INT2, TYPE_INT4},
    {TYPE_INT2, TYPE_INT8},
    {TYPE_INT2, TYPE_FLOAT4},
    {TYPE_INT2, TYPE_FLOAT8},
    {TYPE_INT2, TYPE_NUMERIC},
    {TYPE_INT2, TYPE_OID},
    {TYPE_INT4, TYPE_INT8},
    {TYPE_INT4, TYPE_FLOAT4},
    {TYPE_INT4, TYPE_FLOAT8},
    {TYPE_INT4, TYPE_NUMERIC},
    {TYPE_INT4, TYPE_OID},
    {TYPE_INT8, TYPE_FLOAT4},
    {TYPE_INT8, TYPE_FLOAT8},
    {TYPE_INT8, TYPE_NUMERIC},
    {TYPE_INT8, TYPE_OID},
    {TYPE_FLOAT4, TYPE_FLOAT8},
    {TYPE_NUMERIC, TYPE_FLOAT4},
    {TYPE_NUMERIC, TYPE_FLOAT8},
    {TYPE_TEXT, TYPE_BPCHAR},
    {TYPE_TEXT, TYPE_VARCHAR},
    {TYPE_TEXT, TYPE_NAME},
    {TYPE_VARCHAR, TYPE_BPCHAR},
    {TYPE_VARCHAR, TYPE_TEXT},
    {TYPE_VARCHAR, TYPE_NAME},
    {TYPE_BPCHAR, TYPE_TEXT},
    {TYPE_BPCHAR, TYPE_VARCHAR},
    {TYPE_BPCHAR, TYPE_NAME},
    {TYPE_NAME, TYPE_TEXT},
    {TYPE_DATE, TYPE_TIMESTAMP},
    {TYPE_DATE, TYPE_TIMESTAMPTZ},
    {TYPE_TIMESTAMP, TYPE_TIMESTAMPTZ},
    {TYPE_TIME, TYPE_INTERVAL},
    {TYPE_TIME, TYPE_TIMETZ},
};

static const struct type_row *find(uint32_t oid)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].oid == oid)
            return &types[i];
    return NULL;
}

bool expr_numeric_typmod(int32_t typmod, int *precision, int *scale)
{
    if (typmod < 4)
        return false;
    /* PostgreSQL 15 keeps the scale as 11 bits of two's complement. */
    *precision = (int)((uint32_t)(typmod - 4) >> 16 & 0xffff);
    *scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
    return true;
}

struct catalog_type expr_builtin(struct scope *scope, uint32_t oid, int32_t typmod)
{
    const struct type_row *row = find(oid);
    const char *name = row ? row->name : "unknown";
    int precision, scale;

    struct catalog_type type = {.oid = oid, .typmod = typmod};
    type.schema = arena_strdup(scope->arena, "pg_catalog");
    type.name = arena_strdup(scope->arena, name);
    if (oid == TYPE_NUMERIC && expr_numeric_typmod(typmod, &precision, &scale))
        type.declared = arena_printf(scope->arena, "pg_catalog.numeric(%d,%d)", precision, scale);
    else if ((oid == TYPE_VARCHAR || oid == TYPE_BPCHAR) && typmod > 4)
        type.declared = arena_printf(scope->arena, "pg_catalog.%s(%d)", name, typmod - 4);
    else
        type.declared = arena_printf(scope->arena, "pg_catalog.%s", name);
    return type;
}

const char *expr_type_name(const struct catalog_type *type)
{
    static const struct {
        uint32_t oid;
        const char *name;
    } spelled[] = {
        {TYPE_BOOL, "boolean"},
        {TYPE_INT8, "bigint"},
        {TYPE_INT2, "smallint"},
        {TYPE_INT4, "integer"},
        {TYPE_FLOAT4, "real"},
        {TYPE_FLOAT8, "double precision"},
        {TYPE_BPCHAR, "character"},
        {TYPE_VARCHAR, "character varying"},
        {TYPE_TIME, "time without time zone"},
        {TYPE_TIMESTAMP, "timestamp without time zone"},
        {TYPE_TIMESTAMPTZ, "timestamp with time zone"},
    };
    for (size_t i = 0; i < sizeof spelled / sizeof *spelled; i++)
        if (spelled[i].oid == type->oid)
            return spelled[i].name;
    return type->name ? type->name : "unknown";
}

bool expr_type_supported(const struct catalog_type *type)
{
    const struct type_row *row = find(type->oid);
    return type->is_enum || (row && row->supported);
}

bool expr_type_is_integer(uint32_t oid)
{
    return oid == TYPE_INT2 || oid == TYPE_INT4 || oid == TYPE_INT8;
}

bool expr_type_is_number(uint32_t oid)
{
    return expr_type_is_integer(oid) || oid == TYPE_NUMERIC || oid == TYPE_FLOAT4 ||
           oid == TYPE_FLOAT8;
}

bool expr_type_is_text(uint32_t oid)
{
    return oid == TYPE_TEXT || oid == TYPE_VARCHAR || oid == TYPE_BPCHAR || oid == TYPE_NAME;
}

char expr_type_category(uint32_t oid, bool is_enum)
{
    const struct type_row *row = find(oid);
    if (is_enum || oid == TYPE_ANYENUM)
        return 'E';
    return row ? row->category : 'U';
}

bool expr_type_preferred(uint32_t oid)
{
    const struct type_row *row = find(oid);
    return row && row->preferred;
}

bool expr_type_same(const struct catalog_type *a, const struct catalog_type *b)
{
    return a->oid == b->oid && a->typmod == b->typmod;
}

struct expr_range expr_integer_range(uint32_t oid)
{
    switch (oid) {
    case TYPE_INT2:
        return (struct expr_range){.low = INT16_MIN, .high = INT16_MAX, .known = true};
    case TYPE_INT4:
        return (struct expr_range){.low = INT32_MIN, .high = INT32_MAX, .known = true};
    case TYPE_INT8:
        return (struct expr_range){.low = INT64_MIN, .high = INT64_MAX, .known = true};
    default:
        return (struct expr_range){.known = false};
    }
}

bool expr_implicitly_coercible(uint32_t from, bool from_enum, uint32_t to)
{
    if (from == to || from == TYPE_UNKNOWN)
        return true;
    if (to == TYPE_ANYENUM)
        return from_enum;
    for (size_t i = 0; i < sizeof implicit_casts / sizeof *implicit_casts; i++)
        if (implicit_casts[i].from == from && implicit_casts[i].to == to)
            return true;
    return false;
}

/* The modifier survives only where every expression has it. */
static int32_t common_typmod(const struct expr *const *exprs, size_t n, uint32_t oid)
{
    for (size_t i = 0; i < n; i++)
        if (exprs[i]->type.oid != oid || exprs[i]->type.typmod != exprs[0]->type.typmod)
            return -1;
    return exprs[0]->type.typmod;
}

bool expr_common_type(struct scope *scope, const struct expr *const *exprs, size_t n,
                      struct catalog_type *common)
{
    const struct catalog_type *chosen = &exprs[0]->type;

    for (size_t i = 1; i < n; i++) {
        const struct catalog_type *next = &exprs[i]->type;
        if (next->oid == TYPE_UNKNOWN || next->oid == chosen->oid)
            continue;
        if (chosen->oid == TYPE_UNKNOWN) {
            chosen = next;
            continue;
        }
        if (expr_type_category(next->oid, next->is_enum) !=
            expr_type_category(chosen->oid, chosen->is_enum))
            return false;
        if (!expr_type_preferred(chosen->oid) &&
            expr_implicitly_coercible(chosen->oid, chosen->is_enum, next->oid) &&
            !expr_implicitly_coercible(next->oid, next->is_enum, chosen->oid))
            chosen = next;
    }
    if (chosen->oid == TYPE_UNKNOWN) {
        *common = expr_builtin(scope, TYPE_TEXT, -1);
        return true;
    }
    *common = *chosen;
    int32_t typmod = common_typmod(exprs, n, chosen->oid);
    if (!chosen->is_enum && typmod != chosen->typmod)
        *common = expr_builtin(scope, chosen->oid, typmod);
    return true;
}
