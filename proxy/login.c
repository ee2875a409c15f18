#include "proxy/login.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/limits.h"
#include "proxy/log.h"
#include "proxy/scram_server.h"
#include "proxy/startup_packet.h"
#include "proxy/wire.h"

/*
 * Nothing is answered to what does not look like PostgreSQL, and to a cancel request, right or
 * wrong. While the verifier is looked up the stream is paused and the object stays, whatever
 * happens, until the answer came: its owner may rely on that. Texts and codes are PostgreSQL's own.
 */

enum login_state {
    LOGIN_STARTUP,   /* waits for a packet without type */
    LOGIN_HANDSHAKE, /* TLS */
    LOGIN_LOOKUP,    /* waits for login_verifier */
    LOGIN_MECHANISM, /* waits for SASLInitialResponse */
    LOGIN_EXCHANGE,  /* waits for SASLResponse */
    LOGIN_ABANDONED, /* the stream is gone, login_verifier is still to come */
};

static const char *const state_names[] = {
    [LOGIN_STARTUP] = "startup",   [LOGIN_HANDSHAKE] = "handshake",
    [LOGIN_LOOKUP] = "lookup",     [LOGIN_MECHANISM] = "mechanism",
    [LOGIN_EXCHANGE] = "exchange", [LOGIN_ABANDONED] = "abandoned",
};

enum { WHOLE_HEADER = 5 };

struct login {
    struct login_context context;
    enum login_state state;
    struct stream *stream;      /* owned; NULL once abandoned */
    struct event *timer;        /* owned */
    struct startup *startup;    /* owned; NULL before the startup packet */
    struct scram_server *scram; /* owned; NULL before the lookup's answer */
    bool tls_asked, gss_asked;
};

static void set_state(struct login *login, enum login_state state)
{
    log_debug("%s: login: %s, then %s", stream_peer(login->stream), state_names[login->state],
              state_names[state]);
    assert(login->state != LOGIN_ABANDONED);
    login->state = state;
}

static void login_free(struct login *login)
{
    if (login->timer != NULL)
        event_free(login->timer);
    stream_free(login->stream);
    startup_free(login->startup);
    scram_server_free(login->scram);
    free(login);
}

/* The end without success, once the stream is taken care of. */
static void end(struct login *login)
{
    assert(login->stream == NULL);
    if (login->state == LOGIN_LOOKUP) {
        login->state = LOGIN_ABANDONED;
        event_del(login->timer);
        return;
    }
    struct login_context context = login->context;
    login_free(login);
    context.ended(context.owner);
}

/* Closes without a word. */
static void drop(struct login *login, const char *reason)
{
    log_info("%s: login ended: %s", stream_peer(login->stream), reason);
    stream_free(login->stream);
    login->stream = NULL;
    end(login);
}

static void refuse(struct login *login, const char *sqlstate, const char *message,
                   const char *detail, const char *hint)
{
    const struct wire_report report = {.severity = "FATAL",
                                       .sqlstate = sqlstate,
                                       .message = message,
                                       .detail = detail,
                                       .hint = hint};
    log_info("%s: login refused: %s", stream_peer(login->stream), message);
    wire_report(stream_output(login->stream), &report);
    stream_free_flushed(login->stream);
    login->stream = NULL;
    end(login);
}

/* The same words for an unknown user, a disabled one and a wrong password. */
static void refuse_password(struct login *login)
{
    char *message = NULL;
    if (asprintf(&message, "password authentication failed for user \"%s\"", login->startup->user) <
        0) {
        drop(login, "out of memory");
        return;
    }
    refuse(login, "28P01", message, NULL, NULL);
    free(message);
}

/* One byte for SSLRequest or GSSENCRequest. What came behind the request was sent without waiting
 * for the answer, in clear text: a broken client, or somebody in between. */
static void answer_request(struct login *login, bool start_tls)
{
    if (evbuffer_get_length(stream_input(login->stream)) > 0) {
        drop(login, "unencrypted data after a request for encryption");
        return;
    }
    if (evbuffer_add(stream_output(login->stream), start_tls ? "S" : "N", 1) != 0) {
        drop(login, "out of memory");
    } else if (start_tls) {
        set_state(login, LOGIN_HANDSHAKE);
        if (!stream_start_tls(login->stream, login->context.tls))
            drop(login, "cannot start TLS");
    }
}

/* NegotiateProtocolVersion: 3.0 is spoken here, and these options are not known. */
static void negotiate(struct login *login, const struct startup_packet *packet)
{
    struct wire_writer writer = wire_begin(stream_output(login->stream), 'v');
    wire_add_int32(&writer, WIRE_PROTOCOL_3_0);
    wire_add_int32(&writer, packet->n_options);
    for (uint32_t i = 0; i < packet->n_options; i++)
        wire_add_string(&writer, packet->options[i]);
    wire_end(&writer);
}

static void accept_client(struct login *login)
{
    struct login_context context = login->context;
    struct stream *stream = login->stream;
    struct startup *startup = login->startup;
    log_info("%s: \"%s\" logged in to \"%s\"%s", stream_peer(stream), startup->user,
             startup->database, stream_is_tls(stream) ? " over TLS" : "");
    wire_authentication(stream_output(stream), WIRE_AUTH_OK, NULL, 0);
    stream_limit_input(stream, context.config->message_bytes_max + WHOLE_HEADER);
    login->stream = NULL;
    login->startup = NULL;
    login_free(login);
    context.accepted(context.owner, stream, startup);
}

static void begin_session(struct login *login, struct startup_packet *packet)
{
    if (login->context.config->tls_mode == CONFIG_TLS_REQUIRE && !login->context.trusted &&
        !stream_is_tls(login->stream)) {
        refuse(login, "28000", "this server accepts TLS connections only", NULL,
               "Connect with sslmode=require or stricter.");
        return;
    }
    if (packet->negotiate)
        negotiate(login, packet);
    login->startup = packet->startup;
    packet->startup = NULL;
    if (login->context.trusted) {
        accept_client(login);
        return;
    }
    stream_pause(login->stream);
    set_state(login, LOGIN_LOOKUP);
    login->context.find_verifier(login->context.owner, login, login->startup->user);
}

static void cancel(struct login *login, const struct startup_packet *packet)
{
    struct login_context context = login->context;
    log_debug("%s: cancel request", stream_peer(login->stream));
    login_free(login);
    context.cancel(context.owner, packet->pid, packet->key);
}

static void on_packet(struct login *login, const struct wire_message *message)
{
    struct startup_packet packet;
    bool is_tls = stream_is_tls(login->stream);
    startup_packet_read(message, !is_tls && !login->tls_asked, !is_tls && !login->gss_asked,
                        &packet);
    wire_consume(stream_input(login->stream), message);
    switch (packet.kind) {
    case STARTUP_DROP:
        drop(login, "not a startup packet");
        break;
    case STARTUP_REFUSED:
        refuse(login, packet.sqlstate, packet.text, NULL, NULL);
        break;
    case STARTUP_TLS:
        login->tls_asked = true;
        answer_request(login, login->context.tls != NULL);
        break;
    case STARTUP_GSS:
        login->gss_asked = true;
        answer_request(login, false);
        break;
    case STARTUP_CANCEL:
        cancel(login, &packet);
        break;
    case STARTUP_SESSION:
        begin_session(login, &packet);
        break;
    }
    startup_packet_clear(&packet);
}

void login_verifier(void *object, const char *verifier, bool failed)
{
    struct login *login = object;
    if (login->state == LOGIN_ABANDONED) {
        login->state = LOGIN_EXCHANGE; /* nothing is awaited any more */
        end(login);
        return;
    }
    assert(login->state == LOGIN_LOOKUP && login->scram == NULL);
    set_state(login, LOGIN_MECHANISM);
    if (failed) {
        refuse(login, "57P03", "the ledger is not available", NULL, "Try again in a moment.");
        return;
    }
    unsigned char binding[64];
    size_t binding_length = stream_channel_binding(login->stream, binding), length;
    bool is_malformed = false;
    login->scram = scram_server_new(login->startup->user, verifier, binding, binding_length, NULL,
                                    &is_malformed);
    if (login->scram == NULL) {
        refuse(login, "XX000", "authentication is not possible now", NULL, NULL);
        return;
    }
    if (is_malformed)
        log_error("the ledger holds a malformed verifier for user \"%s\"", login->startup->user);
    const char *mechanisms = scram_server_mechanisms(login->scram, &length);
    wire_authentication(stream_output(login->stream), WIRE_AUTH_SASL, mechanisms, length);
    stream_resume(login->stream);
}

/* One message of the client; payload is the part of it that SCRAM reads. */
static void exchange(struct login *login, const struct wire_message *message,
                     const unsigned char *payload, size_t length)
{
    char *answer = NULL;
    struct scram_refusal refusal;
    enum scram_outcome outcome =
        scram_server_step(login->scram, (const char *)payload, length, &answer, &refusal);
    wire_consume(stream_input(login->stream), message);
    switch (outcome) {
    case SCRAM_CONTINUE:
        wire_authentication(stream_output(login->stream), WIRE_AUTH_SASL_CONTINUE, answer,
                            strlen(answer));
        break;
    case SCRAM_DONE:
        wire_authentication(stream_output(login->stream), WIRE_AUTH_SASL_FINAL, answer,
                            strlen(answer));
        accept_client(login);
        break;
    case SCRAM_WRONG_PASSWORD:
        refuse_password(login);
        break;
    case SCRAM_REFUSED:
        refuse(login, refusal.sqlstate, refusal.message, refusal.detail, NULL);
        break;
    }
    free(answer);
}

/* SASLInitialResponse: the mechanism, and mostly the first message at once. */
static void choose(struct login *login, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    const char *mechanism = wire_read_string(&reader);
    uint32_t length = wire_read_int32(&reader);
    bool has_first = length != UINT32_MAX;
    const unsigned char *first = wire_read_bytes(&reader, has_first ? length : 0);
    if (!wire_read_end(&reader)) {
        refuse(login, "08P01", "invalid message format", NULL, NULL);
    } else if (!scram_server_select(login->scram, mechanism)) {
        refuse(login, "08P01", "client selected an invalid SASL authentication mechanism", NULL,
               NULL);
    } else if (has_first) {
        set_state(login, LOGIN_EXCHANGE);
        exchange(login, message, first, length);
    } else {
        set_state(login, LOGIN_EXCHANGE);
        wire_consume(stream_input(login->stream), message);
        wire_authentication(stream_output(login->stream), WIRE_AUTH_SASL_CONTINUE, NULL, 0);
    }
}

static void on_startup_data(struct login *login)
{
    struct wire_message message;
    switch (wire_peek_startup(stream_input(login->stream), &message)) {
    case WIRE_READY:
        on_packet(login, &message);
        break;
    case WIRE_INCOMPLETE:
        break;
    case WIRE_INVALID:
        drop(login, "invalid length of startup packet");
        break;
    }
}

static void on_sasl_data(struct login *login)
{
    struct wire_message message;
    enum wire_status status =
        wire_peek(stream_input(login->stream), true, LIMIT_AUTH_MESSAGE_MAX, &message);
    if (evbuffer_get_length(stream_input(login->stream)) > 0 && message.type != 'p') {
        char text[64];
        snprintf(text, sizeof text, "expected SASL response, got message type %u",
                 (unsigned char)message.type);
        refuse(login, "08P01", text, NULL, NULL);
    } else if (status == WIRE_INVALID) {
        drop(login, "invalid message length");
    } else if (status == WIRE_READY && login->state == LOGIN_MECHANISM) {
        choose(login, &message);
    } else if (status == WIRE_READY) {
        exchange(login, &message, message.payload, message.length);
    }
}

/* One message an event is enough: every answer of a client needs ours to the one before. */
static void on_data(struct login *login)
{
    switch (login->state) {
    case LOGIN_STARTUP:
        on_startup_data(login);
        break;
    case LOGIN_MECHANISM:
    case LOGIN_EXCHANGE:
        on_sasl_data(login);
        break;
    case LOGIN_HANDSHAKE:
    case LOGIN_LOOKUP:
    case LOGIN_ABANDONED:
        break;
    }
}

static void on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct login *login = context;
    assert(login->stream == stream);
    switch (event) {
    case STREAM_CONNECTED:
        if (login->state == LOGIN_HANDSHAKE)
            set_state(login, LOGIN_STARTUP);
        break;
    case STREAM_DATA:
        on_data(login);
        break;
    case STREAM_DRAINED:
        break;
    case STREAM_CLOSED:
        drop(login, "the client closed the connection");
        break;
    }
}

static void on_timeout(evutil_socket_t unused, short what, void *context)
{
    struct login *login = context;
    (void)unused, (void)what;
    if (login->state == LOGIN_STARTUP || login->state == LOGIN_HANDSHAKE)
        drop(login, "no startup packet in time");
    else
        refuse(login, "57014", "canceling authentication due to timeout", NULL, NULL);
}

void login_start(const struct login_context *context, int fd)
{
    struct login *login = calloc(1, sizeof *login);
    struct timeval limit = {
        .tv_sec = (time_t)(context->config->login_timeout_ms / 1000),
        .tv_usec = (suseconds_t)(context->config->login_timeout_ms % 1000 * 1000),
    };
    if (login == NULL) {
        close(fd);
        context->ended(context->owner);
        return;
    }
    login->context = *context;
    login->stream = stream_accept(context->base, fd, on_stream, login);
    login->timer = evtimer_new(context->base, on_timeout, login);
    if (login->stream == NULL || login->timer == NULL || event_add(login->timer, &limit) != 0) {
        log_error("cannot take a connection: out of memory");
        login_free(login);
        context->ended(context->owner);
        return;
    }
    stream_limit_input(login->stream, LIMIT_AUTH_MESSAGE_MAX + WHOLE_HEADER);
}
