#ifndef PROXY_TWIN_INTERNAL_H
#define PROXY_TWIN_INTERNAL_H

/* Shared by the files that build a twin database; nobody else includes it. */
#include <libpq-fe.h>
#include <stdbool.h>

#include "parser/arena.h"
#include "parser/catalog.h"
#include "proxy/twin.h"
#include "proxy/worker.h"

#define TWIN_BUILDING "pgveil_building" /* while it is filled */
#define TWIN_BUILD_LOCK "7091806401"    /* advisory: one build at a time, of whatever instance */
enum { TWIN_FINGERPRINT = 65, TWIN_NAME = 64 };

struct evp_md_ctx_st;

struct twin_builder {
    struct arena *arena;
    struct evp_md_ctx_st *digest; /* of everything that was sent to the twin */
    PGconn *source;               /* protected server, one read-only snapshot */
    PGconn *admin;                /* twin server, the administrator's database */
    PGconn *twin; /* the database being built, one transaction; then the one adopted */
    struct catalog *catalog;
    struct worker *worker; /* told how far the build has come; NULL: nobody asks */
    char *error;           /* [512] */
};

/* done of the catalogue's tables. */
void twin_tell(const struct twin_builder *builder, const char *what, size_t done);

/* Always false. */
bool twin_fail(const struct twin_builder *builder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* database NULL: what the connection string says. The connection is there to be finished even where
 * this fails. */
bool twin_connect(const struct twin_builder *builder, PGconn **conn, const char *conninfo,
                  const char *database);
/* Adds to the digest what is sent to the twin by other means than twin_run. */
void twin_note(const struct twin_builder *builder, const char *text, size_t length);
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
/* twin_oid alone, in a twin that was built before. */
bool twin_find_tables(const struct twin_builder *builder);

/* Where a finished twin ended up. */
struct twin_place {
    char name[TWIN_NAME];
    uint32_t oid;
    bool adopted;            /* an equal one was there: it is used, the new one was dropped */
    char retired[TWIN_NAME]; /* the name of the one that was there before; "": none */
};
/* Waits for other builds, and lets the server know the administrator's connection as one of this
 * instance's. What follows is done under this lock. */
bool twin_lock(const struct twin_builder *builder);
bool twin_put_in_place(const struct twin_builder *builder, const char *fingerprint,
                       struct twin_place *place);
bool twin_drop_retired(const struct twin_builder *builder, const struct twin_place *place);
/* What pgveil made and nobody uses any more, left by an instance that was killed. */
bool twin_drop_unused(const struct twin_builder *builder);
/* Takes the administrator's connection over, without the lock on building, and fills in the
 * catalog's twin_database. */
struct twin_keeper *twin_keep(struct twin_builder *builder, const struct twin_place *place);

#endif
