#ifndef PROXY_TWIN_H
#define PROXY_TWIN_H

/*
 * Twin databases: built from the protected schema and the policy, with the guard on private tables,
 * one powerless role per analyst (TWIN 5). Synchronous, over libpq, at start-up and on demand.
 */
#include <stdbool.h>

#include "config/config.h"
#include "config/policy.h"
#include "parser/catalog.h"

/* Reads the protected database's catalogue, joins it with the policy and checks that they fit.
 * NULL with text in error. seed: the dataset's secret. */
struct catalog *catalog_read(const struct config_dataset *dataset, const struct policy *policy,
                             int64_t seed, char error[512]);
void catalog_free(struct catalog *catalog);

/* Builds the dataset's twin database anew (schema, public rows, dp schema, guard, revokes) and
 * fills in catalog->tables[].twin_oid. admin_conninfo: administrator of the twin server. */
bool twin_build(const char *admin_conninfo, const struct config_dataset *dataset,
                struct catalog *catalog, char error[512]);

/* The same in steps, so that sessions of the old twin can go on. Start builds under another name
 * and locks other builds on this twin server out until free; worker, told of the progress, may be
 * NULL. Switch gives the new one the dataset's name; the old one, its sessions still in it, has
 * another from there, "" where there was none, and is to be dropped (twin_drop_sql, allocated).
 * NULL or false with text in error; error is not kept. */
struct worker;
struct twin_build;
struct twin_build *twin_build_start(const char *admin_conninfo,
                                    const struct config_dataset *dataset, struct catalog *catalog,
                                    struct worker *worker, char error[512]);
bool twin_build_switch(struct twin_build *build, char error[512]);
const char *twin_build_retired(const struct twin_build *build);
void twin_build_free(struct twin_build *build);
char *twin_drop_sql(const char *database);

/* Creates the analyst's role on the twin server if it is missing, with CONNECT to the dataset. SQL
 * for proxy/pg_client, idempotent; text is allocated, the caller frees it. */
char *twin_role_sql(const char *analyst, const char *dataset);

#endif
