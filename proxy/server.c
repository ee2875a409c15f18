/*
 * Opening in order: ledger before anything is asked, twins before anybody connects, each dataset's
 * catalogue read and its twin built. Synchronous: nobody is served yet.
 */
#include "proxy/server.h"

#include <assert.h>
#include <libpq-fe.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger.h"
#include "proxy/log.h"
#include "proxy/managed.h"
#include "proxy/scram_server.h"
#include "proxy/server_open.h"
#include "proxy/session.h"
#include "proxy/tls.h"

struct dataset *server_dataset(struct server *server, const char *name)
{
    for (size_t i = 0; i < server->n_datasets; i++)
        if (strcmp(server->datasets[i].config->name, name) == 0)
            return &server->datasets[i];
    return NULL;
}

enum { LEDGER_VERSION_MIN = 140000 };

const struct dataset *server_find_dataset(const struct server *server, const char *name)
{
    for (size_t i = 0; i < server->n_datasets; i++)
        if (strcmp(server->datasets[i].config->name, name) == 0)
            return &server->datasets[i];
    return NULL;
}

void server_twin_has_gone(struct server *server, const struct dataset *dataset)
{
    const struct dataset_sync_calls nobody = {0};
    size_t index = (size_t)(dataset - server->datasets);
    assert(index < server->n_datasets);
    if (dataset_sync(&server->datasets[index], &nobody))
        log_warning("dataset %s: its twin database has gone; a new one is built",
                    dataset->config->name);
}

struct pg_client *server_ledger(struct server *server)
{
    static size_t turn;
    for (size_t i = 0; i < LEDGER_CONNECTIONS; i++)
        if (pg_client_is_idle(server->ledger[i]))
            return server->ledger[i];
    return server->ledger[turn++ % LEDGER_CONNECTIONS];
}

static char *join(const char *a, const char *b)
{
    char *text = NULL;
    return asprintf(&text, "%s%s", a, b) < 0 ? NULL : text;
}

/* What a managed ledger is by its making. */
static bool check_external_ledger(PGconn *connection, char error[512])
{
    const char *encoding = PQparameterStatus(connection, "server_encoding");
    int version = PQserverVersion(connection);
    PGresult *result = PQexec(connection, "SELECT pg_catalog.pg_is_in_recovery()");
    bool answered = PQresultStatus(result) == PGRES_TUPLES_OK;
    bool standby = answered && PQgetvalue(result, 0, 0)[0] == 't';
    if (version < LEDGER_VERSION_MIN)
        snprintf(error, 512, "the ledger server is PostgreSQL %d; accepted: %d and later",
                 version / 10000, LEDGER_VERSION_MIN / 10000);
    else if (encoding == NULL || strcmp(encoding, "UTF8") != 0)
        snprintf(error, 512, "the ledger's database has the encoding %s; accepted: UTF8",
                 encoding == NULL ? "?" : encoding);
    else if (!answered || standby)
        snprintf(error, 512, "the ledger server %.300s",
                 answered ? "is a standby, and charges are written" : PQerrorMessage(connection));
    PQclear(result);
    return error[0] == '\0';
}

static bool apply_schema(PGconn *connection, char error[512])
{
    PGresult *result = PQexec(connection, ledger_schema_sql());
    bool done =
        PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!done)
        snprintf(error, 512, "the ledger's schema cannot be applied: %.300s",
                 PQerrorMessage(connection));
    PQclear(result);
    return done;
}

bool server_ledger_is_durable(const struct config *config, const PGresult *result, char error[512])
{
    char settings[LEDGER_NOT_DURABLE_SIZE];
    bool answered = ledger_not_durable_result(result, settings) == LEDGER_OK;
    error[0] = '\0';
    if (!answered)
        snprintf(error, 512, "the ledger does not say whether it is durable");
    else if (settings[0] != '\0')
        snprintf(
            error, 512,
            "the ledger server runs with %s: it may lose charges that it has confirmed when it "
            "crashes. Set that back; for tests alone, \"ledger_durability\": \"unsafe\" in the "
            "configuration allows it",
            settings);
    return answered &&
           (settings[0] == '\0' || config->ledger_durability == CONFIG_DURABILITY_UNSAFE);
}

static bool check_durability(const struct config *config, PGconn *connection, char error[512])
{
    struct ledger_call call;
    ledger_not_durable_call(&call);
    PGresult *result = PQexecParams(connection, call.sql, 0, NULL, NULL, NULL, NULL, 0);
    bool durable = server_ledger_is_durable(config, result, error);
    PQclear(result);
    if (durable && error[0] != '\0') {
        log_warning("%s", error);
        error[0] = '\0';
    }
    return durable;
}

/* Applies the schema, and asks for each dataset's secret, over a connection of its own. */
static bool open_ledger(struct server *server, const char *conninfo, int64_t *seeds,
                        char error[512])
{
    PGconn *connection = PQconnectdb(conninfo);
    PGresult *result = NULL;
    bool ok = false;
    if (PQstatus(connection) != CONNECTION_OK) {
        snprintf(error, 512, "the ledger server cannot be reached: %.300s",
                 PQerrorMessage(connection));
        goto cleanup;
    }
    server_identity_read(connection, &server->ledger_identity);
    if (server->config->ledger_server != NULL &&
        (!server_identity_is_apart(&server->ledger_identity, "ledger server", server->config,
                                   error) ||
         !check_external_ledger(connection, error)))
        goto cleanup;
    if (!apply_schema(connection, error) || !check_durability(server->config, connection, error))
        goto cleanup;
    for (size_t i = 0; i < server->config->n_datasets; i++) {
        struct ledger_call call;
        struct ledger_dataset dataset;
        PQclear(result);
        ledger_dataset_call(&call, server->config->datasets[i].name);
        result =
            PQexecParams(connection, call.sql, call.n_params, NULL, call.values, NULL, NULL, 0);
        if (ledger_dataset_result(result, &dataset) != LEDGER_OK) {
            snprintf(error, 512, "the ledger has no row for dataset %s",
                     server->config->datasets[i].name);
            goto cleanup;
        }
        seeds[i] = dataset.hash_seed;
    }
    ok = ledger_note_open(&server->note, server->config->state_directory, connection, error);
cleanup:
    PQclear(result);
    PQfinish(connection);
    return ok;
}

/* Salts of unknown analysts must look the same after a restart, as those of known ones do: they
 * follow from the datasets' secrets in the ledger. */
static void set_mock_secret(const int64_t *seeds, size_t count)
{
    unsigned char secret[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)seeds, count * sizeof *seeds, secret);
    scram_server_set_secret(secret);
    explicit_bzero(secret, sizeof secret);
}

static bool start_ledger(struct server *server, struct server_managed *managed, char error[512])
{
    const struct config *config = server->config;
    managed->lock = managed_lock(config->state_directory, error);
    if (managed->lock < 0)
        return false;
    if (config->ledger_server != NULL)
        return true;
    managed->ledger =
        managed_start(server->base, MANAGED_LEDGER, config->state_directory, config->postgres_bin,
                      config->managed_memory_bytes, 32 + config->n_datasets, error);
    return managed->ledger != NULL;
}

static bool start_twins(struct server *server, struct server_managed *managed, char error[512])
{
    const struct config *config = server->config;
    if (config->twin_server != NULL)
        return true;
    managed->twins =
        managed_start(server->base, MANAGED_TWINS, config->state_directory, config->postgres_bin,
                      config->managed_memory_bytes, config->connections_max + 8, error);
    return managed->twins != NULL;
}

static void on_switched(void *owner, const struct dataset *dataset)
{
    session_twin_switched(owner, dataset);
}

static bool open_twins(struct server *server, const struct server_managed *managed, char error[512])
{
    if (server->config->twin_server != NULL) {
        server->twins = twin_server_open_external(server->base, server->config,
                                                  &server->ledger_identity, error);
    } else {
        char *conninfo = join(managed_conninfo(managed->twins), " dbname=postgres");
        if (conninfo != NULL)
            server->twins = twin_server_open_managed(server->base, conninfo, error);
        free(conninfo);
    }
    return server->twins != NULL;
}

static bool open_datasets(struct server *server, const int64_t *seeds, char error[512])
{
    server->dataset_host = (struct dataset_host){.base = server->base,
                                                 .config = server->config,
                                                 .twins = server->twins,
                                                 .ledger = &server->ledger_identity,
                                                 .ledger_conninfo = server->ledger_conninfo,
                                                 .switched = on_switched,
                                                 .owner = server};
    server->datasets = calloc(server->config->n_datasets + 1, sizeof *server->datasets);
    if (server->datasets == NULL) {
        snprintf(error, 512, "out of memory");
        return false;
    }
    server->n_datasets = server->config->n_datasets;
    for (size_t i = 0; i < server->n_datasets; i++)
        server->datasets[i].config = &server->config->datasets[i];
    for (size_t i = 0; i < server->n_datasets; i++)
        if (!dataset_open(&server->datasets[i], &server->dataset_host, seeds[i], error))
            return false;
    return true;
}

bool server_open(struct server *server, struct server_managed *managed, char error[512])
{
    const struct config *config = server->config;
    int64_t *seeds = calloc(config->n_datasets + 1, sizeof *seeds);
    const char *ledger;
    bool ok = false;
    if (seeds == NULL || !start_ledger(server, managed, error) ||
        !start_twins(server, managed, error))
        goto cleanup;
    ledger = server->ledger_conninfo =
        config->ledger_server ? strdup(config->ledger_server)
                              : join(managed_conninfo(managed->ledger), " dbname=ledger");
    if (ledger == NULL || !open_ledger(server, ledger, seeds, error) ||
        !open_twins(server, managed, error) || !open_datasets(server, seeds, error))
        goto cleanup;
    set_mock_secret(seeds, config->n_datasets);
    if (config->tls_mode != CONFIG_TLS_DISABLE) {
        server->tls = tls_new(config, error);
        if (server->tls == NULL)
            goto cleanup;
    }
    server->noise = dp_noise_new();
    if (server->noise == NULL) {
        snprintf(error, 512, "no noise: the generator has no entropy or failed its self test");
        goto cleanup;
    }
    ok = true;
    for (size_t i = 0; i < LEDGER_CONNECTIONS; i++) {
        server->ledger[i] = pg_client_new(server->base, ledger, "ledger");
        ok = ok && server->ledger[i] != NULL;
        if (server->ledger[i] != NULL)
            pg_client_doubt_warnings(server->ledger[i]);
    }
cleanup:
    if (seeds)
        explicit_bzero(seeds, config->n_datasets * sizeof *seeds);
    free(seeds);
    return ok;
}

bool server_open_ledger(struct server *server, struct server_managed *managed, char error[512])
{
    PGconn *connection = NULL;
    char *conninfo = NULL;
    bool ok = false;
    if (server->config->ledger_server != NULL) {
        snprintf(error, 512,
                 "the ledger server is an external one: pgveilctl reaches it without "
                 "pgveil");
        return false;
    }
    if (!start_ledger(server, managed, error))
        return false;
    conninfo = join(managed_conninfo(managed->ledger), " dbname=ledger");
    connection = conninfo != NULL ? PQconnectdb(conninfo) : NULL;
    ok = connection != NULL && apply_schema(connection, error);
    PQfinish(connection);
    free(conninfo);
    return ok;
}

void server_close(struct server *server, struct server_managed *managed)
{
    for (size_t i = 0; i < server->n_datasets; i++)
        dataset_close(&server->datasets[i]);
    free(server->datasets);
    for (size_t i = 0; i < LEDGER_CONNECTIONS; i++)
        pg_client_free(server->ledger[i]);
    twin_server_close(server->twins);
    tls_free(server->tls);
    dp_noise_free(server->noise);
    ledger_note_clear(&server->note);
    if (server->ledger_conninfo)
        explicit_bzero(server->ledger_conninfo, strlen(server->ledger_conninfo));
    free(server->ledger_conninfo);
    managed_stop(managed->twins);
    managed_stop(managed->ledger);
}
