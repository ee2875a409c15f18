/*
 * Builds a dataset's twin database under another name; twin_place.c puts it in its place when it is
 * complete. A dataset that cannot be built keeps the twin it has. All that goes into the twin is
 * noted in a digest, by which it is known whether another one is the same.
 */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/twin.h"
#include "proxy/twin_internal.h"

enum { NAME_BYTES_MAX = 63 };

static const char twin_script[] =
#include "proxy/twin.sql.h"
    ;

static const char create_script[] =
    "DROP DATABASE IF EXISTS " TWIN_BUILDING " WITH (FORCE);"
    "CREATE DATABASE " TWIN_BUILDING " TEMPLATE template0 ENCODING 'UTF8';"
    "REVOKE ALL ON DATABASE " TWIN_BUILDING " FROM PUBLIC";

/* An external server's own settings may be anything: nothing that could hold a literal of a
 * statement is logged, and no session is shown to another. */
static const char settings_script[] =
    "ALTER DATABASE " TWIN_BUILDING " SET log_statement = 'none';"
    "ALTER DATABASE " TWIN_BUILDING " SET log_min_messages = 'fatal';"
    "ALTER DATABASE " TWIN_BUILDING " SET log_min_error_statement = 'panic';"
    "ALTER DATABASE " TWIN_BUILDING " SET log_min_duration_statement = -1;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_min_duration_sample = -1;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_transaction_sample_rate = 0;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_duration = off;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_lock_waits = off;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_temp_files = -1;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_parameter_max_length = 0;"
    "ALTER DATABASE " TWIN_BUILDING " SET log_parameter_max_length_on_error = 0;"
    "ALTER DATABASE " TWIN_BUILDING " SET track_activities = off;"
    "ALTER DATABASE " TWIN_BUILDING " SET temp_file_limit = '1GB';"
    "ALTER DATABASE " TWIN_BUILDING " SET jit = off";

static const char source_script[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                    "SET LOCAL search_path = '';"
                                    "SET LOCAL standard_conforming_strings = on;"
                                    "SET LOCAL DateStyle = 'ISO, MDY';"
                                    "SET LOCAL IntervalStyle = 'postgres';"
                                    "SET LOCAL TimeZone = 'UTC';"
                                    "SET LOCAL extra_float_digits = 3;"
                                    "SET LOCAL bytea_output = 'hex';"
                                    /* so that equal rows come in an equal order */
                                    "SET LOCAL synchronize_seqscans = off;"
                                    "SET LOCAL statement_timeout = '1h'";

/* The managed server's commits do not wait, and a crash of it would forget a twin that is in
 * service.
 */
static const char build_script[] = "BEGIN;"
                                   "SET LOCAL synchronous_commit = on;"
                                   "SET LOCAL standard_conforming_strings = on;"
                                   "SET LOCAL DateStyle = 'ISO, MDY';"
                                   "SET LOCAL IntervalStyle = 'postgres';"
                                   "SET LOCAL TimeZone = 'UTC'";

bool twin_fail(const struct twin_builder *builder, const char *format, ...)
{
    int length = snprintf(builder->error, 512, "dataset %.63s: ", builder->catalog->dataset);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(builder->error + length, 512 - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static const char *side(const struct twin_builder *builder, const PGconn *conn)
{
    return conn == builder->source ? "the protected server" : "the twin server";
}

void twin_note(const struct twin_builder *builder, const char *text, size_t length)
{
    uint64_t size = length;
    if (EVP_DigestUpdate(builder->digest, &size, sizeof size) != 1 ||
        EVP_DigestUpdate(builder->digest, text, length) != 1)
        abort();
}

bool twin_run(const struct twin_builder *builder, PGconn *conn, const char *sql)
{
    if (conn == builder->twin)
        twin_note(builder, sql, strlen(sql));
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
           twin_fail(builder, "%s: %s", side(builder, conn), PQerrorMessage(conn));
}

PGresult *twin_ask(const struct twin_builder *builder, PGconn *conn, const char *sql, int n,
                   const char *const *values)
{
    PGresult *rows = PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    twin_fail(builder, "%s: %s", side(builder, conn), PQerrorMessage(conn));
    PQclear(rows);
    return NULL;
}

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

bool twin_connect(const struct twin_builder *builder, PGconn **conn, const char *conninfo,
                  const char *database)
{
    const char *keywords[] = {"connect_timeout",
                              "dbname",
                              "client_encoding",
                              "fallback_application_name",
                              database != NULL ? "dbname" : NULL,
                              NULL};
    const char *values[] = {"10", conninfo, "UTF8", "pgveil", database, NULL};
    *conn = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(*conn) != CONNECTION_OK)
        return twin_fail(builder, "cannot connect: %s", PQerrorMessage(*conn));
    PQsetNoticeReceiver(*conn, drop_notice, NULL);
    worker_watch(*conn);
    return true;
}

/* Statement by statement (none has a semicolon in it): CREATE DATABASE cannot run inside a
 * transaction, and several statements in one message are one. */
static bool run_each(const struct twin_builder *builder, PGconn *conn, const char *script)
{
    char *copy = arena_strdup(builder->arena, script), *rest = NULL;
    for (char *statement = strtok_r(copy, ";", &rest); statement != NULL;
         statement = strtok_r(NULL, ";", &rest)) {
        if (!twin_run(builder, conn, statement))
            return false;
    }
    return true;
}

static bool check_name(const struct twin_builder *builder, const char *dataset)
{
    static const char *const reserved[] = {"postgres", "template0", "template1"};
    bool refused = dataset[0] == '\0' || strlen(dataset) > NAME_BYTES_MAX ||
                   strncmp(dataset, "pgveil_", 7) == 0 || strncmp(dataset, "pg_", 3) == 0;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        refused = refused || strcmp(dataset, reserved[i]) == 0;
    return !refused || twin_fail(builder, "this cannot be a dataset's name; accepted: at most 63 "
                                          "bytes, not postgres, template0, template1, pgveil_* or "
                                          "pg_*");
}

/* Names without a schema mean on the twin what they mean to pgveil's role on the protected
 * database. */
static bool copy_search_path(const struct twin_builder *builder, const char *search_path)
{
    PGresult *rows =
        twin_ask(builder, builder->twin, "SELECT pg_catalog.set_config('search_path', $1, true)", 1,
                 &search_path);
    PQclear(rows);
    return rows != NULL &&
           twin_run(builder, builder->twin,
                    "ALTER DATABASE " TWIN_BUILDING " SET search_path FROM CURRENT");
}

void twin_tell(const struct twin_builder *builder, const char *what, size_t done)
{
    if (builder->worker != NULL)
        worker_tell(builder->worker, what, done, builder->catalog->n_tables);
}

static bool fill(const struct twin_builder *builder, const char *search_path)
{
    return twin_run(builder, builder->twin, build_script) &&
           twin_run(builder, builder->twin, twin_script) && twin_create_tables(builder) &&
           twin_copy_rows(builder) && twin_create_foreign_keys(builder) &&
           twin_describe_columns(builder) && copy_search_path(builder, search_path) &&
           twin_run(builder, builder->twin, "COMMIT");
}

/* Read before the snapshot's own settings; "" where it cannot be. */
static const char *read_search_path(const struct twin_builder *builder)
{
    PGresult *rows = twin_ask(builder, builder->source,
                              "SELECT pg_catalog.current_setting('search_path')", 0, NULL);
    const char *text = rows != NULL ? arena_strdup(builder->arena, PQgetvalue(rows, 0, 0)) : "";
    PQclear(rows);
    return text;
}

static void finish_digest(const struct twin_builder *builder, char fingerprint[TWIN_FINGERPRINT])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (EVP_DigestFinal_ex(builder->digest, bytes, &length) != 1 || 2 * length >= TWIN_FINGERPRINT)
        abort();
    for (unsigned int i = 0; i < length; i++)
        snprintf(fingerprint + 2 * i, 3, "%02x", bytes[i]);
}

struct twin_build {
    struct twin_builder builder; /* its admin connection holds the lock on building */
    char *admin_conninfo;
    char fingerprint[TWIN_FINGERPRINT];
    struct twin_place place;
    struct twin_keeper *keeper;
};

static bool build_all(struct twin_build *build, const struct config_dataset *dataset)
{
    struct twin_builder *builder = &build->builder;
    if (!check_name(builder, dataset->name) ||
        !twin_connect(builder, &builder->source, dataset->server, NULL))
        return false;
    const char *search_path = read_search_path(builder);
    if (!twin_connect(builder, &builder->admin, build->admin_conninfo, NULL) ||
        !twin_prepare(builder->admin, builder->error) || !twin_lock(builder) ||
        !twin_drop_unused(builder) || !run_each(builder, builder->admin, create_script) ||
        !twin_connect(builder, &builder->twin, build->admin_conninfo, TWIN_BUILDING) ||
        !twin_run(builder, builder->source, source_script) || !fill(builder, search_path))
        return false;
    finish_digest(builder, build->fingerprint);
    return run_each(builder, builder->admin, settings_script);
}

struct twin_build *twin_build_start(const char *admin_conninfo,
                                    const struct config_dataset *dataset, struct catalog *catalog,
                                    struct worker *worker, char error[512])
{
    struct twin_build *build = calloc(1, sizeof *build);
    if (build == NULL)
        abort();
    struct twin_builder *builder = &build->builder;
    *builder = (struct twin_builder){.arena = arena_new(),
                                     .digest = EVP_MD_CTX_new(),
                                     .catalog = catalog,
                                     .worker = worker,
                                     .error = error};
    build->admin_conninfo = strdup(admin_conninfo);
    if (build->admin_conninfo == NULL || builder->digest == NULL ||
        EVP_DigestInit_ex(builder->digest, EVP_sha256(), NULL) != 1)
        abort();
    bool built = build_all(build, dataset);
    PQfinish(builder->twin);
    PQfinish(builder->source);
    builder->twin = builder->source = NULL;
    if (built)
        return build;
    twin_build_free(build);
    return NULL;
}

/* The twin is in its place. */
static bool finish(struct twin_build *build)
{
    struct twin_builder *builder = &build->builder;
    const struct twin_place *place = &build->place;
    if (place->adopted &&
        (!twin_connect(builder, &builder->twin, build->admin_conninfo, place->name) ||
         !twin_find_tables(builder)))
        return false;
    build->keeper = twin_keep(builder, place);
    if (build->keeper != NULL)
        log_info("dataset %s: the twin is %s", builder->catalog->dataset,
                 place->adopted ? "there already" : "built");
    return build->keeper != NULL;
}

bool twin_build_switch(struct twin_build *build, char error[512])
{
    build->builder.error = error;
    return twin_put_in_place(&build->builder, build->fingerprint, &build->place) && finish(build);
}

const char *twin_build_retired(const struct twin_build *build)
{
    return build->place.retired;
}

struct twin_keeper *twin_build_keeper(struct twin_build *build)
{
    struct twin_keeper *keeper = build->keeper;
    build->keeper = NULL;
    return keeper;
}

void twin_build_free(struct twin_build *build)
{
    if (build == NULL)
        return;
    twin_keeper_free(build->keeper);
    PQfinish(build->builder.twin);
    PQfinish(build->builder.admin);
    EVP_MD_CTX_free(build->builder.digest);
    arena_free(build->builder.arena);
    if (build->admin_conninfo != NULL)
        explicit_bzero(build->admin_conninfo, strlen(build->admin_conninfo));
    free(build->admin_conninfo);
    free(build);
}

struct twin_keeper *twin_build(const char *admin_conninfo, const struct config_dataset *dataset,
                               struct catalog *catalog, char error[512])
{
    struct twin_keeper *keeper = NULL;
    struct twin_build *build = twin_build_start(admin_conninfo, dataset, catalog, NULL, error);
    if (build != NULL && twin_put_in_place(&build->builder, build->fingerprint, &build->place) &&
        twin_drop_retired(&build->builder, &build->place) && finish(build))
        keeper = twin_build_keeper(build);
    twin_build_free(build);
    return keeper;
}
