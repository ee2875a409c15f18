/*
 * What costs: a connection is reserved, the ledger debited, the releases measured, what was drawn
 * kept. In that order, so that what can fail without touching data fails before the charge.
 */
#include <assert.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "proxy/budget_text.h"
#include "proxy/log.h"
#include "proxy/statement_internal.h"

enum {
    LEDGER_TRIES = 5,
    SLICE_STEPS = 500 /* some five milliseconds of drawing */
};

static void on_resolved(void *context, const PGresult *result)
{
    (void)context;
    if (result == NULL)
        log_warning("the ledger did not note how a charge ended; it stays spent");
}

void run_resolve(struct statement_run *run, bool answered)
{
    struct ledger_call call;
    if (run->request_id[0] == '\0')
        return;
    ledger_resolve_call(&call, run->request_id, answered);
    pg_client_send(server_ledger(run->session->server), call.sql, call.n_params, NULL, call.values,
                   STATEMENT_LEDGER_TIMEOUT_MS, on_resolved, NULL);
}

/* The one failure after the charge. */
static void fail_measurement(struct statement_run *run)
{
    run_resolve(run, false);
    run_fail_with(run, "58000", "the measurement could not be completed",
                  "Its charge stands. Ask the DBA if this happens again.");
}

/* A row of the release-th release: to its output. */
static bool on_row(void *context, size_t release, size_t part, const char *const *keys,
                   const __int128 *values)
{
    struct statement_run *run = context;
    for (size_t i = 0; i < run->n_arrays; i++)
        if (run->outputs[i] != NULL && release-- == 0)
            return part == 0 ? release_add(run->outputs[i], keys, values)
                             : release_add_bin(run->outputs[i], part - 1, keys, values);
    return false;
}

/* Arrays of every release that is handed over: bounds that were bought are not. */
static bool finish_outputs(struct statement_run *run)
{
    for (size_t i = run->plan->n_bounds; i < run->n_arrays; i++)
        if (run->outputs[i] != NULL &&
            !release_finish(run->outputs[i], run->plan->probe, &run->arrays[i]))
            return false;
    return true;
}

static bool is_charged(const struct plan_relation *relation)
{
    return relation->kind == RELATION_RELEASE && release_is_measured(relation->release);
}

/* Those that are measured. */
static struct ledger_release *charged_releases(struct statement_run *run, size_t *n)
{
    const struct plan *plan = run->plan;
    struct ledger_release *releases = arena_alloc(run->arena, plan->n_relations * sizeof *releases);
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        if (is_charged(&plan->relations[i]))
            releases[(*n)++] = (struct ledger_release){
                .charge = release->charge,
                .measures = release->mechanism_json,
                .fingerprint =
                    run->reuses && reuse_is_shared(release) ? release->fingerprint : NULL};
    }
    return releases;
}

static void on_kept(struct statement_run *run, const PGresult *result)
{
    if (result == NULL || ledger_keep_result(result) != LEDGER_OK)
        log_warning("the ledger did not keep an answer; asked again it costs again");
    if (!run_stops(run))
        run_wait_quantum(run);
}

/* Notes what was drawn, for who paid for it. The answer is given whether or not that succeeds. */
static void keep(struct statement_run *run)
{
    const struct session *session = run->session;
    const struct ledger_answer *answers;
    size_t n = 0, n_releases = 0;
    if (session->edition->policy->reuse)
        n = reuse_collect(run->arena, run->plan, run->skipped, run->outputs, &answers);
    if (n == 0) {
        if (!run_stops(run))
            run_wait_quantum(run);
        return;
    }
    struct ledger_call call;
    const struct ledger_release *releases = charged_releases(run, &n_releases);
    run->stage = STAGE_KEEP;
    ledger_keep_call(&call, run->request_id, session->startup->user, session->startup->database,
                     policy_epoch_name(session->edition->policy->epoch), releases, n_releases,
                     answers, n);
    run_ask_ledger(run, &call, on_kept);
    ledger_call_free(&call);
}

static void finish(struct statement_run *run);

static void on_slice(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    finish(context);
}

/* All rows are there. Quantiles of groups that have none are drawn in slices, so that no other
 * session waits for all of them. */
static void finish(struct statement_run *run)
{
    static const struct timeval at_once = {0, 0};
    size_t steps = SLICE_STEPS;
    bool drawn = true;
    for (size_t i = run->plan->n_bounds; i < run->n_arrays && drawn && steps > 0; i++)
        if (run->outputs[i] != NULL)
            drawn = release_draw_some(run->outputs[i], &steps);
    if (drawn && steps == 0) {
        if (run->slice == NULL)
            run->slice = evtimer_new(run->session->server->base, on_slice, run);
        assert(run->slice != NULL);
        event_add(run->slice, &at_once);
        return;
    }
    if (!drawn || !finish_outputs(run)) {
        fail_measurement(run);
        return;
    }
    keep(run);
}

static void on_measured(void *context, bool failed)
{
    struct statement_run *run = context;
    run->measurement = NULL;
    if (run->stage == STAGE_CHARGE)
        return; /* lost while the debit is under way: its answer decides how this ends */
    if (failed && run->stage == STAGE_RESERVE) {
        run_fail_with(run, "57P03", "the protected server cannot be reached now",
                      "Nothing was charged. Try again in a moment.");
        return;
    }
    if (failed)
        fail_measurement(run);
    else
        finish(run);
}

static size_t count_charged(const struct statement_run *run)
{
    size_t n = 0;
    for (size_t i = 0; i < run->plan->n_relations; i++)
        n += is_charged(&run->plan->relations[i]);
    return n;
}

/* Everything that is charged and not taken over. */
static void measure(struct statement_run *run)
{
    bool all = true;
    for (size_t i = 0; i < run->plan->n_relations; i++)
        all = all && (!is_charged(&run->plan->relations[i]) || run->skipped[i]);
    if (!all && run->measurement == NULL) { /* lost while the debit was under way */
        fail_measurement(run);
    } else if (!run_stops(run)) {
        run->stage = STAGE_MEASURE;
        if (all) {
            run_release_connection(run);
            finish(run);
        } else {
            measure_go(run->measurement, run->skipped);
        }
    }
}

/* --- bounds that are bought: measured first, then the statement is planned with them ------------
 */

/* Noise for the bounds; their numbers, for the planner and to be kept. */
static bool draw_bounds(struct statement_run *run)
{
    const struct plan *plan = run->plan;
    run->bought = arena_alloc(run->arena, plan->n_bounds * sizeof *run->bought);
    for (size_t i = 0; i < plan->n_bounds; i++) {
        const struct measure *measure = &plan->relations[i].release->measures[0];
        struct array_params not_handed_over = {0};
        bool drawn = release_finish(run->outputs[i], false, &not_handed_over);
        array_params_clear(&not_handed_over);
        if (!drawn)
            return false;
        size_t n = release_groups(run->outputs[i]);
        __int128 *noisy = arena_alloc(run->arena, n * sizeof *noisy);
        for (size_t k = 0; k < n; k++)
            noisy[k] = release_drawn(run->outputs[i], k, 0);
        run->bought[run->n_bought++] =
            (struct plan_histogram){.identity = arena_strdup(run->arena, measure->identity),
                                    .paid_here = true,
                                    .calibration = measure->draw,
                                    .n = n,
                                    .noisy = noisy};
    }
    return true;
}

/* The new outputs get what the old ones had. */
static bool give_again(struct statement_run *run, const __int128 *const *noisy)
{
    if (run->taken.n > 0 &&
        !reuse_adopt(run->plan, &run->taken, run->adopted, run->outputs, run->skipped))
        return false;
    for (size_t i = 0; i < run->plan->n_bounds; i++)
        if (!run->skipped[i] && !release_give(run->outputs[i], run->bought[i].n, NULL, &noisy[i]))
            return false;
    return true;
}

/* Nothing may fail here for what the numbers are: any of them have a meaning. */
static void use_bounds(struct statement_run *run)
{
    bool done = draw_bounds(run);
    const __int128 **noisy = arena_alloc(run->arena, (run->n_bought + 1) * sizeof *noisy);
    for (size_t i = 0; i < run->n_bought; i++)
        noisy[i] = run->bought[i].noisy;
    if (!done || !run_replan(run) || !give_again(run, noisy)) {
        fail_measurement(run);
        return;
    }
    measure_replan(run->measurement, run->plan);
    measure_go(run->measurement, run->skipped);
}

static void ask_adopted(struct statement_run *run);

static void on_adopted(struct statement_run *run, const PGresult *result)
{
    if (result == NULL && ++run->tries < LEDGER_TRIES) {
        ask_adopted(run);
        return;
    }
    if (result == NULL || ledger_answers_result(result, &run->taken) != LEDGER_OK) {
        fail_measurement(run);
        return;
    }
    if (reuse_adopt(run->plan, &run->taken, run->adopted, run->outputs, run->skipped))
        measure(run);
    else
        fail_measurement(run);
}

static bool takes_over(const struct statement_run *run)
{
    bool any = false;
    for (size_t i = 0; i < count_charged(run); i++)
        any = any || run->adopted[i] != 0;
    return any;
}

static void ask_adopted(struct statement_run *run)
{
    struct ledger_call call;
    ledger_adopted_call(&call, run->request_id, run->session->startup->user);
    run_ask_ledger(run, &call, on_adopted);
    ledger_call_free(&call);
}

static void charge(struct statement_run *run, bool alone);

static void on_charged(struct statement_run *run, const PGresult *result)
{
    struct session *session = run->session;
    enum ledger_outcome outcome =
        result ? ledger_charge_result(result, &session->account, run->adopted, count_charged(run))
               : LEDGER_FAILED;
    struct refusal refusal;
    switch (outcome) {
    case LEDGER_OK:
        if (takes_over(run))
            ask_adopted(run);
        else
            measure(run);
        return;
    case LEDGER_EXCEEDED:
    case LEDGER_NO_ACCOUNT:
    case LEDGER_FROZEN:
        budget_refusal(run->arena, &run->plan->charge, &session->account, outcome, &refusal);
        run_fail(run, &refusal);
        return;
    case LEDGER_FAILED: /* perhaps charged: asked again under the same identity, charged once */
        if (++run->tries < LEDGER_TRIES && run->cancel == NULL)
            charge(run, result != NULL);
        else
            run_fail_ledger(run);
        return;
    }
}

/* alone: the ledger answered with an error before. */
static void charge(struct statement_run *run, bool alone)
{
    const struct session *session = run->session;
    assert(!session->explains_only);
    run->stage = STAGE_CHARGE;
    size_t n_releases = 0;
    const struct ledger_release *releases = charged_releases(run, &n_releases);
    const struct ledger_charge wanted = {.request_id = run->request_id,
                                         .analyst = session->startup->user,
                                         .epoch =
                                             policy_epoch_name(session->edition->policy->epoch),
                                         .fingerprint = run->plan->fingerprint,
                                         .releases = releases,
                                         .n_releases = n_releases};
    run_ask_charge(run, &wanted, alone, on_charged);
}

/* Once before the charge; where bounds are bought once more when they are measured. */
static void on_ready(void *context)
{
    struct statement_run *run = context;
    if (run->stage == STAGE_RESERVE)
        charge(run, false);
    else
        use_bounds(run);
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

void run_charge_or_answer(struct statement_run *run)
{
    struct session *session = run->session;
    const struct config *config = session->server->config;
    if (run->plan->probe || count_charged(run) == 0) {
        if (finish_outputs(run))
            run_bind_final(run);
        else
            run_fail_with(run, "58000", "there is no entropy for an answer", "");
    } else if (session->dataset->paused) {
        run_fail_with(run, "57P03", "the DBA has paused this database",
                      "Nothing was charged. Try again later.");
    } else if (server_count_measuring(session->server, session->startup->user) >=
               config->measurements_per_analyst_max) {
        run_fail_with(run, "53300", "too many measurements of yours are under way",
                      "Wait for one of them; nothing was charged.");
    } else if (!new_request_id(run->request_id)) {
        run_fail_with(run, "58000", "there is no entropy for an answer", "");
    } else {
        run->stage = STAGE_RESERVE;
        run->adopted = arena_alloc(run->arena, (run->plan->n_relations + 1) * sizeof *run->adopted);
        run->skipped = arena_alloc(run->arena, (run->plan->n_relations + 1) * sizeof *run->skipped);
        run->measurement = measure_reserve(session->dataset->pool, run->plan,
                                           run->flight.settings[FLIGHT_TIME_ZONE], on_ready, on_row,
                                           on_measured, run);
    }
}
