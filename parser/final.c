/*
 * What stands in the final statement instead of private rows: a subquery over array parameters
 * whose columns are the keys and the finished aggregates, in PostgreSQL's own types. Written as
 * SQL, parsed once for all releases of a statement, and grafted into the analyst's tree.
 */
#include <string.h>

#include "parser/ast.h"
#include "parser/interval.h"
#include "parser/node.h"
#include "parser/quantile.h"
#include "parser/rotated.h"
#include "parser/span.h"
#include "parser/variance.h"

struct ledger_column {
    const char *name, *type;
};
static const struct ledger_column budget_columns[] = {
    {"dataset", "pg_catalog.text"},      {"epsilon", "pg_catalog.numeric"},
    {"delta", "pg_catalog.numeric"},     {"spent", "pg_catalog.numeric"},
    {"remaining", "pg_catalog.numeric"}, {"spent_mu2", "pg_catalog.numeric"},
    {"cap_mu2", "pg_catalog.numeric"},   {"window_ends", "pg_catalog.timestamptz"},
    {"queries_left", "pg_catalog.int8"},
};
static const struct ledger_column history_columns[] = {
    {"at", "pg_catalog.timestamptz"},  {"statement", "pg_catalog.text"},
    {"epsilon", "pg_catalog.numeric"}, {"mu2_pico", "pg_catalog.numeric"},
    {"delta", "pg_catalog.numeric"},   {"share", "pg_catalog.numeric"},
    {"state", "pg_catalog.text"},
};

static void write_decimal(struct text *out, const struct dp_decimal *value)
{
    char digits[DP_DECIMAL_TEXT_MAX];
    dp_decimal_print(value, digits);
    text_printf(out, "'%s'::pg_catalog.numeric", digits);
}

static const char *decimal(struct arena *arena, const struct dp_decimal *value, bool floating)
{
    struct text out = text_new(arena);
    write_decimal(&out, value);
    if (floating)
        text_add(&out, "::pg_catalog.float8");
    return out.data;
}

/* Noise can leave the type's range; the answer then is its end. */
static const char *as_int8(struct arena *arena, const char *value)
{
    return arena_printf(arena,
                        "LEAST(GREATEST(%s, '-9223372036854775808'::pg_catalog.numeric), "
                        "'9223372036854775807'::pg_catalog.numeric)::pg_catalog.int8",
                        value);
}

static bool is_floating(const struct level_aggregate *aggregate)
{
    return aggregate->type == TYPE_FLOAT4 || aggregate->type == TYPE_FLOAT8;
}

/* middle * count + centred sum, as numeric or float8. Bracketed: qualified operators all have one
 * precedence. */
static const char *whole_sum(struct arena *arena, const struct level_aggregate *aggregate)
{
    bool floating = is_floating(aggregate);
    struct text out = text_new(arena);
    bool centred = aggregate->count >= 0;
    text_add(&out, "(");
    if (aggregate->sum >= 0)
        text_printf(&out, "u.m%d", aggregate->sum + 1);
    if (aggregate->sum >= 0 && centred)
        text_add(&out, " OPERATOR(pg_catalog.+) ");
    if (centred)
        text_printf(&out, "(%s OPERATOR(pg_catalog.*) u.m%d%s)",
                    decimal(arena, &aggregate->middle, floating), aggregate->count + 1,
                    floating ? "::pg_catalog.float8" : "");
    text_add(&out, ")");
    if (!floating && aggregate->scale >= 0)
        return arena_printf(arena, "pg_catalog.round(%s, %d)", out.data, aggregate->scale);
    return out.data;
}

static const char *final_sum(struct arena *arena, const struct level_aggregate *aggregate)
{
    const char *sum = whole_sum(arena, aggregate);
    switch (aggregate->type) {
    case TYPE_INT2:
    case TYPE_INT4:
        return as_int8(arena, sum);
    case TYPE_INTERVAL:
        return span_interval_sql(arena, sum);
    case TYPE_FLOAT4:
        return arena_printf(arena,
                            "LEAST(GREATEST(%s, '-3.4e38'::pg_catalog.float8), "
                            "'3.4e38'::pg_catalog.float8)::pg_catalog.float4",
                            sum);
    default:
        return sum;
    }
}

/* Sum over count where there is a count, else the middle moved by the sum; within the range. */
static const char *final_avg(struct arena *arena, const struct level_aggregate *aggregate)
{
    bool floating = is_floating(aggregate);
    const char *type = floating ? "pg_catalog.float8" : "pg_catalog.numeric";
    struct text out = text_new(arena);
    const char *low = decimal(arena, &aggregate->low, floating);
    const char *high = decimal(arena, &aggregate->high, floating);
    if (aggregate->sum < 0) /* all values are the same */
        return low;
    text_printf(&out,
                "LEAST(GREATEST(CASE WHEN u.m%d OPERATOR(pg_catalog.>=) 1 THEN %s OPERATOR("
                "pg_catalog./) u.m%d::%s ELSE %s OPERATOR(pg_catalog.+) u.m%d END, %s), %s)",
                aggregate->count + 1, whole_sum(arena, aggregate), aggregate->count + 1, type,
                decimal(arena, &aggregate->middle, floating), aggregate->sum + 1, low, high);
    return out.data;
}

static const char *final_aggregate(const struct level *level,
                                   const struct level_aggregate *aggregate)
{
    struct arena *arena = level->compile->arena;
    switch (aggregate->kind) {
    case AGGREGATE_SUM:
        return final_sum(arena, aggregate);
    case AGGREGATE_AVG:
        return aggregate->type == TYPE_INTERVAL
                   ? span_interval_sql(arena, final_avg(arena, aggregate))
                   : final_avg(arena, aggregate);
    case AGGREGATE_VARIANCE:
        return variance_sql(level, aggregate);
    case AGGREGATE_QUANTILE:
        return quantile_sql(level, aggregate);
    case AGGREGATE_COUNT:
    case AGGREGATE_UNITS:
    case AGGREGATE_DISTINCT:
        return as_int8(arena, arena_printf(arena, "u.m%d", aggregate->count + 1));
    }
    return "NULL";
}

static bool is_copied(const struct compile *c)
{
    return c->shape == PLAN_COPY;
}

/* Text of a string in the form of PLAN_ARRAY. */
static const char *unpacked_text(const struct compile *c, const char *packed)
{
    return arena_printf(c->arena,
                        "CASE WHEN %s OPERATOR(pg_catalog.<>) '-' THEN pg_catalog.convert_from("
                        "pg_catalog.decode(pg_catalog.substr(%s, 2), 'hex'), 'UTF8') END",
                        packed, packed);
}

static void write_param(const struct compile *c, unsigned number, const char *type,
                        struct text *out)
{
    if (is_copied(c))
        text_printf(out, PLAN_ARRAY, number);
    else
        text_printf(out, "$%u", number);
    text_printf(out, "::pg_catalog.%s[]", type);
}

/* Text travels as bytes, or in a COPY as their digits: a parameter of type text would be read in
 * the client's encoding. */
static const char *packed_type(const struct compile *c)
{
    return is_copied(c) ? "text" : "bytea";
}

static const char *packed_text(const struct compile *c, const char *column)
{
    if (is_copied(c))
        return unpacked_text(c, column);
    return arena_printf(c->arena, "pg_catalog.convert_from(%s, 'UTF8')", column);
}

/* A number, or an interval about an interval. */
static const char *final_interval(const struct level *level, const struct level_interval *interval)
{
    struct arena *arena = level->compile->arena;
    const char *value = interval_sql(level, interval);
    if (level->aggregates.items[interval->aggregate].type != TYPE_INTERVAL ||
        level->aggregates.items[interval->aggregate].expr == NULL)
        return value;
    return span_interval_sql(arena, arena_printf(arena, "(%s)::pg_catalog.numeric", value));
}

/* FROM unnest($1, $2) AS u(k1, m1): with several arrays it is the parser's own, with one it must be
 * named in full. */
static void write_unnest(struct text *out, size_t n)
{
    text_printf(out, " FROM %sunnest(", n == 1 ? "pg_catalog." : "");
}

static void add_fragment(struct compile *c, PgQuery__RangeSubselect *place, const char *sql)
{
    struct fragment fragment = {place, sql};
    VECTOR_PUSH(c->arena, &c->fragments, fragment);
}

static void add_relation(struct compile *c, enum relation_kind kind, const struct release *release,
                         size_t n_columns)
{
    struct plan_relation relation = {kind, release, n_columns, c->next_param};
    VECTOR_PUSH(c->arena, &c->relations, relation);
    c->next_param += (unsigned)n_columns;
}

/* FROM the noisy arrays, as u(k1.., m1.., q1..). */
static void write_source(const struct level *level, size_t n_columns, struct text *out)
{
    const struct compile *c = level->compile;
    unsigned param = level->first_param;
    bool rotated = rotated_any(level);
    size_t first = level->release->n_hidden, n_keys = level->n_keys;
    struct text names = text_new(out->arena);
    const char *separator = "";
    if (rotated) {
        text_add(out, " FROM (SELECT ");
        for (size_t i = 0; i < n_keys; i++)
            text_printf(out, "r.k%zu, ", i + 1);
        for (size_t i = 0; i < quantile_columns(level); i++)
            text_printf(out, "r.q%zu, ", i + 1);
        rotated_write_values(level, out);
    }
    write_unnest(out, n_columns);
    for (size_t i = 0; i < n_keys; i++, separator = ", ") {
        text_add(out, separator);
        write_param(c, param++, packed_type(c), out);
        text_printf(&names, "%sk%zu", separator, i + 1);
    }
    for (size_t i = first; i < level->n_measures; i++, separator = ", ") {
        text_add(out, separator);
        write_param(c, param++, level->measures[i].floating ? "float8" : "numeric", out);
        text_printf(&names, "%sm%zu", separator, i + 1);
    }
    for (size_t i = 0, n = 0; i < level->histograms.n; i++)
        for (size_t k = 0; k < level->release->histograms[i].n_values; k++, separator = ", ") {
            text_add(out, separator);
            write_param(c, param++, level->histograms.items[i].bins.floating ? "float8" : "numeric",
                        out);
            text_printf(&names, "%sq%zu", separator, ++n);
        }
    text_printf(out, rotated ? ") AS r(%s)) AS u" : ") AS u(%s)", names.data);
}

void final_release(struct level *level, const struct level *same, PgQuery__RangeSubselect *place)
{
    struct compile *c = level->compile;
    struct text out = text_new(c->arena);
    size_t n_columns =
        level->n_keys + level->n_measures - level->release->n_hidden + quantile_columns(level);
    const char *separator = "SELECT ";
    for (size_t i = 0; i < level->n_keys; i++, separator = ", ")
        text_printf(&out, "%s(%s)::%s AS k%zu", separator,
                    packed_text(c, arena_printf(c->arena, "u.k%zu", i + 1)),
                    level->release->keys[i].type, i + 1);
    for (size_t i = 0; i < level->aggregates.n; i++, separator = ", ")
        text_printf(&out, "%s%s AS a%zu", separator,
                    final_aggregate(level, &level->aggregates.items[i]), i + 1);
    for (size_t i = 0; i < level->intervals.n; i++, separator = ", ")
        text_printf(&out, "%s%s AS i%zu", separator,
                    final_interval(level, &level->intervals.items[i]), i + 1);
    if (level->n_keys == 0 && level->aggregates.n == 0)
        text_add(&out, "SELECT 1 AS one");
    level->first_param = same != NULL ? same->first_param : c->next_param;
    write_source(level, n_columns, &out);
    if (same == NULL)
        add_relation(c, RELATION_RELEASE, level->release, n_columns);
    add_fragment(c, place, out.data);
}

void final_ledger(struct compile *c, enum relation_kind kind, PgQuery__RangeSubselect *place)
{
    bool budget = kind == RELATION_BUDGET;
    const struct ledger_column *columns = budget ? budget_columns : history_columns;
    size_t n =
        budget ? sizeof budget_columns / sizeof *columns : sizeof history_columns / sizeof *columns;
    struct text out = text_new(c->arena);
    for (size_t i = 0; i < n; i++) {
        const char *text = packed_text(c, arena_printf(c->arena, "u.c%zu", i + 1));
        text_printf(&out, "%s(%s)::%s AS %s", i == 0 ? "SELECT " : ", ", text, columns[i].type,
                    columns[i].name);
    }
    write_unnest(&out, n);
    for (size_t i = 0; i < n; i++) {
        text_add(&out, i == 0 ? "" : ", ");
        write_param(c, c->next_param + (unsigned)i, packed_type(c), &out);
    }
    text_add(&out, ") AS u(");
    for (size_t i = 0; i < n; i++)
        text_printf(&out, "%sc%zu", i == 0 ? "" : ", ", i + 1);
    text_add(&out, ")");
    add_relation(c, kind, NULL, n);
    add_fragment(c, place, out.data);
}

void final_empty(struct compile *c, const struct catalog_table *table,
                 PgQuery__RangeSubselect *place)
{
    struct text out = text_new(c->arena);
    for (size_t i = 0; i < table->n_columns; i++) {
        text_printf(&out, "%sNULL::%s AS ", i == 0 ? "SELECT " : ", ",
                    table->columns[i].type.declared);
        text_identifier(&out, table->columns[i].name);
    }
    text_add(&out, " WHERE false");
    add_fragment(c, place, out.data);
}

bool final_graft(struct compile *c)
{
    if (c->fragments.n == 0)
        return true;
    struct text all = text_new(c->arena);
    for (size_t i = 0; i < c->fragments.n; i++) {
        text_add(&all, c->fragments.items[i].sql);
        text_add(&all, ";");
    }
    const PgQuery__ParseResult *tree = ast_parse_own(c->arena, all.data);
    if (tree == NULL || tree->n_stmts != c->fragments.n)
        return compile_refuse(c, -1, "0A000", "the final statement cannot be written", NULL, NULL);
    for (size_t i = 0; i < c->fragments.n; i++)
        c->fragments.items[i].place->subquery = tree->stmts[i]->stmt;
    return true;
}
