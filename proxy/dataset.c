#include "proxy/dataset.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/pg_client.h"
#include "proxy/server_identity.h"
#include "proxy/twin.h"
#include "proxy/twin_server.h"

enum { RETRY_SECONDS = 5, CHARGE_TIMEOUT_MS = 10000 };

/* --- editions -------------------------------------------------------------------------------- */

struct edition *edition_new(const struct dataset *dataset, struct policy *policy,
                            struct catalog *catalog, struct twin_keeper *keeper)
{
    struct edition *edition = calloc(1, sizeof *edition);
    assert(edition != NULL);
    edition->references = 1;
    edition->dataset = dataset;
    edition->policy = policy;
    edition->catalog = catalog;
    edition->keeper = keeper;
    edition->made_at = time(NULL);
    return edition;
}

struct edition *edition_hold(const struct dataset *dataset)
{
    assert(dataset->edition != NULL);
    dataset->edition->references++;
    return dataset->edition;
}

static void on_dropped(void *context, const PGresult *result)
{
    (void)context;
    if (result == NULL || PQresultStatus(result) != PGRES_COMMAND_OK)
        log_warning("an old twin database could not be dropped; the next sync tries again");
}

static void drop_twin(const struct edition *edition)
{
    if (edition->retired == NULL)
        return;
    char *sql = twin_drop_sql(edition->retired);
    pg_client_send(twin_server_admin(edition->dataset->host->twins), sql, 0, NULL, NULL, 0,
                   on_dropped, NULL);
    free(sql);
    log_info("dataset %s: the last session of an old twin has ended",
             edition->dataset->config->name);
}

void edition_release(struct edition *edition)
{
    if (edition == NULL || --edition->references > 0)
        return;
    drop_twin(edition);
    twin_keeper_free(edition->keeper);
    catalog_free(edition->catalog);
    policy_free(edition->policy);
    free(edition->retired);
    free(edition);
}

/* --- opening --------------------------------------------------------------------------------- */

static void wait_for_retry(struct dataset *dataset)
{
    struct timeval wait = {RETRY_SECONDS, 0};
    event_add(dataset->retry, &wait);
}

static void on_retried(void *context, const char *error)
{
    struct dataset *dataset = context;
    if (error == NULL)
        return;
    log_debug("%s", error);
    wait_for_retry(dataset);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    struct dataset *dataset = context;
    const struct dataset_sync_calls calls = {.done = on_retried, .context = dataset};
    (void)fd, (void)what;
    if (dataset->edition == NULL && !dataset_sync(dataset, &calls))
        wait_for_retry(dataset); /* the DBA's own sync is under way, and may fail */
}

/* Everything that talks to the servers; NULL with text in error. Takes the policy where it
 * succeeds.
 */
static struct edition *first_edition(const struct dataset *dataset, struct policy *policy,
                                     const struct server_identity *identity, char error[512])
{
    struct catalog *catalog = dataset_read_catalog(dataset, policy, identity, error);
    struct twin_keeper *keeper = NULL;
    if (catalog != NULL)
        keeper =
            twin_build(twin_server_conninfo(dataset->host->twins), dataset->config, catalog, error);
    if (keeper != NULL)
        return edition_new(dataset, policy, catalog, keeper);
    catalog_free(catalog);
    return NULL;
}

bool dataset_open(struct dataset *dataset, const struct dataset_host *host, int64_t seed,
                  char error[512])
{
    struct config_error wrong;
    struct server_identity identity;
    dataset->host = host;
    dataset->seed = seed;
    dataset->retry = evtimer_new(host->base, on_retry, dataset);
    dataset->pool = measure_pool_new(host->base, host->config, dataset->config);
    dataset->charges = ledger_queue_new(host->base, host->ledger_conninfo, dataset->config->name,
                                        CHARGE_TIMEOUT_MS);
    if (dataset->retry == NULL || dataset->pool == NULL || dataset->charges == NULL) {
        snprintf(error, 512, "dataset %s: out of memory", dataset->config->name);
        return false;
    }
    struct policy *policy = policy_read(dataset->config->policy, &wrong);
    if (policy == NULL) {
        snprintf(error, 512, "%.150s: %.100s: %.250s", wrong.file, wrong.key, wrong.text);
        return false;
    }
    if (!dataset_is_reachable(dataset->config, &identity, error)) {
        log_warning("%s", error);
        policy_free(policy);
        wait_for_retry(dataset);
        return true;
    }
    dataset->edition = first_edition(dataset, policy, &identity, error);
    if (dataset->edition == NULL) {
        policy_free(policy);
        return false;
    }
    log_info("dataset %s is ready", dataset->config->name);
    return true;
}

void dataset_close(struct dataset *dataset)
{
    dataset_sync_free(dataset->sync);
    if (dataset->retry)
        event_free(dataset->retry);
    measure_pool_free(dataset->pool);
    ledger_queue_free(dataset->charges);
    edition_release(dataset->edition);
}
