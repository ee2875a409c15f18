#include "proxy/measure.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/exact_row.h"
#include "proxy/log.h"
#include "proxy/pg_client.h"
#include "proxy/server_identity.h"

enum { TIME_ZONE_MAX = 64, BEGIN_SQL_MAX = 1024 };
enum { BIN_VALUES = 2 }; /* of a histogram's row: the bin and its weight */

enum step { STEP_WAITING, STEP_DATABASE, STEP_BEGIN, STEP_OPEN, STEP_PROOF, STEP_ROWS };

/* One connection. */
struct slot {
    struct measure_pool *pool;
    struct pg_client *client;
    struct measurement *measurement; /* NULL: idle, or its transaction is being closed */
    bool closing;
    char
        database[SERVER_DATABASE_NAME_MAX]; /* to which its connection `session` was seen to lead */
    unsigned long session;
};

struct measure_pool {
    struct event_base *base;
    char *label;
    uint64_t timeout_ms;
    size_t n_slots;
    struct slot *slots;
    struct measurement *head, **tail; /* waiting for a slot */
};

struct measurement {
    struct measurement *next;
    struct measure_pool *pool;
    struct slot *slot; /* NULL while it waits */
    const struct plan *plan;
    measure_ready *ready; /* NULL: goes on at once */
    measure_row *row;
    measure_done *done;
    void *context;
    struct event *deadline;
    char time_zone[TIME_ZONE_MAX];
    enum step step;
    const bool *skipped;
    bool nothing_to_do;
    bool bounds_found;     /* the plan's bounds were asked for, and ready was called again */
    bool doomed;           /* fails in the next turn of the loop */
    bool begun_again;      /* the connection was lost at the first BEGIN */
    unsigned long session; /* of the connection that holds the transaction */
    size_t relation;       /* of the plan, under way */
    size_t release;        /* its number among the plan's releases */
    size_t part;           /* of the release: 0 its measures, then its histograms */
    bool proved;           /* the release's shorter SQL may run in this snapshot */
    const char **keys;     /* of the row being read */
    size_t n_keys;         /* room for so many */
    __int128 *values;
    size_t values_size;
};

static void measurement_finish(struct measurement *measurement, bool failed);
static void handle_result(void *context, const PGresult *result);

static const struct release *release_under_way(const struct measurement *measurement)
{
    assert(measurement->relation < measurement->plan->n_relations);
    return measurement->plan->relations[measurement->relation].release;
}

/* The transaction */

/* Names of time zones as PostgreSQL reports them; nothing that could end a literal. */
static bool time_zone_is_plain(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "_/+-:.,<> ";
    size_t length = strlen(name);
    return length > 0 && length < TIME_ZONE_MAX && strspn(name, allowed) == length;
}

/* Everything that a session or a role's defaults could change about the meaning of an expression is
 * pinned. */
static void send_begin(struct measurement *measurement)
{
    char sql[BEGIN_SQL_MAX];
    uint64_t timeout_ms = measurement->pool->timeout_ms;
    int length = snprintf(sql, sizeof sql,
                          "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                          "SET LOCAL search_path = '';"
                          "SET LOCAL client_encoding = 'UTF8';"
                          "SET LOCAL standard_conforming_strings = on;"
                          "SET LOCAL DateStyle = 'ISO, MDY';"
                          "SET LOCAL IntervalStyle = 'postgres';"
                          "SET LOCAL TimeZone = '%s';"
                          "SET LOCAL extra_float_digits = 3;"
                          "SET LOCAL bytea_output = 'hex';"
                          "SET LOCAL lc_numeric = 'C';"
                          "SET LOCAL array_nulls = on;"
                          "SET LOCAL transform_null_equals = off;"
                          "SET LOCAL gin_fuzzy_search_limit = 0;"
                          "SET LOCAL jit = off;"
                          "SET LOCAL lock_timeout = %" PRIu64 ";"
                          "SET LOCAL statement_timeout = %" PRIu64 ";"
                          "SET LOCAL idle_in_transaction_session_timeout = %" PRIu64,
                          measurement->time_zone, timeout_ms, timeout_ms, timeout_ms);
    assert(length > 0 && (size_t)length < sizeof sql);
    measurement->step = STEP_BEGIN;
    pg_client_script(measurement->slot->client, sql, handle_result, measurement->slot);
}

static void send_rows(struct measurement *measurement, const char *sql, const char *sql_proved)
{
    const struct release *release = release_under_way(measurement);
    size_t n = release->n_params > 0 ? release->n_params : 1;
    Oid *types = calloc(n, sizeof *types);
    const char **values = calloc(n, sizeof *values);
    measurement->step = STEP_ROWS;
    if (types == NULL || values == NULL) {
        free(types);
        free(values);
        measurement_finish(measurement, true);
        return;
    }
    for (size_t i = 0; i < release->n_params; i++) {
        types[i] = release->params[i].type;
        values[i] = release->params[i].text;
    }
    pg_client_rows(measurement->slot->client,
                   measurement->proved && sql_proved != NULL ? sql_proved : sql,
                   (int)release->n_params, types, values, 0, handle_result, measurement->slot);
    free(types);
    free(values);
}

static bool is_measured(const struct plan_relation *relation)
{
    return relation->kind == RELATION_RELEASE && release_is_measured(relation->release);
}

/* Is there a proof by which anything of the release may be asked in a shorter way? */
static bool wants_proof(const struct release *release)
{
    bool shorter = release->sql_proved != NULL;
    for (size_t i = 0; i < release->n_histograms; i++)
        shorter = shorter || release->histograms[i].sql_proved != NULL;
    return shorter && release->proof_sql != NULL;
}

static void send_release(struct measurement *measurement);

/* Asks for the part of the release that is next; behind the last one for the next release. */
static void send_part(struct measurement *measurement)
{
    const struct release *release = release_under_way(measurement);
    if (measurement->part == 0 && release->n_drawn == 0)
        measurement->part++;
    while (measurement->part > 0 && measurement->part <= release->n_histograms &&
           release->histograms[measurement->part - 1].n_draws == 0)
        measurement->part++;
    if (measurement->part == 0) {
        send_rows(measurement, release->sql, release->sql_proved);
    } else if (measurement->part <= release->n_histograms) {
        const struct release_histogram *histogram = &release->histograms[measurement->part - 1];
        send_rows(measurement, histogram->sql, histogram->sql_proved);
    } else {
        measurement->release++;
        measurement->relation++;
        send_release(measurement);
    }
}

/* Asks for the release under way, or the next one that needs asking. */
static void send_release(struct measurement *measurement)
{
    const struct plan *plan = measurement->plan;
    for (; measurement->relation < plan->n_relations; measurement->relation++) {
        const struct plan_relation *relation = &plan->relations[measurement->relation];
        if (plan->n_bounds > 0 && measurement->relation == plan->n_bounds &&
            !measurement->bounds_found) {
            assert(measurement->ready != NULL);
            measurement->bounds_found = true;
            measurement->step = STEP_OPEN;
            measurement->ready(measurement->context); /* may have ended it */
            return;
        }
        if (is_measured(relation) &&
            (measurement->skipped == NULL || !measurement->skipped[measurement->relation]))
            break;
        if (relation->kind == RELATION_RELEASE)
            measurement->release++;
    }
    if (measurement->relation == plan->n_relations) {
        measurement_finish(measurement, false);
        return;
    }
    const struct release *release = release_under_way(measurement);
    measurement->part = 0;
    measurement->proved = false;
    if (wants_proof(release)) {
        measurement->step = STEP_PROOF;
        pg_client_send(measurement->slot->client, release->proof_sql, 0, NULL, NULL, 0,
                       handle_result, measurement->slot);
    } else {
        send_part(measurement);
    }
}

/* Is the connection known to lead to the plan's database? True where that cannot be asked. */
static bool is_known(const struct measurement *measurement)
{
    const struct slot *slot = measurement->slot;
    const char *expected = measurement->plan->database;
    return server_identity_query(expected) == NULL ||
           (slot->session == pg_client_session(slot->client) &&
            strcmp(slot->database, expected) == 0);
}

/* Begins once it is known which database the connection leads to: an address can come to lead
 * elsewhere. */
static void begin(struct measurement *measurement)
{
    struct slot *slot = measurement->slot;
    if (is_known(measurement)) {
        send_begin(measurement);
        return;
    }
    measurement->step = STEP_DATABASE;
    pg_client_send(slot->client, server_identity_query(measurement->plan->database), 0, NULL, NULL,
                   measurement->pool->timeout_ms, handle_result, slot);
}

/* Once more, on a new connection: nothing was asked yet. False where that was done already. */
static bool begin_again(struct measurement *measurement)
{
    if (measurement->begun_again)
        return false;
    measurement->begun_again = true;
    measurement->slot->database[0] = '\0';
    pg_client_reset(measurement->slot->client);
    begin(measurement);
    return true;
}

static void handle_database(struct measurement *measurement, const PGresult *result)
{
    struct slot *slot = measurement->slot;
    bool told = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    slot->session = pg_client_session(slot->client);
    snprintf(slot->database, sizeof slot->database, "%s", told ? PQgetvalue(result, 0, 0) : "");
    if (is_known(measurement)) {
        send_begin(measurement);
    } else if (!begin_again(measurement)) {
        if (told)
            log_warning("%s: this is another database than the one that was synchronised last; "
                        "synchronise the dataset if that is meant",
                        measurement->pool->label);
        measurement_finish(measurement, true);
    }
}

static void handle_begun(struct measurement *measurement, const PGresult *result)
{
    if (result == NULL || !is_known(measurement)) {
        /* Most likely the server closed the idle connection. */
        if (!begin_again(measurement))
            measurement_finish(measurement, true);
    } else if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        measurement_finish(measurement, true);
    } else if (measurement->ready != NULL) {
        measurement->session = pg_client_session(measurement->slot->client);
        measurement->step = STEP_OPEN;
        measurement->ready(measurement->context);
    } else {
        send_release(measurement);
    }
}

static void handle_proof(struct measurement *measurement, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        measurement_finish(measurement, true);
        return;
    }
    measurement->proved = PQntuples(result) == 1 && PQnfields(result) == 1 &&
                          !PQgetisnull(result, 0, 0) && strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    send_part(measurement);
}

static bool pass_row(struct measurement *measurement, const PGresult *result)
{
    const struct release *release = release_under_way(measurement);
    size_t n_values = measurement->part == 0 ? release->n_drawn : BIN_VALUES;
    bool passed =
        exact_row_read(result, release->n_keys, n_values, measurement->keys, measurement->values) &&
        measurement->row(measurement->context, measurement->release, measurement->part,
                         measurement->keys, measurement->values);
    explicit_bzero(measurement->values, measurement->values_size);
    return passed;
}

static void handle_rows(struct measurement *measurement, const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_SINGLE_TUPLE) {
        if (!pass_row(measurement, result))
            measurement_finish(measurement, true);
    } else if (status == PGRES_TUPLES_OK) {
        measurement->part++;
        send_part(measurement);
    } else {
        measurement_finish(measurement, true);
    }
}

static void handle_result(void *context, const PGresult *result)
{
    struct slot *slot = context;
    struct measurement *measurement = slot->measurement;
    if (measurement == NULL)
        return; /* it has ended: this is the connection being reset */
    switch (measurement->step) {
    case STEP_DATABASE:
        handle_database(measurement, result);
        break;
    case STEP_BEGIN:
        handle_begun(measurement, result);
        break;
    case STEP_PROOF:
        handle_proof(measurement, result);
        break;
    case STEP_ROWS:
        handle_rows(measurement, result);
        break;
    case STEP_OPEN:
    case STEP_WAITING:
        break;
    }
}

/* The pool */

static void slot_start(struct slot *slot, struct measurement *measurement)
{
    slot->measurement = measurement;
    measurement->slot = slot;
    begin(measurement);
}

static struct measurement *waiting_pop(struct measure_pool *pool)
{
    struct measurement *measurement = pool->head;
    pool->head = measurement->next;
    if (pool->head == NULL)
        pool->tail = &pool->head;
    return measurement;
}

static void pool_serve(struct measure_pool *pool)
{
    for (size_t i = 0; i < pool->n_slots && pool->head != NULL; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->measurement != NULL || slot->closing)
            continue;
        slot_start(slot, waiting_pop(pool));
    }
}

static void handle_closed(void *context, const PGresult *result)
{
    struct slot *slot = context;
    slot->closing = false;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        pg_client_reset(slot->client);
    pool_serve(slot->pool);
}

/* Gives the connection back. One that is in the middle of something is dropped: a cancel request
 * that arrives late must not hit the next measurement. */
static void slot_release(struct slot *slot, bool clean)
{
    slot->measurement = NULL;
    if (clean) {
        slot->closing = true;
        pg_client_send(slot->client, "COMMIT", 0, NULL, NULL, slot->pool->timeout_ms, handle_closed,
                       slot);
    } else {
        pg_client_cancel(slot->client);
        pg_client_reset(slot->client);
    }
}

static void waiting_remove(struct measure_pool *pool, const struct measurement *measurement)
{
    struct measurement **at = &pool->head;
    while (*at != measurement) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = measurement->next;
    if (*at == NULL)
        pool->tail = at;
}

static void measurement_free(struct measurement *measurement)
{
    free(measurement->keys);
    free(measurement->values);
    if (measurement->deadline != NULL)
        event_free(measurement->deadline);
    free(measurement);
}

static void measurement_leave(struct measurement *measurement, bool clean)
{
    event_del(measurement->deadline);
    if (measurement->slot != NULL)
        slot_release(measurement->slot, clean);
    else
        waiting_remove(measurement->pool, measurement);
}

static void measurement_finish(struct measurement *measurement, bool failed)
{
    struct measure_pool *pool = measurement->pool;
    measurement_leave(measurement, !failed);
    measurement->done(measurement->context, failed);
    measurement_free(measurement);
    pool_serve(pool);
}

static void handle_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct measurement *measurement = context;
    if (!measurement->nothing_to_do && !measurement->doomed)
        log_warning("%s: a measurement took too long", measurement->pool->label);
    measurement_finish(measurement, !measurement->nothing_to_do);
}

/* The interface */

struct measure_pool *measure_pool_new(struct event_base *base, const struct config *config,
                                      const struct config_dataset *dataset)
{
    struct measure_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->base = base;
    pool->tail = &pool->head;
    pool->timeout_ms = config->measurement_timeout_ms;
    size_t n = (size_t)dataset->measurements_max;
    if (asprintf(&pool->label, "protected server of dataset %s", dataset->name) < 0)
        pool->label = NULL;
    pool->slots = calloc(n, sizeof *pool->slots);
    if (pool->label == NULL || pool->slots == NULL)
        goto failed;
    for (; pool->n_slots < n; pool->n_slots++) {
        struct slot *slot = &pool->slots[pool->n_slots];
        slot->pool = pool;
        slot->client = pg_client_new(base, dataset->server, pool->label);
        if (slot->client == NULL)
            goto failed;
    }
    return pool;
failed:
    measure_pool_free(pool);
    return NULL;
}

void measure_pool_free(struct measure_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->head != NULL) {
        struct measurement *measurement = waiting_pop(pool);
        measurement->done(measurement->context, true);
        measurement_free(measurement);
    }
    size_t n = pool->slots != NULL ? pool->n_slots : 0;
    for (size_t i = 0; i < n; i++) {
        if (pool->slots[i].measurement != NULL)
            measurement_finish(pool->slots[i].measurement, true);
    }
    for (size_t i = 0; i < n; i++)
        pg_client_free(pool->slots[i].client);
    free(pool->slots);
    free(pool->label);
    free(pool);
}

/* The widest row of what the plan measures; false: it measures nothing. */
static bool find_widths(const struct plan *plan, size_t *n_keys, size_t *n_measures)
{
    bool any = false;
    *n_keys = 1;
    *n_measures = BIN_VALUES;
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        if (!is_measured(&plan->relations[i]))
            continue;
        any = true;
        *n_keys = release->n_keys > *n_keys ? release->n_keys : *n_keys;
        *n_measures = release->n_drawn > *n_measures ? release->n_drawn : *n_measures;
    }
    return any;
}

static struct measurement *measurement_new(struct measure_pool *pool, const struct plan *plan)
{
    struct measurement *measurement = calloc(1, sizeof *measurement);
    if (measurement == NULL)
        return NULL;
    measurement->pool = pool;
    measurement->plan = plan;
    size_t n_measures;
    measurement->nothing_to_do = !find_widths(plan, &measurement->n_keys, &n_measures);
    measurement->keys = calloc(measurement->n_keys, sizeof *measurement->keys);
    measurement->values_size = n_measures * sizeof *measurement->values;
    measurement->values = calloc(1, measurement->values_size);
    measurement->deadline = evtimer_new(pool->base, handle_deadline, measurement);
    if (measurement->keys == NULL || measurement->values == NULL || measurement->deadline == NULL) {
        measurement_free(measurement);
        return NULL;
    }
    return measurement;
}

static bool plan_uses_time_zone(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_relations; i++) {
        if (plan->relations[i].kind == RELATION_RELEASE &&
            plan->relations[i].release->uses_time_zone)
            return true;
    }
    return false;
}

static void arm_deadline(struct measurement *measurement, uint64_t wait_ms)
{
    struct timeval delay = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    event_add(measurement->deadline, &delay);
}

struct measurement *measure_start(struct measure_pool *pool, const struct plan *plan,
                                  const char *time_zone, measure_row *row, measure_done *done,
                                  void *context)
{
    return measure_reserve(pool, plan, time_zone, NULL, row, done, context);
}

void measure_go(struct measurement *measurement, const bool *skipped)
{
    measurement->skipped = skipped;
    assert(measurement->step == STEP_OPEN);
    if (pg_client_session(measurement->slot->client) != measurement->session) {
        /* Lost in between: on another connection there is no transaction and nothing is pinned. */
        measurement->doomed = true;
        arm_deadline(measurement, 0);
        return;
    }
    arm_deadline(measurement, measurement->pool->timeout_ms);
    send_release(measurement);
}

void measure_replan(struct measurement *measurement, const struct plan *plan)
{
    /* The plan before it is gone. */
    assert(measurement->step == STEP_OPEN && measurement->bounds_found &&
           plan->n_bounds == measurement->relation);
    size_t n_keys, n_measures;
    bool any = find_widths(plan, &n_keys, &n_measures);
    assert(any && n_keys <= measurement->n_keys &&
           n_measures * sizeof *measurement->values <= measurement->values_size);
    (void)any;
    measurement->plan = plan;
}

struct measurement *measure_reserve(struct measure_pool *pool, const struct plan *plan,
                                    const char *time_zone, measure_ready *ready, measure_row *row,
                                    measure_done *done, void *context)
{
    struct measurement *measurement = measurement_new(pool, plan);
    if (measurement == NULL) {
        log_error("%s: out of memory", pool->label);
        abort(); /* the charge stands and nobody could be told */
    }
    measurement->ready = ready;
    measurement->row = row;
    measurement->done = done;
    measurement->context = context;
    bool plain = true;
    if (time_zone != NULL && plan_uses_time_zone(plan))
        plain = time_zone_is_plain(time_zone);
    else
        time_zone = "UTC";
    if (plain)
        snprintf(measurement->time_zone, sizeof measurement->time_zone, "%s", time_zone);
    *pool->tail = measurement;
    pool->tail = &measurement->next;
    if (measurement->nothing_to_do || !plain) {
        /* Ends in the next turn of the loop, well or not; it needs no connection. */
        measurement->doomed = !plain;
        arm_deadline(measurement, 0);
        return measurement;
    }
    arm_deadline(measurement, pool->timeout_ms);
    pool_serve(pool);
    return measurement;
}

void measure_abandon(struct measurement *measurement)
{
    struct measure_pool *pool = measurement->pool;
    measurement_leave(measurement, measurement->step == STEP_OPEN);
    measurement_free(measurement);
    pool_serve(pool);
}
