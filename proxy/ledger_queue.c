#include "proxy/ledger_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "budget/ledger.h"

enum { COLLISIONS_MOST = 5 };

struct waiting {
    struct waiting *next;
    char *charge;
    bool alone;
    uint64_t until_ms; /* monotonic: not sent any more after that */
    pg_client_done *done;
    void *context;
};

struct ledger_queue {
    struct pg_client *client;
    struct event *kick; /* sends once all that is ready now has been read: it may go together */
    char *dataset;
    uint64_t timeout_ms;
    struct waiting *first, **tail;
    struct waiting *batch[LEDGER_BATCH_MAX]; /* under way */
    size_t n_batch;                          /* 0: nothing is */
    unsigned collisions;                     /* in a row */
    bool freed;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct waiting *pop(struct ledger_queue *queue)
{
    struct waiting *first = queue->first;
    queue->first = first->next;
    if (queue->first == NULL)
        queue->tail = &queue->first;
    first->next = NULL;
    return first;
}

static void waiting_free(struct waiting *waiting)
{
    free(waiting->charge);
    free(waiting);
}

static void finish(struct waiting *waiting, const PGresult *result)
{
    waiting->done(waiting->context, result);
    waiting_free(waiting);
}

static void on_answer(void *context, const PGresult *result);

/* Those that may go together, from the front. */
static void fill_batch(struct ledger_queue *queue)
{
    while (queue->first != NULL && queue->n_batch < LEDGER_BATCH_MAX &&
           (queue->n_batch == 0 || (!queue->first->alone && !queue->batch[0]->alone)))
        queue->batch[queue->n_batch++] = pop(queue);
}

/* Only from the event loop: what has waited too long is called back. */
static void send_next(struct ledger_queue *queue)
{
    const char *charges[LEDGER_BATCH_MAX];
    struct ledger_call call;
    uint64_t now = now_ms();
    while (queue->first != NULL && queue->first->until_ms <= now)
        finish(pop(queue), NULL);
    if (queue->n_batch > 0 || queue->first == NULL)
        return;
    fill_batch(queue);
    for (size_t i = 0; i < queue->n_batch; i++)
        charges[i] = queue->batch[i]->charge;
    ledger_charges_call(&call, queue->dataset, charges, queue->n_batch);
    pg_client_send(queue->client, call.sql, call.n_params, NULL, call.values, queue->timeout_ms,
                   on_answer, queue);
    ledger_call_free(&call);
}

/* Back to the front. alone: to be sent one by one. */
static void put_back(struct ledger_queue *queue, bool alone)
{
    while (queue->n_batch > 0) {
        struct waiting *last = queue->batch[--queue->n_batch];
        last->alone = last->alone || alone;
        last->next = queue->first;
        if (queue->first == NULL)
            queue->tail = &last->next;
        queue->first = last;
    }
}

static bool is_error(const PGresult *result)
{
    return result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR;
}

/* Class 40: something else was done at the same time; nothing is wrong with the charges. */
static bool is_collision(const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return sqlstate != NULL && strncmp(sqlstate, "40", 2) == 0;
}

/* Callbacks may add: that goes with the next batch. */
static void deliver(struct ledger_queue *queue, const PGresult *result)
{
    struct waiting *batch[LEDGER_BATCH_MAX];
    PGresult *answers[LEDGER_BATCH_MAX];
    size_t n = queue->n_batch;
    bool split = ledger_charges_split(result, answers, n);
    memcpy(batch, queue->batch, n * sizeof *batch);
    for (size_t i = 0; i < n; i++) {
        finish(batch[i], split ? answers[i] : is_error(result) ? result : NULL);
        if (split)
            PQclear(answers[i]);
    }
    queue->n_batch = 0;
}

static void on_answer(void *context, const PGresult *result)
{
    struct ledger_queue *queue = context;
    bool error = is_error(result);
    if (error && is_collision(result) && queue->collisions++ < COLLISIONS_MOST) {
        put_back(queue, false);
    } else if (error && queue->n_batch > 1) {
        put_back(queue, true);
    } else {
        queue->collisions = 0;
        deliver(queue, result);
    }
    if (!queue->freed)
        send_next(queue);
}

static void on_kick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    send_next(context);
}

struct ledger_queue *ledger_queue_new(struct event_base *base, const char *conninfo,
                                      const char *dataset, uint64_t timeout_ms)
{
    struct ledger_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL)
        return NULL;
    queue->tail = &queue->first;
    queue->timeout_ms = timeout_ms;
    queue->dataset = strdup(dataset);
    queue->kick = evtimer_new(base, on_kick, queue);
    queue->client = pg_client_new(base, conninfo, "ledger");
    if (queue->dataset == NULL || queue->kick == NULL || queue->client == NULL) {
        ledger_queue_free(queue);
        return NULL;
    }
    pg_client_doubt_warnings(queue->client);
    return queue;
}

void ledger_queue_free(struct ledger_queue *queue)
{
    if (queue == NULL)
        return;
    queue->freed = true;
    pg_client_free(queue->client); /* calls back for the batch under way */
    while (queue->first != NULL)
        finish(pop(queue), NULL);
    if (queue->kick != NULL)
        event_free(queue->kick);
    free(queue->dataset);
    free(queue);
}

void ledger_queue_add(struct ledger_queue *queue, char *charge, bool alone, pg_client_done *done,
                      void *context)
{
    assert(charge != NULL);
    if (queue->freed) {
        free(charge);
        return;
    }
    struct waiting *waiting = calloc(1, sizeof *waiting);
    assert(waiting != NULL);
    *waiting = (struct waiting){.charge = charge,
                                .alone = alone,
                                .until_ms = now_ms() + queue->timeout_ms,
                                .done = done,
                                .context = context};
    *queue->tail = waiting;
    queue->tail = &waiting->next;
    if (queue->n_batch == 0)
        event_active(queue->kick, EV_TIMEOUT, 0);
}
