/*
 * Builds a dataset's twin database under another name and puts it in the old one's place when it is
 * complete. A dataset that cannot be built keeps the twin it has.
 *
 * The old one gives up its name with its sessions in it. ALTER DATABASE refuses that; the catalogue
 * does not mind: a session knows its database by number.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/twin.h"
#include "proxy/twin_internal.h"

#define BUILDING "pgveil_building"
#define RETIRED "pgveil_retired_"
enum { NAME_BYTES_MAX = 63, ROLE_CONNECTIONS_MAX = 200 };

static const char twin_script[] =
#include "proxy/twin.sql.h"
    ;

/* Once per server. Its other databases are nobody's business. */
static const char server_script[] =
    "SELECT pg_catalog.pg_advisory_lock(7091806401);" /* builds, of whatever pgveil */
    "DO $create$ BEGIN"
    "  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgveil_analyst') THEN"
    "    CREATE ROLE pgveil_analyst NOLOGIN;"
    "  END IF;"
    "END $create$;"
    "REVOKE ALL ON DATABASE postgres FROM PUBLIC;"
    "REVOKE ALL ON DATABASE template1 FROM PUBLIC;"
    "REVOKE ALL ON DATABASE template0 FROM PUBLIC;"
    "DROP DATABASE IF EXISTS " BUILDING " WITH (FORCE);"
    "CREATE DATABASE " BUILDING " TEMPLATE template0 ENCODING 'UTF8';"
    "REVOKE ALL ON DATABASE " BUILDING " FROM PUBLIC";

/* Left by a pgveil that was killed; $1 to be dropped as it comes. */
static const char unused_sql[] =
    "SELECT d.datname FROM pg_catalog.pg_database d "
    "WHERE d.datname LIKE 'pgveil\\_retired\\_%' AND NOT EXISTS ("
    "  SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)";

static const char retire_sql[] = "UPDATE pg_catalog.pg_database SET datname = '" RETIRED "' || oid "
                                 "WHERE datname = $1 RETURNING datname";

static const char install_sql[] = "UPDATE pg_catalog.pg_database SET datname = $1 "
                                  "WHERE datname = '" BUILDING "' RETURNING datname";

static const char source_script[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                    "SET LOCAL search_path = '';"
                                    "SET LOCAL standard_conforming_strings = on;"
                                    "SET LOCAL DateStyle = 'ISO, MDY';"
                                    "SET LOCAL IntervalStyle = 'postgres';"
                                    "SET LOCAL TimeZone = 'UTC';"
                                    "SET LOCAL extra_float_digits = 3;"
                                    "SET LOCAL bytea_output = 'hex';"
                                    "SET LOCAL statement_timeout = '1h'";

static const char build_script[] = "BEGIN;"
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

bool twin_run(const struct twin_builder *builder, PGconn *conn, const char *sql)
{
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

/* database NULL: what the connection string says. */
static bool open_connection(const struct twin_builder *builder, PGconn **conn, const char *conninfo,
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
    return true;
}

/* Statement by statement: CREATE DATABASE cannot run inside a transaction, and several statements
 * in one message are one. The scripts above hold no semicolon but those between statements, except
 * in $create$ bodies. */
static bool run_each(const struct twin_builder *builder, PGconn *conn, const char *script)
{
    char *copy = arena_strdup(builder->arena, script), *statement = copy;
    bool quoted = false;
    for (char *at = copy; *at != '\0'; at++) {
        if (strncmp(at, "$create$", 8) == 0)
            quoted = !quoted;
        if (*at != ';' || quoted)
            continue;
        *at = '\0';
        if (!twin_run(builder, conn, statement))
            return false;
        statement = at + 1;
    }
    return twin_run(builder, conn, statement);
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
    return rows != NULL && twin_run(builder, builder->twin,
                                    "ALTER DATABASE " BUILDING " SET search_path FROM CURRENT");
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

char *twin_drop_sql(const char *database)
{
    struct arena *arena = arena_new();
    struct text sql = text_new(arena);
    text_add(&sql, "DROP DATABASE IF EXISTS ");
    text_identifier(&sql, database);
    text_add(&sql, " WITH (FORCE)");
    char *copy = strdup(sql.data);
    arena_free(arena);
    if (copy == NULL)
        abort();
    return copy;
}

static bool drop_database(const struct twin_builder *builder, const char *name)
{
    char *sql = twin_drop_sql(name);
    bool done = twin_run(builder, builder->admin, sql);
    free(sql);
    return done;
}

static bool drop_unused(const struct twin_builder *builder)
{
    PGresult *rows = twin_ask(builder, builder->admin, unused_sql, 0, NULL);
    bool done = rows != NULL;
    for (int row = 0; done && row < PQntuples(rows); row++)
        done = drop_database(builder, PQgetvalue(rows, row, 0));
    PQclear(rows);
    return done;
}

static bool rename_database(const struct twin_builder *builder, const char *sql,
                            const char *dataset, char name[NAME_BYTES_MAX + 1])
{
    PGresult *rows = twin_ask(builder, builder->admin, sql, 1, &dataset);
    name[0] = '\0';
    if (rows != NULL && PQntuples(rows) == 1)
        snprintf(name, NAME_BYTES_MAX + 1, "%s", PQgetvalue(rows, 0, 0));
    PQclear(rows);
    return rows != NULL;
}

struct twin_build {
    struct twin_builder builder; /* its admin connection holds the lock on building */
    char *dataset;
    char retired[NAME_BYTES_MAX + 1];
};

struct twin_build *twin_build_start(const char *admin_conninfo,
                                    const struct config_dataset *dataset, struct catalog *catalog,
                                    struct worker *worker, char error[512])
{
    struct twin_build *build = calloc(1, sizeof *build);
    if (build == NULL || (build->dataset = strdup(dataset->name)) == NULL)
        abort();
    struct twin_builder *builder = &build->builder;
    *builder = (struct twin_builder){
        .arena = arena_new(), .catalog = catalog, .worker = worker, .error = error};
    const char *search_path = "";
    bool built = check_name(builder, dataset->name) &&
                 open_connection(builder, &builder->source, dataset->server, NULL);
    if (built)
        search_path = read_search_path(builder);
    built = built && open_connection(builder, &builder->admin, admin_conninfo, "postgres") &&
            run_each(builder, builder->admin, server_script) && drop_unused(builder) &&
            open_connection(builder, &builder->twin, admin_conninfo, BUILDING) &&
            twin_run(builder, builder->source, source_script) && fill(builder, search_path);
    PQfinish(builder->twin);
    PQfinish(builder->source);
    builder->twin = builder->source = NULL;
    if (built)
        return build;
    twin_build_free(build);
    return NULL;
}

bool twin_build_switch(struct twin_build *build, char error[512])
{
    struct twin_builder *builder = &build->builder;
    char installed[NAME_BYTES_MAX + 1];
    builder->error = error;
    bool done =
        twin_run(builder, builder->admin, "BEGIN") &&
        rename_database(builder, retire_sql, build->dataset, build->retired) &&
        rename_database(builder, install_sql, build->dataset, installed) &&
        (installed[0] != '\0' || twin_fail(builder, "the new twin database has disappeared")) &&
        twin_run(builder, builder->admin, "COMMIT");
    if (done)
        log_info("dataset %s: the twin is built", build->dataset);
    return done;
}

const char *twin_build_retired(const struct twin_build *build)
{
    return build->retired;
}

void twin_build_free(struct twin_build *build)
{
    if (build == NULL)
        return;
    PQfinish(build->builder.admin);
    arena_free(build->builder.arena);
    free(build->dataset);
    free(build);
}

bool twin_build(const char *admin_conninfo, const struct config_dataset *dataset,
                struct catalog *catalog, char error[512])
{
    struct twin_build *build = twin_build_start(admin_conninfo, dataset, catalog, NULL, error);
    bool done = build != NULL && twin_build_switch(build, error) &&
                (build->retired[0] == '\0' || drop_database(&build->builder, build->retired));
    twin_build_free(build);
    return done;
}

/* Names of roles. A name is handed over as hexadecimal digits, so no character of it can end a
 * literal. */
static void hexadecimal(const char *text, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (const char *at = text; *at != '\0'; at++) {
        *out++ = digits[(unsigned char)*at >> 4];
        *out++ = digits[(unsigned char)*at & 15];
    }
    *out = '\0';
}

char *twin_role_sql(const char *analyst, const char *dataset)
{
    static const char format[] =
        "DO $role$ DECLARE"
        "  v_role text := pg_catalog.convert_from(pg_catalog.decode('%s', 'hex'), 'UTF8');"
        "  v_database text := pg_catalog.convert_from(pg_catalog.decode('%s', 'hex'), 'UTF8');"
        "  v_super bool;"
        "BEGIN"
        "  IF pg_catalog.octet_length(v_role) NOT BETWEEN 1 AND 63 OR v_role ~ '^(pg_|pgveil_)' THEN"
        "    RAISE EXCEPTION 'this cannot be an analyst''s name';"
        "  END IF;"
        "  PERFORM pg_catalog.pg_advisory_xact_lock(7091806402);" /* two logins at once */
        "  SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
        "    INTO v_super FROM pg_catalog.pg_roles WHERE rolname = v_role;"
        "  IF v_super IS NULL THEN"
        "    EXECUTE pg_catalog.format('CREATE ROLE %%I LOGIN INHERIT IN ROLE pgveil_analyst"
        " CONNECTION LIMIT %d', v_role);"
        "  ELSIF v_super OR NOT pg_catalog.pg_has_role(v_role, 'pgveil_analyst', 'USAGE') THEN"
        "    RAISE EXCEPTION 'this role is not an analyst''s';"
        "  END IF;"
        "  IF NOT pg_catalog.has_database_privilege(v_role, v_database, 'CONNECT')"
        "    OR NOT pg_catalog.has_database_privilege(v_role, v_database, 'TEMPORARY') THEN"
        "    EXECUTE pg_catalog.format('GRANT CONNECT, TEMPORARY ON DATABASE %%I TO %%I',"
        "      v_database, v_role);"
        "  END IF;"
        "END $role$";
    char *role = malloc(2 * strlen(analyst) + 1), *database = malloc(2 * strlen(dataset) + 1);
    char *sql = NULL;
    if (role == NULL || database == NULL)
        abort();
    hexadecimal(analyst, role);
    hexadecimal(dataset, database);
    if (asprintf(&sql, format, role, database, ROLE_CONNECTIONS_MAX) < 0)
        abort();
    free(role);
    free(database);
    return sql;
}
