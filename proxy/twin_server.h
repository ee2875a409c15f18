#ifndef PROXY_TWIN_SERVER_H
#define PROXY_TWIN_SERVER_H

/*
 * The twin server, managed or external: its administrator's connections, and how pgveil gets in as
 * an analyst. The managed server lets pgveil in by its socket. On an external one each analyst's
 * role has a password that follows from a secret of the twin server; it is kept there, in the
 * administrator's database, so that all instances of pgveil agree on it.
 */
#include <event2/event.h>
#include <stdbool.h>

#include "config/config.h"
#include "proxy/pg_client.h"
#include "proxy/server_identity.h"
#include "proxy/twin_target.h"

struct twin_server;

/* conninfo: of the administrator, naming the database in which pgveil keeps its own tables. An
 * external server is checked first: fit for twins, neither the ledger's nor a protected one; then
 * it is prepared (twin_prepare). Synchronous. NULL with text in error. */
struct twin_server *twin_server_open_managed(struct event_base *base, const char *conninfo,
                                             char error[512]);
struct twin_server *twin_server_open_external(struct event_base *base, const struct config *config,
                                              const struct server_identity *ledger,
                                              char error[512]);
void twin_server_close(struct twin_server *server); /* accepts NULL */

const char *twin_server_conninfo(const struct twin_server *server);
struct pg_client *twin_server_admin(const struct twin_server *server);
const struct server_identity *twin_server_identity(const struct twin_server *server);

/* Where the administrator's connection of this moment leads. False where there is none. */
bool twin_server_target(const struct twin_server *server, struct twin_target *target);

/* What an analyst's role logs in with, and what the server keeps of it. */
enum { TWIN_PASSWORD_TEXT_MAX = 80, TWIN_VERIFIER_TEXT_MAX = 160 };
struct twin_password {
    bool needed; /* false: the server lets pgveil in without one */
    char text[TWIN_PASSWORD_TEXT_MAX];
    char verifier[TWIN_VERIFIER_TEXT_MAX];
};
/* Holds a secret: wipe it. False where OpenSSL cannot work. */
bool twin_server_password(const struct twin_server *server, const char *analyst,
                          struct twin_password *password);

#endif
