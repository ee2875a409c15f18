#include "proxy/twin_server.h"

#include <libpq-fe.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/scram.h"
#include "proxy/twin.h"

enum { OLDEST_VERSION = 140000, GRAMMAR_MAJOR = 15, SECRET_BYTES = 32, SALT_BYTES = 16 };

struct twin_server {
    char *conninfo;
    struct pg_client *admin;
    struct tls_target *tls; /* NULL: plain */
    struct server_identity identity;
    bool external;
    unsigned char secret[SECRET_BYTES]; /* external only */
};

static bool __attribute__((format(printf, 2, 3))) fail(char error[512], const char *format, ...)
{
    size_t used = (size_t)snprintf(error, 512, "twin server: ");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error + used, 512 - used, format, arguments);
    va_end(arguments);
    return false;
}

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static PGresult *ask(PGconn *connection, const char *sql, char error[512])
{
    PGresult *rows = PQexec(connection, sql);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK && PQntuples(rows) >= 1)
        return rows;
    fail(error, "%.300s", PQerrorMessage(connection));
    PQclear(rows);
    return NULL;
}

/* What cannot work is refused. That the server's log keeps no statement is seen to in each twin
 * database (twin_build.c); connections to other databases are none of pgveil's. */
static bool check_fit(PGconn *connection, char error[512])
{
    int version = PQserverVersion(connection);
    if (version < OLDEST_VERSION)
        return fail(error, "it is PostgreSQL %d; accepted: 14 and later", version / 10000);
    if (version / 10000 != GRAMMAR_MAJOR)
        log_info("twin server: it is PostgreSQL %d, and pgveil reads statements as version %d does",
                 version / 10000, GRAMMAR_MAJOR);
    PGresult *rows = ask(connection,
                         "SELECT r.rolsuper, pg_catalog.pg_is_in_recovery() "
                         "FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
                         error);
    if (rows == NULL)
        return false;
    bool super = PQgetvalue(rows, 0, 0)[0] == 't', standby = PQgetvalue(rows, 0, 1)[0] == 't';
    PQclear(rows);
    if (standby)
        return fail(error, "it is a standby, and twins are written to");
    return super ||
           fail(error, "pgveil's role on it is no superuser, and only one can take from PUBLIC "
                       "what analysts must not use; give pgveil a server of its own");
}

/* Other databases that every role may connect to would be open to analysts. */
static bool check_databases(PGconn *connection, char error[512])
{
    PGresult *rows =
        ask(connection,
            "SELECT pg_catalog.count(*), pg_catalog.min(pg_catalog.quote_ident(d.datname)) "
            "FROM pg_catalog.pg_database d WHERE d.datallowconn AND EXISTS ("
            "  SELECT FROM pg_catalog.aclexplode(coalesce(d.datacl, "
            "    pg_catalog.acldefault('d', d.datdba))) a"
            "  WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT')",
            error);
    if (rows == NULL)
        return false;
    bool none = strcmp(PQgetvalue(rows, 0, 0), "0") == 0;
    if (!none)
        fail(
            error,
            "analysts could connect to its database %.100s: REVOKE CONNECT ON DATABASE %.100s FROM "
            "PUBLIC, or give pgveil a server of its own",
            PQgetvalue(rows, 0, 1), PQgetvalue(rows, 0, 1));
    PQclear(rows);
    return none;
}

/* The first instance draws it. */
static bool read_secret(struct twin_server *server, PGconn *connection, char error[512])
{
    unsigned char *bytes = NULL;
    size_t length = 0;
    PGresult *made = PQexec(connection, "INSERT INTO pgveil_twins.secret (bytes) "
                                        "SELECT pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) "
                                        "OPERATOR(pg_catalog.||) "
                                        "pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) "
                                        "OPERATOR(pg_catalog.||) "
                                        "pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) "
                                        "ON CONFLICT DO NOTHING");
    PQclear(made);
    PGresult *rows = ask(connection, "SELECT bytes FROM pgveil_twins.secret", error);
    if (rows == NULL)
        return false;
    bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, 0, 0), &length);
    bool read =
        bytes != NULL && length >= SECRET_BYTES && scram_hash(bytes, length, server->secret);
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, length);
    PQfreemem(bytes);
    PQclear(rows);
    return read || fail(error, "pgveil_twins.secret holds no secret");
}

/* Before anything is written there. */
static bool check_apart(const struct twin_server *server, const struct config *config,
                        const struct server_identity *ledger, char error[512])
{
    if (!server_identity_is_same(ledger, &server->identity))
        return server_identity_is_apart(&server->identity, "twin server", config, error);
    snprintf(error, 512,
             "the twin server is the ledger server, or a copy of its cluster: analysts could "
             "exhaust the ledger; make a server of its own with initdb");
    return false;
}

static bool read_tls(struct twin_server *server, PGconn *connection, char error[512])
{
    struct twin_target target;
    char reason[512];
    if (PQsslInUse(connection)) {
        server->tls = tls_target_new(connection, reason);
        if (server->tls == NULL)
            return fail(error, "%.400s", reason);
    }
    return twin_target_of(&target, connection, server->tls) ||
           fail(error, "pgveil cannot relay sessions over such a connection (GSSAPI encryption, or "
                       "a socket's path that is too long); gssencmode=disable switches the former "
                       "off");
}

static PGconn *connect_admin(const char *conninfo, char error[512])
{
    static const char *const keywords[] = {"connect_timeout", "dbname", "client_encoding",
                                           "fallback_application_name", NULL};
    const char *const values[] = {"10", conninfo, "UTF8", "pgveil", NULL};
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(connection) == CONNECTION_OK) {
        PQsetNoticeReceiver(connection, drop_notice, NULL);
        return connection;
    }
    fail(error, "it cannot be reached: %.300s", PQerrorMessage(connection));
    PQfinish(connection);
    return NULL;
}

static struct twin_server *server_new(struct event_base *base, const char *conninfo,
                                      char error[512])
{
    struct twin_server *server = calloc(1, sizeof *server);
    if (server != NULL) {
        server->conninfo = strdup(conninfo);
        server->admin = pg_client_new(base, conninfo, "twin server");
        if (server->conninfo != NULL && server->admin != NULL)
            return server;
    }
    fail(error, "out of memory");
    twin_server_close(server);
    return NULL;
}

struct twin_server *twin_server_open_managed(struct event_base *base, const char *conninfo,
                                             char error[512])
{
    struct twin_server *server = server_new(base, conninfo, error);
    PGconn *connection = server != NULL ? connect_admin(conninfo, error) : NULL;
    bool done = false;
    if (connection != NULL) {
        server_identity_read(connection, &server->identity);
        done = twin_prepare(connection, error) && read_tls(server, connection, error);
    }
    PQfinish(connection);
    if (done)
        return server;
    twin_server_close(server);
    return NULL;
}

struct twin_server *twin_server_open_external(struct event_base *base, const struct config *config,
                                              const struct server_identity *ledger, char error[512])
{
    struct twin_server *server = server_new(base, config->twin_server, error);
    PGconn *connection = server != NULL ? connect_admin(config->twin_server, error) : NULL;
    bool done = false;
    if (connection != NULL) {
        server->external = true;
        server_identity_read(connection, &server->identity);
        done = check_apart(server, config, ledger, error) && check_fit(connection, error) &&
               read_tls(server, connection, error) && twin_prepare(connection, error) &&
               check_databases(connection, error) && read_secret(server, connection, error);
    }
    PQfinish(connection);
    if (done)
        return server;
    twin_server_close(server);
    return NULL;
}

void twin_server_close(struct twin_server *server)
{
    if (server == NULL)
        return;
    pg_client_free(server->admin);
    tls_target_free(server->tls);
    if (server->conninfo != NULL)
        OPENSSL_cleanse(server->conninfo, strlen(server->conninfo));
    free(server->conninfo);
    OPENSSL_cleanse(server->secret, sizeof server->secret);
    free(server);
}

const char *twin_server_conninfo(const struct twin_server *server)
{
    return server->conninfo;
}

struct pg_client *twin_server_admin(const struct twin_server *server)
{
    return server->admin;
}

const struct server_identity *twin_server_identity(const struct twin_server *server)
{
    return &server->identity;
}

bool twin_server_target(const struct twin_server *server, struct twin_target *target)
{
    const PGconn *connection = pg_client_connection(server->admin);
    return connection != NULL && twin_target_of(target, connection, server->tls);
}

/* HMAC of the name, once for the password and once for the salt: the same on every instance, so
 * that one that sets the password again changes nothing. */
static bool derive(const struct twin_server *server, const char *purpose, const char *analyst,
                   unsigned char out[SCRAM_KEY_BYTES])
{
    char *text = NULL;
    int length = asprintf(&text, "%s %s", purpose, analyst);
    bool done =
        length > 0 && scram_hmac(server->secret, sizeof server->secret, text, (size_t)length, out);
    free(text);
    return done;
}

bool twin_server_password(const struct twin_server *server, const char *analyst,
                          struct twin_password *password)
{
    unsigned char key[SCRAM_KEY_BYTES], salt[SCRAM_KEY_BYTES];
    memset(password, 0, sizeof *password);
    if (!server->external)
        return true;
    password->needed = true;
    bool done = derive(server, "password of", analyst, key) &&
                derive(server, "salt of", analyst, salt) &&
                scram_base64_encode(key, sizeof key, password->text, sizeof password->text) &&
                scram_verifier_make(password->text, salt, SALT_BYTES, password->verifier);
    OPENSSL_cleanse(key, sizeof key);
    return done;
}
