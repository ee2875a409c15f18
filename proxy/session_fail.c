/*
 * Errors of pgveil's own. The twin is made to fail in their place, so that transactions are aborted
 * as PostgreSQL would. What an error quotes may lie outside ASCII: where the client's encoding is
 * another than UTF8, the twin converts it first, and what that encoding lacks becomes a question
 * mark.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "parser/utf8.h"
#include "proxy/session_internal.h"

enum { N_TEXTS = 3, OID_BYTEA = 17 };

struct failure {
    unsigned references; /* expected replies that hold it */
    struct session *session;
    struct refusal refusal;
    char *texts[N_TEXTS]; /* message, detail, hint in the client's encoding; NULL: not converted */
    void (*then)(struct session *session);
};

static const char failure_name[] = "pgveil error"; /* of the statement and its portal */
static const char failure_sql[] =
    "SELECT pg_catalog.convert_from($1, 'UTF8'), pg_catalog.convert_from($2, 'UTF8'), "
    "pg_catalog.convert_from($3, 'UTF8')";

static void release_failure(void *context)
{
    struct failure *failure = context;
    if (--failure->references > 0)
        return;
    for (size_t i = 0; i < N_TEXTS; i++)
        free(failure->texts[i]);
    free(failure);
}

static void expect(struct failure *failure, char message, reply_sink *sink)
{
    failure->references++;
    replies_push(&failure->session->replies, message, sink, failure, release_failure);
}

static const char *text_of(const struct failure *failure, size_t index)
{
    const char *const texts[N_TEXTS] = {failure->refusal.message, failure->refusal.detail,
                                        failure->refusal.hint};
    return texts[index];
}

static bool is_ascii(const struct failure *failure)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        if (!utf8_is_ascii(text_of(failure, i)))
            return false;
    return true;
}

/* What was cut to fit may end inside a character. */
static char *own_text(const struct failure *failure, size_t index)
{
    const char *text = text_of(failure, index);
    return utf8_is_valid(text) ? strdup(text) : utf8_ascii_copy(text);
}

static void set_text(struct failure *failure, size_t index, char *text)
{
    assert(text != NULL);
    free(failure->texts[index]);
    failure->texts[index] = text;
}

static void report(struct failure *failure)
{
    struct session *session = failure->session;
    const struct wire_report error = {.severity = "ERROR",
                                      .sqlstate = failure->refusal.sqlstate,
                                      .message = failure->texts[0],
                                      .detail = failure->texts[1],
                                      .hint = failure->texts[2],
                                      .position = failure->refusal.position};
    wire_report(session_to_client(session), &error);
    if (failure->then)
        failure->then(session);
}

static void report_in_ascii(struct failure *failure)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        set_text(failure, i, utf8_ascii_copy(text_of(failure, i)));
    report(failure);
}

/* The conversion has failed, and with it the transaction. */
static void on_conversion(void *context, const struct wire_message *message)
{
    if (message->type == 'E')
        report_in_ascii(context);
}

static void on_converted(void *context, const struct wire_message *message)
{
    struct failure *failure = context;
    on_conversion(failure, message);
    if (message->type != 'D')
        return;
    struct wire_reader reader = wire_read(message);
    bool fits = wire_read_int16(&reader) == N_TEXTS;
    for (size_t i = 0; fits && i < N_TEXTS; i++) {
        uint32_t length = wire_read_int32(&reader);
        const unsigned char *bytes = wire_read_bytes(&reader, length);
        if (bytes != NULL)
            set_text(failure, i, strndup((const char *)bytes, length));
    }
}

static void on_failed(void *context, const struct wire_message *message)
{
    struct failure *failure = context;
    if (message->type != 'E')
        session_end(failure->session, "XX000", "the twin bound a statement that does not exist");
    else if (failure->texts[0] && failure->texts[1] && failure->texts[2])
        report(failure);
    else
        report_in_ascii(failure);
}

static void bind_texts(struct evbuffer *twin, const struct failure *failure)
{
    struct wire_writer writer = wire_begin(twin, 'B');
    wire_add_string(&writer, failure_name);
    wire_add_string(&writer, failure_name);
    wire_add_int16(&writer, 1);
    wire_add_int16(&writer, 1);
    wire_add_int16(&writer, N_TEXTS);
    for (size_t i = 0; i < N_TEXTS; i++) {
        size_t length = strlen(text_of(failure, i));
        wire_add_int32(&writer, (uint32_t)length);
        wire_add_bytes(&writer, text_of(failure, i), length);
    }
    wire_add_int16(&writer, 0);
    wire_end(&writer);
}

static void convert(struct failure *failure)
{
    static const uint32_t types[N_TEXTS] = {OID_BYTEA, OID_BYTEA, OID_BYTEA};
    struct evbuffer *twin = session_to_twin(failure->session);
    wire_name(twin, 'C', 'S', failure_name);
    expect(failure, 'C', on_conversion);
    wire_parse(twin, failure_name, failure_sql, N_TEXTS, types);
    expect(failure, 'P', on_conversion);
    bind_texts(twin, failure);
    expect(failure, 'B', on_conversion);
    wire_execute(twin, failure_name, 0);
    expect(failure, 'E', on_converted);
}

static void bind_no_statement(struct failure *failure)
{
    struct session *session = failure->session;
    struct wire_writer writer = wire_begin(session_to_twin(session), 'B');
    wire_add_string(&writer, "");
    wire_add_string(&writer, session->no_statement);
    wire_add_int16(&writer, 0);
    wire_add_int16(&writer, 0);
    wire_add_int16(&writer, 0);
    wire_end(&writer);
    expect(failure, 'B', on_failed);
    wire_empty(session_to_twin(session), 'H');
}

void session_fail(struct session *session, const struct refusal *refusal,
                  void (*then)(struct session *session))
{
    struct failure *failure = calloc(1, sizeof *failure);
    assert(failure != NULL);
    failure->session = session;
    failure->refusal = *refusal;
    failure->then = then;
    bool known = session->replies.count == 0 && !session->unreported;
    if (is_ascii(failure) || (known && session->utf8)) {
        for (size_t i = 0; i < N_TEXTS; i++)
            set_text(failure, i, own_text(failure, i));
    } else if (!known || session->transaction != 'E') {
        convert(failure);
    }
    bind_no_statement(failure);
}
