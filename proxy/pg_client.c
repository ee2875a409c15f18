#include "proxy/pg_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/log.h"
#include "proxy/pg_cancel.h"

enum {
    CONNECT_TIMEOUT_MS = 10000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MOST_MS = 1000,
    GRACE_MS = 5000, /* a server that was there a moment ago is given so long to come back */
    SLICE_MS = 5     /* rows are passed on for so long before others have a turn */
};

enum client_state {
    CLIENT_OFFLINE,    /* no connection, none wanted yet */
    CLIENT_BACKOFF,    /* the last attempt failed: the timer allows the next one */
    CLIENT_CONNECTING, /* PQconnectPoll decides; the timer is the limit */
    CLIENT_READY,      /* connected, nothing runs */
    CLIENT_RUNNING,    /* the head of the queue was sent */
    CLIENT_BROKEN      /* found broken where no callback may be called: the kick cleans up */
};

struct request {
    struct request *next;
    struct pg_client *client;
    struct event *timer; /* NULL: no timeout */
    pg_client_done *done;
    void *context;
    bool script, rows;
    int n_params;
    Oid *types;
    char **values;
    char *sql;
};

struct pg_client {
    struct event_base *base;
    char *conninfo, *label;
    PGconn *conn;
    enum client_state state;
    struct event *io, *timer, *kick;
    struct request *head, **tail;
    PGresult *last; /* of the running statement: its first error or its last result */
    bool doubts_warnings;
    bool warned;           /* by the running statement */
    unsigned long session; /* counts connections: a callback may have dropped the one in use */
    unsigned backoff_ms;
    unsigned failures; /* connection attempts in a row */
    uint64_t lost_at;  /* when a working connection was lost, monotonic milliseconds; 0: never */
    bool unread;       /* rows have come that were not passed on: the loop had its turn first */
    unsigned depth;    /* callbacks under way */
    bool freed;        /* by one of them */
};

static void client_connect(struct pg_client *client);
static void client_run(struct pg_client *client);

/* Requests */

static void request_free(struct request *request)
{
    if (request == NULL)
        return;
    if (request->timer != NULL)
        event_free(request->timer);
    for (int i = 0; request->values != NULL && i < request->n_params; i++)
        free(request->values[i]);
    free(request->values);
    free(request->types);
    free(request->sql);
    free(request);
}

static struct request *request_new(const char *sql, int n_params, const Oid *types,
                                   const char *const *values)
{
    assert(n_params >= 0);
    struct request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    size_t n = n_params > 0 ? (size_t)n_params : 1;
    request->n_params = n_params;
    request->sql = strdup(sql);
    request->types = calloc(n, sizeof *request->types);
    request->values = calloc(n, sizeof *request->values);
    if (request->sql == NULL || request->types == NULL || request->values == NULL)
        goto fail;
    for (int i = 0; i < n_params; i++) {
        if (types != NULL)
            request->types[i] = types[i];
        if (values[i] != NULL && (request->values[i] = strdup(values[i])) == NULL)
            goto fail;
    }
    return request;
fail:
    request_free(request);
    return NULL;
}

static struct request *queue_pop(struct pg_client *client)
{
    struct request *request = client->head;
    assert(request != NULL);
    client->head = request->next;
    if (client->head == NULL)
        client->tail = &client->head;
    request->next = NULL;
    return request;
}

static void queue_remove(struct pg_client *client, const struct request *request)
{
    struct request **at = &client->head;
    while (*at != request) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = request->next;
    if (*at == NULL)
        client->tail = at;
}

/* Life */

static void client_destroy(struct pg_client *client)
{
    if (client->io != NULL)
        event_free(client->io);
    if (client->timer != NULL)
        event_free(client->timer);
    if (client->kick != NULL)
        event_free(client->kick);
    free(client->conninfo);
    free(client->label);
    free(client);
}

static void client_enter(struct pg_client *client)
{
    client->depth++;
}

static void client_leave(struct pg_client *client)
{
    assert(client->depth > 0);
    if (--client->depth == 0 && client->freed)
        client_destroy(client);
}

/* Calls back and frees. The caller is inside client_enter. */
static void request_finish(struct request *request, const PGresult *result)
{
    request->done(request->context, result);
    request_free(request);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Closes the connection. No callback. */
static void client_close(struct pg_client *client)
{
    event_del(client->io);
    event_del(client->timer);
    PQclear(client->last);
    client->last = NULL;
    PQfinish(client->conn);
    client->conn = NULL;
    client->session++;
    client->unread = false;
    client->state = CLIENT_OFFLINE;
}

/* The connection is gone: the running statement fails, the waiting ones get a new connection. The
 * caller is inside client_enter. */
static void client_lose(struct pg_client *client)
{
    bool running = client->state == CLIENT_RUNNING || client->state == CLIENT_BROKEN;
    client->lost_at = now_ms();
    client_close(client);
    if (running && client->head != NULL)
        request_finish(queue_pop(client), NULL);
    if (!client->freed && client->state == CLIENT_OFFLINE && client->head != NULL)
        client_connect(client);
}

/* The caller is inside client_enter. */
static void client_fail_all(struct pg_client *client)
{
    struct request *request = client->head;
    client->head = NULL;
    client->tail = &client->head;
    while (request != NULL) {
        struct request *next = request->next;
        if (request->timer != NULL)
            event_del(request->timer);
        request_finish(request, NULL);
        request = next;
    }
}

/* Connecting */

static void client_watch(struct pg_client *client, short what)
{
    event_del(client->io);
    if (event_assign(client->io, client->base, PQsocket(client->conn), (short)(what | EV_PERSIST),
                     event_get_callback(client->io), client) != 0 ||
        event_add(client->io, NULL) != 0) {
        log_error("%s: cannot watch the connection", client->label);
        client->state = CLIENT_BROKEN;
        event_active(client->kick, EV_TIMEOUT, 0);
    }
}

static void client_arm(struct pg_client *client, unsigned milliseconds)
{
    struct timeval delay = {.tv_sec = (time_t)(milliseconds / 1000),
                            .tv_usec = (suseconds_t)(milliseconds % 1000 * 1000)};
    event_add(client->timer, &delay);
}

/* Notices of a server can quote rows: they go nowhere. */
static void drop_notice(void *context, const PGresult *result)
{
    struct pg_client *client = context;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity != NULL && strcmp(severity, "WARNING") == 0)
        client->warned = true;
}

static void client_connect_failed(struct pg_client *client, const char *why)
{
    if (client->failures++ == 0)
        log_warning("%s: cannot connect: %s", client->label, why);
    client_close(client);
    client->backoff_ms = client->backoff_ms == 0                     ? BACKOFF_FIRST_MS
                         : client->backoff_ms * 2 <= BACKOFF_MOST_MS ? client->backoff_ms * 2
                                                                     : BACKOFF_MOST_MS;
    client->state = CLIENT_BACKOFF;
    client_arm(client, client->backoff_ms);
    /* A restart is bridged; a server that stays away is not waited for by every statement. */
    if (client->lost_at == 0 || now_ms() - client->lost_at >= GRACE_MS)
        client_fail_all(client);
}

static void client_connected(struct pg_client *client)
{
    event_del(client->timer);
    if (PQsetnonblocking(client->conn, 1) != 0) {
        client_connect_failed(client, PQerrorMessage(client->conn));
        return;
    }
    if (client->failures > 0)
        log_info("%s: connected again", client->label);
    client->failures = 0;
    client->backoff_ms = 0;
    client->state = CLIENT_READY;
    client_watch(client, EV_READ);
    client_run(client);
}

static void client_connect_step(struct pg_client *client)
{
    event_del(client->io); /* libpq may close this socket and open another */
    switch (PQconnectPoll(client->conn)) {
    case PGRES_POLLING_READING:
        client_watch(client, EV_READ);
        break;
    case PGRES_POLLING_WRITING:
        client_watch(client, EV_WRITE);
        break;
    case PGRES_POLLING_OK:
        client_connected(client);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        client_connect_failed(client, PQerrorMessage(client->conn));
        break;
    }
}

/* Only from the event loop: an attempt that fails at once calls back. */
static void client_connect(struct pg_client *client)
{
    /* Before the connection string what it may override: a peer that vanished is noticed within a
     * minute or two. Behind it what it may not. */
    static const char *const keywords[] = {
        "keepalives_idle", "keepalives_interval", "keepalives_count",          "tcp_user_timeout",
        "dbname",          "client_encoding",     "fallback_application_name", NULL};
    const char *const values[] = {"60",   "10",     "3", "30000", client->conninfo,
                                  "UTF8", "pgveil", NULL};
    assert(client->state == CLIENT_OFFLINE && client->conn == NULL);
    client->conn = PQconnectStartParams(keywords, values, 1);
    client->state = CLIENT_CONNECTING;
    if (client->conn == NULL) {
        client_connect_failed(client, "out of memory");
        return;
    }
    PQsetNoticeReceiver(client->conn, drop_notice, client);
    if (PQstatus(client->conn) == CONNECTION_BAD) {
        client_connect_failed(client, PQerrorMessage(client->conn));
        return;
    }
    client_arm(client, CONNECT_TIMEOUT_MS);
    client_watch(client, EV_WRITE); /* as if PQconnectPoll had asked for it */
}

/* Running */

static void client_broken(struct pg_client *client)
{
    client->state = CLIENT_BROKEN;
    event_active(client->kick, EV_TIMEOUT, 0);
}

static void client_flush(struct pg_client *client)
{
    int left = PQflush(client->conn);
    if (left < 0)
        client_broken(client);
    else
        client_watch(client, left > 0 ? EV_READ | EV_WRITE : EV_READ);
}

/* Sends the head of the queue. Calls nobody back: also used inside pg_client_send. */
static void client_run(struct pg_client *client)
{
    if (client->state != CLIENT_READY || client->head == NULL)
        return;
    struct request *request = client->head;
    client->warned = false;
    int sent =
        request->script
            ? PQsendQuery(client->conn, request->sql)
            : PQsendQueryParams(client->conn, request->sql, request->n_params, request->types,
                                (const char *const *)request->values, NULL, NULL, 0);
    if (sent == 1 && request->rows)
        sent = PQsetSingleRowMode(client->conn);
    client->state = CLIENT_RUNNING;
    if (sent == 1)
        client_flush(client);
    else
        client_broken(client);
}

/* One result of the running statement. False: the connection is of no use any more. */
static bool client_take(struct pg_client *client, PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        client->head->done(client->head->context, result);
        PQclear(result);
        return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(result);
        return false;
    case PGRES_EMPTY_QUERY:
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
    case PGRES_PIPELINE_SYNC:
    case PGRES_PIPELINE_ABORTED:
    default:
        if (client->last != NULL && PQresultStatus(client->last) == PGRES_FATAL_ERROR) {
            PQclear(result);
        } else {
            PQclear(client->last);
            client->last = result;
        }
        return true;
    }
}

static void client_finish_statement(struct pg_client *client)
{
    struct request *request = queue_pop(client);
    PGresult *result = client->last;
    bool doubtful =
        client->doubts_warnings && client->warned && PQresultStatus(result) != PGRES_FATAL_ERROR;
    client->last = NULL;
    client->state = CLIENT_READY;
    request_finish(request, doubtful ? NULL : result);
    PQclear(result);
}

/* Reads all that is there; where what is done with it takes longer than a slice, the rest in the
 * loop's next turns, and no more from the server before. The caller is inside client_enter. */
static void client_read(struct pg_client *client)
{
    static const struct timeval at_once = {0, 0};
    unsigned long session = client->session;
    if (!client->unread && PQconsumeInput(client->conn) == 0) {
        client_lose(client);
        return;
    }
    client->unread = false;
    uint64_t until = now_ms() + SLICE_MS;
    while (client->state == CLIENT_RUNNING && !PQisBusy(client->conn)) {
        if (now_ms() > until) {
            client->unread = true;
            event_add(client->kick, &at_once);
            return;
        }
        PGresult *result = PQgetResult(client->conn);
        bool usable = true;
        if (result != NULL)
            usable = client_take(client, result);
        else if (PQstatus(client->conn) == CONNECTION_BAD)
            usable = false;
        else
            client_finish_statement(client);
        if (client->freed || client->session != session)
            return;
        if (!usable) {
            client_lose(client);
            return;
        }
        client_run(client);
    }
    for (PGnotify *notify; (notify = PQnotifies(client->conn)) != NULL;)
        PQfreemem(notify);
}

static void client_on_io(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    struct pg_client *client = context;
    client_enter(client);
    switch (client->state) {
    case CLIENT_CONNECTING:
        client_connect_step(client);
        break;
    case CLIENT_READY:
    case CLIENT_RUNNING:
        if (what & EV_WRITE)
            client_flush(client);
        if ((what & EV_READ) && client->state != CLIENT_BROKEN && !client->unread)
            client_read(client);
        break;
    case CLIENT_OFFLINE:
    case CLIENT_BACKOFF:
    case CLIENT_BROKEN:
        break;
    }
    client_leave(client);
}

/* The connection attempt took too long, or the pause after a failed one is over. */
static void client_on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct pg_client *client = context;
    client_enter(client);
    if (client->state == CLIENT_CONNECTING) {
        client_connect_failed(client, "no answer in time");
    } else if (client->state == CLIENT_BACKOFF) {
        client->state = CLIENT_OFFLINE;
        if (client->head != NULL)
            client_connect(client);
    }
    client_leave(client);
}

static void client_on_kick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct pg_client *client = context;
    client_enter(client);
    if (client->state == CLIENT_BROKEN)
        client_lose(client);
    else if (client->state == CLIENT_OFFLINE && client->head != NULL)
        client_connect(client);
    else if (client->state == CLIENT_RUNNING && client->unread)
        client_read(client);
    client_leave(client);
}

static void request_on_timeout(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct request *request = context;
    struct pg_client *client = request->client;
    client_enter(client);
    if (request == client->head && client->state == CLIENT_RUNNING) {
        log_warning("%s: a statement took too long", client->label);
        pg_client_cancel(client);
        client_lose(client);
    } else {
        queue_remove(client, request);
        request_finish(request, NULL);
    }
    client_leave(client);
}

/* The interface */

void pg_client_cancel(struct pg_client *client)
{
    if (client->state == CLIENT_RUNNING && !pg_cancel_send(client->conn))
        log_warning("%s: could not send a cancel request", client->label);
}

struct pg_client *pg_client_new(struct event_base *base, const char *conninfo, const char *label)
{
    struct pg_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->base = base;
    client->tail = &client->head;
    client->conninfo = strdup(conninfo);
    client->label = strdup(label);
    client->io = event_new(base, -1, 0, client_on_io, client);
    client->timer = evtimer_new(base, client_on_timer, client);
    client->kick = evtimer_new(base, client_on_kick, client);
    if (client->conninfo == NULL || client->label == NULL || client->io == NULL ||
        client->timer == NULL || client->kick == NULL) {
        client_destroy(client);
        return NULL;
    }
    return client;
}

void pg_client_free(struct pg_client *client)
{
    if (client == NULL || client->freed)
        return;
    client_enter(client);
    client->freed = true;
    client_close(client);
    event_del(client->kick);
    client_fail_all(client);
    client_leave(client);
}

void pg_client_reset(struct pg_client *client)
{
    client_enter(client);
    bool backoff = client->state == CLIENT_BACKOFF;
    client_close(client);
    if (backoff) {
        client->state = CLIENT_BACKOFF;
        client_arm(client, client->backoff_ms);
    }
    client_fail_all(client);
    client_leave(client);
}

static void client_append(struct pg_client *client, struct request *request, uint64_t timeout_ms,
                          pg_client_done *done, void *context)
{
    if (request == NULL) {
        /* No memory even for the request that would carry the failure: nothing can be promised. */
        log_error("%s: out of memory", client->label);
        abort();
    }
    if (client->freed) {
        request_free(request);
        return;
    }
    request->client = client;
    request->done = done;
    request->context = context;
    if (timeout_ms > 0) {
        struct timeval delay = {.tv_sec = (time_t)(timeout_ms / 1000),
                                .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
        request->timer = evtimer_new(client->base, request_on_timeout, request);
        if (request->timer == NULL || event_add(request->timer, &delay) != 0)
            abort();
    }
    *client->tail = request;
    client->tail = &request->next;
    if (client->state == CLIENT_READY)
        client_run(client);
    else if (client->state == CLIENT_OFFLINE)
        event_active(client->kick, EV_TIMEOUT, 0);
}

void pg_client_send(struct pg_client *client, const char *sql, int n_params, const Oid *types,
                    const char *const *values, uint64_t timeout_ms, pg_client_done *done,
                    void *context)
{
    client_append(client, request_new(sql, n_params, types, values), timeout_ms, done, context);
}

void pg_client_rows(struct pg_client *client, const char *sql, int n_params, const Oid *types,
                    const char *const *values, uint64_t timeout_ms, pg_client_done *done,
                    void *context)
{
    struct request *request = request_new(sql, n_params, types, values);
    if (request != NULL)
        request->rows = true;
    client_append(client, request, timeout_ms, done, context);
}

void pg_client_script(struct pg_client *client, const char *sql, pg_client_done *done,
                      void *context)
{
    struct request *request = request_new(sql, 0, NULL, NULL);
    if (request != NULL)
        request->script = true;
    client_append(client, request, 0, done, context);
}

bool pg_client_is_idle(const struct pg_client *client)
{
    return client->head == NULL;
}

bool pg_client_is_connected(const struct pg_client *client)
{
    return client->state == CLIENT_READY || client->state == CLIENT_RUNNING;
}

void pg_client_doubt_warnings(struct pg_client *client)
{
    client->doubts_warnings = true;
}

const PGconn *pg_client_connection(const struct pg_client *client)
{
    return pg_client_is_connected(client) ? client->conn : NULL;
}

unsigned long pg_client_session(const struct pg_client *client)
{
    return client->session;
}
