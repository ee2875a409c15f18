#include "proxy/dataset.h"

#include <assert.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/twin.h"

enum { RETRY_SECONDS = 5 };

/* What the thread works on, and what it brings. The loop touches it only while no thread runs. */
struct dataset_retry {
    struct dataset *dataset;
    struct event_base *base;
    const struct config *config;
    char *twin_admin;
    int64_t seed;
    struct event *timer, *finished;
    int pipe[2]; /* the thread's last word: one byte */
    pthread_t thread;
    bool running;
    struct catalog *catalog;
    char error[512];
};

static bool is_reachable(const struct config_dataset *config, char error[512])
{
    const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    const char *const values[] = {"5", config->server, NULL};
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    bool reachable = PQstatus(connection) == CONNECTION_OK;
    if (!reachable)
        snprintf(error, 512, "dataset %.63s: the protected server cannot be reached: %.300s",
                 config->name, PQerrorMessage(connection));
    PQfinish(connection);
    return reachable;
}

/* Everything that talks to the servers; NULL with text in error. */
static struct catalog *read_and_build(const struct dataset *dataset, const char *twin_admin,
                                      int64_t seed, char error[512])
{
    struct catalog *catalog = catalog_read(dataset->config, dataset->policy, seed, error);
    if (catalog != NULL && !twin_build(twin_admin, dataset->config, catalog, error)) {
        catalog_free(catalog);
        catalog = NULL;
    }
    return catalog;
}

static bool put_in_service(struct dataset *dataset, struct event_base *base,
                           const struct config *config, struct catalog *catalog)
{
    dataset->pool = measure_pool_new(base, config, dataset->config);
    if (dataset->pool == NULL) {
        catalog_free(catalog);
        return false;
    }
    dataset->catalog = catalog;
    log_info("dataset %s is ready", dataset->config->name);
    return true;
}

static void *try_again(void *context)
{
    struct dataset_retry *retry = context;
    if (is_reachable(retry->dataset->config, retry->error))
        retry->catalog =
            read_and_build(retry->dataset, retry->twin_admin, retry->seed, retry->error);
    ssize_t written = write(retry->pipe[1], "", 1);
    (void)written;
    return NULL;
}

static void wait_for_retry(struct dataset_retry *retry)
{
    struct timeval wait = {RETRY_SECONDS, 0};
    event_add(retry->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct dataset_retry *retry = context;
    (void)fd, (void)what;
    retry->running = pthread_create(&retry->thread, NULL, try_again, retry) == 0;
    if (!retry->running)
        wait_for_retry(retry);
}

static void on_finished(evutil_socket_t fd, short what, void *context)
{
    struct dataset_retry *retry = context;
    struct catalog *catalog;
    char byte;
    (void)what;
    if (read(fd, &byte, 1) != 1)
        return;
    pthread_join(retry->thread, NULL);
    retry->running = false;
    catalog = retry->catalog;
    retry->catalog = NULL;
    if (catalog == NULL)
        log_debug("%s", retry->error);
    if (catalog == NULL || !put_in_service(retry->dataset, retry->base, retry->config, catalog))
        wait_for_retry(retry);
}

static void retry_free(struct dataset_retry *retry)
{
    if (retry == NULL)
        return;
    if (retry->running)
        pthread_join(retry->thread, NULL);
    if (retry->timer)
        event_free(retry->timer);
    if (retry->finished)
        event_free(retry->finished);
    for (int i = 0; i < 2; i++)
        if (retry->pipe[i] >= 0)
            close(retry->pipe[i]);
    catalog_free(retry->catalog);
    free(retry->twin_admin);
    free(retry);
}

static struct dataset_retry *retry_new(struct dataset *dataset, struct event_base *base,
                                       const struct config *config, const char *twin_admin,
                                       int64_t seed)
{
    struct dataset_retry *retry = calloc(1, sizeof *retry);
    assert(retry != NULL);
    retry->dataset = dataset;
    retry->base = base;
    retry->config = config;
    retry->seed = seed;
    retry->twin_admin = strdup(twin_admin);
    retry->pipe[0] = retry->pipe[1] = -1;
    bool piped = pipe2(retry->pipe, O_CLOEXEC) == 0;
    retry->timer = evtimer_new(base, on_timer, retry);
    retry->finished =
        piped ? event_new(base, retry->pipe[0], EV_READ | EV_PERSIST, on_finished, retry) : NULL;
    if (retry->twin_admin == NULL || retry->timer == NULL || retry->finished == NULL ||
        event_add(retry->finished, NULL) != 0) {
        retry_free(retry);
        return NULL;
    }
    wait_for_retry(retry);
    return retry;
}

bool dataset_open(struct dataset *dataset, struct event_base *base, const struct config *config,
                  const char *twin_admin, int64_t seed, char error[512])
{
    struct config_error wrong;
    dataset->policy = policy_read(dataset->config->policy, &wrong);
    if (dataset->policy == NULL) {
        snprintf(error, 512, "%.150s: %.100s: %.250s", wrong.file, wrong.key, wrong.text);
        return false;
    }
    if (!is_reachable(dataset->config, error)) {
        log_warning("%s", error);
        dataset->retry = retry_new(dataset, base, config, twin_admin, seed);
        return dataset->retry != NULL;
    }
    struct catalog *catalog = read_and_build(dataset, twin_admin, seed, error);
    if (catalog == NULL)
        return false;
    snprintf(error, 512, "dataset %s: out of memory", dataset->config->name);
    return put_in_service(dataset, base, config, catalog);
}

void dataset_close(struct dataset *dataset)
{
    retry_free(dataset->retry);
    measure_pool_free(dataset->pool);
    catalog_free(dataset->catalog);
    policy_free(dataset->policy);
}
