/*
 * Puts a finished twin in its place. Instances of pgveil share a twin server: a twin that one of
 * them uses is never replaced, and one that is the same to the last row is taken as it is. So the
 * database of a dataset is named as the dataset, and only where that one is in use and differs does
 * the new one get another name, dataset~2 and so on, until it is free again.
 *
 * "In use" is a shared advisory lock on the database's oid, held by its keeper: a connection that
 * lives as long as the instance uses the twin.
 */
#include <inttypes.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/twin.h"
#include "proxy/twin_internal.h"

enum { PLACES = 9 };

#define USE_CLASS "70918064"
#define RETIRED "pgveil_retired_"
#define LIKE_RETIRED "pgveil\\_retired\\_"

bool twin_prepare(PGconn *admin, char error[512])
{
    /* In one message, so in one transaction, which holds the lock. */
    static const char script[] =
        "SELECT pg_catalog.pg_advisory_xact_lock(" TWIN_BUILD_LOCK ");"
        "DO $$ BEGIN"
        "  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgveil_analyst') THEN"
        "    CREATE ROLE pgveil_analyst NOLOGIN;"
        "  END IF;"
        "  EXECUTE pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC',"
        "                            pg_catalog.current_database());"
        "END $$;"
        "REVOKE ALL ON DATABASE postgres FROM PUBLIC;"
        "REVOKE ALL ON DATABASE template1 FROM PUBLIC;"
        "REVOKE ALL ON DATABASE template0 FROM PUBLIC;"
        "CREATE SCHEMA IF NOT EXISTS pgveil_twins;"
        "REVOKE ALL ON SCHEMA pgveil_twins FROM PUBLIC;"
        "CREATE TABLE IF NOT EXISTS pgveil_twins.secret"
        "  (one boolean PRIMARY KEY DEFAULT true CHECK (one), bytes bytea NOT NULL);"
        "CREATE TABLE IF NOT EXISTS pgveil_twins.twin"
        "  (database oid PRIMARY KEY, fingerprint text NOT NULL)";
    PGresult *result = PQexec(admin, script);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!done)
        snprintf(error, 512, "twin server: it cannot be prepared: %.300s", PQerrorMessage(admin));
    PQclear(result);
    return done;
}

/* One name for all connections of this process, and no other's. */
static char instance_name[40];
static pthread_once_t instance_once = PTHREAD_ONCE_INIT;

static void draw_instance_name(void)
{
    uint64_t number;
    if (RAND_bytes((unsigned char *)&number, sizeof number) != 1)
        abort();
    snprintf(instance_name, sizeof instance_name, "pgveil %016" PRIx64, number);
}

bool twin_lock(const struct twin_builder *builder)
{
    const char *values[] = {instance_name};
    pthread_once(&instance_once, draw_instance_name);
    PGresult *rows = twin_ask(builder, builder->admin,
                              "SELECT pg_catalog.set_config('application_name', $1, false), "
                              "pg_catalog.set_config('synchronous_commit', 'on', false), "
                              "pg_catalog.pg_advisory_lock(" TWIN_BUILD_LOCK ")",
                              1, values);
    PQclear(rows);
    return rows != NULL;
}

/* The n-th name, cut where it would be too long, between characters. */
static void candidate(const char *dataset, int n, char name[TWIN_NAME])
{
    size_t most = TWIN_NAME - 1;
    if (n > 1)
        most -= 2;
    size_t length = strlen(dataset);
    while (length > most || (length < strlen(dataset) && (dataset[length] & 0xC0) == 0x80))
        length--;
    if (n == 1)
        snprintf(name, TWIN_NAME, "%.*s", (int)length, dataset);
    else
        snprintf(name, TWIN_NAME, "%.*s~%d", (int)length, dataset, n);
}

struct found {
    bool there, ours, same, used; /* used: by another instance */
    uint32_t oid;
};

static bool look_at(const struct twin_builder *builder, const char *name, const char *fingerprint,
                    struct found *found)
{
    const char *values[] = {name, fingerprint};
    PGresult *rows = twin_ask(builder, builder->admin,
                              "SELECT d.oid, t.database IS NOT NULL, t.fingerprint = $2, "
                              "EXISTS (SELECT FROM pg_catalog.pg_locks l"
                              "  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
                              "  WHERE l.locktype = 'advisory' AND l.classid = " USE_CLASS
                              "  AND l.objid = d.oid AND a.application_name IS DISTINCT FROM"
                              "    pg_catalog.current_setting('application_name')) "
                              "FROM pg_catalog.pg_database d "
                              "LEFT JOIN pgveil_twins.twin t ON t.database = d.oid "
                              "WHERE d.datname = $1",
                              2, values);
    memset(found, 0, sizeof *found);
    if (rows == NULL)
        return false;
    found->there = PQntuples(rows) == 1;
    if (found->there) {
        found->oid = (uint32_t)strtoul(PQgetvalue(rows, 0, 0), NULL, 10);
        found->ours = PQgetvalue(rows, 0, 1)[0] == 't';
        found->same = PQgetvalue(rows, 0, 2)[0] == 't';
        found->used = PQgetvalue(rows, 0, 3)[0] == 't';
    }
    PQclear(rows);
    return true;
}

/* Dropping */

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

static bool drop(const struct twin_builder *builder, const char *name)
{
    char *sql = twin_drop_sql(name);
    bool done = twin_run(builder, builder->admin, sql);
    free(sql);
    return done;
}

bool twin_drop_retired(const struct twin_builder *builder, const struct twin_place *place)
{
    return place->retired[0] == '\0' || drop(builder, place->retired);
}

bool twin_drop_unused(const struct twin_builder *builder)
{
    static const char retired[] =
        "SELECT d.datname FROM pg_catalog.pg_database d "
        "JOIN pgveil_twins.twin t ON t.database = d.oid "
        "WHERE d.datname LIKE '" LIKE_RETIRED "%' AND NOT EXISTS ("
        "  SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)";
    const char *dataset = builder->catalog->dataset;
    for (int n = 2; n <= PLACES; n++) {
        char name[TWIN_NAME];
        struct found found;
        candidate(dataset, n, name);
        if (!look_at(builder, name, "", &found) ||
            (found.ours && !found.used && !drop(builder, name)))
            return false;
    }
    PGresult *rows = twin_ask(builder, builder->admin, retired, 0, NULL);
    bool done = rows != NULL;
    for (int row = 0; done && row < PQntuples(rows); row++)
        done = drop(builder, PQgetvalue(rows, row, 0));
    PQclear(rows);
    return done && twin_run(builder, builder->admin,
                            "DELETE FROM pgveil_twins.twin t WHERE NOT EXISTS "
                            "(SELECT FROM pg_catalog.pg_database d WHERE d.oid = t.database)");
}

/* Placing */

/* The one value that the statement returns, "" where none. */
static bool change(const struct twin_builder *builder, const char *sql, const char *value,
                   char out[TWIN_NAME])
{
    PGresult *rows = twin_ask(builder, builder->admin, sql, 1, &value);
    out[0] = '\0';
    if (rows != NULL && PQntuples(rows) == 1)
        snprintf(out, TWIN_NAME, "%s", PQgetvalue(rows, 0, 0));
    PQclear(rows);
    return rows != NULL;
}

/* The old twin gives up its name with its sessions in it. ALTER DATABASE refuses that; the
 * catalogue does not mind: a session knows its database by number. The new one is registered before
 * it has its name: a database that is not registered is never touched. */
static bool install(const struct twin_builder *builder, const char *fingerprint,
                    struct twin_place *place)
{
    static const char retire[] = "UPDATE pg_catalog.pg_database SET datname = '" RETIRED "' || oid "
                                 "WHERE datname = $1 RETURNING datname";
    static const char enlist[] = "INSERT INTO pgveil_twins.twin "
                                 "SELECT oid, $1 FROM pg_catalog.pg_database "
                                 "WHERE datname = '" TWIN_BUILDING "' RETURNING database";
    static const char rename[] = "UPDATE pg_catalog.pg_database SET datname = $1 "
                                 "WHERE datname = '" TWIN_BUILDING "' RETURNING datname";
    char oid[TWIN_NAME], name[TWIN_NAME];
    if (!twin_run(builder, builder->admin, "BEGIN") ||
        !change(builder, retire, place->name, place->retired) ||
        !change(builder, enlist, fingerprint, oid) || !change(builder, rename, place->name, name) ||
        (name[0] == '\0' && !twin_fail(builder, "the new twin database has disappeared")) ||
        !twin_run(builder, builder->admin, "COMMIT"))
        return false;
    place->oid = (uint32_t)strtoul(oid, NULL, 10);
    return true;
}

/* What has become of one name: taken (*done), or the next one's turn. */
static bool try_place(const struct twin_builder *builder, const char *fingerprint,
                      struct twin_place *place, bool *done)
{
    struct found found;
    if (!look_at(builder, place->name, fingerprint, &found))
        return false;
    if (found.there && !found.ours)
        return twin_fail(builder,
                         "the twin server has a database %s that pgveil did not make; rename or "
                         "drop it, or give pgveil a server of its own",
                         place->name);
    *done = true;
    if (found.there && found.same) {
        place->adopted = true;
        place->oid = found.oid;
        return drop(builder, TWIN_BUILDING);
    }
    *done = !found.there || !found.used;
    return !*done || install(builder, fingerprint, place);
}

bool twin_put_in_place(const struct twin_builder *builder, const char *fingerprint,
                       struct twin_place *place)
{
    bool done = false;
    memset(place, 0, sizeof *place);
    for (int n = 1; n <= PLACES && !done; n++) {
        candidate(builder->catalog->dataset, n, place->name);
        if (!try_place(builder, fingerprint, place, &done))
            return false;
    }
    return done || twin_fail(builder,
                             "all %d twins of it are in use, each with another policy or schema; "
                             "end an instance of pgveil",
                             PLACES);
}

/* Keeping */

struct twin_keeper {
    PGconn *admin;
};

struct twin_keeper *twin_keep(struct twin_builder *builder, const struct twin_place *place)
{
    char oid[16];
    const char *values[] = {oid};
    snprintf(oid, sizeof oid, "%u", place->oid);
    PGresult *rows = twin_ask(builder, builder->admin,
                              "SELECT pg_catalog.pg_advisory_lock_shared("
                              "(" USE_CLASS "::pg_catalog.int8 << 32) + $1::pg_catalog.int8), "
                              "pg_catalog.pg_advisory_unlock(" TWIN_BUILD_LOCK ")",
                              1, values);
    if (rows == NULL)
        return NULL;
    PQclear(rows);
    struct twin_keeper *keeper = calloc(1, sizeof *keeper);
    char *name = strdup(place->name);
    if (keeper == NULL || name == NULL)
        abort();
    builder->catalog->twin_database = name;
    builder->catalog->twin_database_oid = place->oid;
    keeper->admin = builder->admin;
    builder->admin = NULL;
    return keeper;
}

void twin_keeper_free(struct twin_keeper *keeper)
{
    if (keeper == NULL)
        return;
    PQfinish(keeper->admin);
    free(keeper);
}
