/*
 * PQcancel blocks (it connects, sends and waits for the end of file), and libpq hides the key that
 * one would need to do without it: so it runs on a thread of its own that touches nothing but its
 * copy of the address and the key.
 */
#include "proxy/pg_cancel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { THREADS_MAX = 32, STACK_BYTES = 256 << 10 };

static atomic_int threads;

static void *cancel_main(void *context)
{
    PGcancel *cancel = context;
    char error[256];
    (void)PQcancel(cancel, error, sizeof error);
    PQfreeCancel(cancel);
    atomic_fetch_sub(&threads, 1);
    return NULL;
}

static bool start_thread(PGcancel *cancel)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all); /* signals belong to the event loop's thread */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    bool started = pthread_create(&thread, &attributes, cancel_main, cancel) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

bool pg_cancel_send(PGconn *conn)
{
    PGcancel *cancel = NULL;
    if (atomic_fetch_add(&threads, 1) < THREADS_MAX) {
        cancel = PQgetCancel(conn);
        if (cancel != NULL && start_thread(cancel))
            return true;
    }
    atomic_fetch_sub(&threads, 1);
    PQfreeCancel(cancel);
    return false;
}
