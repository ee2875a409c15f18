/*
 * The way of a private statement, its first half: flight -> plan. See statement_internal.h.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/ascii_sql.h"
#include "proxy/log.h"
#include "proxy/settings.h"
#include "proxy/statement_internal.h"

const char run_statement_name[] = "pgveil flight";

static void plan_statement(struct statement_run *run);

/* --- ends ------------------------------------------------------------------------------------ */

void statement_free(struct statement_run *run)
{
    if (run == NULL)
        return;
    if (run->measurement)
        measure_abandon(run->measurement);
    if (run->quantum)
        event_free(run->quantum);
    if (run->slice)
        event_free(run->slice);
    for (size_t i = 0; i < run->n_arrays; i++)
        array_params_clear(&run->arrays[i]);
    for (size_t i = 0; run->outputs && i < run->n_arrays; i++)
        release_free(run->outputs[i]);
    free(run->arrays);
    free(run->outputs);
    reuse_clear(&run->reuse);
    ledger_answers_free(&run->taken);
    prepared_release(run->request.prepared);
    arena_free(run->arena);
    free(run);
}

void run_end(struct session *session, enum statement_end how)
{
    struct statement_run *run = session->statement;
    void (*done)(struct session *, enum statement_end, bool) = run->request.done;
    bool explain = run->plan != NULL && run->plan->shape == PLAN_EXPLAIN;
    session->statement = NULL;
    statement_free(run);
    done(session, how, explain);
}

static void after_failure(struct session *session)
{
    run_end(session, STATEMENT_FAILED);
}

void run_release_connection(struct statement_run *run)
{
    if (run->measurement)
        measure_abandon(run->measurement);
    run->measurement = NULL;
}

void run_fail(struct statement_run *run, const struct refusal *refusal)
{
    run_release_connection(run);
    if (run->slice)
        event_del(run->slice);
    run->stage = STAGE_BIND; /* the twin is busy with the failure: no longer to be cancelled */
    session_fail(run->session, refusal, after_failure);
}

void run_fail_with(struct statement_run *run, const char *sqlstate, const char *message,
                   const char *hint)
{
    struct refusal refusal = {0};
    snprintf(refusal.sqlstate, sizeof refusal.sqlstate, "%s", sqlstate);
    snprintf(refusal.message, sizeof refusal.message, "%s", message);
    snprintf(refusal.hint, sizeof refusal.hint, "%s", hint);
    run_fail(run, &refusal);
}

bool run_stops(struct statement_run *run)
{
    if (run->cancel == NULL)
        return false;
    run_fail_with(run, "57014", run->cancel, "");
    return true;
}

void statement_cancel(struct session *session, const char *message)
{
    struct statement_run *run = session->statement;
    run->cancel = message;
    switch (run->stage) {
    case STAGE_FLIGHT: /* answers at once, then stops */
    case STAGE_LEDGER:
    case STAGE_CHARGE:
    case STAGE_KEEP:
    case STAGE_BIND:
        return;
    case STAGE_RESERVE:
    case STAGE_MEASURE:
        run_release_connection(run);
        run_stops(run);
        return;
    case STAGE_WAIT:
        event_del(run->quantum);
        run_stops(run);
        return;
    }
}

/* The twin's own time-out: its transaction is aborted already, so nothing more is sent to it. */
void statement_twin_error(struct session *session, const struct wire_message *message)
{
    (void)message; /* relayed by the caller */
    if (session->statement->stage != STAGE_FLIGHT && session->statement->stage != STAGE_BIND)
        run_end(session, STATEMENT_FAILED);
}

bool statement_is_measuring(const struct session *session)
{
    return session->statement != NULL && session->statement->stage >= STAGE_RESERVE &&
           session->statement->stage <= STAGE_WAIT;
}

/* --- the ledger ------------------------------------------------------------------------------- */

/* A question to the ledger outlives the run that asked it. */
struct ledger_wait {
    struct session_ticket *ticket;
    unsigned serial;
    run_ledger_answer *then;
};

static void on_ledger(void *context, const PGresult *result)
{
    struct ledger_wait wait = *(struct ledger_wait *)context;
    free(context);
    struct session *session = session_ticket_use(wait.ticket);
    if (session && session->statement && session->statement->serial == wait.serial)
        wait.then(session->statement, result);
}

static struct ledger_wait *new_wait(struct statement_run *run, run_ledger_answer *then)
{
    struct ledger_wait *wait = calloc(1, sizeof *wait);
    assert(wait != NULL);
    wait->ticket = session_ticket_take(run->session);
    wait->serial = run->serial;
    wait->then = then;
    return wait;
}

void run_ask_ledger(struct statement_run *run, const struct ledger_call *call,
                    run_ledger_answer *then)
{
    pg_client_send(server_ledger(run->session->server), call->sql, call->n_params, NULL,
                   call->values, STATEMENT_LEDGER_TIMEOUT_MS, on_ledger, new_wait(run, then));
}

void run_ask_charge(struct statement_run *run, const struct ledger_charge *charge, bool alone,
                    run_ledger_answer *then)
{
    ledger_queue_add(run->session->dataset->charges, ledger_charge_text(charge), alone, on_ledger,
                     new_wait(run, then));
}

void run_fail_ledger(struct statement_run *run)
{
    run_fail_with(run, "57P03", "the ledger cannot be reached now",
                  "Nothing was measured. Try again in a moment.");
}

/* --- the flight --------------------------------------------------------------------------------
 */

void run_pass_on_error(struct statement_run *run, const struct wire_message *message)
{
    final_report_error(message, session_to_client(run->session));
    run_end(run->session, STATEMENT_FAILED);
}

static void on_flight_error(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E')
        run_pass_on_error(session->statement, message);
}

static const struct statement *statement_of(const struct statement_run *run)
{
    return parsed_statement(run->request.prepared->parsed, run->request.index);
}

static void on_flight_row(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    const struct prepared *prepared = run->request.prepared;
    if (message->type == 'E')
        run_pass_on_error(run, message);
    else if (message->type == 'D')
        run->answered = flight_read(run->arena, message, statement_of(run)->n_names,
                                    prepared->n_params, prepared->param_types, &run->flight);
}

static void on_constants_row(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    if (message->type == 'E')
        run_pass_on_error(run, message);
    else if (message->type == 'D')
        run->answered =
            flight_read_constants(run->arena, message, run->n_constants, run->constants);
}

/* The last reply of a flight: go on with what it brought. */
static void on_flight_closed(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    if (message->type == 'E') {
        run_pass_on_error(run, message);
    } else if (!run->answered) {
        run_fail_with(run, "XX000", "the twin session gave no answer to the planner's question",
                      "");
    } else if (!run_stops(run)) {
        if (!run->flight.still_prepared)
            run_end(session, STATEMENT_NOT_PRIVATE);
        else
            plan_statement(run);
    }
}

/* One statement with one row on the twin, under the client's own portal name, so that whatever is
 * wrong with the portal or the parameters is said now. */
static void fly(struct statement_run *run, const char *question, bool with_params,
                reply_sink *on_row)
{
    struct session *session = run->session;
    struct evbuffer *twin = session_to_twin(session);
    const struct prepared *prepared = run->request.prepared;
    const char *sql = ascii_sql(run->arena, question);
    if (sql == NULL) { /* a literal of escapes that make no character */
        run_fail_with(run, "22021", "invalid byte sequence for encoding \"UTF8\"", "");
        return;
    }
    run->answered = false;
    wire_name(twin, 'C', 'S', run_statement_name);
    replies_push(&session->replies, 'C', on_flight_error, session, NULL);
    wire_parse(twin, run_statement_name, sql, with_params ? prepared->n_params : 0,
               prepared->param_types);
    replies_push(&session->replies, 'P', on_flight_error, session, NULL);
    final_bind(twin, run->request.portal, run_statement_name, with_params ? &run->request : NULL, 0,
               NULL);
    replies_push(&session->replies, 'B', on_flight_error, session, NULL);
    wire_execute(twin, run->request.portal, 0);
    replies_push(&session->replies, 'E', on_row, session, NULL);
    wire_name(twin, 'C', 'P', run->request.portal);
    replies_push(&session->replies, 'C', on_flight_error, session, NULL);
    wire_name(twin, 'C', 'S', run_statement_name);
    replies_push(&session->replies, 'C', on_flight_closed, session, NULL);
    wire_empty(twin, 'H');
}

/* --- plan ---------------------------------------------------------------------------------------
 */

static void follow_plan(struct statement_run *run)
{
    bool is_explain = run->plan->shape == PLAN_EXPLAIN;
    if (run->session->explains_only && !is_explain) {
        run_fail_with(run, "42501", "this session may only explain statements over private tables",
                      "Put EXPLAIN before the statement, or ask as the analyst.");
        return;
    }
    run->stage = STAGE_LEDGER;
    run->n_arrays = is_explain ? 1 : run->plan->n_relations;
    run->arrays = calloc(run->n_arrays + 1, sizeof *run->arrays);
    run->outputs = calloc(run->n_arrays + 1, sizeof(struct release_output *));
    assert(run->arrays != NULL && run->outputs != NULL);
    if (!is_explain)
        run_begin_outputs(run);
    if (is_explain)
        run_explain(run);
    else
        run_feed(run);
}

/* Asks the twin for the canonical forms that the planner still wants, beside those it has. */
static void fly_constants(struct statement_run *run, const struct sql_constant *wanted,
                          size_t n_wanted)
{
    struct sql_constant *all = arena_alloc(run->arena, (run->n_constants + n_wanted) * sizeof *all);
    if (run->n_constants > 0)
        memcpy(all, run->constants, run->n_constants * sizeof *all);
    for (size_t i = 0; i < n_wanted; i++) {
        all[run->n_constants + i] = wanted[i];
        all[run->n_constants + i].literal = arena_strdup(run->arena, wanted[i].literal);
    }
    run->constants = all;
    run->n_constants += n_wanted;
    fly(run, flight_constants_sql(run->arena, run->n_constants, run->constants), false,
        on_constants_row);
}

/* A subquery's constants come to light when those of the subqueries in it are known. */
static bool asks_for_new(const struct statement_run *run, const struct sql_constant *wanted,
                         size_t n_wanted)
{
    for (size_t i = 0; i < n_wanted; i++)
        for (size_t k = 0; k < run->n_constants; k++)
            if (wanted[i].type == run->constants[k].type &&
                strcmp(wanted[i].literal, run->constants[k].literal) == 0)
                return false;
    return n_wanted > 0;
}

static void on_kept(struct statement_run *run, const PGresult *result)
{
    if (result == NULL || !reuse_read(&run->reuse, run->arena, result)) {
        run_fail_ledger(run);
        return;
    }
    if (run_stops(run))
        return;
    if (run->reuse.n > 0 || run->plan->provisional)
        plan_statement(run);
    else
        follow_plan(run);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds the plan's questions to those that are asked, in order and each once; false: there is no new
 * one. */
static bool find_unasked(struct statement_run *run)
{
    const char *const *questions;
    size_t n = reuse_questions(run->arena, run->plan, &questions), before = run->n_asked;
    const char **all = arena_alloc(run->arena, (before + n + 1) * sizeof *all);
    if (before > 0)
        memcpy(all, run->asked, before * sizeof *all);
    for (size_t i = 0; i < n; i++) /* the plan's memory goes with the next one */
        all[before + i] = arena_strdup(run->arena, questions[i]);
    qsort(all, before + n, sizeof *all, compare_texts);
    run->n_asked = 0;
    for (size_t i = 0; i < before + n; i++)
        if (i == 0 || strcmp(all[i], all[run->n_asked - 1]) != 0)
            all[run->n_asked++] = all[i];
    run->asked = all;
    return run->n_asked > before;
}

/* What of the plan's measures the analyst has paid for. The plan is made a second time with that,
 * and a third time where bounds are among it: only then is it known what is measured within them.
 */
static bool look_up(struct statement_run *run)
{
    const struct session *session = run->session;
    if (!run->reuses || run->plan->probe || !find_unasked(run))
        return false;
    struct ledger_call call;
    run->stage = STAGE_LEDGER;
    ledger_kept_call(&call, session->startup->user, session->startup->database,
                     policy_epoch_name(session->edition->policy->epoch), run->asked, run->n_asked);
    run_ask_ledger(run, &call, on_kept);
    ledger_call_free(&call);
    return true;
}

static void plan_statement(struct statement_run *run)
{
    struct session *session = run->session;
    struct refusal refusal = {0};
    if (!settings_read(&run->flight, session->server->config, session->dataset->config,
                       &session->account, &run->settings, &refusal) ||
        !settings_read_reuse(&run->flight, &run->reuses, &refusal)) {
        run_fail(run, &refusal);
        return;
    }
    run->reuses = run->reuses && session->edition->policy->reuse;
    const struct sql_constant *wanted = NULL;
    size_t n_wanted = 0;
    switch (run_make_plan(run, &refusal, &wanted, &n_wanted)) {
    case PLAN_READY:
        if (!look_up(run))
            follow_plan(run);
        break;
    case PLAN_NOT_PRIVATE:
        run_end(session, STATEMENT_NOT_PRIVATE);
        break;
    case PLAN_REFUSED:
        run_fail(run, &refusal);
        break;
    case PLAN_WANTS_CONSTANTS:
        if (!asks_for_new(run, wanted, n_wanted))
            run_fail_with(run, "XX000", "the planner asked twice for the same constants", "");
        else
            fly_constants(run, wanted, n_wanted);
        break;
    }
}

/* --- start ---------------------------------------------------------------------------------------
 */

static void *copy(struct arena *arena, const void *data, size_t size)
{
    void *bytes = arena_alloc(arena, size + 1);
    if (size > 0)
        memcpy(bytes, data, size);
    return bytes;
}

static void copy_request(struct statement_run *run, const struct statement_request *from)
{
    struct statement_request *to = &run->request;
    size_t n_values = from->prepared->n_params;
    *to = *from;
    to->prepared = prepared_hold(from->prepared);
    to->statement_name = arena_strdup(run->arena, from->statement_name);
    to->portal = arena_strdup(run->arena, from->portal);
    to->formats = copy(run->arena, from->formats, from->n_formats * sizeof *from->formats);
    to->results = copy(run->arena, from->results, from->n_results * sizeof *from->results);
    struct bind_value *values = copy(run->arena, from->values, n_values * sizeof *from->values);
    for (size_t i = 0; i < n_values; i++)
        if (values[i].bytes)
            values[i].bytes = copy(run->arena, values[i].bytes, values[i].length);
    to->values = values;
}

void statement_start(struct session *session, const struct statement_request *request)
{
    static unsigned last_serial;
    struct statement_run *run = calloc(1, sizeof *run);
    assert(run != NULL && session->statement == NULL);
    run->session = session;
    run->serial = ++last_serial;
    run->arena = arena_new();
    run->started_ms = session_now_ms();
    copy_request(run, request);
    session->statement = run;
    const struct prepared *prepared = run->request.prepared;
    fly(run,
        flight_sql(run->arena, statement_of(run), run->request.statement_name, prepared->sql,
                   prepared->n_params, prepared->param_types),
        true, on_flight_row);
}
