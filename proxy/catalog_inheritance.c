/* Rows that two tables of the policy have in common: a table's rows are also those of the tables
 * that inherit from it, its partitions among them. */
#include <stdlib.h>
#include <string.h>

#include "proxy/catalog_internal.h"

/* Pairs of listed tables ($1) that read rows of the same table, listed or not. */
static const char shared_sql[] = "WITH RECURSIVE reads(listed, part) AS ("
                                 "  SELECT o, o FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS o"
                                 "  UNION"
                                 "  SELECT r.listed, i.inhrelid FROM reads r"
                                 "  JOIN pg_catalog.pg_inherits i ON i.inhparent = r.part) "
                                 "SELECT DISTINCT a.listed, b.listed FROM reads a JOIN reads b"
                                 "  ON a.part = b.part AND a.listed < b.listed ORDER BY 1, 2";

static char *list_of_tables(const struct catalog *catalog)
{
    char *list = must_strdup("{");
    for (size_t i = 0; i < catalog->n_tables; i++) {
        char *before = list;
        list = must_printf("%s%s%u", before, i > 0 ? "," : "", catalog->tables[i].oid);
        free(before);
    }
    char *whole = must_printf("%s}", list);
    free(list);
    return whole;
}

static const struct catalog_table *table_of(const struct catalog *catalog, const char *oid)
{
    for (size_t i = 0; i < catalog->n_tables; i++) {
        if (catalog->tables[i].oid == (uint32_t)strtoul(oid, NULL, 10))
            return &catalog->tables[i];
    }
    return NULL;
}

/* Whose keys the unit column holds; the root's are its own. */
static const struct catalog_table *owner_of(const struct catalog *catalog,
                                            const struct catalog_table *table)
{
    return table->parent < 0 ? table : &catalog->tables[table->parent];
}

/* A row that both have is everybody's in both, or the same unit's. Inherited columns keep their
 * names. */
static bool agree(const struct catalog *catalog, const struct catalog_table *a,
                  const struct catalog_table *b)
{
    if (a->is_public || b->is_public)
        return a->is_public && b->is_public;
    return owner_of(catalog, a) == owner_of(catalog, b) &&
           strcmp(a->columns[a->unit_column].name, b->columns[b->unit_column].name) == 0;
}

bool catalog_fit_inheritance(const struct catalog_reader *reader)
{
    const struct catalog *catalog = reader->catalog;
    char *list = list_of_tables(catalog);
    const char *values[] = {list};
    PGresult *rows = catalog_ask(reader, shared_sql, 1, values);
    bool fits = rows != NULL;
    for (int row = 0; fits && row < PQntuples(rows); row++) {
        const struct catalog_table *a = table_of(catalog, PQgetvalue(rows, row, 0));
        const struct catalog_table *b = table_of(catalog, PQgetvalue(rows, row, 1));
        if (a == NULL || b == NULL || !agree(catalog, a, b))
            fits = catalog_fail(reader,
                                "tables %s.%s and %s.%s have rows in common by inheritance or "
                                "partitions; accepted: both public, or both private with the same "
                                "unit",
                                a != NULL ? a->schema : "", a != NULL ? a->name : "",
                                b != NULL ? b->schema : "", b != NULL ? b->name : "");
    }
    PQclear(rows);
    free(list);
    return fits;
}
