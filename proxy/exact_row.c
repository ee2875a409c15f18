#include "proxy/exact_row.h"

#include "proxy/exact_integer.h"

bool exact_row_read(const PGresult *result, size_t n_keys, size_t n_measures, const char **keys,
                    __int128 *values)
{
    if (PQntuples(result) != 1 || (size_t)PQnfields(result) != n_keys + n_measures)
        return false;
    for (size_t i = 0; i < n_keys; i++)
        keys[i] = PQgetisnull(result, 0, (int)i) ? NULL : PQgetvalue(result, 0, (int)i);
    for (size_t i = 0; i < n_measures; i++) {
        int column = (int)(n_keys + i);
        if (PQgetisnull(result, 0, column) ||
            !exact_integer_read(PQgetvalue(result, 0, column),
                                (size_t)PQgetlength(result, 0, column), &values[i]))
            return false;
    }
    return true;
}
