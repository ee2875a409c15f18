/*
 * Reads a protected database's catalogue and joins it with the policy. Names and numbers that any
 * user of that database can see; of rows only how many a public table has.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/views.h"
#include "proxy/catalog_internal.h"
#include "proxy/log.h"
#include "proxy/server_identity.h"
#include "proxy/twin.h"
#include "proxy/worker.h"

enum { OLDEST_VERSION = 130000 };

static const char begin_sql[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                "SET LOCAL search_path = '';"
                                "SET LOCAL standard_conforming_strings = on;"
                                "SET LOCAL DateStyle = 'ISO, MDY';"
                                "SET LOCAL IntervalStyle = 'postgres';"
                                "SET LOCAL TimeZone = 'UTC';"
                                "SET LOCAL extra_float_digits = 3;"
                                "SET LOCAL bytea_output = 'hex';"
                                "SET LOCAL lock_timeout = '30s';"
                                "SET LOCAL statement_timeout = '10min'";

static const char server_sql[] =
    "SELECT current_setting('server_encoding'), r.rolsuper OR r.rolreplication"
    " OR pg_catalog.pg_has_role(r.oid, 'pg_write_all_data', 'MEMBER') "
    "FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

static const char table_sql[] =
    "SELECT c.oid, c.relkind, c.relpersistence,"
    "  c.relkind = 'p' OR EXISTS ("
    "    SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),"
    "  pg_catalog.has_schema_privilege(n.oid, 'USAGE'),"
    "  pg_catalog.row_security_active(c.oid),"
    "  pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'),"
    "  CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = $1 AND c.relname = $2";

/* Only what proves uniqueness: valid, checked at once, over plain columns and all rows, by the
 * types' own equality. */
static const char unique_sql[] =
    "SELECT i.indexrelid, array_to_string((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1], ' ') "
    "FROM pg_catalog.pg_index i "
    "WHERE i.indrelid = $1::pg_catalog.oid AND i.indisunique AND i.indisvalid AND i.indisready"
    "  AND i.indislive AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL"
    "  AND NOT EXISTS (SELECT FROM unnest(i.indclass::pg_catalog.oid[]) u(opclass)"
    "    JOIN pg_catalog.pg_opclass o ON o.oid = u.opclass WHERE NOT o.opcdefault) "
    "ORDER BY i.indnkeyatts, i.indexrelid";

static const char foreign_key_sql[] =
    "SELECT f.oid, f.conkey[1], f.confrelid "
    "FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_constraint p"
    "  ON p.conrelid = f.confrelid AND p.contype = 'p' AND p.conkey = f.confkey "
    "WHERE f.conrelid = $1::pg_catalog.oid AND f.contype = 'f' AND f.convalidated"
    "  AND pg_catalog.cardinality(f.conkey) = 1 "
    "ORDER BY f.oid";

/* Small helpers */

void *must_calloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        log_error("out of memory");
        abort();
    }
    return memory;
}

char *must_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(must_calloc(size, 1), text, size);
}

char *must_printf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) {
        log_error("out of memory");
        abort();
    }
    return text;
}

int catalog_number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

bool catalog_fail(const struct catalog_reader *reader, const char *format, ...)
{
    int length = snprintf(reader->error, 512, "dataset %.63s: ", reader->dataset);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->error + length, 512 - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

PGresult *catalog_ask(const struct catalog_reader *reader, const char *sql, int n,
                      const char *const *values)
{
    PGresult *rows = PQexecParams(reader->conn, sql, n, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    catalog_fail(reader, "reading the protected server's catalogue: %s",
                 PQerrorMessage(reader->conn));
    PQclear(rows);
    return NULL;
}

static bool is_true(const PGresult *rows, int row, int field)
{
    return strcmp(PQgetvalue(rows, row, field), "t") == 0;
}

/* Connecting */

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static void read_identity(struct catalog_reader *reader)
{
    struct server_identity identity;
    char name[SERVER_DATABASE_NAME_MAX];
    server_identity_read(reader->conn, &identity);
    server_identity_name(&identity, name);
    reader->catalog->database = must_strdup(name);
}

static bool connect_protected(struct catalog_reader *reader, const char *server)
{
    static const char *const keywords[] = {"connect_timeout", "dbname", "client_encoding",
                                           "fallback_application_name", NULL};
    const char *const values[] = {"10", server, "UTF8", "pgveil", NULL};
    reader->conn = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(reader->conn) != CONNECTION_OK)
        return catalog_fail(reader, "cannot connect to the protected server: %s",
                            PQerrorMessage(reader->conn));
    PQsetNoticeReceiver(reader->conn, drop_notice, NULL);
    worker_watch(reader->conn);
    if (PQserverVersion(reader->conn) < OLDEST_VERSION)
        return catalog_fail(reader, "the protected server is version %d; accepted: 13 and later",
                            PQserverVersion(reader->conn) / 10000);
    read_identity(reader);
    PGresult *begun = PQexec(reader->conn, begin_sql);
    bool done = PQresultStatus(begun) == PGRES_COMMAND_OK;
    PQclear(begun);
    return done || catalog_fail(reader, "the protected server: %s", PQerrorMessage(reader->conn));
}

static bool check_server(const struct catalog_reader *reader)
{
    PGresult *rows = catalog_ask(reader, server_sql, 0, NULL);
    if (rows == NULL)
        return false;
    bool ascii = strcmp(PQgetvalue(rows, 0, 0), "SQL_ASCII") == 0;
    bool mighty = PQntuples(rows) == 1 && is_true(rows, 0, 1);
    PQclear(rows);
    if (mighty)
        log_warning("dataset %s: pgveil logs in to the protected server with a role that can do "
                    "more than read; use one that may SELECT from the tables of the policy and "
                    "nothing else",
                    reader->dataset);
    return !ascii || catalog_fail(reader, "the protected database's encoding is SQL_ASCII, in "
                                          "which text has no defined meaning; accepted: any other");
}

/* Tables */

static bool check_table(const struct catalog_reader *reader, const struct catalog_table *table,
                        const PGresult *rows)
{
    const char *kind = PQgetvalue(rows, 0, 1);
    if (strchr("rp", kind[0]) == NULL || PQgetvalue(rows, 0, 2)[0] == 't')
        return catalog_fail(reader,
                            "%s.%s is not an ordinary or partitioned table; accepted: these",
                            table->schema, table->name);
    if (!is_true(rows, 0, 4))
        return catalog_fail(reader,
                            "table %s.%s: the role that pgveil logs in with has no USAGE on its "
                            "schema; grant it",
                            table->schema, table->name);
    if (is_true(rows, 0, 5))
        return catalog_fail(reader,
                            "table %s.%s: row-level security applies to the role that pgveil logs "
                            "in with, so whose rows are seen may depend on other people's rows; "
                            "accepted: a role with BYPASSRLS",
                            table->schema, table->name);
    if (is_true(rows, 0, 6))
        log_warning("dataset %s: the role that pgveil logs in with may write to %s.%s; revoke it",
                    reader->dataset, table->schema, table->name);
    return true;
}

/* The definition, in which every name must be of this policy. */
static bool read_view(const struct catalog_reader *reader, const struct policy_table *policy,
                      struct catalog_table *view, const PGresult *rows, const char *oid)
{
    if (PQgetisnull(rows, 0, 7))
        return catalog_fail(reader,
                            "%s.%s is not a view; accepted: a view, or a table without "
                            "\"view\"",
                            view->schema, view->name);
    view->view = must_strdup(PQgetvalue(rows, 0, 7));
    return catalog_read_columns(reader, policy, view, oid);
}

static bool fit_views(const struct catalog_reader *reader)
{
    for (size_t i = 0; i < reader->catalog->n_tables; i++) {
        const struct catalog_table *view = &reader->catalog->tables[i];
        char why[200];
        if (view->view != NULL && !views_fit(reader->catalog, view, why))
            return catalog_fail(reader, "view %s.%s: %s", view->schema, view->name, why);
    }
    return true;
}

static bool read_unique(const struct catalog_reader *reader, struct catalog_table *table,
                        const char *oid)
{
    const char *values[] = {oid};
    PGresult *rows = catalog_ask(reader, unique_sql, 1, values);
    if (rows == NULL)
        return false;
    table->unique = must_calloc((size_t)PQntuples(rows) + 1, sizeof *table->unique);
    for (int row = 0; row < PQntuples(rows); row++) {
        struct catalog_unique *unique = &table->unique[table->n_unique];
        char *next = PQgetvalue(rows, row, 1);
        bool exposed = true;
        unique->index_oid = (uint32_t)strtoul(PQgetvalue(rows, row, 0), NULL, 10);
        unique->columns = must_calloc(strlen(next) / 2 + 1, sizeof *unique->columns);
        unique->n_columns = 0;
        while (*next != '\0' && exposed) {
            int column = catalog_column_by_attnum(table, (int)strtol(next, &next, 10));
            exposed = column >= 0;
            unique->columns[unique->n_columns++] = column;
        }
        if (exposed) {
            table->n_unique++;
        } else {
            free(unique->columns);
            unique->columns = NULL;
        }
    }
    PQclear(rows);
    return true;
}

static bool read_foreign_keys(const struct catalog_reader *reader, struct catalog_table *table,
                              const char *oid)
{
    const char *values[] = {oid};
    PGresult *rows = catalog_ask(reader, foreign_key_sql, 1, values);
    if (rows == NULL)
        return false;
    table->foreign_keys = must_calloc((size_t)PQntuples(rows) + 1, sizeof *table->foreign_keys);
    for (int row = 0; row < PQntuples(rows); row++) {
        struct catalog_foreign_key *key = &table->foreign_keys[table->n_foreign_keys];
        key->constraint_oid = (uint32_t)strtoul(PQgetvalue(rows, row, 0), NULL, 10);
        key->column = catalog_column_by_attnum(table, catalog_number(PQgetvalue(rows, row, 1)));
        key->ref_table_oid = (uint32_t)strtoul(PQgetvalue(rows, row, 2), NULL, 10);
        if (key->column >= 0)
            table->n_foreign_keys++;
    }
    PQclear(rows);
    return true;
}

static bool count_public_rows(const struct catalog_reader *reader, struct catalog_table *table)
{
    char *schema = PQescapeIdentifier(reader->conn, table->schema, strlen(table->schema));
    char *name = PQescapeIdentifier(reader->conn, table->name, strlen(table->name));
    char *sql = must_printf("SELECT count(*) FROM %s.%s", schema, name);
    PGresult *rows = catalog_ask(reader, sql, 0, NULL);
    if (rows != NULL)
        table->public_rows = strtoull(PQgetvalue(rows, 0, 0), NULL, 10);
    PQclear(rows);
    free(sql);
    PQfreemem(name);
    PQfreemem(schema);
    return rows != NULL;
}

static bool read_table(const struct catalog_reader *reader, const struct policy_table *policy,
                       struct catalog_table *table)
{
    const char *values[] = {policy->schema, policy->name};
    PGresult *rows = catalog_ask(reader, table_sql, 2, values);
    bool done = false;
    char oid[16] = "0";
    table->schema = must_strdup(policy->schema);
    table->name = must_strdup(policy->name);
    table->is_public = policy->is_public;
    table->hidden = policy->hidden;
    table->max_rows = policy->max_rows;
    table->max_groups = policy->max_groups;
    table->max_rows_per_group = policy->max_rows_per_group;
    table->unit_column = table->parent = table->parent_key = -1;
    if (rows == NULL)
        return false;
    if (PQntuples(rows) != 1) {
        catalog_fail(reader, "there is no table %s.%s in the protected database", policy->schema,
                     policy->name);
        goto out;
    }
    snprintf(oid, sizeof oid, "%.10s", PQgetvalue(rows, 0, 0));
    table->oid = (uint32_t)strtoul(oid, NULL, 10);
    table->has_children = is_true(rows, 0, 3);
    if (policy->is_view) {
        done = read_view(reader, policy, table, rows, oid);
        goto out;
    }
    done = check_table(reader, table, rows) && catalog_read_columns(reader, policy, table, oid) &&
           read_unique(reader, table, oid) && read_foreign_keys(reader, table, oid) &&
           (!table->is_public || count_public_rows(reader, table));
out:
    PQclear(rows);
    return done;
}

static int table_index(const struct catalog *catalog, const char *schema, const char *name)
{
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (strcmp(table->schema, schema) == 0 && strcmp(table->name, name) == 0)
            return (int)i;
    }
    return -1;
}

/* Names of the unit columns and of the tables they reference become indexes; policy_read has
 * checked that they lead to one root. */
static bool link_units(const struct catalog_reader *reader, const struct policy *policy)
{
    for (size_t i = 0; i < policy->n_tables; i++) {
        const struct policy_table *from = &policy->tables[i];
        struct catalog_table *table = &reader->catalog->tables[i];
        if (from->is_public || from->is_view)
            continue;
        table->unit_column = from->unit != NULL ? catalog_column_by_name(table, from->unit) : -1;
        if (table->unit_column < 0)
            return catalog_fail(reader,
                                "table %s.%s is not public, and its unit is not among its columns",
                                table->schema, table->name);
        if (from->ref_name != NULL)
            table->parent = table_index(reader->catalog, from->ref_schema, from->ref_name);
        if (from->ref_name != NULL &&
            (table->parent < 0 || reader->catalog->tables[table->parent].is_public))
            return catalog_fail(reader,
                                "table %s.%s: its unit references %s.%s, which is not a "
                                "private table of the policy",
                                table->schema, table->name, from->ref_schema, from->ref_name);
    }
    return true;
}

/* The interface */

struct catalog *catalog_read(const struct config_dataset *dataset, const struct policy *policy,
                             int64_t seed, char error[512])
{
    struct catalog *catalog = must_calloc(1, sizeof *catalog);
    struct catalog_reader reader = {.catalog = catalog, .dataset = dataset->name, .error = error};
    catalog->dataset = must_strdup(dataset->name);
    catalog->policy = policy;
    catalog->hash_seed = seed;
    catalog->tables = must_calloc(policy->n_tables + 1, sizeof *catalog->tables);
    bool done = connect_protected(&reader, dataset->server) && check_server(&reader);
    for (size_t i = 0; i < policy->n_tables && done; i++) {
        catalog->n_tables = i + 1;
        done = read_table(&reader, &policy->tables[i], &catalog->tables[i]);
    }
    done = done && link_units(&reader, policy) && catalog_fit_units(&reader) &&
           catalog_fit_inheritance(&reader) && fit_views(&reader);
    PQfinish(reader.conn);
    if (done)
        return catalog;
    catalog_free(catalog);
    return NULL;
}

static void column_clear(struct catalog_column *column)
{
    free(column->name);
    free(column->type.schema);
    free(column->type.name);
    free(column->type.declared);
    for (size_t i = 0; i < column->n_domain; i++)
        free(column->domain[i]);
    free(column->domain);
}

void catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    for (size_t i = 0; i < catalog->n_tables; i++) {
        struct catalog_table *table = &catalog->tables[i];
        for (size_t k = 0; k < table->n_columns; k++)
            column_clear(&table->columns[k]);
        for (size_t k = 0; k < table->n_unique; k++)
            free(table->unique[k].columns);
        free(table->columns);
        free(table->unique);
        free(table->foreign_keys);
        free(table->schema);
        free(table->name);
        free(table->view);
    }
    free(catalog->tables);
    free(catalog->dataset);
    free(catalog->database);
    free(catalog->twin_database);
    free(catalog);
}
