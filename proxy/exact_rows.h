#ifndef PROXY_EXACT_ROWS_H
#define PROXY_EXACT_ROWS_H

/* Rows of a measurement: true keys and exact integers, wiped wherever a copy of them is given up.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "proxy/measure.h"

/* Appends the one row of the result: n_keys texts, then n_measures integers. False where it is
 * anything else, a measure is NULL or not an integer, or the keys or the memory grow too large. */
bool exact_rows_add(struct exact_rows *rows, size_t n_keys, size_t n_measures,
                    const PGresult *result);
/* Wipes and frees; an empty one may be cleared again. */
void exact_rows_clear(struct exact_rows *rows, size_t n_keys, size_t n_measures);

#endif
