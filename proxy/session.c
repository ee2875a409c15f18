/*
 * A session's life once it is open: relay. Everything that the client sends is either parsed here
 * first (Query, Parse) or refers to what was. The twin's replies are matched with the queue of what
 * it owes; whatever is not meant for pgveil goes to the client as it came.
 *
 * Memory of a slow reader is bounded: while one side's output is congested, the other is not read.
 */
#include "proxy/session_internal.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/twin.h"

enum { REPLIES_MAX = 4096, GRACE_MS = 10000, PARTIAL_BYTES = 1 << 16 };

uint64_t session_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct session_ticket *session_ticket_take(struct session *session)
{
    session->ticket->references++;
    return session->ticket;
}

static void ticket_drop(struct session_ticket *ticket)
{
    if (--ticket->references == 0)
        free(ticket);
}

struct session *session_ticket_use(struct session_ticket *ticket)
{
    struct session *session = ticket->session;
    ticket_drop(ticket);
    return session != NULL && session->state != SESSION_CLOSING ? session : NULL;
}

/* --- time ---------------------------------------------------------------------------------- */

static bool is_busy(const struct session *session)
{
    return session->state == SESSION_PRIVATE || session->replies.count > 0;
}

void session_arm(struct session *session)
{
    const struct config *config = session->server->config;
    uint64_t wait_ms;
    if (session->state == SESSION_OPENING)
        wait_ms = config->login_timeout_ms;
    else if (is_busy(session))
        wait_ms = session->timeouts > 0 ? GRACE_MS : config->statement_timeout_ms;
    else
        wait_ms = session->transaction == 'I' ? config->idle_timeout_ms
                                              : config->idle_transaction_timeout_ms;
    if (wait_ms == 0) {
        event_del(session->timer);
        return;
    }
    struct timeval wait = {(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)};
    event_add(session->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct session *session = context;
    (void)fd, (void)what;
    if (session->state == SESSION_OPENING) {
        session_end(session, "57P03", "the session could not be opened in time");
    } else if (!is_busy(session)) {
        if (session->transaction == 'I')
            session_end(session, "57P05", "terminating connection due to idle-session timeout");
        else
            session_end(session, "25P03",
                        "terminating connection due to idle-in-transaction timeout");
    } else if (session->timeouts++ > 0) {
        session_end(session, "57014", "terminating connection: the statement did not stop");
    } else {
        if (session->statement)
            statement_cancel(session, "canceling statement due to statement timeout");
        else
            twin_cancel(session->server->base, &session->twin_target, session->twin_pid,
                        session->twin_key);
        if (session->state != SESSION_CLOSING)
            session_arm(session);
    }
}

/* --- the end ------------------------------------------------------------------------------- */

static void free_session(evutil_socket_t fd, short what, void *context)
{
    struct session *session = context;
    (void)fd, (void)what;
    struct session **link = &session->server->sessions;
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    listener_release(session->listener);
    event_free(session->timer);
    event_free(session->closing);
    replies_clear(&session->replies);
    prepared_table_clear(&session->prepared);
    session_reading_clear(session);
    edition_release(session->edition);
    startup_free(session->startup);
    session->ticket->session = NULL;
    ticket_drop(session->ticket);
    free(session);
}

void session_end(struct session *session, const char *sqlstate, const char *message)
{
    if (session->state == SESSION_CLOSING)
        return;
    session_enter(session, SESSION_CLOSING);
    statement_free(session->statement);
    session->statement = NULL;
    query_free(session->query);
    session->query = NULL;
    if (session->twin_login)
        twin_login_abandon(session->twin_login);
    session->twin_login = NULL;
    if (session->client && message && session->partial == 0) { /* never inside a row */
        struct wire_report report = {.severity = "FATAL", .sqlstate = sqlstate, .message = message};
        wire_report(session_to_client(session), &report);
    }
    if (session->client)
        stream_free_flushed(session->client);
    session->client = NULL;
    if (session->twin) {
        /* A statement that nobody waits for any more would go on for as long as it takes. */
        if (session->replies.count > 0 && !session->twin_ended)
            twin_cancel(session->server->base, &session->twin_target, session->twin_pid,
                        session->twin_key);
        wire_empty(stream_output(session->twin), 'X');
        stream_free_flushed(session->twin);
    }
    session->twin = NULL;
    event_del(session->timer);
    struct timeval now = {0, 0};
    event_add(session->closing, &now);
}

void session_enter(struct session *session, enum session_state state)
{
    assert(session->state != SESSION_CLOSING);
    session->state = state;
}

/* --- what both directions share ------------------------------------------------------------- */

struct evbuffer *session_to_client(struct session *session)
{
    return stream_output(session->client);
}

struct evbuffer *session_to_twin(struct session *session)
{
    return stream_output(session->twin);
}

static bool has_moved(const struct session *session, const struct wire_message *message)
{
    return session->characters_before > 0 && (message->type == 'E' || message->type == 'N');
}

void session_pass_on(struct session *session, const struct wire_message *message)
{
    if (has_moved(session, message)) {
        wire_report_moved(session_to_client(session), message, session->characters_before);
        return;
    }
    struct wire_writer writer = wire_begin(session_to_client(session), message->type);
    wire_add_bytes(&writer, message->payload, message->length);
    wire_end(&writer);
}

struct parsed *session_parse(const struct session *session, const char *text)
{
    const struct config *config = session->server->config;
    struct parser_limits limits = {.text_bytes_max = config->statement_bytes_max,
                                   .tokens_max = config->statement_tokens_max,
                                   .depth_max = config->statement_depth_max};
    return parser_parse(text, session->edition->catalog, &limits);
}

/* --- from the client ------------------------------------------------------------------------ */

enum handled session_relay(struct session *session, const struct wire_message *message,
                           reply_sink *sink, void *context, void (*release)(void *))
{
    replies_push(&session->replies, message->type, sink, context, release);
    wire_forward(stream_input(session->client), message, session_to_twin(session));
    return HANDLED_RELAYED;
}

static enum handled refuse_function_call(struct session *session)
{
    struct evbuffer *bytes = evbuffer_new();
    assert(bytes != NULL);
    struct wire_report report = {.severity = "ERROR",
                                 .sqlstate = "0A000",
                                 .message = "fast-path function calls are not supported",
                                 .hint = "Call the function in a SELECT."};
    wire_report(bytes, &report);
    wire_ready(bytes, session->transaction);
    replies_push_local(&session->replies, bytes);
    return HANDLED_CONSUME;
}

static void refuse_type(struct session *session, const struct wire_message *message)
{
    char text[80];
    bool known = wire_is_client_type(message->type) && message->type != 'p';
    snprintf(text, sizeof text,
             known ? "invalid length of frontend message type %d"
                   : "invalid frontend message type %d",
             (unsigned char)message->type);
    session_end(session, "08P01", text);
}

static enum handled dispatch(struct session *session, const struct wire_message *message)
{
    switch (message->type) {
    case 'Q':
        return query_start(session, message);
    case 'P':
        return extended_parse(session, message);
    case 'B':
        return extended_bind(session, message);
    case 'D':
        return extended_describe(session, message);
    case 'E':
        return extended_execute(session, message);
    case 'C':
        return extended_close(session, message);
    case 'S':
        if (session->state == SESSION_IGNORE)
            session_enter(session, SESSION_RELAY);
        return session_relay(session, message, NULL, NULL, NULL);
    case 'H':
        wire_forward(stream_input(session->client), message, session_to_twin(session));
        return HANDLED_RELAYED;
    case 'F':
        return refuse_function_call(session);
    case 'c':
    case 'd':
    case 'f': /* no COPY FROM is ever under way: PostgreSQL ignores these too */
        return HANDLED_CONSUME;
    default:
        refuse_type(session, message);
        return HANDLED_CONSUME;
    }
}

static void send_local_replies(struct session *session)
{
    struct reply *head;
    while ((head = replies_head(&session->replies)) != NULL && head->local != NULL) {
        evbuffer_add_buffer(session_to_client(session), head->local);
        replies_pop(&session->replies);
    }
}

static bool may_read_client(const struct session *session)
{
    return (session->state == SESSION_RELAY || session->state == SESSION_IGNORE) &&
           session->replies.count < REPLIES_MAX && !session->twin_ended &&
           !stream_is_congested(session->twin);
}

/* Looks at one message; false where there is none to look at now. */
static bool read_client(struct session *session)
{
    struct evbuffer *input = stream_input(session->client);
    struct wire_message message = {0};
    enum wire_status status =
        wire_peek(input, true, session->server->config->message_bytes_max, &message);
    if (status == WIRE_INCOMPLETE)
        return false;
    if (status == WIRE_INVALID) {
        refuse_type(session, &message);
        return false;
    }
    if (message.type == 'X') {
        session_end(session, NULL, NULL);
        return false;
    }
    bool ignored = session->state == SESSION_IGNORE && message.type != 'S';
    enum handled handled = ignored ? HANDLED_CONSUME : dispatch(session, &message);
    if (session->state == SESSION_CLOSING)
        return false;
    if (handled == HANDLED_WAIT) {
        wire_empty(session_to_twin(session), 'H');
        return false;
    }
    session_reading_clear(session);
    if (handled == HANDLED_CONSUME)
        wire_consume(input, &message);
    return true;
}

struct wire_message session_head_message(struct session *session)
{
    struct wire_message message = {0};
    if (wire_peek(stream_input(session->client), true, SIZE_MAX, &message) != WIRE_READY)
        abort();
    return message;
}

void session_continue(struct session *session)
{
    bool was_busy = is_busy(session);
    while (may_read_client(session) && read_client(session))
        send_local_replies(session);
    if (session->state == SESSION_CLOSING)
        return;
    if (session->client_ended && !is_busy(session)) {
        session_end(session, NULL, NULL);
        return;
    }
    /* Nobody will end the pipeline any more; what the twin owes must come all the same. */
    if (session->client_ended && may_read_client(session))
        wire_empty(session_to_twin(session), 'H');
    bool busy = is_busy(session);
    if ((!was_busy && busy) || session->active != busy)
        session->since_ms = session_now_ms();
    if (!was_busy && busy)
        session->timeouts = 0;
    session->active = busy;
    if (may_read_client(session))
        stream_resume(session->client);
    else
        stream_pause(session->client);
    session_arm(session);
}

static void read_twin(struct session *session);

static void on_client(void *context, struct stream *stream, enum stream_event event)
{
    struct session *session = context;
    switch (event) {
    case STREAM_DATA:
        if (session->state != SESSION_OPENING)
            session_continue(session);
        break;
    case STREAM_DRAINED:
        if (session->twin_ended)
            read_twin(session);
        else if (session->twin)
            stream_resume(session->twin);
        break;
    case STREAM_CLOSED: /* a client that only ended its half still gets its answers */
        if (!stream_is_writable(stream) || session->client_ended ||
            session->state == SESSION_OPENING) {
            session_end(session, NULL, NULL);
        } else {
            session->client_ended = true;
            session_continue(session);
        }
        break;
    case STREAM_CONNECTED:
        break;
    }
}

/* --- from the twin -------------------------------------------------------------------------- */

/* The twin's database is in UTF8, and it converts nothing of what comes in SQL_ASCII. UNICODE is an
 * old name of UTF8, the only one that PostgreSQL reports as it was set. */
static void note_encoding(struct session *session, const char *value)
{
    if (strcmp(session->encoding, value) == 0)
        return;
    snprintf(session->encoding, sizeof session->encoding, "%s", value);
    session->utf8 = strcasecmp(value, "UTF8") == 0 || strcmp(value, "UNICODE") == 0 ||
                    strcasecmp(value, "SQL_ASCII") == 0;
    prepared_table_change_encoding(&session->prepared, session->utf8);
}

void session_note_parameter(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    const char *name = wire_read_string(&reader);
    const char *value = wire_read_string(&reader);
    if (strcmp(name, "client_encoding") == 0)
        note_encoding(session, value);
    if (strcmp(name, "standard_conforming_strings") == 0)
        session->standard_strings = strcmp(value, "on") == 0;
}

static void note_ready(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    session->transaction = (char)wire_read_byte(&reader);
    session->unreported = false;
    if (session->transaction == 'I')
        prepared_table_clear_portals(&session->prepared);
}

/* An error answers the head and every entry up to the next Sync. */
static struct reply take_failed(struct session *session)
{
    struct reply head = *replies_head(&session->replies);
    if (head.message == 'Q' || head.message == 'S') {
        head.release = NULL;
        return head;
    }
    replies_take(&session->replies);
    if (!replies_fail(&session->replies) && session->state == SESSION_RELAY)
        session_enter(session, SESSION_IGNORE);
    return head;
}

static struct reply take_answered(struct session *session, char type)
{
    struct reply *head = replies_head(&session->replies);
    bool ends = reply_ends(head, type);
    if (ends && head->message == 'E') {
        session->unreported = true;
        session->executed++;
    }
    if (ends)
        return replies_take(&session->replies);
    struct reply going_on = *head;
    going_on.release = NULL;
    return going_on;
}

static bool is_fatal(const struct wire_message *message)
{
    const char *severity = message->type == 'E' ? wire_report_field(message, 'V') : NULL;
    return severity != NULL && strcmp(severity, "ERROR") != 0;
}

static void on_twin_message(struct session *session, const struct wire_message *message)
{
    struct evbuffer *input = stream_input(session->twin);
    bool last_words = is_fatal(message);
    bool asynchronous = message->type == 'S' || message->type == 'N' || message->type == 'A';
    if (message->type == 'S')
        session_note_parameter(session, message);
    if (message->type == 'Z')
        note_ready(session, message);
    struct reply reply = {0};
    if (!asynchronous && replies_head(&session->replies) != NULL)
        reply = message->type == 'E' ? take_failed(session) : take_answered(session, message->type);
    else if (message->type == 'E' && session->statement)
        statement_twin_error(session, message);
    if (session->state == SESSION_CLOSING)
        return;
    if (reply.sink == NULL && !has_moved(session, message)) {
        wire_forward(input, message, session_to_client(session));
    } else {
        if (reply.sink == NULL)
            session_pass_on(session, message);
        else
            reply.sink(reply.context, message);
        if (session->state != SESSION_CLOSING)
            wire_consume(input, message);
    }
    if (reply.release)
        reply.release(reply.context);
    if (last_words)
        session_end(session, NULL, NULL);
    if (session->state != SESSION_CLOSING)
        send_local_replies(session);
}

/* A large row on its way to the client is not waited for. */
static bool relays_partly(struct session *session, const struct wire_message *message)
{
    struct reply *head = replies_head(&session->replies);
    return (message->type == 'D' || message->type == 'd') && message->length > PARTIAL_BYTES &&
           (head == NULL || head->sink == NULL);
}

static void read_twin(struct session *session)
{
    if (session->partial > 0)
        session->partial = wire_forward_partial(stream_input(session->twin), session->partial,
                                                session_to_client(session));
    while (session->state != SESSION_CLOSING && session->partial == 0 &&
           !stream_is_congested(session->client)) {
        struct wire_message message = {0};
        enum wire_status status = wire_peek(stream_input(session->twin), false, SIZE_MAX, &message);
        if (status == WIRE_INCOMPLETE && relays_partly(session, &message)) {
            session->partial = wire_forward_begin(stream_input(session->twin), &message,
                                                  session_to_client(session));
            break;
        }
        if (status == WIRE_INCOMPLETE)
            break;
        if (status == WIRE_INVALID) {
            session_end(session, "08006", "the twin server sent what is not PostgreSQL's protocol");
            return;
        }
        on_twin_message(session, &message);
    }
    if (session->state == SESSION_CLOSING)
        return;
    if (session->twin_ended && !stream_is_congested(session->client)) {
        session_end(session, "57P01", "the twin session has ended");
        return;
    }
    if (stream_is_congested(session->client))
        stream_pause(session->twin);
    else
        stream_resume(session->twin);
    session_continue(session);
}

static void on_twin(void *context, struct stream *stream, enum stream_event event)
{
    struct session *session = context;
    (void)stream;
    switch (event) {
    case STREAM_DATA:
        read_twin(session);
        break;
    case STREAM_DRAINED:
        session_continue(session);
        break;
    case STREAM_CLOSED: /* a slow client still gets all that was said before */
        session->twin_ended = true;
        read_twin(session);
        break;
    case STREAM_CONNECTED:
        break;
    }
}

void session_attach_twin(struct session *session, struct stream *stream, uint32_t pid, uint32_t key)
{
    session->twin = stream;
    stream_outlive_output(stream);
    session->twin_pid = pid;
    session->twin_key = key;
    session->transaction = 'I';
    stream_set_callback(stream, on_twin, session);
}

/* --- beginning ------------------------------------------------------------------------------- */

struct session *session_new(struct server *server, struct listener *listener, struct stream *stream,
                            struct startup *startup)
{
    struct session *session = calloc(1, sizeof *session);
    assert(session != NULL);
    session->ticket = calloc(1, sizeof *session->ticket);
    assert(session->ticket != NULL);
    session->ticket->references = 1;
    session->ticket->session = session;
    session->server = server;
    session->listener = listener;
    session->client = stream;
    session->startup = startup;
    session->transaction = 'I';
    session->since_ms = session_now_ms();
    session->utf8 = session->standard_strings = true;
    strcpy(session->encoding, "UTF8");
    replies_init(&session->replies);
    session->timer = evtimer_new(server->base, on_timer, session);
    session->closing = evtimer_new(server->base, free_session, session);
    assert(session->timer != NULL && session->closing != NULL);
    session->next = server->sessions;
    server->sessions = session;
    stream_set_callback(stream, on_client, session);
    return session;
}

void session_cancel(struct server *server, uint32_t pid, uint32_t key)
{
    for (struct session *session = server->sessions; session; session = session->next) {
        if (session->pid != pid || session->key != key || session->state == SESSION_CLOSING)
            continue;
        if (session->statement)
            statement_cancel(session, "canceling statement due to user request");
        else if (session->twin && is_busy(session))
            twin_cancel(server->base, &session->twin_target, session->twin_pid, session->twin_key);
        return;
    }
}

static const char *state_text(const struct session *session)
{
    if (session->state == SESSION_OPENING)
        return "opening";
    if (statement_is_measuring(session))
        return "measuring";
    if (is_busy(session))
        return "active";
    return session->transaction == 'I' ? "idle" : "idle in transaction";
}

void session_each(const struct server *server,
                  void (*visit)(void *context, const struct session_facts *facts), void *context)
{
    uint64_t now_ms = session_now_ms();
    for (const struct session *session = server->sessions; session; session = session->next) {
        if (session->state == SESSION_CLOSING)
            continue;
        const struct session_facts facts = {
            .pid = session->pid,
            .analyst = session->startup->user,
            .dataset = session->startup->database,
            .peer = stream_peer(session->client),
            .state = state_text(session),
            .state_ms = now_ms - session->since_ms,
            .explains_only = session->explains_only,
            .outdated = session->edition != NULL && session->edition != session->dataset->edition};
        visit(context, &facts);
    }
}

bool session_kill(struct server *server, uint32_t pid)
{
    for (struct session *session = server->sessions; session; session = session->next) {
        if (session->pid != pid || session->state == SESSION_CLOSING)
            continue;
        session_end(session, "57P01", "terminating connection due to administrator command");
        return true;
    }
    return false;
}

void session_shutdown_all(struct server *server)
{
    for (struct session *session = server->sessions; session; session = session->next)
        session_end(session, "57P01", "terminating connection due to administrator command");
}

static bool is_of(const struct session *session, const char *analyst)
{
    return session->state != SESSION_CLOSING && !session->explains_only &&
           strcmp(session->startup->user, analyst) == 0;
}

size_t server_count_sessions(const struct server *server, const char *analyst)
{
    size_t count = 0;
    for (const struct session *session = server->sessions; session; session = session->next)
        count += is_of(session, analyst);
    return count;
}

size_t server_count_measuring(const struct server *server, const char *analyst)
{
    size_t count = 0;
    for (const struct session *session = server->sessions; session; session = session->next)
        count += is_of(session, analyst) && statement_is_measuring(session);
    return count;
}
