#ifndef PROXY_LOGIN_H
#define PROXY_LOGIN_H

/*
 * A client from accept to authenticated: SSLRequest, GSSENCRequest, protocol negotiation, startup
 * parameters, TLS, SCRAM-SHA-256(-PLUS) with the mock exchange, CancelRequest. Knows nothing of
 * statements. One login object per accepted socket; it ends in exactly one callback.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "proxy/stream.h"

struct startup_parameter {
    char *name, *value;
};

/* What a startup packet said. */
struct startup {
    char *user, *database; /* database defaults to user */
    size_t n_parameters;   /* settings for the twin session, allow-listed: no user, database */
    struct startup_parameter *parameters;
};
void startup_free(struct startup *startup);

struct login_context {
    struct event_base *base;
    const struct config *config;
    struct ssl_ctx_st *tls; /* NULL: no TLS */
    bool trusted;           /* who it is was found out otherwise: accepted without a password */
    /* Looks the verifier up; answers by login_verifier (any time later). */
    void (*find_verifier)(void *owner, void *login, const char *user);
    /* Authenticated, AuthenticationOk sent, nothing else: takes stream and startup. */
    void (*accepted)(void *owner, struct stream *stream, struct startup *startup);
    /* Somebody asks to cancel what runs under this key. This is the end of that login: ended does
     * not follow, the stream is already gone. */
    void (*cancel)(void *owner, uint32_t pid, uint32_t key);
    /* The login ended without success; the stream is already gone. */
    void (*ended)(void *owner);
    void *owner;
};

/* Takes the descriptor. ended may come before this returns. */
void login_start(const struct login_context *context, int fd);
/* Must be called exactly once for each find_verifier, also from within it; the login waits for it
 * even when its client is gone, so that owner stays valid until then. verifier NULL: no such
 * analyst, or disabled: the exchange goes on with a mock verifier and fails like a wrong password.
 * failed: the ledger gave no answer. login: as passed to find_verifier. */
void login_verifier(void *login, const char *verifier, bool failed);

#endif
