#ifndef PROXY_FLIGHT_H
#define PROXY_FLIGHT_H

/*
 * The question that pgveil asks the analyst's own twin session before it plans: what the names mean
 * there, the dp.* settings, the canonical values of parameters and of literals whose meaning
 * depends on the session. Pure: SQL out, one row in. Every name in the SQL is qualified, because
 * pg_temp and search_path are the analyst's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parser/arena.h"
#include "parser/parser.h"
#include "proxy/wire.h"

enum flight_setting {
    FLIGHT_EPSILON,
    FLIGHT_DELTA,
    FLIGHT_MECHANISM,
    FLIGHT_NOTICES,
    FLIGHT_REUSE,
    FLIGHT_MAX_ERROR,
    FLIGHT_CONFIDENCE,
    FLIGHT_MIN_MESSAGES,
    FLIGHT_TIME_ZONE,
    FLIGHT_SETTINGS /* their number */
};

/* What came back; text in the arena. */
struct flight {
    const char *settings[FLIGHT_SETTINGS]; /* "" where unset */
    bool still_prepared;                   /* the twin's statement of this name has this text */
    uint32_t *oids;                        /* one per name */
    struct sql_value *params;              /* one per parameter */
};

/* name: of the prepared statement, "" for the unnamed; sql: its text. */
const char *flight_sql(struct arena *arena, const struct statement *statement, const char *name,
                       const char *sql, size_t n_params, const uint32_t *types);
/* Reads the one DataRow. False where it is not what flight_sql asked for. */
bool flight_read(struct arena *arena, const struct wire_message *row, size_t n_names,
                 size_t n_params, const uint32_t *types, struct flight *flight);

/* The same for literals: SQL, and their canonical forms filled in. */
const char *flight_constants_sql(struct arena *arena, size_t n_constants,
                                 const struct sql_constant *constants);
bool flight_read_constants(struct arena *arena, const struct wire_message *row, size_t n_constants,
                           struct sql_constant *constants);

#endif
