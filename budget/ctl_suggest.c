/*
 * pgveilctl policy suggest: a first policy from the catalogue of a database. It reads keys, types
 * and constraints; no rows and no statistics. What a DBA has to decide is told on standard error,
 * since JSON has no comments. The policy's names are quoted as PostgreSQL quotes them.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "budget/ctl.h"
#include "config/config.h"

/* One row per column of every ordinary table, in order. */
enum catalogue_column {
    CATALOGUE_TABLE,
    CATALOGUE_NAME,
    CATALOGUE_TYPE,
    CATALOGUE_CATEGORY,
    CATALOGUE_KEY,        /* t: alone the primary key */
    CATALOGUE_UNIQUE,     /* t: alone unique */
    CATALOGUE_REFERENCES, /* table whose primary key it references; "" */
    CATALOGUE_CHECKS      /* its CHECK constraints; "" */
};

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
    "              AND k.conkey = ARRAY[a.attnum]), '')"
    " FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
    " JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0"
    "   AND NOT a.attisdropped AND n.nspname <> 'information_schema'"
    "   AND n.nspname NOT LIKE 'pg\\_%'"
    " ORDER BY 1, a.attnum";

struct table {
    const char *name; /* borrowed from the result */
    int first, end;   /* its rows there */
    int key;          /* row of its key; -1 */
    int unit;         /* row of the column that leads to the unit; -1: not private */
};

struct catalogue {
    PGresult *rows;
    int n_tables;
    struct table tables[];
};

static const char *cell(const struct catalogue *catalogue, int row, enum catalogue_column column)
{
    return PQgetvalue(catalogue->rows, row, (int)column);
}

static bool is_true(const struct catalogue *catalogue, int row, enum catalogue_column column)
{
    return cell(catalogue, row, column)[0] == 't';
}

static const struct table *find_table(const struct catalogue *catalogue, const char *name)
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
        PQclear(catalogue->rows);
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
        const char *name = cell(catalogue, row, CATALOGUE_TABLE);
        if (row == 0 || strcmp(name, cell(catalogue, row - 1, CATALOGUE_TABLE)) != 0) {
            catalogue->tables[catalogue->n_tables++] =
                (struct table){.name = name, .first = row, .key = -1, .unit = -1};
        }
        struct table *table = &catalogue->tables[catalogue->n_tables - 1];
        table->end = row + 1;
        if (is_true(catalogue, row, CATALOGUE_KEY)) {
            table->key = row;
        }
    }
    return catalogue;
}

/* Marks the tables whose rows belong to a unit of root, and returns how many there are. */
static int mark_private(struct catalogue *catalogue, const struct table *root)
{
    int n_private = 1;
    bool more = true;
    for (int i = 0; i < catalogue->n_tables; i++) {
        catalogue->tables[i].unit = &catalogue->tables[i] == root ? root->key : -1;
    }
    while (more) {
        more = false;
        for (int i = 0; i < catalogue->n_tables; i++) {
            struct table *table = &catalogue->tables[i];
            for (int row = table->first; table->unit < 0 && row < table->end; row++) {
                const struct table *parent =
                    find_table(catalogue, cell(catalogue, row, CATALOGUE_REFERENCES));
                if (parent && parent->unit >= 0) {
                    table->unit = row;
                    n_private++;
                    more = true;
                }
            }
        }
    }
    return n_private;
}

/* The table of the units: the one named, or the only one that the most tables lead to. */
static const struct table *choose_root(struct catalogue *catalogue, const char *named)
{
    const struct table *best = NULL;
    int most = 0;
    bool tie = false;
    if (named) {
        best = find_table(catalogue, named);
        if (!best || best->key < 0) {
            ctl_error("%s is not a table with a primary key of one column", named);
            return NULL;
        }
        return best;
    }
    for (int i = 0; i < catalogue->n_tables; i++) {
        const struct table *table = &catalogue->tables[i];
        int reach = table->key < 0 ? 0 : mark_private(catalogue, table);
        tie = reach == most ? true : reach > most ? false : tie;
        if (reach > most) {
            best = table;
            most = reach;
        }
    }
    if (!best || tie) {
        ctl_error("it cannot be told which table holds the privacy units: name it with --unit");
        return NULL;
    }
    return best;
}

static bool names_people(const char *name)
{
    static const char *const words[] = {"name",    "mail",    "phone", "street",
                                        "address", "ssn",     "iban",  "passport",
                                        "tax",     "license", "token", "password"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(name, words[i])) {
            return true;
        }
    }
    return false;
}

static void note(const struct catalogue *catalogue, int row, const char *text)
{
    const char *checks = cell(catalogue, row, CATALOGUE_CHECKS);
    fprintf(stderr, "%s.%s (%s): %s%s%s\n", cell(catalogue, row, CATALOGUE_TABLE),
            cell(catalogue, row, CATALOGUE_NAME), cell(catalogue, row, CATALOGUE_TYPE), text,
            checks[0] ? "; it has " : "", checks);
}

/* The policy's entry for a column; NULL where it is left out. */
static json_t *suggest_column(const struct catalogue *catalogue, const struct table *table, int row)
{
    const char category = cell(catalogue, row, CATALOGUE_CATEGORY)[0];
    bool is_key = row == table->unit || row == table->key ||
                  cell(catalogue, row, CATALOGUE_REFERENCES)[0] != '\0';
    if (is_key) {
        return json_object();
    }
    switch (category) {
    case 'N':
        note(catalogue, row,
             "add \"bounds\": [low, high], from what the subject allows, if it is to be summed, or "
             "\"bounds\": \"auto\" where you cannot say");
        return json_object();
    case 'D':
        note(catalogue, row,
             "add \"bounds\": [low, high], from what the subject allows, if it is to be summed");
        return json_object();
    case 'B':
        return json_pack("{s:[b,b]}", "domain", 0, 1);
    case 'S':
    case 'E':
        if (category == 'S' && names_people(cell(catalogue, row, CATALOGUE_NAME))) {
            note(catalogue, row, "left out: it may name people");
            return NULL;
        }
        note(catalogue, row, "add \"domain\": [..] if its values are public group keys");
        return json_object();
    default:
        note(catalogue, row, "left out: analysts can do little with this type");
        return NULL;
    }
}

/* The policy's entry for a private table. */
static json_t *suggest_table(const struct catalogue *catalogue, const struct table *table,
                             const struct table *root)
{
    json_t *columns = json_object();
    json_t *entry = json_object();
    const char *unit = cell(catalogue, table->unit, CATALOGUE_NAME);
    bool one = table == root || is_true(catalogue, table->unit, CATALOGUE_UNIQUE);
    int failed =
        table == root
            ? json_object_set_new(entry, "unit", json_string(unit))
            : json_object_set_new(entry, "unit",
                                  json_pack("{s:s,s:s}", "column", unit, "references",
                                            cell(catalogue, table->unit, CATALOGUE_REFERENCES)));
    failed |= json_object_set_new(entry, "max_rows", json_integer(one ? 1 : 10));
    if (!one) {
        fprintf(stderr, "%s: max_rows 10 is a guess: how many rows may one unit contribute?\n",
                table->name);
    }
    for (int row = table->first; row < table->end; row++) {
        json_t *column = suggest_column(catalogue, table, row);
        if (column) {
            failed |= json_object_set_new(columns, cell(catalogue, row, CATALOGUE_NAME), column);
        }
    }
    failed |= json_object_set_new(entry, "columns", columns);
    if (failed) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

static json_t *suggest_policy(const struct catalogue *catalogue, const struct table *root)
{
    json_t *tables = json_object();
    bool ok = tables != NULL;
    fprintf(stderr,
            "Read from the catalogue alone: no rows, no statistics. Taken for the privacy unit: a "
            "row of %s.\n",
            root->name);
    for (int i = 0; ok && i < catalogue->n_tables; i++) {
        const struct table *table = &catalogue->tables[i];
        if (table->unit < 0) {
            fprintf(stderr,
                    "%s: left out: no key leads to the unit; add {\"public\": true} if every "
                    "analyst may read its rows\n",
                    table->name);
            continue;
        }
        json_t *entry = suggest_table(catalogue, table, root);
        ok = entry && json_object_set_new(tables, table->name, entry) == 0;
    }
    if (!ok) {
        json_decref(tables);
        ctl_error("out of memory");
        return NULL;
    }
    return json_pack("{s:o}", "tables", tables);
}

/* The connection string of a dataset of the configuration file, or the argument where it is one. */
static char *source_conninfo(struct ctl *ctl, const char *source)
{
    struct config_error error;
    if (strchr(source, '=') || strstr(source, "://")) {
        return strdup(source);
    }
    struct config *config = config_read(ctl_config_path(ctl), &error);
    if (!config) {
        ctl_error("%s: %s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text);
        return NULL;
    }
    const struct config_dataset *dataset = config_find_dataset(config, source);
    char *conninfo = dataset ? strdup(dataset->server) : NULL;
    if (!dataset) {
        ctl_error("%s has no dataset %s", config->file, source);
    }
    config_free(config);
    return conninfo;
}

static enum ctl_exit read_catalogue(struct ctl *ctl, struct catalogue **catalogue)
{
    char *conninfo = source_conninfo(ctl, ctl->arguments[0]);
    if (!conninfo) {
        return CTL_REFUSED;
    }
    const char *keys[] = {"connect_timeout", "dbname",           "client_encoding",
                          "options",         "application_name", NULL};
    const char *values[] = {"10",        conninfo, "UTF8", "-c default_transaction_read_only=on",
                            "pgveilctl", NULL};
    PGconn *connection = PQconnectdbParams(keys, values, 1);
    free(conninfo);
    if (PQstatus(connection) != CONNECTION_OK) {
        ctl_error("the server cannot be reached: %s", PQerrorMessage(connection));
        PQfinish(connection);
        return CTL_UNREACHABLE;
    }
    PQclear(PQexec(connection, "SET search_path = pg_catalog, pg_temp"));
    PGresult *rows = PQexec(connection, catalogue_sql);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK) {
        *catalogue = new_catalogue(rows);
    } else {
        ctl_error("the catalogue cannot be read: %s", PQerrorMessage(connection));
        PQclear(rows);
    }
    PQfinish(connection);
    return *catalogue ? CTL_OK : CTL_REFUSED;
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

enum ctl_exit ctl_policy_suggest(struct ctl *ctl)
{
    struct catalogue *catalogue = NULL;
    enum ctl_exit exit_code = read_catalogue(ctl, &catalogue);
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    const struct table *root = choose_root(catalogue, ctl->option[CTL_OPTION_UNIT]);
    json_t *policy = NULL;
    if (root) {
        mark_private(catalogue, root);
        policy = suggest_policy(catalogue, root);
    }
    exit_code = policy && print_policy(policy) ? CTL_OK : CTL_REFUSED;
    json_decref(policy);
    free_catalogue(catalogue);
    return exit_code;
}
