/*
 * The way of a private statement: flight -> plan -> charge -> measure -> noise -> final statement.
 * Each step ends by starting the next or by failing; nothing goes back. What can be refused is
 * refused before the charge. After it there is one failure, the same whatever the cause, and the
 * charge stands.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/budget_text.h"
#include "proxy/final.h"
#include "proxy/flight.h"
#include "proxy/log.h"
#include "proxy/release.h"
#include "proxy/session_internal.h"
#include "proxy/settings.h"

enum { LEDGER_TIMEOUT_MS = 10000, LEDGER_TRIES = 5 };

/* Own statement on the twin; a client that uses the name harms only its own session. */
static const char flight_name[] = "pgveil flight";

enum stage {
    STAGE_FLIGHT,  /* asking the twin; nothing spent */
    STAGE_LEDGER,  /* asking the ledger what remains; nothing spent */
    STAGE_RESERVE, /* waiting for a connection to the protected server; nothing spent */
    STAGE_CHARGE,  /* the debit is under way: it may or may not have happened */
    STAGE_MEASURE, /* charged */
    STAGE_WAIT,    /* measured; the answer waits for its time quantum */
    STAGE_BIND     /* the final statement is on its way to the twin */
};

struct statement_run {
    struct session *session;
    unsigned serial; /* tells callbacks of an earlier run of the session apart */
    enum stage stage;
    struct arena *arena;
    struct statement_request request; /* own copies, in the arena; holds prepared */
    struct flight flight;
    bool answered; /* the flight's row has come */
    size_t n_constants;
    struct sql_constant *constants;
    struct plan_settings settings;
    const struct plan *plan;
    size_t n_arrays; /* one set per relation of the plan; EXPLAIN: one */
    struct array_params *arrays;
    struct release_output **outputs; /* one per relation, NULL but for releases */
    size_t fed; /* relations that the ledger feeds: those before this one are done */
    char request_id[37];
    unsigned tries;
    struct measurement *measurement;
    struct event *quantum;
    uint64_t started_ms;
    const char *cancel; /* set when asked to stop while a step cannot be interrupted */
};

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
    for (size_t i = 0; i < run->n_arrays; i++)
        array_params_clear(&run->arrays[i]);
    for (size_t i = 0; run->outputs && i < run->n_arrays; i++)
        release_free(run->outputs[i]);
    free(run->arrays);
    free(run->outputs);
    prepared_release(run->request.prepared);
    arena_free(run->arena);
    free(run);
}

static void end(struct session *session, enum statement_end how)
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
    end(session, STATEMENT_FAILED);
}

static void release_connection(struct statement_run *run)
{
    if (run->measurement)
        measure_abandon(run->measurement);
    run->measurement = NULL;
}

static void fail(struct statement_run *run, const struct refusal *refusal)
{
    release_connection(run);
    run->stage = STAGE_BIND; /* the twin is busy with the failure: no longer to be cancelled */
    session_fail(run->session, refusal, after_failure);
}

static void fail_with(struct statement_run *run, const char *sqlstate, const char *message,
                      const char *hint)
{
    struct refusal refusal = {0};
    snprintf(refusal.sqlstate, sizeof refusal.sqlstate, "%s", sqlstate);
    snprintf(refusal.message, sizeof refusal.message, "%s", message);
    snprintf(refusal.hint, sizeof refusal.hint, "%s", hint);
    fail(run, &refusal);
}

static void on_resolved(void *context, const PGresult *result)
{
    (void)context;
    if (result == NULL)
        log_warning("the ledger did not note how a charge ended; it stays spent");
}

/* Notes in the ledger how the charge ended. The charge stands whether or not that succeeds. */
static void resolve(struct statement_run *run, bool answered)
{
    struct ledger_call call;
    ledger_resolve_call(&call, run->request_id, answered);
    pg_client_send(server_ledger(run->session->server), call.sql, call.n_params, NULL, call.values,
                   LEDGER_TIMEOUT_MS, on_resolved, NULL);
}

/* The one failure after the charge. */
static void fail_measurement(struct statement_run *run)
{
    resolve(run, false);
    fail_with(run, "58000", "the measurement could not be completed",
              "Its charge stands. Ask the DBA if this happens again.");
}

/* True where the run was asked to stop: it then does. */
static bool stops(struct statement_run *run)
{
    if (run->cancel == NULL)
        return false;
    fail_with(run, "57014", run->cancel, "");
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
    case STAGE_BIND:
        return;
    case STAGE_RESERVE:
    case STAGE_MEASURE:
        release_connection(run);
        stops(run);
        return;
    case STAGE_WAIT:
        event_del(run->quantum);
        stops(run);
        return;
    }
}

/* The twin's own time-out: its transaction is aborted already, so nothing more is sent to it. */
void statement_twin_error(struct session *session, const struct wire_message *message)
{
    (void)message; /* relayed by the caller */
    if (session->statement->stage != STAGE_FLIGHT && session->statement->stage != STAGE_BIND)
        end(session, STATEMENT_FAILED);
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
    void (*then)(struct statement_run *run, const PGresult *result);
};

static void on_ledger(void *context, const PGresult *result)
{
    struct ledger_wait wait = *(struct ledger_wait *)context;
    free(context);
    struct session *session = session_ticket_use(wait.ticket);
    if (session && session->statement && session->statement->serial == wait.serial)
        wait.then(session->statement, result);
}

static void ask_ledger(struct statement_run *run, const struct ledger_call *call,
                       void (*then)(struct statement_run *run, const PGresult *result))
{
    struct ledger_wait *wait = calloc(1, sizeof *wait);
    assert(wait != NULL);
    wait->ticket = session_ticket_take(run->session);
    wait->serial = run->serial;
    wait->then = then;
    pg_client_send(server_ledger(run->session->server), call->sql, call->n_params, NULL,
                   call->values, LEDGER_TIMEOUT_MS, on_ledger, wait);
}

static void fail_ledger(struct statement_run *run)
{
    fail_with(run, "57P03", "the ledger cannot be reached now",
              "Nothing was measured. Try again in a moment.");
}

/* --- the flight --------------------------------------------------------------------------------
 */

static void pass_on_error(struct statement_run *run, const struct wire_message *message)
{
    final_report_error(message, session_to_client(run->session));
    end(run->session, STATEMENT_FAILED);
}

static void on_flight_error(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E')
        pass_on_error(session->statement, message);
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
        pass_on_error(run, message);
    else if (message->type == 'D')
        run->answered = flight_read(run->arena, message, statement_of(run)->n_names,
                                    prepared->n_params, prepared->param_types, &run->flight);
}

static void on_constants_row(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct statement_run *run = session->statement;
    if (message->type == 'E')
        pass_on_error(run, message);
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
        pass_on_error(run, message);
    } else if (!run->answered) {
        fail_with(run, "XX000", "the twin session gave no answer to the planner's question", "");
    } else if (!stops(run)) {
        if (!run->flight.still_prepared)
            end(session, STATEMENT_NOT_PRIVATE);
        else
            plan_statement(run);
    }
}

/* One statement with one row on the twin, under the client's own portal name, so that whatever is
 * wrong with the portal or the parameters is said now. */
static void fly(struct statement_run *run, const char *sql, bool with_params, reply_sink *on_row)
{
    struct session *session = run->session;
    struct evbuffer *twin = session_to_twin(session);
    const struct prepared *prepared = run->request.prepared;
    run->answered = false;
    wire_name(twin, 'C', 'S', flight_name);
    replies_push(&session->replies, 'C', on_flight_error, session, NULL);
    wire_parse(twin, flight_name, sql, with_params ? prepared->n_params : 0, prepared->param_types);
    replies_push(&session->replies, 'P', on_flight_error, session, NULL);
    final_bind(twin, run->request.portal, flight_name, with_params ? &run->request : NULL, 0, NULL);
    replies_push(&session->replies, 'B', on_flight_error, session, NULL);
    wire_execute(twin, run->request.portal, 0);
    replies_push(&session->replies, 'E', on_row, session, NULL);
    wire_name(twin, 'C', 'P', run->request.portal);
    replies_push(&session->replies, 'C', on_flight_error, session, NULL);
    wire_name(twin, 'C', 'S', flight_name);
    replies_push(&session->replies, 'C', on_flight_closed, session, NULL);
    wire_empty(twin, 'H');
}

/* --- answer ------------------------------------------------------------------------------------
 */

static void notice(struct statement_run *run)
{
    if (run->plan->charge.mu2_pico == 0 || run->plan->shape == PLAN_EXPLAIN || run->plan->probe ||
        !settings_want_notice(&run->flight))
        return;
    struct wire_report report = {
        .severity = "NOTICE",
        .sqlstate = "00000",
        .message = budget_notice(run->arena, &run->plan->charge, &run->session->account)};
    wire_report(session_to_client(run->session), &report);
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
        fail_with(run, "XX000", "the answer's columns are not those of the statement", "");
    } else {
        notice(run);
        end(session, STATEMENT_BOUND);
    }
}

static void bind_final(struct statement_run *run)
{
    struct session *session = run->session;
    struct evbuffer *twin = session_to_twin(session);
    const struct prepared *prepared = run->request.prepared;
    bool explain = run->plan->shape == PLAN_EXPLAIN, copy = run->plan->shape == PLAN_COPY;
    run->stage = STAGE_BIND;
    run->answered = true;
    wire_name(twin, 'C', 'S', flight_name);
    replies_push(&session->replies, 'C', on_final_error, session, NULL);
    final_parse(twin, flight_name, run->plan, explain ? 0 : prepared->n_params,
                prepared->param_types, run->n_arrays, run->arrays);
    replies_push(&session->replies, 'P', on_final_error, session, NULL);
    final_bind(twin, run->request.portal, flight_name, explain || copy ? NULL : &run->request,
               copy ? 0 : run->n_arrays, run->arrays);
    replies_push(&session->replies, 'B', on_final_error, session, NULL);
    wire_name(twin, 'D', 'P', run->request.portal);
    replies_push(&session->replies, 'D', on_final_described, session, NULL);
    wire_name(twin, 'C', 'S', flight_name);
    replies_push(&session->replies, 'C', on_final_closed, session, NULL);
    wire_empty(twin, 'H');
}

static void on_quantum(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    bind_final(context);
}

/* Answers leave at multiples of the quantum, counted from the statement's arrival. */
static void wait_quantum(struct statement_run *run)
{
    uint64_t quantum = run->session->server->config->answer_quantum_ms;
    if (quantum == 0) {
        bind_final(run);
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

/* --- measure -----------------------------------------------------------------------------------
 */

/* A row of the release-th release: to its output. */
static bool on_row(void *context, size_t release, const char *const *keys, const __int128 *values)
{
    struct statement_run *run = context;
    for (size_t i = 0; i < run->n_arrays; i++)
        if (run->outputs[i] != NULL && release-- == 0)
            return release_add(run->outputs[i], keys, values);
    return false;
}

/* Arrays of every release. */
static bool finish_outputs(struct statement_run *run)
{
    for (size_t i = 0; i < run->n_arrays; i++)
        if (run->outputs[i] != NULL &&
            !release_finish(run->outputs[i], run->plan->probe, &run->arrays[i]))
            return false;
    return true;
}

static void on_measured(void *context, bool failed)
{
    struct statement_run *run = context;
    run->measurement = NULL;
    if (run->stage == STAGE_CHARGE)
        return; /* lost while the debit is under way: its answer decides how this ends */
    if (failed && run->stage == STAGE_RESERVE) {
        fail_with(run, "57P03", "the protected server cannot be reached now",
                  "Nothing was charged. Try again in a moment.");
        return;
    }
    if (failed || !finish_outputs(run)) {
        fail_measurement(run);
        return;
    }
    resolve(run, true);
    if (!stops(run))
        wait_quantum(run);
}

/* --- charge ------------------------------------------------------------------------------------
 */

static void charge(struct statement_run *run);

static void on_charged(struct statement_run *run, const PGresult *result)
{
    struct session *session = run->session;
    enum ledger_outcome outcome =
        result ? ledger_charge_result(result, &session->account, NULL, 0) : LEDGER_FAILED;
    struct refusal refusal;
    switch (outcome) {
    case LEDGER_OK:
        if (run->measurement == NULL) { /* the connection was lost while the debit was under way */
            fail_measurement(run);
        } else if (!stops(run)) {
            run->stage = STAGE_MEASURE;
            measure_go(run->measurement);
        }
        return;
    case LEDGER_EXCEEDED:
    case LEDGER_NO_ACCOUNT:
    case LEDGER_FROZEN:
        budget_refusal(run->arena, &run->plan->charge, &session->account, outcome, &refusal);
        fail(run, &refusal);
        return;
    case LEDGER_FAILED: /* perhaps charged: asked again under the same identity, charged once */
        if (++run->tries < LEDGER_TRIES && run->cancel == NULL)
            charge(run);
        else
            fail_ledger(run);
        return;
    }
}

/* Those that are measured. */
static struct ledger_release *charged_releases(struct statement_run *run, size_t *n)
{
    const struct plan *plan = run->plan;
    struct ledger_release *releases = arena_alloc(run->arena, plan->n_relations * sizeof *releases);
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        if (plan->relations[i].kind == RELATION_RELEASE && release->n_drawn > 0)
            releases[(*n)++] = (struct ledger_release){.charge = release->charge,
                                                       .measures = release->mechanism_json};
    }
    return releases;
}

static void charge(struct statement_run *run)
{
    struct session *session = run->session;
    struct ledger_call call;
    assert(!session->explains_only);
    run->stage = STAGE_CHARGE;
    size_t n_releases = 0;
    struct ledger_release *releases = charged_releases(run, &n_releases);
    ledger_charge_call(&call, run->request_id, session->startup->user, session->startup->database,
                       policy_epoch_name(session->edition->policy->epoch), run->plan->fingerprint,
                       releases, n_releases);
    ask_ledger(run, &call, on_charged);
    ledger_call_free(&call);
}

static void on_ready(void *context)
{
    charge(context);
}

static bool new_request_id(char id[37])
{
    unsigned char random[16];
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    random[6] = (unsigned char)((random[6] & 0x0F) | 0x40);
    random[8] = (unsigned char)((random[8] & 0x3F) | 0x80);
    char *at = id;
    for (size_t i = 0; i < sizeof random; i++)
        at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", random[i]);
    return true;
}

static bool measures_anything(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_relations; i++)
        if (plan->relations[i].kind == RELATION_RELEASE && plan->relations[i].release->n_drawn > 0)
            return true;
    return false;
}

static void charge_or_answer(struct statement_run *run)
{
    struct session *session = run->session;
    const struct config *config = session->server->config;
    if (run->plan->probe || !measures_anything(run->plan)) {
        if (finish_outputs(run))
            bind_final(run);
        else
            fail_with(run, "58000", "there is no entropy for an answer", "");
    } else if (session->dataset->paused) {
        fail_with(run, "57P03", "the DBA has paused this database",
                  "Nothing was charged. Try again later.");
    } else if (server_count_measuring(session->server, session->startup->user) >=
               config->measurements_per_analyst_max) {
        fail_with(run, "53300", "too many measurements of yours are under way",
                  "Wait for one of them; nothing was charged.");
    } else if (!new_request_id(run->request_id)) {
        fail_with(run, "58000", "there is no entropy for an answer", "");
    } else {
        run->stage = STAGE_RESERVE;
        run->measurement = measure_reserve(session->dataset->pool, run->plan,
                                           run->flight.settings[FLIGHT_TIME_ZONE], on_ready, on_row,
                                           on_measured, run);
    }
}

/* --- the ledger's relations and EXPLAIN ----------------------------------------------------------
 */

static void explain(struct statement_run *run)
{
    const struct plan *plan = run->plan;
    const struct ledger_account *account = &run->session->account;
    if (plan->explain_json) {
        const char *json =
            arena_printf(run->arena, "[{\"Plan\": %s, \"Budget\": %s}]", plan->explain_json,
                         budget_explain_json(run->arena, &plan->charge, account));
        release_text_arrays(1, 1, &json, run->arrays);
    } else {
        const char **lines = arena_alloc(run->arena, (plan->n_explain + 2) * sizeof *lines);
        memcpy(lines, plan->explain, plan->n_explain * sizeof *lines);
        budget_explain(run->arena, &plan->charge, account, lines + plan->n_explain);
        release_text_arrays(1, plan->n_explain + 2, lines, run->arrays);
    }
    bind_final(run);
}

static void feed_relations(struct statement_run *run);

static void feed(struct statement_run *run, size_t n_columns, size_t n_rows,
                 const char *const *cells)
{
    release_text_arrays(n_columns, run->plan->probe ? 0 : n_rows, cells, &run->arrays[run->fed]);
    run->fed++;
    feed_relations(run);
}

static int rows_of(const PGresult *result)
{
    return result && PQresultStatus(result) == PGRES_TUPLES_OK ? PQntuples(result) : -1;
}

static void on_accounts(struct statement_run *run, const PGresult *result)
{
    int rows = rows_of(result);
    const char **cells = arena_alloc(run->arena, ((size_t)(rows < 0 ? 0 : rows) + 1) *
                                                     BUDGET_COLUMNS * sizeof *cells);
    bool read = rows >= 0;
    for (int row = 0; read && row < rows; row++) {
        struct ledger_account account;
        read = ledger_accounts_result(result, row, &account) != LEDGER_FAILED;
        if (read)
            budget_row(run->arena, &account, run->settings.epsilon,
                       cells + (size_t)row * BUDGET_COLUMNS);
    }
    if (!read)
        fail_ledger(run);
    else if (!stops(run))
        feed(run, BUDGET_COLUMNS, (size_t)rows, cells);
}

static void on_history(struct statement_run *run, const PGresult *result)
{
    int rows = rows_of(result);
    if (rows < 0 || PQnfields(result) != HISTORY_COLUMNS) {
        fail_ledger(run);
        return;
    }
    const char **cells =
        arena_alloc(run->arena, ((size_t)rows + 1) * HISTORY_COLUMNS * sizeof *cells);
    for (int i = 0; i < rows * HISTORY_COLUMNS; i++) {
        const char *cell = PQgetvalue(result, i / HISTORY_COLUMNS, i % HISTORY_COLUMNS);
        cells[i] = cell[0] == '\0' ? NULL : arena_strdup(run->arena, cell);
    }
    if (!stops(run))
        feed(run, HISTORY_COLUMNS, (size_t)rows, cells);
}

/* Asks the ledger for each relation that it feeds, one after the other; then the releases' turn. */
static void feed_relations(struct statement_run *run)
{
    const struct startup *startup = run->session->startup;
    struct ledger_call call;
    while (run->fed < run->plan->n_relations) {
        switch (run->plan->relations[run->fed].kind) {
        case RELATION_RELEASE:
            run->fed++;
            break;
        case RELATION_BUDGET:
            ledger_accounts_call(&call, startup->user);
            ask_ledger(run, &call, on_accounts);
            return;
        case RELATION_HISTORY:
            ledger_history_call(&call, startup->user, startup->database);
            ask_ledger(run, &call, on_history);
            return;
        }
    }
    charge_or_answer(run);
}

static void on_explain_account(struct statement_run *run, const PGresult *result)
{
    enum ledger_outcome outcome =
        result ? ledger_account_result(result, &run->session->account) : LEDGER_FAILED;
    if (outcome == LEDGER_FAILED || outcome == LEDGER_NO_ACCOUNT)
        fail_ledger(run);
    else if (!stops(run))
        explain(run);
}

/* --- plan ---------------------------------------------------------------------------------------
 */

static void follow_plan(struct statement_run *run)
{
    bool is_explain = run->plan->shape == PLAN_EXPLAIN;
    if (run->session->explains_only && !is_explain) {
        fail_with(run, "42501", "this session may only explain statements over private tables",
                  "Put EXPLAIN before the statement, or ask as the analyst.");
        return;
    }
    run->stage = STAGE_LEDGER;
    run->n_arrays = is_explain ? 1 : run->plan->n_relations;
    run->arrays = calloc(run->n_arrays + 1, sizeof *run->arrays);
    run->outputs = calloc(run->n_arrays + 1, sizeof(struct release_output *));
    assert(run->arrays != NULL && run->outputs != NULL);
    for (size_t i = 0; !is_explain && i < run->n_arrays; i++)
        if (run->plan->relations[i].kind == RELATION_RELEASE)
            run->outputs[i] =
                release_begin(run->session->server->noise, run->plan->relations[i].release, NULL,
                              run->session->server->config->answer_rows_max);
    if (is_explain) {
        struct ledger_call call;
        const struct startup *startup = run->session->startup;
        ledger_account_call(&call, startup->user, startup->database);
        ask_ledger(run, &call, on_explain_account);
    } else {
        feed_relations(run);
    }
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

static void plan_statement(struct statement_run *run)
{
    struct session *session = run->session;
    const struct prepared *prepared = run->request.prepared;
    struct refusal refusal = {0};
    if (!settings_read(&run->flight, session->server->config, session->dataset->config,
                       &session->account, &run->settings, &refusal)) {
        fail(run, &refusal);
        return;
    }
    struct plan_request request = {.catalog = session->edition->catalog,
                                   .resolved_oids = run->flight.oids,
                                   .settings = &run->settings,
                                   .n_params = prepared->n_params,
                                   .params = run->flight.params,
                                   .n_constants = run->n_constants,
                                   .constants = run->constants};
    const struct sql_constant *wanted = NULL;
    size_t n_wanted = 0;
    switch (parser_plan(prepared->parsed, run->request.index, &request, &run->plan, &refusal,
                        &wanted, &n_wanted)) {
    case PLAN_READY:
        follow_plan(run);
        break;
    case PLAN_NOT_PRIVATE:
        end(session, STATEMENT_NOT_PRIVATE);
        break;
    case PLAN_REFUSED:
        fail(run, &refusal);
        break;
    case PLAN_WANTS_CONSTANTS:
        if (run->n_constants > 0)
            fail_with(run, "XX000", "the planner asked twice for the same constants", "");
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
