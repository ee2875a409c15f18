#ifndef PROXY_CATALOG_INTERNAL_H
#define PROXY_CATALOG_INTERNAL_H

/* Shared by the files that read a protected database's catalogue; nobody else includes it. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "parser/catalog.h"

struct catalog_reader {
    PGconn *conn; /* one read-only snapshot, search_path empty */
    struct catalog *catalog;
    const char *dataset;
    char *error; /* [512] */
};

/* Memory at start-up: the program ends without it. */
void *must_calloc(size_t count, size_t size);
char *must_strdup(const char *text);
char *must_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A small number that a server printed. */
int catalog_number(const char *text);

/* Always false. The text gets the dataset's name in front. */
bool catalog_fail(const struct catalog_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Rows, or NULL with the error set. values: n texts. */
PGresult *catalog_ask(const struct catalog_reader *reader, const char *sql, int n,
                      const char *const *values);

/* Columns of a table (oid as text) and their types, as the policy lists them; for a public table
 * without a list, all of them. */
bool catalog_read_columns(const struct catalog_reader *reader, const struct policy_table *policy,
                          struct catalog_table *table, const char *oid);
/* Index into the table's columns; -1: not exposed. */
int catalog_column_by_name(const struct catalog_table *table, const char *name);
int catalog_column_by_attnum(const struct catalog_table *table, int attnum);

/* Bounds fit their columns; domains become canonical text of the column's type. */
bool catalog_fit_column(const struct catalog_reader *reader, const struct catalog_table *table,
                        struct catalog_column *column, const struct policy_column *policy);
/* Sets whether the catalogue proves that the column has no value outside its domain. False: it
 * cannot be read. */
bool catalog_domain_complete(const struct catalog_reader *reader, const struct catalog_table *table,
                             struct catalog_column *column);
/* The privacy unit: one root, every private table leads to it, keys of one identity-like type. */
bool catalog_fit_units(const struct catalog_reader *reader);
/* A row that two tables share by inheritance is public in both, or the same unit's in both. */
bool catalog_fit_inheritance(const struct catalog_reader *reader);

#endif
