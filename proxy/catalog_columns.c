/* Columns and types of the protected tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/catalog_internal.h"

/* Domains are followed to their base type: what counts is how values compare and what they range
 * over; a domain's checks may be NOT VALID and prove nothing, and so may NOT NULL (PostgreSQL 18).
 * elem: of an array its element, else the type itself. Modifiers are those that format_type prints
 * in parentheses. */
static const char columns_sql[] =
    "WITH RECURSIVE base AS ("
    "  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS typmod"
    "  FROM pg_catalog.pg_attribute a"
    "  WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "  UNION ALL"
    "  SELECT b.attnum, t.typbasetype, CASE WHEN b.typmod = -1 THEN t.typtypmod ELSE b.typmod END"
    "  FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd')"
    "SELECT a.attname, a.attnum,"
    "  a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint n"
    "    WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]"
    "    AND NOT n.convalidated), t.oid, b.typmod, tn.nspname, t.typname,"
    "  e.oid <> t.oid AS is_array, en.nspname, e.typname, e.typtype,"
    "  coalesce(substring(pg_catalog.format_type(e.oid, b.typmod) from '\\([0-9,-]+\\)'), ''),"
    "  a.attcollation = 0 OR coalesce(c.collisdeterministic, false),"
    "  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'),"
    "  e.oid < 16384, a.attcollation "
    "FROM base b"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::pg_catalog.oid AND a.attnum = b.attnum"
    "  JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd'"
    "  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace"
    "  JOIN pg_catalog.pg_type e ON e.oid ="
    "    CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END"
    "  JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace"
    "  LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation "
    "ORDER BY a.attnum";

enum column_field {
    FIELD_NAME,
    FIELD_ATTNUM,
    FIELD_NOT_NULL,
    FIELD_TYPE,
    FIELD_TYPMOD,
    FIELD_TYPE_SCHEMA,
    FIELD_TYPE_NAME,
    FIELD_IS_ARRAY,
    FIELD_ELEMENT_SCHEMA,
    FIELD_ELEMENT_NAME,
    FIELD_ELEMENT_KIND,
    FIELD_MODIFIERS,
    FIELD_DETERMINISTIC,
    FIELD_READABLE,
    FIELD_BUILT_IN,
    FIELD_COLLATION
};

int catalog_column_by_name(const struct catalog_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

int catalog_column_by_attnum(const struct catalog_table *table, int attnum)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->columns[i].attnum == attnum)
            return (int)i;
    }
    return -1;
}

static bool is_true(const PGresult *rows, int row, int field)
{
    return strcmp(PQgetvalue(rows, row, field), "t") == 0;
}

/* name as an SQL identifier, bare where that means the same behind a schema. */
static char *identifier(const char *name)
{
    size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (name[plain] == '\0' && plain > 0 && (name[0] < '0' || name[0] > '9'))
        return must_strdup(name);
    char *quoted = must_calloc(2 * strlen(name) + 3, 1);
    size_t n = 0;
    quoted[n++] = '"';
    for (const char *at = name; *at != '\0'; at++) {
        if (*at == '"')
            quoted[n++] = '"';
        quoted[n++] = *at;
    }
    quoted[n] = '"';
    return quoted;
}

static char *declared_type(const PGresult *rows, int row, const char *modifiers)
{
    char *schema = identifier(PQgetvalue(rows, row, FIELD_ELEMENT_SCHEMA));
    char *name = identifier(PQgetvalue(rows, row, FIELD_ELEMENT_NAME));
    char *declared = must_printf("%s.%s%s%s", schema, name, modifiers,
                                 is_true(rows, row, FIELD_IS_ARRAY) ? "[]" : "");
    free(schema);
    free(name);
    return declared;
}

/* The twin has the built-in types and the enums that are created there. */
static bool read_type(const struct catalog_reader *reader, const struct catalog_table *table,
                      const PGresult *rows, int row, struct catalog_type *type)
{
    const char *kind = PQgetvalue(rows, row, FIELD_ELEMENT_KIND);
    const char *modifiers = PQgetvalue(rows, row, FIELD_MODIFIERS);
    bool is_enum = kind[0] == 'e', array = is_true(rows, row, FIELD_IS_ARRAY);
    if (!is_enum && (!is_true(rows, row, FIELD_BUILT_IN) || strchr("brm", kind[0]) == NULL))
        return catalog_fail(reader,
                            "table %s.%s, column %s: the type %s.%s is not supported; accepted: "
                            "built-in types, enums, arrays and domains over them, or leave the "
                            "column out of the policy",
                            table->schema, table->name, PQgetvalue(rows, row, FIELD_NAME),
                            PQgetvalue(rows, row, FIELD_ELEMENT_SCHEMA),
                            PQgetvalue(rows, row, FIELD_ELEMENT_NAME));
    type->oid = (uint32_t)strtoul(PQgetvalue(rows, row, FIELD_TYPE), NULL, 10);
    type->typmod = (int32_t)strtol(PQgetvalue(rows, row, FIELD_TYPMOD), NULL, 10);
    /* What an interval has in parentheses means something else behind a qualified name; its
     * precision and its fields round values that are already rounded. */
    if (!is_enum && strcmp(PQgetvalue(rows, row, FIELD_ELEMENT_NAME), "interval") == 0) {
        type->typmod = -1;
        modifiers = "";
    }
    type->is_enum = is_enum && !array;
    type->schema = must_strdup(PQgetvalue(rows, row, FIELD_TYPE_SCHEMA));
    type->name = must_strdup(PQgetvalue(rows, row, FIELD_TYPE_NAME));
    type->declared = declared_type(rows, row, modifiers);
    return true;
}

static bool read_column(const struct catalog_reader *reader, const struct policy_column *policy,
                        struct catalog_table *table, const PGresult *rows, int row)
{
    struct catalog_column *column = &table->columns[table->n_columns++];
    column->name = must_strdup(PQgetvalue(rows, row, FIELD_NAME));
    column->attnum = catalog_number(PQgetvalue(rows, row, FIELD_ATTNUM));
    column->collation = (uint32_t)strtoul(PQgetvalue(rows, row, FIELD_COLLATION), NULL, 10);
    column->not_null = is_true(rows, row, FIELD_NOT_NULL);
    column->deterministic = is_true(rows, row, FIELD_DETERMINISTIC);
    if (!is_true(rows, row, FIELD_READABLE) && table->view == NULL)
        return catalog_fail(reader,
                            "table %s.%s, column %s: the role that pgveil logs in with may not "
                            "read it; grant SELECT or leave the column out of the policy",
                            table->schema, table->name, column->name);
    return read_type(reader, table, rows, row, &column->type) &&
           (policy == NULL || catalog_fit_column(reader, table, column, policy));
}

static int find_row(const PGresult *rows, const char *name)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        if (strcmp(PQgetvalue(rows, row, FIELD_NAME), name) == 0)
            return row;
    }
    return -1;
}

bool catalog_read_columns(const struct catalog_reader *reader, const struct policy_table *policy,
                          struct catalog_table *table, const char *oid)
{
    const char *values[] = {oid};
    PGresult *rows = catalog_ask(reader, columns_sql, 1, values);
    bool all = (policy->is_public || policy->is_view) && policy->n_columns == 0,
         done = rows != NULL;
    size_t n = all && rows != NULL ? (size_t)PQntuples(rows) : policy->n_columns;
    table->columns = must_calloc(n > 0 ? n : 1, sizeof *table->columns);
    for (size_t i = 0; i < n && done; i++) {
        const struct policy_column *listed = all ? NULL : &policy->columns[i];
        int row = all ? (int)i : find_row(rows, listed->name);
        if (row < 0)
            done = catalog_fail(reader,
                                "table %s.%s has no column %s; accepted: the names of its columns, "
                                "quoted as in SQL where they need it",
                                table->schema, table->name, listed->name);
        else
            done = read_column(reader, listed, table, rows, row);
    }
    PQclear(rows);
    return done;
}
