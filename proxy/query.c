/*
 * Simple Query. A text in which nothing is private goes to the twin as it is. Any other is run part
 * by part: relayed parts as Queries of their own, private parts through the extended protocol on
 * the unnamed statement and portal. Outside a transaction several parts are wrapped in BEGIN and
 * COMMIT, because PostgreSQL runs the statements of one Query as one implicit transaction. The
 * positions in errors and notices about a part are moved to where they are in the whole text.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/part_text.h"
#include "proxy/session_internal.h"

struct query_run {
    char *sql;                 /* in UTF-8 */
    char *raw;                 /* as the client wrote it */
    char encoding[32];         /* in which it did */
    struct prepared *prepared; /* the whole text, parsed; descriptions of the part under way */
    struct part *parts;        /* where its statements are in raw; of refused ones unset */
    size_t next;               /* part to run next */
    bool failed;
    bool wrapped; /* in a transaction block of pgveil's own */
};

static void run_next(struct session *session);

void query_free(struct query_run *run)
{
    if (run == NULL)
        return;
    prepared_release(run->prepared);
    free(run->parts);
    free(run->sql);
    free(run->raw);
    free(run);
}

static void finish(struct session *session)
{
    query_free(session->query);
    session->query = NULL;
    session->characters_before = 0;
    session_enter(session, SESSION_RELAY);
    wire_ready(session_to_client(session), session->transaction);
    session_continue(session);
}

/* --- relayed parts --------------------------------------------------------------------------- */

static void on_relayed_part(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'Z') {
        run_next(session);
        return;
    }
    if (message->type == 'E')
        session->query->failed = true;
    session_pass_on(session, message);
}

/* A command or Sync of pgveil's own: only its error is the client's. */
static void on_own_command(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E') {
        session->query->failed = true;
        session_pass_on(session, message);
    }
    if (message->type == 'Z')
        run_next(session);
}

static void send_query(struct session *session, const char *sql, reply_sink *sink)
{
    wire_query(session_to_twin(session), sql);
    replies_push(&session->replies, 'Q', sink, session, NULL);
}

/* --- private and refused parts ---------------------------------------------------------------- */

static void sync_part(struct session *session)
{
    wire_empty(session_to_twin(session), 'S');
    replies_push(&session->replies, 'S', on_own_command, session, NULL);
}

static void fail_part(struct session *session)
{
    session->query->failed = true;
    sync_part(session);
}

static void on_part_rows(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'E')
        session->query->failed = true;
    session_pass_on(session, message);
}

static void on_explain_rows(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type == 'C')
        wire_command_complete(session_to_client(session), "EXPLAIN");
    else
        on_part_rows(session, message);
}

static void swallow(void *context, const struct wire_message *message)
{
    (void)context, (void)message;
}

static void execute_part(struct session *session, bool explain)
{
    struct evbuffer *twin = session_to_twin(session);
    if (session->query->prepared->row_description)
        prepared_write_description(session->query->prepared, NULL, 0, NULL,
                                   session_to_client(session));
    wire_execute(twin, "", 0);
    replies_push(&session->replies, 'E', explain ? on_explain_rows : on_part_rows, session, NULL);
    wire_name(twin, 'C', 'P', "");
    replies_push(&session->replies, 'C', swallow, NULL, NULL);
    wire_name(twin, 'C', 'S', "");
    replies_push(&session->replies, 'C', swallow, NULL, NULL);
    sync_part(session);
}

/* The part under way as the client wrote it. Allocated. */
static char *part_text(const struct query_run *run)
{
    const struct part *part = &run->parts[run->next - 1];
    char *text = strndup(run->raw + part->location, part->length);
    assert(text != NULL);
    return text;
}

/* The names meant nothing private after all: the part runs as the client wrote it. */
static void relay_part(struct session *session)
{
    wire_empty(session_to_twin(session), 'S');
    replies_push(&session->replies, 'S', swallow, NULL, NULL);
    char *text = part_text(session->query);
    send_query(session, text, on_relayed_part);
    free(text);
}

static void after_statement(struct session *session, enum statement_end end, bool explain)
{
    switch (end) {
    case STATEMENT_BOUND:
        execute_part(session, explain);
        break;
    case STATEMENT_NOT_PRIVATE:
        relay_part(session);
        break;
    case STATEMENT_FAILED:
        fail_part(session);
        break;
    }
}

static void on_part_parsed(void *context, const struct wire_message *message)
{
    struct session *session = context;
    if (message->type != 'E')
        return;
    session_pass_on(session, message);
    fail_part(session);
}

static void on_part_described(void *context, const struct wire_message *message)
{
    struct session *session = context;
    struct query_run *run = session->query;
    if (message->type == 'E') {
        session_pass_on(session, message);
        fail_part(session);
        return;
    }
    prepared_describe(run->prepared, message);
    if (message->type == 't')
        return;
    struct refusal refusal = {.sqlstate = "42P02", .message = "there is no parameter $1"};
    if (run->prepared->n_params > 0) {
        session_fail(session, &refusal, fail_part);
        return;
    }
    struct statement_request request = {.prepared = run->prepared,
                                        .index = run->next - 1,
                                        .statement_name = "",
                                        .portal = "",
                                        .done = after_statement};
    statement_start(session, &request);
}

static void run_private(struct session *session, const char *text)
{
    struct query_run *run = session->query;
    struct evbuffer *twin = session_to_twin(session);
    prepared_forget_description(run->prepared);
    wire_parse(twin, "", text, 0, NULL);
    replies_push(&session->replies, 'P', on_part_parsed, session, NULL);
    wire_name(twin, 'D', 'S', "");
    replies_push(&session->replies, 'D', on_part_described, session, NULL);
    wire_empty(twin, 'H');
}

/* --- the run --------------------------------------------------------------------------------- */

/* A part before this one may have changed how text is read: what was classified must still be what
 * the twin will read. */
static bool refuse_unclear(struct session *session, const struct statement *statement)
{
    const struct query_run *run = session->query;
    struct refusal refusal;
    char *part = strndup(run->sql + statement->location, statement->length);
    assert(part != NULL);
    bool clear = session_part_is_clear(session, run->encoding, part, &refusal);
    free(part);
    if (!clear)
        session_fail(session, &refusal, fail_part);
    return !clear;
}

static void send_part(struct session *session, const struct statement *statement)
{
    const struct query_run *run = session->query;
    if (refuse_unclear(session, statement))
        return;
    session->characters_before = run->parts[run->next - 1].before;
    char *text = part_text(run);
    if (statement->class == STATEMENT_RELAY)
        send_query(session, text, on_relayed_part);
    else
        run_private(session, text);
    free(text);
}

static void run_part(struct session *session, const struct statement *statement)
{
    if (statement->class != STATEMENT_REFUSED)
        send_part(session, statement);
    else if (session->transaction == 'E') /* PostgreSQL's own 25P02 */
        send_query(session, "SELECT 1", on_relayed_part);
    else
        session_fail(session, &statement->refusal, fail_part);
}

static bool needs_wrapping(const struct session *session)
{
    const struct query_run *run = session->query;
    size_t left = parsed_count(run->prepared->parsed) - run->next;
    return !run->wrapped && !run->failed && session->transaction == 'I' && left > 1 &&
           parsed_statement(run->prepared->parsed, run->next)->transaction == TRANSACTION_NONE;
}

static void run_next(struct session *session)
{
    struct query_run *run = session->query;
    const struct parsed *parsed = run->prepared->parsed;
    bool over = run->failed || run->next == parsed_count(parsed);
    if (run->wrapped && session->transaction == 'I')
        run->wrapped = false; /* a COMMIT or ROLLBACK of the client's ended it */
    if (over && run->wrapped) {
        run->wrapped = false;
        send_query(session, run->failed ? "ROLLBACK" : "COMMIT", on_own_command);
    } else if (over) {
        finish(session);
    } else if (needs_wrapping(session)) {
        run->wrapped = true;
        send_query(session, "BEGIN", on_own_command);
    } else {
        const struct statement *statement = parsed_statement(parsed, run->next++);
        if (statement->transaction == TRANSACTION_BEGIN)
            run->wrapped = false; /* the client's own block now: it stays open */
        run_part(session, statement);
    }
}

static bool is_all_relay(const struct parsed *parsed)
{
    for (size_t i = 0; i < parsed_count(parsed); i++)
        if (parsed_statement(parsed, i)->class != STATEMENT_RELAY)
            return false;
    return true;
}

static void refuse_query(struct session *session, const struct refusal *refusal)
{
    session_fail(session, refusal, NULL);
    wire_empty(session_to_twin(session), 'S');
    replies_push(&session->replies, 'S', NULL, NULL, NULL);
}

/* Allocated; NULL where the text cannot be cut. */
static struct part *find_parts(const char *sql, const char *raw, const struct parsed *parsed)
{
    struct part_finder finder;
    bool found = part_finder_init(&finder, sql, raw);
    struct part *parts = calloc(parsed_count(parsed) + 1, sizeof *parts);
    assert(parts != NULL);
    for (size_t i = 0; found && i < parsed_count(parsed); i++) {
        const struct statement *statement = parsed_statement(parsed, i);
        if (statement->class != STATEMENT_REFUSED)
            found = part_find(&finder, statement->location, statement->length, &parts[i]);
    }
    if (found)
        return parts;
    free(parts);
    return NULL;
}

static enum handled start_run(struct session *session, const char *raw, const char *sql,
                              struct parsed *parsed)
{
    static const struct refusal uncut = {
        .sqlstate = "0A000",
        .message = "the Query cannot be cut into its statements in this client_encoding",
        .hint = "Send the statements one by one."};
    struct part *parts = session->replies.count > 0 ? NULL : find_parts(sql, raw, parsed);
    if (parts == NULL) {
        parsed_free(parsed);
        if (session->replies.count > 0)
            return HANDLED_WAIT;
        refuse_query(session, &uncut);
        return HANDLED_CONSUME;
    }
    struct query_run *run = calloc(1, sizeof *run);
    assert(run != NULL);
    run->sql = strdup(sql);
    run->raw = strdup(raw);
    run->parts = parts;
    assert(run->sql != NULL && run->raw != NULL);
    memcpy(run->encoding, session->encoding, sizeof run->encoding);
    run->prepared = prepared_new("", sql, parsed);
    session->query = run;
    session_enter(session, SESSION_PRIVATE);
    run_next(session);
    return HANDLED_CONSUME;
}

enum handled query_start(struct session *session, const struct wire_message *message)
{
    struct wire_reader reader = wire_read(message);
    const char *raw = wire_read_string(&reader), *sql = raw;
    struct refusal refusal = {.sqlstate = "08P01", .message = "invalid string in message"};
    enum text_state state = TEXT_REFUSED;
    if (wire_read_end(&reader))
        state = session_read_text(session, message, raw, &sql, &refusal);
    if (state == TEXT_WAIT || extended_awaits_name(session))
        return HANDLED_WAIT;
    if (state == TEXT_REFUSED) {
        refuse_query(session, &refusal);
        return HANDLED_CONSUME;
    }
    prepared_table_remove(&session->prepared, "");
    struct parsed *parsed = state == TEXT_CLEAR ? session_parse(session, sql) : NULL;
    if (parsed == NULL || is_all_relay(parsed)) {
        parsed_free(parsed);
        return session_relay(session, message, NULL, NULL, NULL);
    }
    return start_run(session, raw, sql, parsed);
}
