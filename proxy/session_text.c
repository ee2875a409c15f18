/*
 * What a client wrote, as pgveil may read it. A session has any client_encoding that PostgreSQL
 * supports, and the encodings differ from what other libraries call by the same names in single
 * characters, which could be quotes or backslashes. So nobody but the twin converts: in the session
 * itself, as a parameter of type text is converted, which is how it will convert the text itself.
 * The same question tells how strings are read where the twin has not reported that yet.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parser/utf8.h"
#include "proxy/final.h"
#include "proxy/session_internal.h"

enum { OID_TEXT = 25 };

static const char reading_name[] = "pgveil reading"; /* of the statement and its portal */
static const char reading_sql[] =
    "SELECT pg_catalog.current_setting('standard_conforming_strings'), "
    "pg_catalog.convert_to($1, 'UTF8')";

void session_reading_clear(struct session *session)
{
    free(session->reading.text);
    session->reading.text = NULL;
}

/* The twin's error is the answer to the message. */
static void fail_reading(struct session *session, const struct wire_message *error)
{
    struct wire_message message = session_head_message(session);
    final_report_error(error, session_to_client(session));
    if (message.type == 'Q') {
        wire_empty(session_to_twin(session), 'S');
        replies_push(&session->replies, 'S', NULL, NULL, NULL);
    }
    session_enter(session, message.type == 'Q' ? SESSION_RELAY : SESSION_IGNORE);
    session_reading_clear(session);
    wire_consume(stream_input(session->client), &message);
}

static void on_reading_error(void *context, const struct wire_message *message)
{
    if (message->type == 'E')
        fail_reading(context, message);
}

static void read_row(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    bool fits = wire_read_int16(&reader) == 2;
    uint32_t setting_length = wire_read_int32(&reader);
    const unsigned char *setting = wire_read_bytes(&reader, setting_length);
    uint32_t length = wire_read_int32(&reader);
    const unsigned char *bytes = wire_read_bytes(&reader, length);
    if (!fits || !wire_read_end(&reader) || memchr(bytes, 0, length) != NULL)
        return;
    session_reading_clear(session);
    session->reading.standard_strings = setting_length == 2 && memcmp(setting, "on", 2) == 0;
    session->reading.text = strndup((const char *)bytes, length);
    assert(session->reading.text != NULL);
}

static void on_reading_row(void *context, const struct wire_message *message)
{
    if (message->type == 'E')
        fail_reading(context, message);
    else if (message->type == 'D')
        read_row(context, message);
}

/* The message is looked at again, now with its reading. */
static void end_reading(struct session *session)
{
    if (session->reading.text == NULL || !utf8_is_valid(session->reading.text))
        session_end(session, "XX000", "the twin session gave no reading of the statement");
    else
        session_enter(session, SESSION_RELAY);
}

static void on_reading_synced(void *context, const struct wire_message *message)
{
    if (message->type == 'Z')
        end_reading(context);
}

/* A Query begins without a transaction of the question's; a Parse stays in its own. */
static void on_reading_closed(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E') {
        fail_reading(session, message);
    } else if (session_head_message(session).type == 'Q') {
        wire_empty(session_to_twin(session), 'S');
        replies_push(&session->replies, 'S', on_reading_synced, session, NULL);
    } else {
        end_reading(session);
    }
}

static void bind_reading(struct evbuffer *twin, const char *raw)
{
    size_t length = strlen(raw);
    struct wire_writer writer = wire_begin(twin, 'B');
    wire_add_string(&writer, reading_name);
    wire_add_string(&writer, reading_name);
    wire_add_int16(&writer, 0);
    wire_add_int16(&writer, 1);
    wire_add_int32(&writer, (uint32_t)length);
    wire_add_bytes(&writer, raw, length);
    wire_add_int16(&writer, 2);
    wire_add_int16(&writer, 0);
    wire_add_int16(&writer, 1);
    wire_end(&writer);
}

static void ask_twin(struct session *session, const char *raw)
{
    static const uint32_t types[] = {OID_TEXT};
    struct evbuffer *twin = session_to_twin(session);
    struct replies *replies = &session->replies;
    session_enter(session, SESSION_PRIVATE);
    wire_name(twin, 'C', 'S', reading_name);
    replies_push(replies, 'C', on_reading_error, session, NULL);
    wire_parse(twin, reading_name, reading_sql, 1, types);
    replies_push(replies, 'P', on_reading_error, session, NULL);
    bind_reading(twin, raw);
    replies_push(replies, 'B', on_reading_error, session, NULL);
    wire_execute(twin, reading_name, 0);
    replies_push(replies, 'E', on_reading_row, session, NULL);
    wire_name(twin, 'C', 'P', reading_name);
    replies_push(replies, 'C', on_reading_error, session, NULL);
    wire_name(twin, 'C', 'S', reading_name);
    replies_push(replies, 'C', on_reading_closed, session, NULL);
    wire_empty(twin, 'H');
}

static bool refuse_text(struct refusal *refusal, const char *message, const char *hint)
{
    memset(refusal, 0, sizeof *refusal);
    strcpy(refusal->sqlstate, "0A000");
    snprintf(refusal->message, sizeof refusal->message, "%s", message);
    snprintf(refusal->hint, sizeof refusal->hint, "%s", hint);
    return false;
}

static bool backslashes_are_clear(const char *text, bool standard_strings, struct refusal *refusal)
{
    return standard_strings || strchr(text, '\\') == NULL ||
           refuse_text(refusal, "backslashes are not read while standard_conforming_strings is off",
                       "SET standard_conforming_strings = on first.");
}

/* In a failed transaction block PostgreSQL runs nothing but what ends it. One statement there needs
 * no reading, which the twin would refuse to give. */
static bool can_only_end_block(const struct session *session, char type, const char *raw)
{
    if (type != 'Q' || session->transaction != 'E' || session->unreported)
        return false;
    const char *end = strchr(raw, ';');
    return end == NULL || end[strspn(end, "; \t\r\n\f\v")] == '\0';
}

enum text_state session_read_text(struct session *session, const struct wire_message *message,
                                  const char *raw, const char **text, struct refusal *refusal)
{
    bool ascii = utf8_is_ascii(raw), standard_strings = session->standard_strings;
    *text = raw;
    if (ascii && strchr(raw, '\\') == NULL)
        return TEXT_CLEAR; /* the same in every encoding and under every setting */
    if (session->replies.count > 0)
        return TEXT_WAIT;
    if (strlen(raw) > session->server->config->statement_bytes_max)
        return TEXT_CLEAR; /* refused for its length, unread */
    if (can_only_end_block(session, message->type, raw))
        return TEXT_RELAY;
    if (session->reading.text != NULL) {
        *text = session->reading.text;
        standard_strings = session->reading.standard_strings;
    } else if (session->unreported && message->type == 'Q') {
        refuse_text(refusal,
                    "a Query with backslashes or characters outside ASCII must come after a Sync",
                    "The messages before it may have changed how it is read; end them with Sync.");
        return TEXT_REFUSED;
    } else if (session->unreported || (!session->utf8 && !ascii)) {
        ask_twin(session, raw);
        return TEXT_WAIT;
    } else if (!utf8_is_valid(raw)) {
        return TEXT_RELAY;
    }
    return backslashes_are_clear(*text, standard_strings, refusal) ? TEXT_CLEAR : TEXT_REFUSED;
}

bool session_part_is_clear(const struct session *session, const char *encoding, const char *part,
                           struct refusal *refusal)
{
    if (strcmp(session->encoding, encoding) != 0 && !utf8_is_ascii(part))
        return refuse_text(refusal, "client_encoding was changed in the same Query",
                           "Send what follows the change by itself.");
    return backslashes_are_clear(part, session->standard_strings, refusal);
}
