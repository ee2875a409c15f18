/* What a twin database holds: rows of public tables, and dp.columns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/twin_internal.h"

/* Public rows */

static const char *column_list(const struct twin_builder *builder,
                               const struct catalog_table *table)
{
    struct text text = text_new(builder->arena);
    for (size_t i = 0; i < table->n_columns; i++) {
        text_add(&text, i > 0 ? ", " : "");
        text_identifier(&text, table->columns[i].name);
    }
    return text.data;
}

/* COPY data from one server to the other, as it comes. */
static bool pump(const struct twin_builder *builder)
{
    char *data = NULL;
    int length;
    while ((length = PQgetCopyData(builder->source, &data, 0)) > 0) {
        twin_note(builder, data, (size_t)length);
        int sent = PQputCopyData(builder->twin, data, length);
        PQfreemem(data);
        if (sent != 1)
            return twin_fail(builder, "the twin server: %s", PQerrorMessage(builder->twin));
    }
    if (length == -2)
        return twin_fail(builder, "the protected server: %s", PQerrorMessage(builder->source));
    return true;
}

/* Ends a COPY on one side; the last result's row count, or false. */
static bool finish_copy(const struct twin_builder *builder, PGconn *conn, uint64_t *count)
{
    bool done = true;
    for (PGresult *result; (result = PQgetResult(conn)) != NULL;) {
        if (PQresultStatus(result) == PGRES_COMMAND_OK)
            *count = strtoull(PQcmdTuples(result), NULL, 10);
        else
            done = twin_fail(builder, "copying public rows: %s", PQerrorMessage(conn));
        PQclear(result);
    }
    return done;
}

static bool begin_copy(const struct twin_builder *builder, PGconn *conn, const char *sql,
                       ExecStatusType expected)
{
    PGresult *result = PQexec(conn, sql);
    bool begun = PQresultStatus(result) == expected;
    PQclear(result);
    return begun || twin_fail(builder, "copying public rows: %s", PQerrorMessage(conn));
}

static bool copy_table(const struct twin_builder *builder, struct catalog_table *table)
{
    const char *name = twin_table_name(builder, table), *columns = column_list(builder, table);
    const char *out =
        arena_printf(builder->arena, "COPY (SELECT %s FROM %s) TO STDOUT", columns, name);
    const char *in = arena_printf(builder->arena, "COPY %s (%s) FROM STDIN", name, columns);
    uint64_t sent = 0, taken = 0;
    if (table->n_columns == 0)
        return true;
    if (!begin_copy(builder, builder->source, out, PGRES_COPY_OUT) ||
        !begin_copy(builder, builder->twin, in, PGRES_COPY_IN))
        return false;
    bool pumped = pump(builder);
    if (PQputCopyEnd(builder->twin, pumped ? NULL : "incomplete") != 1 || !pumped)
        return pumped ? twin_fail(builder, "the twin server: %s", PQerrorMessage(builder->twin))
                      : false;
    if (!finish_copy(builder, builder->source, &sent) ||
        !finish_copy(builder, builder->twin, &taken))
        return false;
    if (sent != taken)
        return twin_fail(builder, "table %s: not every row arrived on the twin", name);
    table->public_rows = taken;
    return twin_run(builder, builder->twin, arena_printf(builder->arena, "ANALYZE %s", name));
}

bool twin_copy_rows(const struct twin_builder *builder)
{
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        struct catalog_table *table = &builder->catalog->tables[i];
        twin_tell(builder, "copying public rows", i);
        if (table->is_public && twin_is_exposed(table) && !copy_table(builder, table))
            return false;
    }
    return true;
}

/* dp.columns */

/* {"a","b",NULL}; NULL where there is none. */
static const char *domain_literal(const struct twin_builder *builder,
                                  const struct catalog_column *column)
{
    struct text text = text_new(builder->arena);
    if (column->n_domain == 0)
        return NULL;
    text_add(&text, "{");
    for (size_t i = 0; i < column->n_domain; i++) {
        text_add(&text, i > 0 ? "," : "");
        if (column->domain[i] == NULL) {
            text_add(&text, "NULL");
            continue;
        }
        text_add(&text, "\"");
        for (const char *at = column->domain[i]; *at != '\0'; at++) {
            char piece[3] = {'\\', *at, '\0'};
            text_add(&text, *at == '"' || *at == '\\' ? piece : piece + 1);
        }
        text_add(&text, "\"");
    }
    text_add(&text, "}");
    return text.data;
}

static const char *bound_kind(const struct catalog_column *column)
{
    if (column->is_automatic)
        return "auto";
    if (column->bounds == NULL)
        return "none";
    switch (column->bounds->kind) {
    case POLICY_BOUND_NUMBER:
        return "number";
    case POLICY_BOUND_DATE:
        return "date";
    case POLICY_BOUND_TIMESTAMP:
        return "timestamp";
    }
    return "none";
}

static bool describe_column(const struct twin_builder *builder, const struct catalog_table *table,
                            size_t index)
{
    static const char sql[] =
        "WITH value(side, v) AS (VALUES (1, $5), (2, $6)), bound(side, v) AS ("
        "  SELECT side, CASE $4"
        "    WHEN 'number' THEN v"
        "    WHEN 'auto' THEN 'auto'"
        "    WHEN 'date' THEN (pg_catalog.date '2000-01-01' + v::pg_catalog.int4)::text"
        "    WHEN 'timestamp' THEN (pg_catalog.timestamp '2000-01-01' +"
        "      (v || ' microseconds')::pg_catalog.interval)::text END"
        "  FROM value) "
        "INSERT INTO dp.columns "
        "SELECT n.nspname, c.relname, a.attname,"
        "  pg_catalog.format_type(a.atttypid, a.atttypmod),"
        "  (SELECT v FROM bound WHERE side = 1), (SELECT v FROM bound WHERE side = 2),"
        "  $7::pg_catalog.text[], $8::pg_catalog.bool, $9::pg_catalog.bool "
        "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
        "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3";
    const struct catalog_column *column = &table->columns[index];
    char low[DP_DECIMAL_TEXT_MAX], high[DP_DECIMAL_TEXT_MAX];
    bool bounded = column->bounds != NULL;
    if (bounded) {
        dp_decimal_print(&column->bounds->low, low);
        dp_decimal_print(&column->bounds->high, high);
    }
    const char *values[] = {table->schema,
                            table->name,
                            column->name,
                            bound_kind(column),
                            bounded ? low : NULL,
                            bounded ? high : NULL,
                            domain_literal(builder, column),
                            (int)index == table->unit_column ? "t" : "f",
                            table->is_public ? "t" : "f"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        twin_note(builder, values[i] ? values[i] : "", values[i] ? strlen(values[i]) : 0);
    PGresult *result = PQexecParams(builder->twin, sql, 9, NULL, values, NULL, NULL, 0);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdTuples(result), "1") == 0;
    PQclear(result);
    return done || twin_fail(builder, "table %s.%s, column %s: %s", table->schema, table->name,
                             column->name, PQerrorMessage(builder->twin));
}

static bool find_oid(const struct twin_builder *builder, struct catalog_table *table)
{
    const char *name = twin_table_name(builder, table);
    PGresult *rows = twin_ask(builder, builder->twin,
                              "SELECT $1::pg_catalog.regclass::pg_catalog.oid", 1, &name);
    if (rows == NULL)
        return false;
    table->twin_oid = (uint32_t)strtoul(PQgetvalue(rows, 0, 0), NULL, 10);
    PQclear(rows);
    return table->twin_oid != 0;
}

bool twin_find_tables(const struct twin_builder *builder)
{
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        struct catalog_table *table = &builder->catalog->tables[i];
        table->twin_oid = 0;
        if (twin_is_exposed(table) && !find_oid(builder, table))
            return false;
    }
    return true;
}

bool twin_describe_columns(const struct twin_builder *builder)
{
    if (!twin_find_tables(builder))
        return false;
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        const struct catalog_table *table = &builder->catalog->tables[i];
        for (size_t k = 0; k < table->n_columns && twin_is_exposed(table); k++) {
            if (!describe_column(builder, table, k))
                return false;
        }
    }
    return true;
}
