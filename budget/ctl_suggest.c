/*
 * pgveilctl policy suggest: a first policy from the catalogue of a database. It reads keys, types
 * and constraints; no rows and no statistics. What a DBA has to decide stands beside what it is
 * about, in the "comment" that every object of a policy may have. The policy's names are quoted as
 * PostgreSQL quotes them.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "budget/ctl.h"
#include "budget/ctl_suggest.h"
#include "config/config.h"

static const char catalogue_sql[] =
    "SELECT pg_catalog.quote_ident(n.nspname) || '.'"
    "       || pg_catalog.quote_ident(c.relname),"
    "  pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, NULL), t.typcategory,"
    "  EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid"
    "          AND k.contype = 'p' AND k.conkey = ARRAY[a.attnum]),"
    "  EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid"
    "          AND k.contype IN ('p', 'u') AND k.conkey = ARRAY[a.attnum]),"
    "  coalesce((SELECT pg_catalog.quote_ident(fn.nspname) || '.'"
    "                   || pg_catalog.quote_ident(f.relname)"
    "            FROM pg_catalog.pg_constraint k"
    "            JOIN pg_catalog.pg_class f ON f.oid = k.confrelid"
    "            JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace"
    "            JOIN pg_catalog.pg_constraint p ON p.conrelid = f.oid AND p.contype = 'p'"
    "                 AND p.conkey = k.confkey"
    "            WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]"
    "              AND f.oid <> c.oid ORDER BY k.conname LIMIT 1), ''),"
    "  coalesce((SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ', '"
    "                                         ORDER BY k.conname)"
    "            FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'"
    "              AND k.conkey = ARRAY[a.attnum]), ''),"
    "  coalesce((SELECT pg_catalog.json_agg(e.enumlabel ORDER BY e.enumsortorder)::pg_catalog.text"
    "            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), ''),"
    "  coalesce((SELECT pg_catalog.quote_ident(pn.nspname) || '.'"
    "                   || pg_catalog.quote_ident(p.relname)"
    "            FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent"
    "            JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"
    "            WHERE i.inhrelid = c.oid ORDER BY i.inhseqno LIMIT 1), '')"
    " FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0"
    "   AND NOT a.attisdropped AND n.nspname <> 'information_schema'"
    "   AND n.nspname NOT LIKE 'pg\\_%'"
    " ORDER BY 1, a.attnum";

/* What holds rows and is no table: its name and kind. */
static const char views_sql[] =
    "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('v', 'm', 'f') AND NOT c.relispartition"
    "   AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
    " ORDER BY 1";

/* Foreign keys by which a policy cannot go: of several columns, or to another unique key than the
 * primary one. From which table, to which, by which columns. */
static const char links_sql[] =
    "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),"
    "  pg_catalog.quote_ident(fn.nspname) || '.' || pg_catalog.quote_ident(f.relname),"
    "  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY u.place)"
    "   FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(number, place)"
    "   JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number)"
    " FROM pg_catalog.pg_constraint k"
    " JOIN pg_catalog.pg_class c ON c.oid = k.conrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_class f ON f.oid = k.confrelid"
    " JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace"
    " WHERE k.contype = 'f' AND f.oid <> c.oid AND NOT c.relispartition AND NOT f.relispartition"
    "   AND (pg_catalog.cardinality(k.conkey) > 1 OR NOT EXISTS ("
    "        SELECT 1 FROM pg_catalog.pg_constraint p WHERE p.conrelid = f.oid AND p.contype = 'p'"
    "        AND p.conkey = k.confkey))"
    " ORDER BY 1, 2, 3";

const char *suggest_cell(const struct catalogue *catalogue, int row, enum catalogue_column column)
{
    return PQgetvalue(catalogue->rows, row, (int)column);
}

bool suggest_is(const struct catalogue *catalogue, int row, enum catalogue_column column)
{
    return suggest_cell(catalogue, row, column)[0] == 't';
}

const struct table *suggest_find(const struct catalogue *catalogue, const char *name)
{
    for (int i = 0; i < catalogue->n_tables; i++) {
        if (strcmp(catalogue->tables[i].name, name) == 0) {
            return &catalogue->tables[i];
        }
    }
    return NULL;
}

static void free_catalogue(struct catalogue *catalogue)
{
    if (catalogue) {
        for (int row = 0; catalogue->looked && row < PQntuples(catalogue->rows); row++) {
            free(catalogue->looked[row]);
        }
        free(catalogue->looked);
        PQclear(catalogue->rows);
        PQclear(catalogue->views);
        PQclear(catalogue->links);
        free(catalogue);
    }
}

/* Groups the rows, which it takes, into tables. NULL without memory. */
static struct catalogue *new_catalogue(PGresult *rows)
{
    int n_rows = PQntuples(rows);
    struct catalogue *catalogue =
        calloc(1, sizeof(*catalogue) + (size_t)n_rows * sizeof(catalogue->tables[0]));
    if (!catalogue) {
        PQclear(rows);
        return NULL;
    }
    catalogue->rows = rows;
    for (int row = 0; row < n_rows; row++) {
        const char *name = suggest_cell(catalogue, row, CATALOGUE_TABLE);
        if (row == 0 || strcmp(name, suggest_cell(catalogue, row - 1, CATALOGUE_TABLE)) != 0) {
            catalogue->tables[catalogue->n_tables++] =
                (struct table){.name = name, .first = row, .key = -1, .unit = -1};
        }
        struct table *table = &catalogue->tables[catalogue->n_tables - 1];
        table->end = row + 1;
        if (suggest_is(catalogue, row, CATALOGUE_KEY)) {
            table->key = row;
        }
    }
    return catalogue;
}

/* The connection string of a dataset of the configuration file, or the argument where it is one. */
static char *source_conninfo(struct ctl *ctl, const char *source)
{
    if (strchr(source, '=') || strstr(source, "://")) {
        return strdup(source);
    }
    struct config *config = ctl_read_config(ctl);
    if (!config) {
        return NULL;
    }
    const struct config_dataset *dataset = config_find_dataset(config, source);
    char *conninfo = dataset ? strdup(dataset->server) : NULL;
    if (!dataset) {
        ctl_tell_no_dataset(config, source);
    }
    config_free(config);
    return conninfo;
}

/* Read-only whatever the role may do. */
static enum ctl_exit open_source(struct ctl *ctl, PGconn **connection)
{
    if (!ctl_conninfo_argument(ctl->arguments[0])) {
        return CTL_USAGE;
    }
    char *conninfo = source_conninfo(ctl, ctl->arguments[0]);
    if (!conninfo) {
        return CTL_REFUSED;
    }
    const char *keys[] = {"connect_timeout", "dbname",           "client_encoding",
                          "options",         "application_name", NULL};
    const char *values[] = {"10",        conninfo, "UTF8", "-c default_transaction_read_only=on",
                            "pgveilctl", NULL};
    *connection = PQconnectdbParams(keys, values, 1);
    free(conninfo);
    if (PQstatus(*connection) != CONNECTION_OK) {
        ctl_error("the server cannot be reached: %s", PQerrorMessage(*connection));
        return CTL_UNREACHABLE;
    }
    PQclear(PQexec(*connection, "SET search_path = pg_catalog, pg_temp"));
    return CTL_OK;
}

static PGresult *ask_catalogue(PGconn *connection, const char *sql)
{
    PGresult *rows =
        PQsendQuery(connection, sql) ? ctl_await(connection, "reading the catalogue") : NULL;
    if (PQresultStatus(rows) == PGRES_TUPLES_OK) {
        return rows;
    }
    ctl_error("the catalogue cannot be read: %s", PQerrorMessage(connection));
    PQclear(rows);
    return NULL;
}

static struct catalogue *read_catalogue(PGconn *connection)
{
    PGresult *rows = ask_catalogue(connection, catalogue_sql);
    PGresult *views = rows ? ask_catalogue(connection, views_sql) : NULL;
    PGresult *links = views ? ask_catalogue(connection, links_sql) : NULL;
    struct catalogue *catalogue = links ? new_catalogue(rows) : NULL;
    if (catalogue) {
        catalogue->views = views;
        catalogue->links = links;
        return catalogue;
    }
    if (!links) {
        PQclear(rows);
    }
    PQclear(views);
    PQclear(links);
    return NULL;
}

static bool print_policy(const json_t *policy)
{
    bool ok = json_dumpf(policy, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF &&
              fflush(stdout) == 0;
    if (!ok) {
        ctl_error("standard output cannot be written");
    }
    return ok;
}

static void tell_summary(const struct catalogue *catalogue, const struct table *root)
{
    int n_private = 0;
    for (int i = 0; i < catalogue->n_tables; i++) {
        n_private += catalogue->tables[i].unit >= 0;
    }
    fprintf(stderr,
            "%s\nPrivacy unit: a row of %s. %d of %d tables belong to one.\nWhat is to be decided "
            "stands in the comments: read them before the policy is used.\n",
            catalogue->looked ? "The rows of these tables were looked at."
                              : "Read from the catalogue alone: no rows, no statistics.",
            root->name, n_private, catalogue->n_tables);
}

enum ctl_exit ctl_policy_suggest(struct ctl *ctl)
{
    PGconn *connection = NULL;
    char why[512];
    enum ctl_exit exit_code = open_source(ctl, &connection);
    struct catalogue *catalogue = exit_code == CTL_OK ? read_catalogue(connection) : NULL;
    const struct table *root =
        catalogue ? suggest_unit(catalogue, ctl->option[CTL_OPTION_UNIT], why) : NULL;
    bool ok = root && (!ctl->option[CTL_OPTION_LOOK] || suggest_look(ctl, connection, catalogue));
    json_t *policy = ok ? suggest_policy(catalogue, root, why) : NULL;
    if (ok && !policy) {
        ctl_error("out of memory");
    }
    if (exit_code == CTL_OK && !(policy && print_policy(policy))) {
        exit_code = CTL_REFUSED;
    }
    if (exit_code == CTL_OK) {
        tell_summary(catalogue, root);
    }
    json_decref(policy);
    free_catalogue(catalogue);
    PQfinish(connection);
    return exit_code;
}
