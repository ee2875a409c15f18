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

/* " <> ALL (..)" with the keys of the domain; false where it cannot be written. */
static bool append_keys(const struct catalog_reader *reader, const struct catalog_column *column,
                        char **sql)
{
    const char *separator = " <> ALL (ARRAY[";
    for (size_t i = 0; i < column->n_domain; i++) {
        const char *key = column->domain[i];
        if (key == NULL)
            continue;
        char *literal = PQescapeLiteral(reader->conn, key, strlen(key));
        if (literal == NULL)
            return false;
        append(sql, separator);
        append(sql, literal);
        PQfreemem(literal);
        separator = ", ";
    }
    append(sql, "]::");
    append(sql, column->type.declared);
    append(sql, "[])");
    return separator[0] == ',';
}

/* The ends of a domain that is all whole numbers between them. */
static bool find_range(const struct catalog_column *column, long long *low, long long *high)
{
    unsigned long long n = 0;
    if (column->type.oid != TYPE_INT2 && column->type.oid != TYPE_INT4 &&
        column->type.oid != TYPE_INT8)
        return false;
    for (size_t i = 0; i < column->n_domain; i++) {
        if (column->domain[i] == NULL)
            continue;
        long long value = strtoll(column->domain[i], NULL, 10);
        *low = n == 0 || value < *low ? value : *low;
        *high = n == 0 || value > *high ? value : *high;
        n++;
    }
    return n > 0 && (unsigned long long)*high - (unsigned long long)*low == n - 1;
}

/* EXPLAIN of the rows whose value is outside the domain, to be freed; NULL where it cannot be
 * written. as_range: for CHECK (column BETWEEN ..). */
static char *outside_sql(const struct catalog_reader *reader, const struct catalog_table *table,
                         const struct catalog_column *column, bool as_range)
{
    const char *names[] = {table->schema, table->name, column->name};
    char *quoted[3], *sql = NULL;
    long long low = 0, high = 0;
    bool fits = !as_range || find_range(column, &low, &high);
    for (size_t i = 0; i < 3; i++) {
        quoted[i] = PQescapeIdentifier(reader->conn, names[i], strlen(names[i]));
        fits = fits && quoted[i] != NULL;
    }
    if (fits && as_range)
        sql = must_printf("EXPLAIN (COSTS OFF) SELECT FROM %s.%s WHERE %s < %lld OR %s > %lld",
                          quoted[0], quoted[1], quoted[2], low, quoted[2], high);
    else if (fits)
        sql = must_printf("EXPLAIN (COSTS OFF) SELECT FROM %s.%s WHERE %s", quoted[0], quoted[1],
                          quoted[2]);
    if (fits && !as_range && !append_keys(reader, column, &sql)) {
        free(sql);
        sql = NULL;
    }
    for (size_t i = 0; i < 3; i++)
        PQfreemem(quoted[i]);
    return sql;
}

/* Is it the plan of a query that has no row, whatever the tables hold: one node, which a false
 * condition keeps from running? */
static bool reads_nothing(const PGresult *plan)
{
    bool never = false, single = true;
    for (int row = 1; row < PQntuples(plan); row++) {
        const char *line = PQgetvalue(plan, row, 0);
        never = never || strcmp(line, "  One-Time Filter: false") == 0;
        single = single && strstr(line, "->") == NULL;
    }
    return never && single && strcmp(PQgetvalue(plan, 0, 0), "Result") == 0;
}

/* A server that does not answer so, or a table that somebody locks, proves nothing. Takes the SQL;
 * NULL proves nothing either. */
static bool is_proved_empty(const struct catalog_reader *reader, char *sql)
{
    if (sql == NULL)
        return false;
    PQclear(PQexec(reader->conn, "SAVEPOINT domain"));
    PQclear(
        PQexec(reader->conn, "SET LOCAL constraint_exclusion = on; SET LOCAL lock_timeout = '1s'"));
    PGresult *plan = PQexec(reader->conn, sql);
    bool empty =
        PQresultStatus(plan) == PGRES_TUPLES_OK && PQntuples(plan) > 0 && reads_nothing(plan);
    PQclear(plan);
    PQclear(PQexec(reader->conn, "ROLLBACK TO SAVEPOINT domain"));
    free(sql);
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
    column->domain_complete = is_proved_empty(reader, outside_sql(reader, table, column, false)) ||
                              is_proved_empty(reader, outside_sql(reader, table, column, true));
    return true;
}
