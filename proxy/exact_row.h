#ifndef PROXY_EXACT_ROW_H
#define PROXY_EXACT_ROW_H

/* One row of a measurement's result. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* Reads the one row of the result: n_keys texts (NULL: SQL NULL; borrowed from the result), then
 * n_measures integers. False where it is anything else, or a measure is NULL or not an integer. */
bool exact_row_read(const PGresult *result, size_t n_keys, size_t n_measures, const char **keys,
                    __int128 *values);

#endif
