/*
 * Does a domain hold every value that its column can have, NULL apart? A boolean has two; an enum
 * has its labels; else it takes a CHECK constraint, and the server itself says whether that leaves
 * another value out: its planner proves from validated constraints that a query has no row, and
 * answers with a plan that reads nothing. No row is read for it, and no statistics decide it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/catalog_internal.h"

/* A growing text. */
static void append(char **text, const char *piece)
{
    char *longer = must_printf("%s%s", *text, piece);
    free(*text);
    *text = longer;
}

static bool has_key(const struct catalog_column *column, const char *key)
{
    for (size_t i = 0; i < column->n_domain; i++)
        if (column->domain[i] != NULL && strcmp(column->domain[i], key) == 0)
            return true;
    return false;
}

static bool has_all_labels(const struct catalog_reader *reader, const struct catalog_column *column,
                           bool *all)
{
    char oid[16];
    const char *values[] = {oid};
    snprintf(oid, sizeof oid, "%u", column->type.oid);
    PGresult *rows = catalog_ask(
        reader, "SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = $1::pg_catalog.oid", 1,
        values);
    if (rows == NULL)
        return false;
    *all = PQntuples(rows) > 0;
    for (int row = 0; row < PQntuples(rows); row++)
        *all = *all && has_key(column, PQgetvalue(rows, row, 0));
    PQclear(rows);
    return true;
}

/* Types whose equal values are one group, whatever the session: what the server proves of equality
 * is proved of groups. */
static bool has_identity_of_groups(const struct catalog_column *column)
{
    switch (column->type.oid) {
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
    case TYPE_NUMERIC:
    case TYPE_DATE:
    case TYPE_UUID:
        return true;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
        return column->deterministic;
    default:
        return false;
    }
}

/* EXPLAIN of the rows whose value is outside the domain; NULL where it cannot be written. */
static char *outside_sql(const struct catalog_reader *reader, const struct catalog_table *table,
                         const struct catalog_column *column)
{
    const char *names[] = {table->schema, table->name, column->name};
    char *quoted[3], *sql = NULL;
    bool fits = true;
    for (size_t i = 0; i < 3; i++) {
        quoted[i] = PQescapeIdentifier(reader->conn, names[i], strlen(names[i]));
        fits = fits && quoted[i] != NULL;
    }
    if (fits)
        sql = must_printf("EXPLAIN (COSTS OFF) SELECT FROM %s.%s WHERE %s <> ALL (ARRAY[",
                          quoted[0], quoted[1], quoted[2]);
    for (size_t i = 0; i < column->n_domain && fits; i++) {
        const char *key = column->domain[i];
        char *literal = key == NULL ? NULL : PQescapeLiteral(reader->conn, key, strlen(key));
        fits = key == NULL || literal != NULL;
        if (literal == NULL)
            continue;
        append(&sql, sql[strlen(sql) - 1] == '[' ? "" : ", ");
        append(&sql, literal);
        PQfreemem(literal);
    }
    if (fits) {
        append(&sql, "]::");
        append(&sql, column->type.declared);
        append(&sql, "[])");
    }
    for (size_t i = 0; i < 3; i++)
        PQfreemem(quoted[i]);
    if (!fits)
        free(sql);
    return fits ? sql : NULL;
}

/* A server that does not answer so proves nothing. */
static bool is_proved_empty(const struct catalog_reader *reader, const char *sql)
{
    bool empty = false;
    PQclear(PQexec(reader->conn, "SAVEPOINT domain"));
    PQclear(PQexec(reader->conn, "SET LOCAL constraint_exclusion = on"));
    PGresult *rows = PQexec(reader->conn, sql);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK && PQntuples(rows) >= 2)
        empty = strcmp(PQgetvalue(rows, 0, 0), "Result") == 0 &&
                strcmp(PQgetvalue(rows, 1, 0), "  One-Time Filter: false") == 0;
    PQclear(rows);
    PQclear(PQexec(reader->conn, "ROLLBACK TO SAVEPOINT domain"));
    return empty;
}

bool catalog_domain_complete(const struct catalog_reader *reader, const struct catalog_table *table,
                             struct catalog_column *column)
{
    if (table->view != NULL) /* its columns stand for those of tables */
        return true;
    if (column->type.oid == TYPE_BOOL) {
        column->domain_complete = has_key(column, "false") && has_key(column, "true");
        return true;
    }
    if (column->type.is_enum)
        return has_all_labels(reader, column, &column->domain_complete);
    if (!has_identity_of_groups(column))
        return true;
    char *sql = outside_sql(reader, table, column);
    column->domain_complete = sql != NULL && is_proved_empty(reader, sql);
    free(sql);
    return true;
}
