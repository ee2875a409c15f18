#ifndef TESTS_SUPPORT_CATALOGS_H
#define TESTS_SUPPORT_CATALOGS_H

/* The catalogues of three datasets as proxy/catalog_read.c would build them, without a server:
 * census and panel of the demo, clinic of the integration tests. OIDs are invented; on the twin an
 * object has its OID on the protected server plus 10000. */
#include <stdint.h>

#include "parser/catalog.h"

enum { CATALOGS_TWIN_OFFSET = 10000 };

/* NULL: no dataset of that name. Valid until the program ends; do not change it. */
const struct catalog *catalogs_get(const char *dataset);
/* A copy of its own, for tests that change something; never freed. */
struct catalog *catalogs_copy(const char *dataset);
struct catalog_table *catalogs_table(struct catalog *catalog, const char *name);
/* In a copy: bounds of the column that are found instead of declared. */
void catalogs_find_bounds(struct catalog *catalog, const char *table, const char *column,
                          const struct policy_automatic *policy);

/* The twin's answer to a relation's name with search_path = public: 0 where there is none. */
uint32_t catalogs_resolve(const struct catalog *catalog, const char *schema, const char *name);

#endif
