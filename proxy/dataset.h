#ifndef PROXY_DATASET_H
#define PROXY_DATASET_H

/*
 * A dataset while pgveil runs. What belongs to one sync (policy, catalogue, twin database) is an
 * edition: immutable, held by the dataset while it is the newest, and by every session that works
 * with it. The last one to let go of an edition that is not the newest has its twin dropped.
 *
 * Where the protected server cannot be reached at start, the first edition is made later, as soon
 * as it can be.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "config/config.h"
#include "config/policy.h"
#include "parser/catalog.h"
#include "proxy/ledger_queue.h"
#include "proxy/measure.h"
#include "proxy/worker.h"

struct dataset;
struct dataset_sync;
struct server_identity;
struct twin_keeper;
struct twin_server;

/* What all datasets need of the program. */
struct dataset_host {
    struct event_base *base;
    const struct config *config;
    const struct twin_server *twins;
    const struct server_identity *ledger; /* the protected server must be neither */
    const char *ledger_conninfo;
    /* A sync has switched, or has failed to: sessions that wait for the twin may go on. */
    void (*switched)(void *owner, const struct dataset *dataset);
    void *owner;
};

struct edition {
    unsigned references;
    const struct dataset *dataset;
    struct policy *policy;
    struct catalog *catalog;
    struct twin_keeper *keeper; /* of the catalog's twin */
    time_t made_at;
    char *retired; /* the name that its twin database has since it is not the newest; else NULL */
};

struct dataset {
    const struct config_dataset *config;
    const struct dataset_host *host;
    int64_t seed;            /* the dataset's secret, from the ledger */
    struct edition *edition; /* the newest; NULL: not open yet, nobody can connect */
    struct measure_pool *pool;
    struct ledger_queue *charges; /* on their way to the ledger */
    struct dataset_sync *sync;    /* under way, or NULL */
    struct event *retry;          /* pending until there is a first edition */
    bool switching;               /* the twin's name is moving: no session may log in to it */
    bool paused;                  /* by the DBA: nothing new is measured */
    char failure[512];            /* of the last sync; "" where it succeeded */
};

/* Reads the policy, joins it with the protected catalogue, builds the twin; waits for all of it.
 * False with text in error where the files are wrong or do not fit the database; true, and not open
 * yet, where the protected server cannot be reached. dataset->config is set before. */
bool dataset_open(struct dataset *dataset, const struct dataset_host *host, int64_t seed,
                  char error[512]);
/* Waits for a sync under way. */
void dataset_close(struct dataset *dataset);

/* Holds the newest edition; there must be one. */
struct edition *edition_hold(const struct dataset *dataset);
/* Accepts NULL. */
void edition_release(struct edition *edition);

/* Reads policy and catalogue again and makes a new edition of them, while the old one serves. Both
 * calls come from the loop, done in any case (error NULL: switched), progress where not NULL. False
 * with nothing begun where a sync is under way already, or without memory. */
struct dataset_sync_calls {
    void (*progress)(void *context, const struct worker_progress *progress);
    void (*done)(void *context, const char *error);
    void *context;
};
bool dataset_sync(struct dataset *dataset, const struct dataset_sync_calls *calls);
/* The sync goes on, the calls do not come. */
void dataset_sync_forget(struct dataset *dataset, const void *context);

/* dataset_sync.c, for dataset.c */
void dataset_sync_free(struct dataset_sync *sync);
/* identity: of the protected server, where it can be reached. */
bool dataset_is_reachable(const struct config_dataset *config, struct server_identity *identity,
                          char error[512]);
/* The catalogue of a protected server that is neither the ledger nor the twin server, once the
 * ledger knows its database, so that other datasets over it share what is spent. NULL with text in
 * error. */
struct catalog *dataset_read_catalog(const struct dataset *dataset, const struct policy *policy,
                                     const struct server_identity *identity, char error[512]);
/* Takes policy, catalog and keeper. */
struct edition *edition_new(const struct dataset *dataset, struct policy *policy,
                            struct catalog *catalog, struct twin_keeper *keeper);

#endif
