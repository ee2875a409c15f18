#ifndef PROXY_TWIN_H
#define PROXY_TWIN_H

/*
 * Twin databases: built from the protected schema and the policy, with the guard on private tables,
 * one powerless role per analyst (TWIN 5). Synchronous, over libpq, at start-up and on demand.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "config/policy.h"
#include "parser/catalog.h"

/* Reads the protected database's catalogue, joins it with the policy and checks that they fit.
 * NULL with text in error. seed: the dataset's secret. */
struct catalog *catalog_read(const struct config_dataset *dataset, const struct policy *policy,
                             int64_t seed, char error[512]);
void catalog_free(struct catalog *catalog);

/* What every twin server needs once, idempotent: the role pgveil_analyst, the schema pgveil_twins
 * in the administrator's database, and nothing for PUBLIC on the databases that every server has.
 * Instances take turns. */
bool twin_prepare(PGconn *admin, char error[512]);

/* Tells other instances that this one uses a twin: they do not replace it. */
struct twin_keeper;
void twin_keeper_free(struct twin_keeper *keeper); /* accepts NULL */

/* Builds the dataset's twin database (schema, public rows, dp schema, guard, revokes), so that
 * sessions of the old twin can go on. Start builds under another name and locks other builds on
 * this twin server out until free; worker, told of the progress, may be NULL. Switch puts it in its
 * place and fills in the catalog's twin_database, twin_database_oid and tables[].twin_oid. Where a
 * twin that is the same to the last row is there already, that one is taken. One that differs gives
 * up the dataset's name, with its sessions in it; but where another instance uses it, it keeps the
 * name and the new one gets another. NULL or false with text in error; error is not kept. */
struct worker;
struct twin_build;
struct twin_build *twin_build_start(const char *admin_conninfo,
                                    const struct config_dataset *dataset, struct catalog *catalog,
                                    struct worker *worker, char error[512]);
bool twin_build_switch(struct twin_build *build, char error[512]);
/* The name that the old twin has since, to be dropped (twin_drop_sql, allocated); "": none. */
const char *twin_build_retired(const struct twin_build *build);
/* Of the new one; the caller's to free. */
struct twin_keeper *twin_build_keeper(struct twin_build *build);
void twin_build_free(struct twin_build *build);
char *twin_drop_sql(const char *database);
/* All of it at once, for the start. NULL with text in error. */
struct twin_keeper *twin_build(const char *admin_conninfo, const struct config_dataset *dataset,
                               struct catalog *catalog, char error[512]);

/* SQLSTATE of the role's SQL where the twin database is not there any more, or not by this name. */
#define TWIN_GONE "PGV01"
/* Creates the analyst's role on the twin server if it is missing, with CONNECT to the twin database
 * and (verifier not NULL) its password. SQL for proxy/pg_client, idempotent; text is allocated, the
 * caller frees it. */
char *twin_role_sql(const char *analyst, const char *database, uint32_t database_oid,
                    const char *verifier);

#endif
