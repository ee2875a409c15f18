#ifndef PROXY_TWIN_INTERNAL_H
#define PROXY_TWIN_INTERNAL_H

/* Shared by the files that build a twin database; nobody else includes it. */
#include <libpq-fe.h>
#include <stdbool.h>

#include "parser/arena.h"
#include "parser/catalog.h"
#include "proxy/worker.h"

struct twin_builder {
    struct arena *arena;
    PGconn *source; /* protected server, one read-only snapshot */
    PGconn *admin;  /* twin server, database postgres */
    PGconn *twin;   /* the database being built, one transaction */
    struct catalog *catalog;
    struct worker *worker; /* told how far the build has come; NULL: nobody asks */
    char *error;           /* [512] */
};

/* done of the catalogue's tables. */
void twin_tell(const struct twin_builder *builder, const char *what, size_t done);

/* Always false. */
bool twin_fail(const struct twin_builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Statements without rows; false with the error set. */
bool twin_run(const struct twin_builder *builder, PGconn *conn, const char *sql);
/* Rows, or NULL with the error set. values: n texts. */
PGresult *twin_ask(const struct twin_builder *builder, PGconn *conn, const char *sql, int n,
                   const char *const *values);

/* Analysts see this table. */
bool twin_is_exposed(const struct catalog_table *table);
/* "schema"."name" */
const char *twin_table_name(const struct twin_builder *builder, const struct catalog_table *table);

/* Schemas, enums, tables, unique keys, grants, the guard. Foreign keys come last, after the rows.
 */
bool twin_create_tables(const struct twin_builder *builder);
bool twin_create_foreign_keys(const struct twin_builder *builder);
/* Rows of public tables from the protected server; counts them. */
bool twin_copy_rows(const struct twin_builder *builder);
/* dp.columns, and twin_oid of every exposed table. */
bool twin_describe_columns(const struct twin_builder *builder);

#endif
