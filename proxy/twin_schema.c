/* The tables of a twin database: what the policy exposes of the protected schema, and nothing that
 * could carry a fact about its rows (no defaults, checks, comments, statistics, partition bounds).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/twin_internal.h"

bool twin_is_exposed(const struct catalog_table *table)
{
    return !table->hidden;
}

const char *twin_table_name(const struct twin_builder *builder, const struct catalog_table *table)
{
    struct text text = text_new(builder->arena);
    text_identifier(&text, table->schema);
    text_add(&text, ".");
    text_identifier(&text, table->name);
    return text.data;
}

static bool create_schema(const struct twin_builder *builder, const char *schema)
{
    struct text sql = text_new(builder->arena);
    if (strcmp(schema, "dp") == 0 || strncmp(schema, "pg_", 3) == 0 ||
        strcmp(schema, "information_schema") == 0)
        return twin_fail(builder,
                         "the schema %s cannot be used in a policy; accepted: any but dp, "
                         "pg_* and information_schema",
                         schema);
    text_add(&sql, "CREATE SCHEMA IF NOT EXISTS ");
    text_identifier(&sql, schema);
    text_add(&sql, "; GRANT USAGE ON SCHEMA ");
    text_identifier(&sql, schema);
    text_add(&sql, " TO pgveil_analyst");
    return twin_run(builder, builder->twin, sql.data);
}

static bool type_exists(const struct twin_builder *builder, const char *schema, const char *name,
                        bool *exists)
{
    static const char sql[] = "SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n"
                              " ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $2";
    const char *values[] = {schema, name};
    PGresult *rows = twin_ask(builder, builder->twin, sql, 2, values);
    *exists = rows != NULL && PQntuples(rows) > 0;
    PQclear(rows);
    return rows != NULL;
}

/* The enum that a column's type is, or is an array of, unless it is there already. */
static bool create_enum(const struct twin_builder *builder, const struct catalog_type *type)
{
    static const char labels_sql[] =
        "SELECT e.enumlabel FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t"
        "  ON t.oid = e.enumtypid WHERE t.oid = $1::pg_catalog.oid OR t.typarray = "
        "$1::pg_catalog.oid ORDER BY e.enumsortorder";
    static const char name_sql[] =
        "SELECT n.nspname, t.typname FROM pg_catalog.pg_type t"
        "  JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
        "WHERE t.typtype = 'e' AND (t.oid = $1::pg_catalog.oid OR t.typarray = $1::pg_catalog.oid)";
    char oid[16];
    const char *values[] = {oid};
    struct text sql = text_new(builder->arena);
    bool done = false, exists = false;
    snprintf(oid, sizeof oid, "%u", type->oid);
    PGresult *labels = NULL, *name = twin_ask(builder, builder->source, name_sql, 1, values);
    if (name == NULL)
        return false;
    if (PQntuples(name) == 0) { /* built in */
        PQclear(name);
        return true;
    }
    const char *schema = PQgetvalue(name, 0, 0), *type_name = PQgetvalue(name, 0, 1);
    if (!create_schema(builder, schema) || !type_exists(builder, schema, type_name, &exists))
        goto out;
    if (exists) {
        done = true;
        goto out;
    }
    labels = twin_ask(builder, builder->source, labels_sql, 1, values);
    if (labels == NULL)
        goto out;
    text_add(&sql, "CREATE TYPE ");
    text_identifier(&sql, schema);
    text_add(&sql, ".");
    text_identifier(&sql, type_name);
    text_add(&sql, " AS ENUM (");
    for (int row = 0; row < PQntuples(labels); row++) {
        text_add(&sql, row > 0 ? ", " : "");
        text_literal(&sql, PQgetvalue(labels, row, 0));
    }
    text_add(&sql, ")");
    done = twin_run(builder, builder->twin, sql.data);
out:
    PQclear(labels);
    PQclear(name);
    return done;
}

/* What the columns need. */
static bool create_types(const struct twin_builder *builder, const struct catalog_table *table)
{
    if (!create_schema(builder, table->schema))
        return false;
    for (size_t i = 0; i < table->n_columns; i++) {
        if (!create_enum(builder, &table->columns[i].type))
            return false;
    }
    return true;
}

/* A view of its own shape, which says what it is where something executes it: the definition is
 * expanded before, over tables that may be hidden here. */
static bool create_view(const struct twin_builder *builder, const struct catalog_table *view)
{
    struct text sql = text_new(builder->arena);
    const char *name = twin_table_name(builder, view);
    if (!create_types(builder, view))
        return false;
    text_printf(&sql, "CREATE VIEW %s AS SELECT ", name);
    for (size_t i = 0; i < view->n_columns; i++) {
        text_printf(&sql, "%sNULL::%s AS ", i > 0 ? ", " : "", view->columns[i].type.declared);
        text_identifier(&sql, view->columns[i].name);
    }
    text_add(&sql, " WHERE dp.private_rows(");
    text_literal(&sql, arena_printf(builder->arena, "%s.%s", view->schema, view->name));
    text_printf(&sql, "); GRANT SELECT ON %s TO pgveil_analyst; COMMENT ON VIEW %s IS ", name,
                name);
    text_literal(&sql, "a view: pgveil answers from what it reads");
    return twin_run(builder, builder->twin, sql.data);
}

static bool create_table(const struct twin_builder *builder, const struct catalog_table *table)
{
    struct text sql = text_new(builder->arena);
    const char *name = twin_table_name(builder, table);
    if (!create_types(builder, table))
        return false;
    text_printf(&sql, "CREATE TABLE %s (", name);
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct catalog_column *column = &table->columns[i];
        text_add(&sql, i > 0 ? ", " : "");
        text_identifier(&sql, column->name);
        text_printf(&sql, " %s%s", column->type.declared, column->not_null ? " NOT NULL" : "");
    }
    text_printf(&sql, "); GRANT SELECT ON %s TO pgveil_analyst; COMMENT ON TABLE %s IS ", name,
                name);
    text_literal(&sql, table->is_public ? "public: rows can be read"
                                        : "private: aggregates only, pgveil answers them");
    return twin_run(builder, builder->twin, sql.data);
}

/* Keys of the protected table over exposed columns: tools look for them. */
static bool create_unique(const struct twin_builder *builder, const struct catalog_table *table,
                          const struct catalog_unique *unique)
{
    static const char query[] =
        "SELECT c.relname, (SELECT p.contype FROM pg_catalog.pg_constraint p"
        "  WHERE p.conindid = c.oid AND p.conrelid = $2::pg_catalog.oid AND p.contype IN ('p', 'u')"
        "  LIMIT 1) "
        "FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.oid";
    char index[16], relation[16];
    const char *values[] = {index, relation};
    struct text sql = text_new(builder->arena);
    snprintf(index, sizeof index, "%u", unique->index_oid);
    snprintf(relation, sizeof relation, "%u", table->oid);
    PGresult *rows = twin_ask(builder, builder->source, query, 2, values);
    if (rows == NULL || PQntuples(rows) != 1) {
        PQclear(rows);
        return rows != NULL; /* dropped in the meantime */
    }
    const char *kind = PQgetvalue(rows, 0, 1), *table_name = twin_table_name(builder, table);
    if (kind[0] == '\0') {
        text_add(&sql, "CREATE UNIQUE INDEX ");
        text_identifier(&sql, PQgetvalue(rows, 0, 0));
        text_printf(&sql, " ON %s (", table_name);
    } else {
        text_printf(&sql, "ALTER TABLE %s ADD CONSTRAINT ", table_name);
        text_identifier(&sql, PQgetvalue(rows, 0, 0));
        text_add(&sql, kind[0] == 'p' ? " PRIMARY KEY (" : " UNIQUE (");
    }
    for (size_t i = 0; i < unique->n_columns; i++) {
        text_add(&sql, i > 0 ? ", " : "");
        text_identifier(&sql, table->columns[unique->columns[i]].name);
    }
    text_add(&sql, ")");
    PQclear(rows);
    return twin_run(builder, builder->twin, sql.data);
}

/* \d shows the policy, so its name says what it is for. */
static bool create_guard(const struct twin_builder *builder, const struct catalog_table *table)
{
    struct text sql = text_new(builder->arena);
    const char *name = twin_table_name(builder, table);
    text_printf(&sql,
                "ALTER TABLE %s ENABLE ROW LEVEL SECURITY; "
                "CREATE POLICY \"private: ask aggregates, pgveil answers them\" ON %s "
                "USING (dp.private_rows(",
                name, name);
    text_literal(&sql, arena_printf(builder->arena, "%s.%s", table->schema, table->name));
    text_add(&sql, "))");
    return twin_run(builder, builder->twin, sql.data);
}

bool twin_create_tables(const struct twin_builder *builder)
{
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        const struct catalog_table *table = &builder->catalog->tables[i];
        twin_tell(builder, "creating tables", i);
        if (!twin_is_exposed(table))
            continue;
        if (table->view != NULL) {
            if (!create_view(builder, table))
                return false;
            continue;
        }
        if (!create_table(builder, table))
            return false;
        if (!table->is_public && !create_guard(builder, table))
            return false;
        for (size_t k = 0; k < table->n_unique; k++) {
            if (!create_unique(builder, table, &table->unique[k]))
                return false;
        }
    }
    return true;
}

/* The exposed table with a primary key of one column that the foreign key refers to; NULL: none. */
static const char *referenced(const struct twin_builder *builder, uint32_t oid)
{
    static const char sql[] = "SELECT FROM pg_catalog.pg_constraint WHERE contype = 'p' AND "
                              "conrelid = $1::pg_catalog.regclass "
                              "AND pg_catalog.cardinality(conkey) = 1";
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        const struct catalog_table *table = &builder->catalog->tables[i];
        if (table->oid != oid || !twin_is_exposed(table))
            continue;
        const char *name = twin_table_name(builder, table);
        PGresult *rows = twin_ask(builder, builder->twin, sql, 1, &name);
        bool has_key = rows != NULL && PQntuples(rows) == 1;
        PQclear(rows);
        return has_key ? name : NULL;
    }
    return NULL;
}

/* Tools draw joins along them. NOT VALID: public rows may refer to private tables, empty here. */
bool twin_create_foreign_keys(const struct twin_builder *builder)
{
    for (size_t i = 0; i < builder->catalog->n_tables; i++) {
        const struct catalog_table *table = &builder->catalog->tables[i];
        for (size_t k = 0; k < table->n_foreign_keys && twin_is_exposed(table); k++) {
            const struct catalog_foreign_key *key = &table->foreign_keys[k];
            const char *target = referenced(builder, key->ref_table_oid);
            struct text sql = text_new(builder->arena);
            if (target == NULL)
                continue;
            text_printf(&sql, "ALTER TABLE %s ADD FOREIGN KEY (", twin_table_name(builder, table));
            text_identifier(&sql, table->columns[key->column].name);
            text_printf(&sql, ") REFERENCES %s NOT VALID", target);
            if (!twin_run(builder, builder->twin, sql.data))
                return false;
        }
    }
    return true;
}
