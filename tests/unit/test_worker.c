#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "proxy/worker.h"

struct job {
    struct event_base *base;
    struct worker *worker;
    pthread_t loop;
    unsigned tells;
    atomic_bool hold; /* run waits for it to become false */
    bool ran_elsewhere, free_itself;
    unsigned n_progress, n_finished;
    struct worker_progress last;
};

static void run(struct worker *worker, void *context)
{
    struct job *job = context;
    job->ran_elsewhere = !pthread_equal(pthread_self(), job->loop);
    for (unsigned i = 1; i <= job->tells; i++)
        worker_tell(worker, "counting", i, job->tells);
    while (atomic_load(&job->hold))
        sched_yield();
}

static void on_progress(void *context, const struct worker_progress *progress)
{
    struct job *job = context;
    cr_expect(pthread_equal(pthread_self(), job->loop));
    cr_expect_eq(job->n_finished, 0, "no progress after the end");
    cr_expect_geq(progress->done, job->last.done, "it goes forward");
    job->n_progress++;
    job->last = *progress;
    atomic_store(&job->hold, false);
}

static void on_finished(void *context)
{
    struct job *job = context;
    cr_expect(pthread_equal(pthread_self(), job->loop));
    job->n_finished++;
    if (job->free_itself) {
        worker_free(job->worker);
        job->worker = NULL;
    }
    event_base_loopbreak(job->base);
}

static const struct worker_calls calls = {
    .run = run, .finished = on_finished, .progress = on_progress};

static void start(struct job *job)
{
    job->base = event_base_new();
    job->loop = pthread_self();
    job->worker = worker_start(job->base, &calls, job);
    cr_assert_not_null(job->worker);
}

Test(worker, it_runs_elsewhere_and_tells_the_loop_the_newest_state, .timeout = 60)
{
    struct job job = {.tells = 1000, .hold = true};
    start(&job);
    event_base_dispatch(job.base);
    cr_expect(job.ran_elsewhere);
    cr_expect_eq(job.n_finished, 1);
    cr_expect_geq(job.n_progress, 1);
    cr_expect_eq(job.last.done, 1000, "what came last is not lost");
    cr_expect_eq(job.last.total, 1000);
    cr_expect_str_eq(job.last.what, "counting");
    worker_free(job.worker);
    event_base_free(job.base);
}

Test(worker, it_may_be_freed_by_its_own_end, .timeout = 60)
{
    struct job job = {.free_itself = true};
    start(&job);
    event_base_dispatch(job.base);
    cr_expect_eq(job.n_finished, 1);
    cr_expect_null(job.worker);
    event_base_free(job.base);
}

Test(worker, freeing_waits_for_the_thread_and_ends_the_calls, .timeout = 60)
{
    struct job job = {.tells = 10};
    start(&job);
    worker_free(job.worker);
    cr_expect(job.ran_elsewhere, "it has run");
    event_base_loop(job.base, EVLOOP_NONBLOCK);
    cr_expect_eq(job.n_finished, 0);
    cr_expect_eq(job.n_progress, 0);
    worker_free(NULL);
    event_base_free(job.base);
}

Test(worker, a_long_name_is_cut_and_not_overrun, .timeout = 60)
{
    char name[500];
    struct job job = {.hold = false};
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    start(&job);
    worker_tell(job.worker, name, 1, 2);
    event_base_dispatch(job.base);
    cr_expect_eq(strlen(job.last.what), sizeof job.last.what - 1);
    worker_free(job.worker);
    event_base_free(job.base);
}
