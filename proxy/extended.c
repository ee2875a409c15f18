/*
 * The extended protocol. A Parse whose statement may be private is forwarded unchanged (the twin
 * types its parameters and result), with a Describe behind it whose answer pgveil keeps. At Bind
 * the statement leaves the relay (statement.c); the portal that comes of it is an ordinary portal
 * of the twin, so Execute, row limits and Close are the twin's again.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/utf8.h"
#include "proxy/session_internal.h"

static enum handled refuse(struct session *session, const struct refusal *refusal)
{
    session_fail(session, refusal, NULL);
    return HANDLED_CONSUME;
}

static enum handled refuse_protocol(struct session *session, const char *message)
{
    struct refusal refusal = {.sqlstate = "08P01"};
    snprintf(refusal.message, sizeof refusal.message, "%s", message);
    return refuse(session, &refusal);
}

/* --- Parse ---------------------------------------------------------------------------------- */

/* A Parse under way: registered when the twin has accepted it. */
struct parse_reply {
    struct session *session;
    struct prepared *prepared;
};

static void release_parse(void *context)
{
    struct parse_reply *reply = context;
    prepared_release(reply->prepared);
    free(reply);
}

static void on_parse(void *context, const struct wire_message *message)
{
    struct parse_reply *reply = context;
    struct session *session = reply->session;
    if (message->type == '1')
        prepared_table_put(&session->prepared, prepared_hold(reply->prepared));
    session_pass_on(session, message);
}

/* A name that the client's encoding lacks makes it fail. */
static void on_describe_own(void *context, const struct wire_message *message)
{
    struct parse_reply *reply = context;
    reply->prepared->described_after = reply->session->executed;
    if (message->type == 'E')
        session_pass_on(reply->session, message);
    else
        prepared_describe(reply->prepared, message);
}

/* An Execute since may have changed the encoding, and the twin has not reported that yet. */
static bool is_described(const struct session *session, const struct prepared *prepared)
{
    return prepared_is_described(prepared) && (prepared->ascii_columns || !session->unreported ||
                                               prepared->described_after == session->executed);
}

static struct parse_reply *parse_reply_new(struct session *session, struct prepared *prepared)
{
    struct parse_reply *reply = calloc(1, sizeof *reply);
    assert(reply != NULL);
    reply->session = session;
    reply->prepared = prepared_hold(prepared);
    return reply;
}

static void describe_own(struct session *session, struct prepared *prepared)
{
    wire_name(session_to_twin(session), 'D', 'S', prepared->name);
    replies_push(&session->replies, 'D', on_describe_own, parse_reply_new(session, prepared),
                 release_parse);
}

static enum handled parse_candidate(struct session *session, const struct wire_message *message,
                                    const char *name, const char *sql, struct parsed *parsed)
{
    struct prepared *prepared = prepared_new(name, sql, parsed);
    session_relay(session, message, on_parse, parse_reply_new(session, prepared), release_parse);
    describe_own(session, prepared);
    prepared_release(prepared);
    return HANDLED_RELAYED;
}

/* A name that comes to stand for something else, or for nothing, once the twin says so. */
struct forget_reply {
    struct session *session;
    char *name;
};

static void release_forget(void *context)
{
    struct forget_reply *reply = context;
    free(reply->name);
    free(reply);
}

static void on_forget(void *context, const struct wire_message *message)
{
    struct forget_reply *reply = context;
    if (message->type != 'E')
        prepared_table_remove(&reply->session->prepared, reply->name);
    session_pass_on(reply->session, message);
}

bool extended_awaits_name(const struct session *session)
{
    return replies_await(&session->replies, on_parse) ||
           replies_await(&session->replies, on_forget);
}

/* Relays the Parse or Close of a name: fails it, the name is what it was. The unnamed statement is
 * gone at once, whatever becomes of what replaces it. */
static enum handled relay_and_forget(struct session *session, const struct wire_message *message,
                                     const char *name)
{
    if (name[0] == '\0')
        prepared_table_remove(&session->prepared, name);
    if (prepared_table_find(&session->prepared, name) == NULL &&
        !replies_await(&session->replies, on_parse))
        return session_relay(session, message, NULL, NULL, NULL);
    struct forget_reply *reply = calloc(1, sizeof *reply);
    assert(reply != NULL);
    reply->session = session;
    reply->name = strdup(name);
    assert(reply->name != NULL);
    return session_relay(session, message, on_forget, reply, release_forget);
}

/* Names are known to pgveil by their bytes. */
static bool is_lasting_name(const struct session *session, const char *name)
{
    return utf8_is_ascii(name) || (session->utf8 && !session->unreported);
}

static enum handled parse_text(struct session *session, const struct wire_message *message,
                               const char *name, const char *sql)
{
    struct parsed *parsed = session_parse(session, sql);
    const struct statement *statement =
        parsed_count(parsed) == 1 ? parsed_statement(parsed, 0) : NULL;
    bool candidate = statement != NULL && statement->class == STATEMENT_CANDIDATE;
    enum handled handled;
    if (statement != NULL && statement->class == STATEMENT_REFUSED) {
        handled = refuse(session, &statement->refusal);
    } else if (candidate && !is_lasting_name(session, name)) {
        handled = refuse_protocol(session, "the name of a prepared statement over private tables "
                                           "is in ASCII unless client_encoding is UTF8");
    } else if (candidate &&
               session->prepared.n_statements >= session->server->config->session_statements_max) {
        handled = refuse_protocol(session, "too many prepared statements in this session");
    } else if (candidate) {
        return parse_candidate(session, message, name, sql, parsed);
    } else {
        handled = relay_and_forget(session, message, name);
    }
    parsed_free(parsed);
    return handled;
}

enum handled extended_parse(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    const char *name = wire_read_string(&reader);
    const char *raw = wire_read_string(&reader), *sql = raw;
    struct refusal refusal;
    if (reader.failed)
        return refuse_protocol(session, "invalid message format");
    switch (session_read_text(session, message, raw, &sql, &refusal)) {
    case TEXT_CLEAR:
        break;
    case TEXT_RELAY:
        return session_relay(session, message, NULL, NULL, NULL);
    case TEXT_REFUSED:
        return refuse(session, &refusal);
    case TEXT_WAIT:
        return HANDLED_WAIT;
    }
    char *own_name = strdup(name); /* relaying moves the message */
    assert(own_name != NULL);
    enum handled handled = parse_text(session, message, own_name, sql);
    free(own_name);
    return handled;
}

/* --- Bind ----------------------------------------------------------------------------------- */

/* The fields of a Bind, pointing into the message; arrays are allocated. */
struct bind {
    const char *portal, *statement;
    size_t n_formats, n_values, n_results;
    uint16_t *formats, *results;
    struct bind_value *values;
};

static void bind_clear(struct bind *bind)
{
    free(bind->formats);
    free(bind->results);
    free(bind->values);
}

static uint16_t *read_codes(struct wire_reader *reader, size_t *count)
{
    *count = wire_read_int16(reader);
    uint16_t *codes = calloc(*count + 1, sizeof *codes);
    assert(codes != NULL);
    for (size_t i = 0; i < *count; i++)
        codes[i] = wire_read_int16(reader);
    return codes;
}

static bool bind_read(const struct wire_message *message, struct bind *bind)
{
    struct wire_reader reader = wire_read(message);
    memset(bind, 0, sizeof *bind);
    bind->portal = wire_read_string(&reader);
    bind->statement = wire_read_string(&reader);
    bind->formats = read_codes(&reader, &bind->n_formats);
    bind->n_values = wire_read_int16(&reader);
    bind->values = calloc(bind->n_values + 1, sizeof *bind->values);
    assert(bind->values != NULL);
    for (size_t i = 0; i < bind->n_values && !reader.failed; i++) {
        bind->values[i].length = wire_read_int32(&reader);
        if (bind->values[i].length != UINT32_MAX)
            bind->values[i].bytes = wire_read_bytes(&reader, bind->values[i].length);
    }
    bind->results = read_codes(&reader, &bind->n_results);
    return wire_read_end(&reader);
}

/* What PostgreSQL checks of a Bind's counts, in its words. Empty where all is well. */
static void check_counts(const struct bind *bind, const struct prepared *prepared,
                         struct refusal *refusal)
{
    memset(refusal, 0, sizeof *refusal);
    if (bind->n_formats > 1 && bind->n_formats != bind->n_values)
        snprintf(refusal->message, sizeof refusal->message,
                 "bind message has %zu parameter formats but %zu parameters", bind->n_formats,
                 bind->n_values);
    else if (bind->n_values != prepared->n_params)
        snprintf(refusal->message, sizeof refusal->message,
                 "bind message supplies %zu parameters, but prepared statement \"%.60s\" requires "
                 "%zu",
                 bind->n_values, prepared->name, prepared->n_params);
    else if (bind->n_results > 1 && bind->n_results != prepared->n_columns)
        snprintf(refusal->message, sizeof refusal->message,
                 "bind message has %zu result formats but query has %zu columns", bind->n_results,
                 prepared->n_columns);
    if (refusal->message[0])
        strcpy(refusal->sqlstate, "08P01");
}

/* The Bind stays at the head of the client's input until the statement has ended. */
static void after_statement(struct session *session, enum statement_end end, bool explain)
{
    struct wire_message message = session_head_message(session);
    struct bind bind;
    if (!bind_read(&message, &bind))
        abort();
    session_enter(session, end == STATEMENT_FAILED ? SESSION_IGNORE : SESSION_RELAY);
    if (end == STATEMENT_NOT_PRIVATE) {
        prepared_table_remove_portal(&session->prepared, bind.portal);
        session_relay(session, &message, NULL, NULL, NULL);
    } else {
        if (end == STATEMENT_BOUND) {
            struct prepared *prepared = prepared_table_find(&session->prepared, bind.statement);
            prepared_table_put_portal(&session->prepared, bind.portal, prepared, bind.n_results,
                                      bind.results, explain);
            wire_empty(session_to_client(session), '2');
        }
        wire_consume(stream_input(session->client), &message);
    }
    bind_clear(&bind);
    session_continue(session);
}

static enum handled bind_private(struct session *session, const struct bind *bind,
                                 struct prepared *prepared)
{
    struct refusal refusal;
    check_counts(bind, prepared, &refusal);
    if (refusal.sqlstate[0])
        return refuse(session, &refusal);
    struct statement_request request = {.prepared = prepared,
                                        .index = 0,
                                        .statement_name = prepared->name,
                                        .portal = bind->portal,
                                        .n_formats = bind->n_formats,
                                        .formats = bind->formats,
                                        .values = bind->values,
                                        .n_results = bind->n_results,
                                        .results = bind->results,
                                        .done = after_statement};
    session_enter(session, SESSION_PRIVATE);
    statement_start(session, &request);
    return HANDLED_WAIT;
}

enum handled extended_bind(struct session *session, const struct wire_message *message)
{
    struct bind bind;
    enum handled handled;
    bool valid = bind_read(message, &bind);
    struct prepared *prepared =
        valid ? prepared_table_find(&session->prepared, bind.statement) : NULL;
    if (extended_awaits_name(session) || (prepared != NULL && session->replies.count > 0)) {
        handled = HANDLED_WAIT; /* what is owed decides whether this Bind is private, or happens */
    } else if (!valid) {
        handled = refuse_protocol(session, "invalid message format");
    } else if (prepared == NULL) {
        prepared_table_remove_portal(&session->prepared, bind.portal);
        handled = session_relay(session, message, NULL, NULL, NULL);
    } else if (!is_described(session, prepared)) {
        describe_own(session,
                     prepared); /* fails before the charge where the answer's columns would */
        handled = HANDLED_WAIT;
    } else {
        handled = bind_private(session, &bind, prepared);
    }
    bind_clear(&bind);
    return handled;
}

/* --- Describe, Execute, Close ---------------------------------------------------------------- */

struct portal_reply {
    struct session *session;
    char *portal;
};

static void release_portal_reply(void *context)
{
    struct portal_reply *reply = context;
    free(reply->portal);
    free(reply);
}

static struct portal_reply *portal_reply_new(struct session *session, const char *portal)
{
    struct portal_reply *reply = calloc(1, sizeof *reply);
    assert(reply != NULL);
    reply->session = session;
    reply->portal = strdup(portal);
    assert(reply->portal != NULL);
    return reply;
}

/* The twin describes the final statement, whose columns belong to no table; the client is shown
 * what the twin said of the original. A cursor may have taken the portal's name since. */
static void on_describe_portal(void *context, const struct wire_message *message)
{
    struct portal_reply *reply = context;
    const struct portal *portal =
        prepared_table_find_portal(&reply->session->prepared, reply->portal);
    if (message->type == 'T' && portal != NULL && prepared_same_types(portal->prepared, message))
        prepared_write_description(portal->prepared, portal->prepared->renamed ? message : NULL,
                                   portal->n_formats, portal->formats,
                                   session_to_client(reply->session));
    else
        session_pass_on(reply->session, message);
}

static void on_execute_explain(void *context, const struct wire_message *message)
{
    struct portal_reply *reply = context;
    if (message->type == 'C')
        wire_command_complete(session_to_client(reply->session), "EXPLAIN");
    else
        session_pass_on(reply->session, message);
}

static const struct portal *portal_named(struct session *session,
                                         const struct wire_message *message, bool has_kind)
{
    struct wire_reader reader = wire_read(message);
    if (has_kind && wire_read_byte(&reader) != 'P')
        return NULL;
    const char *name = wire_read_string(&reader);
    return reader.failed ? NULL : prepared_table_find_portal(&session->prepared, name);
}

enum handled extended_describe(struct session *session, const struct wire_message *message)
{
    const struct portal *portal = portal_named(session, message, true);
    if (portal == NULL)
        return session_relay(session, message, NULL, NULL, NULL);
    return session_relay(session, message, on_describe_portal,
                         portal_reply_new(session, portal->name), release_portal_reply);
}

enum handled extended_execute(struct session *session, const struct wire_message *message)
{
    const struct portal *portal = portal_named(session, message, false);
    if (portal == NULL || !portal->explain)
        return session_relay(session, message, NULL, NULL, NULL);
    return session_relay(session, message, on_execute_explain,
                         portal_reply_new(session, portal->name), release_portal_reply);
}

enum handled extended_close(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    uint8_t kind = wire_read_byte(&reader);
    const char *name = wire_read_string(&reader);
    if (!reader.failed && kind == 'S')
        return relay_and_forget(session, message, name);
    if (!reader.failed && kind == 'P')
        prepared_table_remove_portal(&session->prepared, name);
    return session_relay(session, message, NULL, NULL, NULL);
}
