#include "proxy/exact_rows.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/exact_integer.h"

enum { ROWS_FIRST = 64, KEY_BYTES_MAX = 1 << 20 };

static void wipe_and_free(void *memory, size_t size)
{
    if (memory != NULL)
        explicit_bzero(memory, size);
    free(memory);
}

/* Rows there is room for when so many are there: doubled whenever full. */
static size_t capacity_of(size_t n_rows)
{
    size_t capacity = n_rows == 0 ? 0 : ROWS_FIRST;
    while (capacity < n_rows)
        capacity *= 2;
    return capacity;
}

/* Not realloc: it could leave a copy behind. */
static bool make_room(struct exact_rows *rows, size_t n_keys, size_t n_measures)
{
    size_t before = capacity_of(rows->n_rows), after = before == 0 ? ROWS_FIRST : 2 * before;
    if (rows->n_rows < before)
        return true;
    char **keys = calloc(after, (n_keys > 0 ? n_keys : 1) * sizeof *keys);
    __int128 *values = calloc(after, n_measures * sizeof *values);
    if (keys == NULL || values == NULL) {
        free(keys);
        free(values);
        return false;
    }
    if (before > 0) {
        memcpy(keys, rows->keys, before * n_keys * sizeof *keys);
        memcpy(values, rows->values, before * n_measures * sizeof *values);
    }
    free(rows->keys);
    wipe_and_free(rows->values, before * n_measures * sizeof *values);
    rows->keys = keys;
    rows->values = values;
    return true;
}

bool exact_rows_add(struct exact_rows *rows, size_t n_keys, size_t n_measures,
                    const PGresult *result)
{
    if (PQntuples(result) != 1 || (size_t)PQnfields(result) != n_keys + n_measures ||
        n_measures == 0 || !make_room(rows, n_keys, n_measures))
        return false;
    char **keys = rows->keys + rows->n_rows * n_keys;
    __int128 *values = rows->values + rows->n_rows * n_measures;
    rows->n_rows++; /* from here on, what is there is wiped with the rest */
    for (size_t i = 0; i < n_keys; i++) {
        if (PQgetisnull(result, 0, (int)i))
            continue;
        if (PQgetlength(result, 0, (int)i) > KEY_BYTES_MAX ||
            (keys[i] = strdup(PQgetvalue(result, 0, (int)i))) == NULL)
            return false;
    }
    for (size_t i = 0; i < n_measures; i++) {
        int column = (int)(n_keys + i);
        if (PQgetisnull(result, 0, column) ||
            !exact_integer_read(PQgetvalue(result, 0, column),
                                (size_t)PQgetlength(result, 0, column), &values[i]))
            return false;
    }
    return true;
}

void exact_rows_clear(struct exact_rows *rows, size_t n_keys, size_t n_measures)
{
    for (size_t i = 0; i < rows->n_rows * n_keys; i++) {
        if (rows->keys[i] != NULL)
            wipe_and_free(rows->keys[i], strlen(rows->keys[i]));
    }
    free(rows->keys);
    wipe_and_free(rows->values, rows->n_rows * n_measures * sizeof *rows->values);
    memset(rows, 0, sizeof *rows);
}
