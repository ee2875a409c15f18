#ifndef PROXY_SESSION_INTERNAL_H
#define PROXY_SESSION_INTERNAL_H

/*
 * The session as its own files see it: session.c (life, dispatch, timers), session_open.c (up to
 * the first ReadyForQuery), session_text.c (what a client's text is in UTF-8), session_fail.c
 * (errors of pgveil's own), extended.c (Parse, Bind, Describe, ...), query.c (simple Query),
 * statement.c (the way of a private statement).
 */
#include <stdbool.h>
#include <stdint.h>

#include "budget/ledger.h"
#include "parser/refusal.h"
#include "proxy/prepared.h"
#include "proxy/replies.h"
#include "proxy/server.h"
#include "proxy/session.h"
#include "proxy/twin_login.h"
#include "proxy/twin_target.h"
#include "proxy/wire.h"

enum session_state {
    SESSION_OPENING, /* account, role and twin session are being fetched */
    SESSION_RELAY,   /* messages pass; the client is read */
    SESSION_IGNORE,  /* after an error in the extended protocol: all is ignored up to Sync */
    SESSION_PRIVATE, /* a private statement, a split text or the reading of a text is under way; the
                        client waits */
    SESSION_CLOSING  /* ended; freed in the next turn of the loop */
};

struct statement_run; /* statement.c */
struct query_run;     /* query.c */

/* What the twin said of the text in the message at the head of the client's input. */
struct reading {
    char *text; /* in UTF-8; NULL: it was not asked */
    bool standard_strings;
};

struct session {
    struct session *next;
    struct server *server;
    struct listener *listener; /* that counts the connection */
    bool explains_only;        /* nothing may be charged or measured */
    const struct dataset *dataset;
    struct edition *edition; /* held; NULL: waits for a twin, or never got that far */
    enum session_state state;
    struct stream *client, *twin;
    struct startup *startup;
    struct twin_login *twin_login;
    uint32_t pid, key; /* told to the client */
    struct twin_target twin_target;
    uint32_t twin_pid, twin_key; /* the twin's own */
    char no_statement[40];       /* secret name that no statement has: see session_fail */
    char transaction;            /* I, T or E, from the twin's last ReadyForQuery */
    bool client_ended;           /* it will send no more; what it asked is still answered */
    bool twin_ended;             /* what it said last is still on its way to the client */
    size_t partial;              /* bytes still to come of a large message being relayed */
    char encoding[32];           /* client_encoding, as the twin reports it */
    bool utf8;                   /* the twin takes text in it as UTF-8 */
    bool standard_strings;       /* standard_conforming_strings, likewise */
    bool unreported; /* an Execute ended since: the twin tells of a change at the next Sync only */
    unsigned executed; /* how many have ended */
    struct reading reading;
    struct replies replies;
    struct prepared_table prepared;
    struct ledger_account account; /* as of the last answer of the ledger */
    bool account_known;            /* there has been one */
    struct statement_run *statement;
    struct query_run *query;
    size_t characters_before; /* the part of a Query that the twin has: its error positions count
                                 from there */
    struct event *timer;
    struct event *closing;
    uint64_t since_ms; /* busy, or idle, since then */
    bool active;       /* whether that was busy */
    unsigned timeouts; /* of the work under way, already fired */
    struct session_ticket *ticket;
};

/* A callback that may come after the session has gone holds a ticket instead of the session. */
struct session_ticket {
    unsigned references;
    struct session *session; /* NULL: gone */
};
struct session_ticket *session_ticket_take(struct session *session);
/* Gives the ticket back; the session, or NULL where it has gone. */
struct session *session_ticket_use(struct session_ticket *ticket);

/* session.c, for session_open.c. Takes stream and startup. */
struct session *session_new(struct server *server, struct listener *listener, struct stream *stream,
                            struct startup *startup);
/* Sets the timer by what the session does now. */
void session_arm(struct session *session);
/* A ParameterStatus of the twin's. */
void session_note_parameter(struct session *session, const struct wire_message *message);
/* Takes the twin's stream, logged in. */
void session_attach_twin(struct session *session, struct stream *stream, uint32_t pid,
                         uint32_t key);

/* The only setter of the state. */
void session_enter(struct session *session, enum session_state state);
/* Sends a FATAL error if message is not NULL, and ends the session. */
void session_end(struct session *session, const char *sqlstate, const char *message);
/* Handles what the client has sent and was not yet looked at. */
void session_continue(struct session *session);
/* The client's message that waits at the head of its input: it was accepted, whatever the limits
 * are by now. Borrowed until the input changes. */
struct wire_message session_head_message(struct session *session);
struct evbuffer *session_to_client(struct session *session);
struct evbuffer *session_to_twin(struct session *session);
/* Copies a message of the twin to the client; positions are those in the client's text. */
void session_pass_on(struct session *session, const struct wire_message *message);
struct parsed *session_parse(const struct session *session, const char *text);
uint64_t session_now_ms(void);

/* session_fail.c */
/* An error of pgveil's own, in the place of the reply that comes next: makes the twin fail a Bind
 * of a statement that does not exist, so that its transaction is aborted as PostgreSQL would, and
 * sends the report instead. then is called once the client has it. */
void session_fail(struct session *session, const struct refusal *refusal,
                  void (*then)(struct session *session));

/* What became of a client's message. */
enum handled {
    HANDLED_CONSUME, /* done with it: take it out of the input */
    HANDLED_RELAYED, /* moved to the twin's output: already out of the input */
    HANDLED_WAIT     /* can only be looked at once the twin owes nothing */
};

/* session_text.c: texts of the client's in its own encoding */
enum text_state {
    TEXT_CLEAR,   /* may be parsed: UTF-8, and read the same way by libpg_query and the twin */
    TEXT_RELAY,   /* to be relayed unread: the twin will refuse it, or end its transaction */
    TEXT_REFUSED, /* by pgveil */
    TEXT_WAIT     /* the twin is asked, or owes something: HANDLED_WAIT, the message comes again */
};
/* raw: the text in the message (Query or Parse) at the head of the client's input. TEXT_CLEAR:
 * *text is the same in UTF-8, borrowed until the message is done with. */
enum text_state session_read_text(struct session *session, const struct wire_message *message,
                                  const char *raw, const char **text, struct refusal *refusal);
/* Is a part of a Query still read as the Query was, whose encoding is given? Else it is refused. */
bool session_part_is_clear(const struct session *session, const char *encoding, const char *part,
                           struct refusal *refusal);
void session_reading_clear(struct session *session);

/* extended.c */
enum handled extended_parse(struct session *session, const struct wire_message *message);
enum handled extended_bind(struct session *session, const struct wire_message *message);
enum handled extended_describe(struct session *session, const struct wire_message *message);
enum handled extended_execute(struct session *session, const struct wire_message *message);
/* Does the twin owe what decides which statements may be private? */
bool extended_awaits_name(const struct session *session);
enum handled extended_close(struct session *session, const struct wire_message *message);
/* Moves a message to the twin and expects its reply. */
enum handled session_relay(struct session *session, const struct wire_message *message,
                           reply_sink *sink, void *context, void (*release)(void *));

/* query.c */
enum handled query_start(struct session *session, const struct wire_message *message);
void query_free(struct query_run *run);

/* statement.c: one private statement, from Bind to a bound portal on the twin. */
enum statement_end {
    STATEMENT_BOUND,       /* the portal is bound; BindComplete was not relayed */
    STATEMENT_NOT_PRIVATE, /* touches no private relation: the caller binds the original */
    STATEMENT_FAILED       /* the client has its error; the twin ignores all up to Sync */
};
struct statement_request {
    struct prepared *prepared;
    size_t index;               /* of the statement in prepared->parsed */
    const char *statement_name; /* on the twin; "" for the unnamed */
    const char *portal;
    size_t n_formats; /* parameter formats as the client sent them: 0, 1 or n */
    const uint16_t *formats;
    const struct bind_value *values; /* prepared->n_params of them */
    size_t n_results;
    const uint16_t *results; /* result formats: 0, 1 or n */
    void (*done)(struct session *session, enum statement_end end, bool explain);
};
struct bind_value {
    const unsigned char *bytes; /* NULL: SQL NULL */
    uint32_t length;
};
/* Copies the request. */
void statement_start(struct session *session, const struct statement_request *request);
void statement_free(struct statement_run *run);
/* CancelRequest or time-out while it is under way. */
void statement_cancel(struct session *session, const char *message);
/* An ErrorResponse that the twin sent while nothing was owed (its own time-out). */
void statement_twin_error(struct session *session, const struct wire_message *message);
bool statement_is_measuring(const struct session *session);

#endif
