#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H

/*
 * Everything that lives as long as the program: datasets with their twins, the ledger, the noise,
 * the sessions. Owned by main.c, lent to the sessions.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "config/config.h"
#include "mechanisms/noise.h"
#include "proxy/dataset.h"
#include "proxy/ledger_head.h"
#include "proxy/pg_client.h"
#include "proxy/twin_server.h"

struct listener;
struct session;

/* Connections to the ledger for all but charges, which have one for each dataset. */
enum { LEDGER_CONNECTIONS = 8 };

struct server {
    struct event_base *base;
    struct config *config;
    time_t started_at;
    struct ssl_ctx_st *tls; /* NULL: off */
    struct dp_noise *noise;
    struct pg_client *ledger[LEDGER_CONNECTIONS];
    struct ledger_note note; /* of the ledger's newest entry */
    struct twin_server *twins;
    struct server_identity ledger_identity;
    char *ledger_conninfo; /* owned; may hold a password */
    struct dataset_host dataset_host;
    size_t n_datasets;
    struct dataset *datasets;
    struct session *sessions;  /* all of them, linked */
    struct listener *listener; /* told when a connection has gone */
};

const struct dataset *server_find_dataset(const struct server *server, const char *name);
/* For the console, which may change it. */
struct dataset *server_dataset(struct server *server, const char *name);
/* The twin server does not have the dataset's twin any more: another instance took its place, or
 * the server lost it. Begins a sync. */
void server_twin_has_gone(struct server *server, const struct dataset *dataset);
/* A connection to the ledger, idle if there is one. */
struct pg_client *server_ledger(struct server *server);
/* Sessions of one analyst, and those of them that wait for a measurement. */
size_t server_count_sessions(const struct server *server, const char *analyst);
size_t server_count_measuring(const struct server *server, const char *analyst);

#endif
