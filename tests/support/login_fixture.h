#ifndef TESTS_SUPPORT_LOGIN_FIXTURE_H
#define TESTS_SUPPORT_LOGIN_FIXTURE_H

/*
 * A listener on the loopback whose connections are logged in by proxy/login; the analyst "alice"
 * has the password "right password". After a login the fixture plays the rest of a server: a key,
 * and ReadyForQuery. Clients are libpq on a thread, or raw bytes.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "proxy/listener.h"
#include "proxy/login.h"

struct login_fixture {
    struct event_base *base;
    struct config config;
    struct ssl_ctx_st *tls;
    struct listener *listener;
    struct login_context context;
    char folder[64]; /* of certificate and key; "" without TLS */
    /* What happened. */
    unsigned n_accepted, n_cancelled, n_ended, n_lookups;
    uint32_t pid, key;       /* of the last cancel request */
    struct stream *session;  /* of the last accepted login */
    struct startup *startup; /* of the last accepted login */
    void *waiting;           /* the login whose verifier is held back */
    /* How the ledger behaves. */
    bool ledger_fails, hold_verifier;
};

/* tls: a self-signed certificate is made, and served where mode allows. */
struct login_fixture *login_fixture_new(enum config_tls mode);
void login_fixture_free(struct login_fixture *fixture);

/* Connects by libpq: "" on success, its error text otherwise; the caller frees it. options: more of
 * a connection string. */
char *login_fixture_connect(struct login_fixture *fixture, const char *options);

/* Runs the loop for at most so long, or until the condition holds. */
bool login_fixture_wait(struct login_fixture *fixture, bool (*until)(struct login_fixture *),
                        unsigned timeout_ms);

/* A raw connection: a blocking socket with a receive time-out of two seconds. */
int login_fixture_dial(struct login_fixture *fixture);
/* Sends bytes and runs the loop until the reply has at least so many bytes or has ended: what came,
 * as much as fits. *ended: the server closed. */
size_t login_fixture_talk(struct login_fixture *fixture, int fd, const void *bytes, size_t length,
                          unsigned char *reply, size_t size, size_t at_least, bool *ended);

#endif
