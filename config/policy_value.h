#ifndef CONFIG_POLICY_VALUE_H
#define CONFIG_POLICY_VALUE_H

/* The small languages inside a policy: PostgreSQL identifiers, bounds, domains. */
#include "config/json.h"
#include "config/policy.h"

/* Reads one identifier as PostgreSQL would and moves *text behind it: quoted as it stands, unquoted
 * folded to lower case. NULL where there is none or memory is out; the caller frees. */
char *policy_read_identifier(const char **text);

/* An identifier that is the whole text; "schema.table". False with the error recorded at place.
 * The caller frees the names. */
bool policy_parse_column_name(const struct json_place *place, const char *text, char **name);
bool policy_parse_table_name(const struct json_place *place, const char *text, char **schema,
                             char **name);

/* [low, high]: numbers, or ISO dates, or ISO timestamps; low below high. */
bool policy_read_bounds(const struct json_place *place, struct policy_bounds *bounds);

/* Is the value what asks for automatic bounds, well written or not: a string or an object? */
bool policy_wants_automatic(const struct json_place *place);
/* "auto", or {"auto": true, "unit": u, "within": [low, high]} where the last two may be left out.
 */
bool policy_read_automatic(const struct json_place *place, struct policy_automatic *automatic);

/* Distinct strings, numbers, booleans, at most one null. The column owns the texts. */
bool policy_read_domain(const struct json_place *place, struct policy_column *column);

#endif
