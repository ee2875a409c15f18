/*
 * Opening a session: the account, the analyst's role, the newest edition of the dataset and the
 * login to its twin. A client gets what a PostgreSQL server would say where any of it fails.
 */
#include "proxy/session_internal.h"

#include <event2/buffer.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/twin.h"

static void greet(struct session *session, struct evbuffer *greeting)
{
    struct wire_message message = {0};
    while (wire_peek(greeting, false, SIZE_MAX, &message) == WIRE_READY) {
        if (message.type == 'S')
            session_note_parameter(session, &message);
        wire_forward(greeting, &message, session_to_client(session));
    }
    struct wire_writer writer = wire_begin(session_to_client(session), 'K');
    wire_add_int32(&writer, session->pid);
    wire_add_int32(&writer, session->key);
    wire_end(&writer);
    wire_ready(session_to_client(session), 'I');
}

static void open_twin(struct session *session);

/* Whether a sync took the name away from the twin that the session is on its way to. */
static bool twin_has_moved(const struct session *session)
{
    return session->dataset->switching || session->edition != session->dataset->edition;
}

/* Which twin this is cannot be told where the name moved while the login was under way. */
static void open_twin_again(struct session *session, struct stream *stream)
{
    if (stream != NULL) {
        wire_empty(stream_output(stream), 'X');
        stream_free_flushed(stream);
    }
    log_debug("%s: the twin has changed during the login: once more", stream_peer(session->client));
    edition_release(session->edition);
    session->edition = NULL;
    open_twin(session);
}

static void on_twin_login(void *context, struct stream *stream, struct evbuffer *greeting,
                          uint32_t pid, uint32_t key)
{
    struct session *session = context;
    session->twin_login = NULL;
    if (twin_has_moved(session)) {
        open_twin_again(session, stream);
    } else if (stream == NULL) {
        size_t said = greeting ? evbuffer_get_length(greeting) : 0;
        if (said > 0)
            evbuffer_add_buffer(session_to_client(session), greeting);
        session_end(session, "57P03", said > 0 ? NULL : "the twin server cannot be reached now");
    } else {
        session_attach_twin(session, stream, pid, key);
        greet(session, greeting);
        session_enter(session, SESSION_RELAY);
        log_info("%s: %s opened a session on %s", stream_peer(session->client),
                 session->startup->user, session->startup->database);
        session_continue(session);
    }
    if (greeting)
        evbuffer_free(greeting);
}

static bool log_in_to_twin(struct session *session)
{
    const struct twin_server *twins = session->server->twins;
    struct twin_password password;
    if (!twin_server_target(twins, &session->twin_target) ||
        !twin_server_password(twins, session->startup->user, &password))
        return false;
    session->twin_login = twin_login_start(
        session->server->base, &session->twin_target, session->startup,
        session->edition->catalog->twin_database, password.needed ? password.text : NULL,
        session->server->config->login_timeout_ms, on_twin_login, session);
    explicit_bzero(&password, sizeof password);
    return session->twin_login != NULL;
}

static void on_role(void *context, const PGresult *result)
{
    struct session *session = session_ticket_use(context);
    if (session == NULL)
        return;
    ExecStatusType status = result ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (sqlstate != NULL && twin_has_moved(session)) {
        open_twin_again(session, NULL);
        return;
    }
    if (sqlstate != NULL && strcmp(sqlstate, TWIN_GONE) == 0)
        server_twin_has_gone(session->server, session->dataset);
    if ((status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) || !log_in_to_twin(session))
        session_end(session, "57P03", "the twin server cannot be reached now");
}

/* The administrator makes sure of the role and its password; the session then goes where the
 * administrator's connection goes. */
static bool make_role(struct session *session)
{
    struct twin_server *twins = session->server->twins;
    struct twin_password password;
    if (!twin_server_password(twins, session->startup->user, &password))
        return false;
    const struct catalog *catalog = session->edition->catalog;
    char *sql =
        twin_role_sql(session->startup->user, catalog->twin_database, catalog->twin_database_oid,
                      password.needed ? password.verifier : NULL);
    explicit_bzero(&password, sizeof password);
    pg_client_script(twin_server_admin(twins), sql, on_role, session_ticket_take(session));
    free(sql);
    return true;
}

/* Takes the newest edition and logs in to its twin; while that one's name is moving, the session
 * waits for session_twin_switched. */
static void open_twin(struct session *session)
{
    if (session->dataset->switching)
        return;
    session->edition = edition_hold(session->dataset);
    if (!make_role(session))
        session_end(session, "53000", "no password for the twin session can be made");
}

void session_twin_switched(struct server *server, const struct dataset *dataset)
{
    for (struct session *session = server->sessions; session; session = session->next)
        if (session->state == SESSION_OPENING && session->dataset == dataset &&
            session->edition == NULL && session->account_known)
            open_twin(session);
}

static void on_account(void *context, const PGresult *result)
{
    struct session *session = session_ticket_use(context);
    if (session == NULL)
        return;
    enum ledger_outcome outcome = ledger_account_result(result, &session->account);
    char text[200];
    switch (outcome) {
    case LEDGER_OK:
    case LEDGER_EXCEEDED:
    case LEDGER_FROZEN:
        session->account_known = true;
        open_twin(session);
        break;
    case LEDGER_NO_ACCOUNT:
        snprintf(text, sizeof text, "permission denied for database \"%.63s\": no budget granted",
                 session->startup->database);
        session_end(session, "42501", text);
        break;
    case LEDGER_FAILED:
        session_end(session, "57P03", "the ledger cannot be reached now");
        break;
    }
}

static bool draw_secrets(struct session *session)
{
    static uint32_t last_pid;
    unsigned char name[16];
    session->pid = ++last_pid;
    if (RAND_bytes((unsigned char *)&session->key, sizeof session->key) != 1 ||
        RAND_bytes(name, sizeof name) != 1)
        return false;
    char *at = session->no_statement + sprintf(session->no_statement, "none_");
    for (size_t i = 0; i < sizeof name; i++)
        at += sprintf(at, "%02x", name[i]);
    return true;
}

/* Refused with a reason, or on its way to a session. */
static void open_session(struct session *session)
{
    const struct server *server = session->server;
    const struct startup *startup = session->startup;
    char text[200];
    session->dataset = server_find_dataset(server, startup->database);
    if (session->dataset == NULL) {
        snprintf(text, sizeof text, "database \"%.63s\" does not exist", startup->database);
        session_end(session, "3D000", text);
    } else if (session->dataset->edition == NULL) {
        snprintf(text, sizeof text,
                 "the protected server of database \"%.63s\" cannot be reached now",
                 startup->database);
        session_end(session, "57P03", text);
    } else if (!session->explains_only && server_count_sessions(server, startup->user) >
                                              server->config->connections_per_analyst_max) {
        snprintf(text, sizeof text, "too many connections for role \"%.63s\"", startup->user);
        session_end(session, "53300", text);
    } else if (!draw_secrets(session)) {
        session_end(session, "53000", "no entropy for a session key");
    } else {
        struct ledger_call call;
        ledger_account_call(&call, startup->user, startup->database);
        session_arm(session);
        pg_client_send(server_ledger(session->server), call.sql, call.n_params, NULL, call.values,
                       server->config->login_timeout_ms, on_account, session_ticket_take(session));
    }
}

void session_start(struct server *server, struct listener *listener, struct stream *stream,
                   struct startup *startup)
{
    open_session(session_new(server, listener, stream, startup));
}

void session_start_explaining(struct server *server, struct listener *listener,
                              struct stream *stream, struct startup *startup)
{
    struct session *session = session_new(server, listener, stream, startup);
    session->explains_only = true;
    open_session(session);
}
