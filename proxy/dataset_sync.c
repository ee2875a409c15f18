/*
 * A sync: the policy's file and the protected catalogue are read again and a new twin is built, on
 * a thread of its own; then the twins change places, on another. Between the two the loop marks the
 * dataset as switching: whoever is logging in to the twin meanwhile, and got either of the two,
 * logs in again (session.c). So no session ever has the catalogue of one twin and the other twin.
 */
#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ledger.h"
#include "proxy/dataset.h"
#include "proxy/log.h"
#include "proxy/server_identity.h"
#include "proxy/twin.h"
#include "proxy/twin_server.h"

struct dataset_sync {
    struct dataset *dataset;
    struct dataset_sync_calls calls;
    struct worker *worker;
    struct policy *policy;
    struct catalog *catalog;
    struct twin_build *build;
    bool switched;
    char error[512];
};

bool dataset_is_reachable(const struct config_dataset *config, struct server_identity *identity,
                          char error[512])
{
    const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    const char *const values[] = {"5", config->server, NULL};
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    bool reachable = PQstatus(connection) == CONNECTION_OK;
    if (reachable)
        server_identity_read(connection, identity);
    else
        snprintf(error, 512, "dataset %.63s: the protected server cannot be reached: %.300s",
                 config->name, PQerrorMessage(connection));
    PQfinish(connection);
    return reachable;
}

/* The protected server is neither the ledger nor the twin server. */
static bool is_apart(const struct dataset *dataset, const struct server_identity *identity,
                     char error[512])
{
    const struct dataset_host *host = dataset->host;
    const char *name = dataset->config->name;
    return server_identity_differs(twin_server_identity(host->twins), "twin server", identity, name,
                                   error) &&
           server_identity_differs(host->ledger, "ledger server", identity, name, error);
}

/* The ledger knows the database, so that other datasets over it share what is spent. */
static bool is_noted(const struct dataset *dataset, const struct server_identity *identity,
                     char error[512])
{
    PGconn *connection = PQconnectdb(dataset->host->ledger_conninfo);
    struct ledger_call call;
    const char *siblings;
    char name[SERVER_DATABASE_NAME_MAX];
    server_identity_name(identity, name);
    ledger_serve_call(&call, dataset->config->name, name);
    PGresult *result =
        PQexecParams(connection, call.sql, call.n_params, NULL, call.values, NULL, NULL, 0);
    bool noted = ledger_serve_result(result, &siblings) == LEDGER_OK;
    if (!noted)
        snprintf(error, 512, "dataset %.63s: the ledger cannot note its database: %.300s",
                 dataset->config->name, PQerrorMessage(connection));
    else if (siblings[0] != '\0')
        log_info("dataset %s is over the database of %s: what is spent on one counts on all",
                 dataset->config->name, siblings);
    PQclear(result);
    PQfinish(connection);
    return noted;
}

struct catalog *dataset_read_catalog(const struct dataset *dataset, const struct policy *policy,
                                     const struct server_identity *identity, char error[512])
{
    char name[SERVER_DATABASE_NAME_MAX];
    struct catalog *catalog = NULL;
    if (is_apart(dataset, identity, error) && is_noted(dataset, identity, error))
        catalog = catalog_read(dataset->config, policy, dataset->seed, error);
    server_identity_name(identity, name);
    if (catalog == NULL || strcmp(catalog->database, name) == 0)
        return catalog;
    snprintf(error, 512,
             "dataset %.63s: the protected server's address led to two databases in turn; "
             "synchronise it again when it leads to one",
             dataset->config->name);
    catalog_free(catalog);
    return NULL;
}

void dataset_sync_free(struct dataset_sync *sync)
{
    if (sync == NULL)
        return;
    worker_free(sync->worker);
    twin_build_free(sync->build);
    catalog_free(sync->catalog);
    policy_free(sync->policy);
    free(sync);
}

/* The end of a sync, however it went. */
static void finish(struct dataset_sync *sync)
{
    struct dataset *dataset = sync->dataset;
    struct dataset_sync_calls calls = sync->calls;
    char error[512];
    snprintf(error, sizeof error, "%s", sync->error);
    if (!sync->switched)
        log_warning("dataset %s: not synchronised: %s", dataset->config->name, error);
    dataset->sync = NULL;
    dataset->switching = false;
    snprintf(dataset->failure, sizeof dataset->failure, "%s", error);
    dataset_sync_free(sync);
    dataset->host->switched(dataset->host->owner, dataset);
    if (calls.done)
        calls.done(calls.context, error[0] ? error : NULL);
}

/* --- the switch ------------------------------------------------------------------------------ */

static void switch_twins(struct worker *worker, void *job)
{
    struct dataset_sync *sync = job;
    (void)worker;
    sync->switched = twin_build_switch(sync->build, sync->error);
}

static void take_over(struct dataset_sync *sync)
{
    struct dataset *dataset = sync->dataset;
    struct edition *old = dataset->edition;
    const char *retired = twin_build_retired(sync->build);
    dataset->edition =
        edition_new(dataset, sync->policy, sync->catalog, twin_build_keeper(sync->build));
    sync->policy = NULL;
    sync->catalog = NULL;
    if (old != NULL && retired[0]) {
        old->retired = strdup(retired);
        assert(old->retired != NULL);
    }
    edition_release(old);
    log_info("dataset %s is ready", dataset->config->name);
}

static void on_switched(void *job)
{
    struct dataset_sync *sync = job;
    if (sync->switched)
        take_over(sync);
    finish(sync);
}

/* --- the build ------------------------------------------------------------------------------- */

static void build(struct worker *worker, void *job)
{
    struct dataset_sync *sync = job;
    const struct dataset *dataset = sync->dataset;
    struct config_error wrong;
    struct server_identity identity;
    worker_tell(worker, "reading the policy and the catalogue", 0, 0);
    sync->policy = policy_read(dataset->config->policy, &wrong);
    if (sync->policy == NULL) {
        snprintf(sync->error, sizeof sync->error, "%.150s: %.100s: %.250s", wrong.file, wrong.key,
                 wrong.text);
        return;
    }
    if (dataset_is_reachable(dataset->config, &identity, sync->error))
        sync->catalog = dataset_read_catalog(dataset, sync->policy, &identity, sync->error);
    if (sync->catalog != NULL)
        sync->build = twin_build_start(twin_server_conninfo(dataset->host->twins), dataset->config,
                                       sync->catalog, worker, sync->error);
}

static void on_built(void *job)
{
    static const struct worker_calls calls = {.run = switch_twins, .finished = on_switched};
    struct dataset_sync *sync = job;
    worker_free(sync->worker);
    sync->worker = NULL;
    if (sync->build != NULL) {
        sync->dataset->switching = true;
        sync->worker = worker_start(sync->dataset->host->base, &calls, sync);
        if (sync->worker == NULL)
            snprintf(sync->error, sizeof sync->error, "out of memory");
    }
    if (sync->worker == NULL)
        finish(sync);
}

static void on_progress(void *job, const struct worker_progress *progress)
{
    struct dataset_sync *sync = job;
    if (sync->calls.progress)
        sync->calls.progress(sync->calls.context, progress);
}

bool dataset_sync(struct dataset *dataset, const struct dataset_sync_calls *calls)
{
    static const struct worker_calls worker_calls = {
        .run = build, .finished = on_built, .progress = on_progress};
    struct dataset_sync *sync = dataset->sync == NULL ? calloc(1, sizeof *sync) : NULL;
    if (sync == NULL)
        return false;
    sync->dataset = dataset;
    sync->calls = *calls;
    sync->worker = worker_start(dataset->host->base, &worker_calls, sync);
    if (sync->worker == NULL) {
        dataset_sync_free(sync);
        return false;
    }
    dataset->sync = sync;
    return true;
}

void dataset_sync_forget(struct dataset *dataset, const void *context)
{
    if (dataset->sync != NULL && dataset->sync->calls.context == context)
        dataset->sync->calls = (struct dataset_sync_calls){0};
}
