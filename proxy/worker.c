#include "proxy/worker.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* One byte a message. A pipe full of TELL loses nothing: the newest progress is kept beside it. */
enum { TELL = 't', FINISHED = 'f' };
enum { WATCHED_MAX = 8, CANCEL_AGAIN_MS = 200 };

struct worker {
    const struct worker_calls *calls;
    void *job;
    struct event *event;
    int pipe[2];
    pthread_t thread;
    pthread_mutex_t mutex;          /* of progress, is_told and watched */
    PGcancel *watched[WATCHED_MAX]; /* owned; the newest, in a ring */
    unsigned n_watched;
    struct worker_progress progress;
    bool is_told; /* a TELL is in the pipe */
    bool running; /* the thread is to be joined */
};

static void send_byte(struct worker *worker, char byte)
{
    ssize_t written = write(worker->pipe[1], &byte, 1);
    (void)written; /* at most one TELL and one FINISHED are ever in the pipe */
}

/* Of this thread; NULL: not a worker's. */
static _Thread_local struct worker *own;

static void *run(void *context)
{
    struct worker *worker = context;
    own = worker;
    worker->calls->run(worker, worker->job);
    send_byte(worker, FINISHED);
    return NULL;
}

void worker_tell(struct worker *worker, const char *what, uint64_t done, uint64_t total)
{
    pthread_mutex_lock(&worker->mutex);
    snprintf(worker->progress.what, sizeof worker->progress.what, "%s", what);
    worker->progress.done = done;
    worker->progress.total = total;
    bool was_told = worker->is_told;
    worker->is_told = true;
    pthread_mutex_unlock(&worker->mutex);
    if (!was_told)
        send_byte(worker, TELL);
}

static void on_byte(evutil_socket_t fd, short what, void *context)
{
    struct worker *worker = context;
    char byte;
    (void)what;
    if (read(fd, &byte, 1) != 1)
        return;
    if (byte == FINISHED) {
        pthread_join(worker->thread, NULL);
        worker->running = false;
        worker->calls->finished(worker->job);
        return;
    }
    pthread_mutex_lock(&worker->mutex);
    struct worker_progress progress = worker->progress;
    worker->is_told = false;
    pthread_mutex_unlock(&worker->mutex);
    if (worker->calls->progress)
        worker->calls->progress(worker->job, &progress);
}

struct worker *worker_start(struct event_base *base, const struct worker_calls *calls, void *job)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return NULL;
    worker->calls = calls;
    worker->job = job;
    pthread_mutex_init(&worker->mutex, NULL);
    if (pipe2(worker->pipe, O_CLOEXEC) != 0) {
        worker->pipe[0] = worker->pipe[1] = -1;
        worker_free(worker);
        return NULL;
    }
    worker->event = event_new(base, worker->pipe[0], EV_READ | EV_PERSIST, on_byte, worker);
    if (worker->event == NULL || event_add(worker->event, NULL) != 0) {
        worker_free(worker);
        return NULL;
    }
    worker->running = pthread_create(&worker->thread, NULL, run, worker) == 0;
    if (!worker->running) {
        worker_free(worker);
        return NULL;
    }
    return worker;
}

void worker_watch(PGconn *connection)
{
    struct worker *worker = own;
    if (worker == NULL)
        return;
    pthread_mutex_lock(&worker->mutex);
    PGcancel **place = &worker->watched[worker->n_watched++ % WATCHED_MAX];
    if (*place)
        PQfreeCancel(*place);
    *place = PQgetCancel(connection);
    pthread_mutex_unlock(&worker->mutex);
}

static void cancel_watched(struct worker *worker)
{
    char error[256];
    pthread_mutex_lock(&worker->mutex);
    for (int i = 0; i < WATCHED_MAX; i++)
        if (worker->watched[i])
            PQcancel(worker->watched[i], error, sizeof error); /* gone already: nothing to do */
    pthread_mutex_unlock(&worker->mutex);
}

/* A thread between two statements is met by the next attempt. */
static void stop(struct worker *worker)
{
    struct timespec until;
    int joined;
    do {
        cancel_watched(worker);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += CANCEL_AGAIN_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        joined = pthread_timedjoin_np(worker->thread, NULL, &until);
    } while (joined != 0);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->running)
        stop(worker);
    for (int i = 0; i < WATCHED_MAX; i++)
        if (worker->watched[i])
            PQfreeCancel(worker->watched[i]);
    if (worker->event)
        event_free(worker->event);
    for (int i = 0; i < 2; i++)
        if (worker->pipe[i] >= 0)
            close(worker->pipe[i]);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}
