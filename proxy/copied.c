#include "proxy/copied.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES = 12, BOUNDS_BYTES = 8 };

static uint32_t read_int32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The elements of a binary array of strings (release.c), as x and digits, or - for NULL: nothing in
 * them needs a quote. */
static void write_strings(FILE *out, const struct array_param *array)
{
    const unsigned char *at = array->bytes + HEADER_BYTES + BOUNDS_BYTES;
    const unsigned char *end = array->bytes + array->length;
    const char *separator = "";
    fputc('{', out);
    for (; at < end; separator = ",") {
        uint32_t length = read_int32(at);
        at += 4;
        fprintf(out, "%s%s", separator, length == UINT32_MAX ? "-" : "x");
        if (length == UINT32_MAX)
            continue;
        assert(length <= (size_t)(end - at));
        for (uint32_t i = 0; i < length; i++)
            fprintf(out, "%02x", at[i]);
        at += length;
    }
    fputc('}', out);
}

/* The number of the array whose place this is, as the planner writes it (PLAN_ARRAY); 0: none. */
static unsigned place_number(const char *place, size_t *length)
{
    char written[sizeof PLAN_ARRAY + 16];
    unsigned number = 0;
    if (sscanf(place, PLAN_ARRAY, &number) != 1)
        return 0;
    snprintf(written, sizeof written, PLAN_ARRAY, number);
    *length = strlen(written);
    return strncmp(place, written, *length) == 0 ? number : 0;
}

static void write_array(FILE *out, const struct array_param *array)
{
    fputc('\'', out);
    if (array->format == 1)
        write_strings(out, array);
    else
        fwrite(array->bytes, 1, array->length, out);
    fputc('\'', out);
}

static const struct array_param *numbered(unsigned number, size_t n_arrays,
                                          const struct array_params *arrays)
{
    for (size_t i = 0; i < n_arrays; i++) {
        if (number >= 1 && number <= arrays[i].count)
            return &arrays[i].items[number - 1];
        number -= (unsigned)arrays[i].count;
    }
    return NULL;
}

char *copied_sql(const struct plan *plan, size_t n_arrays, const struct array_params *arrays)
{
    char *sql = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&sql, &length);
    assert(out != NULL);
    const char *at = plan->final_sql, *place;
    while ((place = strchr(at, '\'')) != NULL) {
        size_t read = 0;
        fwrite(at, 1, (size_t)(place - at), out);
        const struct array_param *array = numbered(place_number(place, &read), n_arrays, arrays);
        if (array != NULL)
            write_array(out, array);
        else
            fputc('\'', out);
        at = array != NULL ? place + read : place + 1;
    }
    fputs(at, out);
    int closed = fclose(out);
    assert(closed == 0 && sql != NULL);
    return sql;
}
