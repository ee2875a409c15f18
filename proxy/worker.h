#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

/*
 * Work that takes long and waits synchronously (libpq on the protected and the twin server), on a
 * thread of its own. The thread touches nothing but what its job names; what it has to say reaches
 * the event loop through a pipe. One worker, one run.
 */
#include <event2/event.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

/* How far the work has come: steps of what, 0 of 0 where they cannot be counted. */
struct worker_progress {
    char what[64];
    uint64_t done, total;
};

struct worker_calls {
    void (*run)(struct worker *worker, void *job); /* on the thread */
    /* On the loop, after run has returned; may free the worker. */
    void (*finished)(void *job);
    /* On the loop, now and then while run works; NULL: not wanted. */
    void (*progress)(void *job, const struct worker_progress *progress);
};

/* The calls and the job are borrowed until worker_free. NULL: no memory, thread or descriptor. */
struct worker *worker_start(struct event_base *base, const struct worker_calls *calls, void *job);
/* From the thread. */
void worker_tell(struct worker *worker, const char *what, uint64_t done, uint64_t total);
/* A connection whose statements may take long: where the calling thread is a worker's, worker_free
 * cancels them. It may be finished before. */
void worker_watch(PGconn *connection);
/* Cancels what runs on the watched connections and waits for the thread; finished does not follow.
 * Accepts NULL. */
void worker_free(struct worker *worker);

#endif
