#ifndef PROXY_DATASET_H
#define PROXY_DATASET_H

/*
 * A dataset while pgveil runs: its policy, what is known of the protected database, its twin, its
 * connections. Where the protected server cannot be reached at start, the dataset is opened later,
 * on a thread of its own, as soon as it can be.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "config/policy.h"
#include "parser/catalog.h"
#include "proxy/measure.h"

struct dataset_retry;

struct dataset {
    const struct config_dataset *config;
    struct policy *policy;
    struct catalog *catalog; /* NULL: not open yet, nobody can connect */
    struct measure_pool *pool;
    struct dataset_retry *retry;
};

/* Reads the policy, joins it with the protected catalogue, builds the twin. twin_admin: conninfo of
 * the twin server's administrator. False with text in error where the files are wrong or do not fit
 * the database; true, and not open yet, where the protected server cannot be reached. */
bool dataset_open(struct dataset *dataset, struct event_base *base, const struct config *config,
                  const char *twin_admin, int64_t seed, char error[512]);
void dataset_close(struct dataset *dataset);

#endif
