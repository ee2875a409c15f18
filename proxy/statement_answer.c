/*
 * The end of a private statement: the final statement is bound in the twin session under the
 * client's own portal, once the answer's time has come.
 */
#include <assert.h>
#include <event2/buffer.h>

#include "proxy/budget_text.h"
#include "proxy/log.h"
#include "proxy/settings.h"
#include "proxy/statement_internal.h"

/* Is there a release all of which was paid for before? */
static bool gives_again(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_relations; i++)
        if (plan->relations[i].kind == RELATION_RELEASE &&
            plan->relations[i].release->n_measures > 0 &&
            !release_is_measured(plan->relations[i].release))
            return true;
    return false;
}

static void notice(struct statement_run *run)
{
    const struct plan *plan = run->plan;
    bool free = plan->charge.mu2_pico == 0;
    if ((free && !gives_again(plan)) || plan->shape == PLAN_EXPLAIN || plan->probe ||
        !settings_want_notice(&run->flight))
        return;
    struct wire_report report = {
        .severity = "NOTICE",
        .sqlstate = "00000",
        .message = free ? "this answer was paid for before: it cost nothing"
                        : budget_notice(run->arena, &plan->charge, &run->session->account)};
    wire_report(session_to_client(run->session), &report);
}

/* The final statement's own error is an answer too. */
static void pass_on_error(struct statement_run *run, const struct wire_message *message)
{
    run_resolve(run, true);
    run_pass_on_error(run, message);
}

static void on_final_error(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E')
        pass_on_error(session->statement, message);
}

/* What the final statement returns must be what the twin described for the original. */
static void on_final_described(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    if (message->type == 'E') {
        pass_on_error(run, message);
    } else if (run->plan->shape == PLAN_ROWS &&
               !prepared_same_types(run->request.prepared, message)) {
        log_error("the final statement's columns differ from the original's");
        run->answered = false;
    }
}

static void on_final_closed(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    if (message->type == 'E') {
        pass_on_error(run, message);
    } else if (!run->answered) {
        run_fail_with(run, "XX000", "the answer's columns are not those of the statement", "");
    } else {
        run_resolve(run, true);
        notice(run);
        run_end(session, STATEMENT_BOUND);
    }
}

void run_bind_final(struct statement_run *run)
{
    struct session *session = run->session;
    struct evbuffer *twin = session_to_twin(session);
    const struct prepared *prepared = run->request.prepared;
    bool explain = run->plan->shape == PLAN_EXPLAIN, copy = run->plan->shape == PLAN_COPY;
    run->stage = STAGE_BIND;
    run->answered = true;
    wire_name(twin, 'C', 'S', run_statement_name);
    replies_push(&session->replies, 'C', on_final_error, session, NULL);
    final_parse(twin, run_statement_name, run->plan, explain ? 0 : prepared->n_params,
                prepared->param_types, run->n_arrays, run->arrays);
    replies_push(&session->replies, 'P', on_final_error, session, NULL);
    final_bind(twin, run->request.portal, run_statement_name,
               explain || copy ? NULL : &run->request, copy ? 0 : run->n_arrays, run->arrays);
    replies_push(&session->replies, 'B', on_final_error, session, NULL);
    wire_name(twin, 'D', 'P', run->request.portal);
    replies_push(&session->replies, 'D', on_final_described, session, NULL);
    wire_name(twin, 'C', 'S', run_statement_name);
    replies_push(&session->replies, 'C', on_final_closed, session, NULL);
    wire_empty(twin, 'H');
}

static void on_quantum(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    run_bind_final(context);
}

void run_wait_quantum(struct statement_run *run)
{
    uint64_t quantum = run->session->server->config->answer_quantum_ms;
    if (quantum == 0) {
        run_bind_final(run);
        return;
    }
    uint64_t past = (session_now_ms() - run->started_ms) % quantum;
    struct timeval wait = {(time_t)((quantum - past) / 1000),
                           (suseconds_t)((quantum - past) % 1000 * 1000)};
    run->stage = STAGE_WAIT;
    run->quantum = evtimer_new(run->session->server->base, on_quantum, run);
    assert(run->quantum != NULL);
    event_add(run->quantum, &wait);
}
