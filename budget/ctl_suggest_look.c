/*
 * policy suggest --look: what the rows of the private tables are like, for the DBA alone. One
 * statement a table; what it found goes into comments, never into bounds or domains.
 */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl_suggest.h"

/* Columns of which smallest and largest value, or the number of values, say something. */
static bool is_worth_it(const struct catalogue *catalogue, int row)
{
    return strchr("NDS", suggest_cell(catalogue, row, CATALOGUE_CATEGORY)[0]) != NULL;
}

static bool is_ordered(const struct catalogue *catalogue, int row)
{
    return suggest_cell(catalogue, row, CATALOGUE_CATEGORY)[0] != 'S';
}

/* rows per value of the unit column; then for each column: values, smallest, largest. */
static char *statement_for(const struct catalogue *catalogue, const struct table *table)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        return NULL;
    }
    const char *unit = suggest_cell(catalogue, table->unit, CATALOGUE_NAME);
    fprintf(out,
            "SELECT (SELECT pg_catalog.max(q.n) FROM (SELECT pg_catalog.count(*) AS n FROM %s"
            " GROUP BY %s) q)",
            table->name, unit);
    for (int row = table->first; row < table->end; row++) {
        const char *name = suggest_cell(catalogue, row, CATALOGUE_NAME);
        if (!is_worth_it(catalogue, row)) {
            fputs(", NULL, NULL, NULL", out);
        } else if (is_ordered(catalogue, row)) {
            fprintf(out,
                    ", pg_catalog.count(DISTINCT %s), pg_catalog.min(%s)::pg_catalog.text,"
                    " pg_catalog.max(%s)::pg_catalog.text",
                    name, name, name);
        } else {
            fprintf(out, ", pg_catalog.count(DISTINCT %s), NULL, NULL", name);
        }
    }
    fprintf(out, " FROM %s", table->name);
    return fclose(out) == 0 ? text : NULL;
}

static void note_column(struct catalogue *catalogue, int row, const PGresult *found, int field)
{
    char *text = NULL;
    if (PQgetisnull(found, 0, field)) {
        return;
    }
    int length = PQgetisnull(found, 0, field + 1)
                     ? asprintf(&text, "%s different values", PQgetvalue(found, 0, field))
                     : asprintf(&text, "%s different values, %s to %s", PQgetvalue(found, 0, field),
                                PQgetvalue(found, 0, field + 1), PQgetvalue(found, 0, field + 2));
    free(catalogue->looked[row]);
    catalogue->looked[row] = length < 0 ? NULL : text;
}

static bool look_at(PGconn *connection, struct catalogue *catalogue, const struct table *table)
{
    char what[128];
    char *sql = statement_for(catalogue, table);
    snprintf(what, sizeof(what), "looking at %.80s", table->name);
    PGresult *found = sql && PQsendQuery(connection, sql) ? ctl_await(connection, what) : NULL;
    bool ok = PQresultStatus(found) == PGRES_TUPLES_OK;
    if (!ok) {
        ctl_error("%s cannot be looked at: %s", table->name, PQerrorMessage(connection));
    }
    for (int row = table->first; ok && row < table->end; row++) {
        note_column(catalogue, row, found, 1 + 3 * (row - table->first));
    }
    if (ok && !PQgetisnull(found, 0, 0)) {
        free(catalogue->looked[table->unit]);
        if (asprintf(&catalogue->looked[table->unit], "at most %s rows for one %s",
                     PQgetvalue(found, 0, 0),
                     suggest_cell(catalogue, table->unit, CATALOGUE_NAME)) < 0) {
            catalogue->looked[table->unit] = NULL;
        }
    }
    free(sql);
    PQclear(found);
    return ok;
}

bool suggest_look(struct ctl *ctl, PGconn *connection, struct catalogue *catalogue)
{
    (void)ctl;
    catalogue->looked = calloc((size_t)PQntuples(catalogue->rows) + 1, sizeof(char *));
    if (!catalogue->looked) {
        ctl_error("out of memory");
        return false;
    }
    for (int i = 0; i < catalogue->n_tables; i++) {
        if (catalogue->tables[i].unit >= 0 &&
            !look_at(connection, catalogue, &catalogue->tables[i])) {
            return false;
        }
    }
    return true;
}
