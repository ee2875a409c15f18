#include "proxy/twin_login.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/limits.h"
#include "proxy/log.h"
#include "proxy/scram.h"
#include "proxy/scram_client.h"
#include "proxy/wire.h"

/*
 * The server is pgveil's own, but what it says is checked all the same: a message out of its place
 * ends the login. Only trust and SCRAM-SHA-256 are spoken; a request for a password in clear text
 * or MD5 is never answered.
 */

enum twin_login_state {
    TWIN_CONNECTING,
    TWIN_AUTHENTICATION, /* startup packet sent */
    TWIN_CHALLENGE,      /* client-first-message sent */
    TWIN_SIGNATURE,      /* client-final-message sent */
    TWIN_TRUSTED,        /* the server's signature was right, AuthenticationOk must follow */
    TWIN_GREETING,       /* authenticated: up to ReadyForQuery */
};

struct twin_login {
    enum twin_login_state state;
    struct stream *stream; /* owned */
    struct event *timer;   /* owned */
    struct twin_target target;
    struct twin_opener opener;
    struct evbuffer *startup;   /* owned; sent once the connection is open */
    struct evbuffer *greeting;  /* owned */
    char *password;             /* owned; NULL: trust only */
    struct scram_client *scram; /* owned; NULL before it is needed */
    uint32_t pid, key;
    twin_login_done *done;
    void *context;
};

void twin_login_abandon(struct twin_login *login)
{
    if (login == NULL)
        return;
    stream_free(login->stream);
    if (login->timer != NULL)
        event_free(login->timer);
    if (login->startup != NULL)
        evbuffer_free(login->startup);
    if (login->greeting != NULL)
        evbuffer_free(login->greeting);
    scram_wipe_text(login->password);
    scram_client_free(login->scram);
    free(login);
}

/* Success: the stream goes to the caller; failure: it is closed. The greeting goes with it. */
static void finish(struct twin_login *login, bool success)
{
    twin_login_done *done = login->done;
    void *context = login->context;
    struct stream *stream = success ? login->stream : NULL;
    struct evbuffer *greeting = login->greeting;
    uint32_t pid = success ? login->pid : 0, key = success ? login->key : 0;
    if (success)
        login->stream = NULL;
    login->greeting = NULL;
    twin_login_abandon(login);
    done(context, stream, greeting, pid, key);
}

/* The twin could not be reached or does not speak as it should. */
static void fail(struct twin_login *login, const char *reason)
{
    log_warning("twin server: login failed: %s", reason);
    evbuffer_drain(login->greeting, evbuffer_get_length(login->greeting));
    finish(login, false);
}

static void send_sasl(struct twin_login *login, const char *mechanism, const char *text)
{
    struct wire_writer writer = wire_begin(stream_output(login->stream), 'p');
    if (mechanism != NULL) {
        wire_add_string(&writer, mechanism);
        wire_add_int32(&writer, (uint32_t)strlen(text));
    }
    wire_add_bytes(&writer, text, strlen(text));
    wire_end(&writer);
}

/* AuthenticationSASL: a list of mechanisms, ended by an empty one. The stronger of the two binds
 * the exchange to the server's certificate, so that nobody in between can pass it on. */
static const char *begin_scram(struct twin_login *login, struct wire_reader *reader)
{
    static const char plain[] = "SCRAM-SHA-256", bound[] = "SCRAM-SHA-256-PLUS";
    unsigned char binding[SCRAM_BINDING_BYTES_MAX];
    bool offers_plain = false, offers_bound = false;
    if (login->password == NULL)
        return "the server asks for a password and none is configured";
    for (;;) {
        const char *mechanism = wire_read_string(reader);
        if (mechanism[0] == '\0')
            break;
        offers_plain = offers_plain || strcmp(mechanism, plain) == 0;
        offers_bound = offers_bound || strcmp(mechanism, bound) == 0;
    }
    size_t length = stream_channel_binding(login->stream, binding);
    bool bind = offers_bound && length > 0;
    if (!wire_read_end(reader) || (!offers_plain && !bind))
        return "the server does not offer SCRAM-SHA-256";
    if (!bind && login->target.tls != NULL && tls_target_requires_binding(login->target.tls))
        return "the server does not offer the channel binding that channel_binding=require wants";
    login->scram = scram_client_new(login->password, NULL, bind ? binding : NULL, length);
    if (login->scram == NULL)
        return "SCRAM cannot be started";
    send_sasl(login, bind ? bound : plain, scram_client_first(login->scram));
    login->state = TWIN_CHALLENGE;
    return NULL;
}

/* A server that asks for no password although pgveil has one lets everybody in. */
static bool may_ask_nothing(const struct twin_login *login)
{
    return login->password == NULL || twin_target_is_local(&login->target) ||
           (login->target.tls != NULL && tls_target_has_certificate(login->target.tls));
}

static const char *answer_challenge(struct twin_login *login, const struct wire_reader *reader)
{
    char *text = scram_client_final(login->scram, (const char *)reader->at, reader->left);
    if (text == NULL)
        return "malformed SCRAM challenge";
    send_sasl(login, NULL, text);
    free(text);
    login->state = TWIN_SIGNATURE;
    return NULL;
}

/* 'R': what the server wants, or that it is content. Returns what is wrong, or NULL. */
static const char *on_authentication(struct twin_login *login, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    uint32_t kind = wire_read_int32(&reader);
    if (reader.failed)
        return "malformed authentication message";
    switch (login->state) {
    case TWIN_AUTHENTICATION:
        if (kind == WIRE_AUTH_SASL)
            return begin_scram(login, &reader);
        if (kind == WIRE_AUTH_OK && !may_ask_nothing(login))
            return "the server asks for no password: its pg_hba.conf must ask analysts' roles for "
                   "scram-sha-256";
        if (kind == WIRE_AUTH_OK) {
            login->state = TWIN_GREETING;
            return NULL;
        }
        return "the server asks for an authentication that is not spoken here";
    case TWIN_CHALLENGE:
        return kind == WIRE_AUTH_SASL_CONTINUE ? answer_challenge(login, &reader)
                                               : "unexpected authentication message";
    case TWIN_SIGNATURE:
        if (kind != WIRE_AUTH_SASL_FINAL ||
            !scram_client_verify(login->scram, (const char *)reader.at, reader.left))
            return "the server does not know the password";
        login->state = TWIN_TRUSTED;
        return NULL;
    case TWIN_TRUSTED:
        if (kind != WIRE_AUTH_OK)
            return "unexpected authentication message";
        login->state = TWIN_GREETING;
        return NULL;
    case TWIN_CONNECTING:
    case TWIN_GREETING:
        return "unexpected authentication message";
    }
    return "unexpected authentication message";
}

static const char *on_key(struct twin_login *login, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    login->pid = wire_read_int32(&reader);
    login->key = wire_read_int32(&reader);
    return wire_read_end(&reader) ? NULL : "malformed BackendKeyData";
}

/* False: the login is over and gone. */
static bool on_message(struct twin_login *login, const struct wire_message *message)
{
    struct evbuffer *input = stream_input(login->stream);
    const char *wrong = NULL;
    switch (message->type) {
    case 'E': /* the twin's own words are the analyst's to read */
        evbuffer_drain(login->greeting, evbuffer_get_length(login->greeting));
        wire_forward(input, message, login->greeting);
        finish(login, false);
        return false;
    case 'N':
        wire_forward(input, message, login->greeting);
        return true;
    case 'S':
        if (login->state != TWIN_GREETING) {
            fail(login, "unexpected ParameterStatus");
            return false;
        }
        wire_forward(input, message, login->greeting);
        return true;
    case 'R':
        wrong = on_authentication(login, message);
        break;
    case 'K':
        wrong = login->state == TWIN_GREETING ? on_key(login, message) : "unexpected key";
        break;
    case 'Z':
        if (login->state == TWIN_GREETING) {
            wire_consume(input, message);
            finish(login, true);
        } else {
            fail(login, "unexpected ReadyForQuery");
        }
        return false;
    default:
        wrong = "unexpected message";
        break;
    }
    if (wrong != NULL) {
        fail(login, wrong);
        return false;
    }
    wire_consume(input, message);
    return true;
}

/* False: the login is over and gone. */
static bool on_data(struct twin_login *login)
{
    for (;;) {
        struct wire_message message;
        switch (wire_peek(stream_input(login->stream), false, 0, &message)) {
        case WIRE_READY:
            if (!on_message(login, &message))
                return false;
            break;
        case WIRE_INCOMPLETE:
            return true;
        case WIRE_INVALID:
            fail(login, "invalid message length");
            return false;
        }
    }
}

/* False: the login is over and gone. */
static bool on_opening(struct twin_login *login, enum stream_event event)
{
    switch (twin_opener_step(&login->opener, &login->target, login->stream, event)) {
    case TWIN_OPENING:
        return true;
    case TWIN_OPEN:
        login->state = TWIN_AUTHENTICATION;
        evbuffer_add_buffer(stream_output(login->stream), login->startup);
        return true;
    case TWIN_SHUT:
        break;
    }
    fail(login, event == STREAM_CLOSED ? "no connection" : "the server does not speak TLS");
    return false;
}

static void on_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct twin_login *login = context;
    assert(login->stream == stream);
    if (login->state == TWIN_CONNECTING) {
        on_opening(login, event);
        return;
    }
    switch (event) {
    case STREAM_DATA:
        on_data(login);
        break;
    case STREAM_CONNECTED:
    case STREAM_DRAINED:
        break;
    case STREAM_CLOSED:
        /* A refusal may stand in the last bytes. */
        if (on_data(login))
            fail(login, "the server closed the connection");
        break;
    }
}

static void on_timeout(evutil_socket_t unused, short what, void *context)
{
    (void)unused, (void)what;
    fail(context, "no answer in time");
}

static struct timeval from_ms(uint64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static void write_startup(struct evbuffer *out, const struct startup *startup, const char *database)
{
    struct wire_writer writer = wire_begin(out, 0);
    wire_add_int32(&writer, WIRE_PROTOCOL_3_0);
    wire_add_string(&writer, "user");
    wire_add_string(&writer, startup->user);
    wire_add_string(&writer, "database");
    wire_add_string(&writer, database);
    for (size_t i = 0; i < startup->n_parameters; i++) {
        wire_add_string(&writer, startup->parameters[i].name);
        wire_add_string(&writer, startup->parameters[i].value);
    }
    wire_add_byte(&writer, 0);
    wire_end(&writer);
}

struct twin_login *twin_login_start(struct event_base *base, const struct twin_target *target,
                                    const struct startup *startup, const char *database,
                                    const char *password, uint64_t timeout_ms,
                                    twin_login_done *done, void *context)
{
    struct twin_login *login = calloc(1, sizeof *login);
    if (login == NULL)
        return NULL;
    struct timeval limit = from_ms(timeout_ms);
    login->done = done;
    login->context = context;
    login->target = *target;
    login->startup = evbuffer_new();
    login->greeting = evbuffer_new();
    login->password = password != NULL ? strdup(password) : NULL;
    login->stream = stream_connect(base, (const struct sockaddr *)&target->address, target->length,
                                   on_stream, login);
    login->timer = evtimer_new(base, on_timeout, login);
    if (login->startup == NULL || login->greeting == NULL || login->stream == NULL ||
        (password != NULL && login->password == NULL) || login->timer == NULL ||
        event_add(login->timer, &limit) != 0) {
        twin_login_abandon(login);
        return NULL;
    }
    write_startup(login->startup, startup, database);
    return login;
}

/* A cancel request lives until the server closes its connection. */
struct twin_cancel {
    struct twin_cancel *next, **link;
    struct twin_target target;
    struct twin_opener opener;
    struct stream *stream; /* owned */
    struct event *timer;   /* owned */
    uint32_t pid, key;
};

static struct twin_cancel *cancels; /* under way */

static void cancel_free(struct twin_cancel *cancel)
{
    *cancel->link = cancel->next;
    if (cancel->next != NULL)
        cancel->next->link = cancel->link;
    stream_free(cancel->stream);
    if (cancel->timer != NULL)
        event_free(cancel->timer);
    free(cancel);
}

static void send_cancel(struct twin_cancel *cancel)
{
    struct wire_writer writer = wire_begin(stream_output(cancel->stream), 0);
    wire_add_int32(&writer, WIRE_CANCEL_REQUEST);
    wire_add_int32(&writer, cancel->pid);
    wire_add_int32(&writer, cancel->key);
    wire_end(&writer);
}

static void on_cancel_stream(void *context, struct stream *stream, enum stream_event event)
{
    struct twin_cancel *cancel = context;
    switch (twin_opener_step(&cancel->opener, &cancel->target, stream, event)) {
    case TWIN_OPENING:
        break;
    case TWIN_OPEN:
        send_cancel(cancel);
        break;
    case TWIN_SHUT:
        cancel_free(cancel);
        break;
    }
}

static void on_cancel_timeout(evutil_socket_t unused, short what, void *context)
{
    (void)unused, (void)what;
    log_warning("twin server: a cancel request was not taken in time");
    cancel_free(context);
}

void twin_cancel(struct event_base *base, const struct twin_target *target, uint32_t pid,
                 uint32_t key)
{
    struct twin_cancel *cancel = calloc(1, sizeof *cancel);
    if (cancel == NULL) {
        log_error("cannot cancel: out of memory");
        return;
    }
    struct timeval limit = {.tv_sec = LIMIT_CANCEL_SECONDS};
    cancel->next = cancels;
    cancel->link = &cancels;
    if (cancels != NULL)
        cancels->link = &cancel->next;
    cancels = cancel;
    cancel->target = *target;
    cancel->pid = pid;
    cancel->key = key;
    cancel->stream = stream_connect(base, (const struct sockaddr *)&target->address, target->length,
                                    on_cancel_stream, cancel);
    cancel->timer = evtimer_new(base, on_cancel_timeout, cancel);
    if (cancel->stream == NULL || cancel->timer == NULL || event_add(cancel->timer, &limit) != 0) {
        log_error("cannot cancel: out of memory");
        cancel_free(cancel);
    }
}

void twin_cancel_drop_all(void)
{
    while (cancels != NULL)
        cancel_free(cancels);
}
