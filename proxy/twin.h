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
/* Creates the analyst's role on the twin server if it is missing, with CONNECT to the dataset. SQL
 * for proxy/pg_client, idempotent; text is allocated, the caller frees it. */
char *twin_role_sql(const char *analyst, const char *dataset);

#endif
