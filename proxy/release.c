/*
 * A group that is not released is withheld whole. Noise is drawn in the order units, then the other
 * measures, for every group of a domain and for every group that passed its threshold; nothing that
 * depends on a true value but the threshold's outcome decides what is drawn.
 */
#include "proxy/release.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OID_BYTEA_ARRAY = 1001, OID_TEXT_ARRAY = 1009, OID_NUMERIC_ARRAY = 1231 };
enum { OID_FLOAT8_ARRAY = 1022, OID_BYTEA = 17, OID_TEXT = 25 };

/* Growing bytes of one array. */
struct bytes {
    unsigned char *data;
    size_t length, capacity;
};

static void add(struct bytes *bytes, const void *data, size_t length)
{
    if (bytes->length + length > bytes->capacity) {
        bytes->capacity = (bytes->length + length) * 2 + 64;
        unsigned char *grown = realloc(bytes->data, bytes->capacity);
        assert(grown != NULL);
        bytes->data = grown;
    }
    if (length > 0)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
}

static void add_int32(struct bytes *bytes, uint32_t value)
{
    unsigned char data[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                             (unsigned char)(value >> 8), (unsigned char)value};
    add(bytes, data, sizeof data);
}

static void append(struct array_params *params, uint32_t type, uint16_t format, struct bytes bytes)
{
    struct array_param *grown =
        realloc(params->items, (params->count + 1) * sizeof(struct array_param));
    assert(grown != NULL);
    params->items = grown;
    struct array_param *item = &params->items[params->count++];
    item->type = type;
    item->format = format;
    item->bytes = bytes.data;
    item->length = bytes.length;
}

void array_params_clear(struct array_params *params)
{
    for (size_t i = 0; i < params->count; i++)
        free(params->items[i].bytes);
    free(params->items);
    memset(params, 0, sizeof *params);
}

/* The binary form of a one-dimensional array of byte strings; cells at a stride. */
static void append_strings(struct array_params *params, uint32_t array_type, uint32_t type,
                           size_t n_rows, const char *const *cells, size_t stride)
{
    struct bytes bytes = {0};
    bool has_null = false;
    for (size_t i = 0; i < n_rows; i++)
        has_null = has_null || cells[i * stride] == NULL;
    add_int32(&bytes, n_rows > 0 ? 1 : 0);
    add_int32(&bytes, has_null);
    add_int32(&bytes, type);
    if (n_rows > 0) {
        add_int32(&bytes, (uint32_t)n_rows);
        add_int32(&bytes, 1);
    }
    for (size_t i = 0; i < n_rows; i++) {
        const char *cell = cells[i * stride];
        add_int32(&bytes, cell ? (uint32_t)strlen(cell) : UINT32_MAX);
        if (cell)
            add(&bytes, cell, strlen(cell));
    }
    append(params, array_type, 1, bytes);
}

void release_text_arrays(size_t n_columns, size_t n_rows, const char *const *cells,
                         struct array_params *params)
{
    for (size_t i = 0; i < n_columns; i++)
        append_strings(params, OID_TEXT_ARRAY, OID_TEXT, n_rows, cells + i, n_columns);
}

/* noisy * grid as the twin reads it. The value is already released: how it is written is
 * post-processing. */
static void add_number(struct bytes *bytes, const struct measure *measure, __int128 noisy)
{
    char text[DP_DECIMAL_TEXT_MAX + 32];
    struct dp_decimal value;
    if (!measure->floating && dp_grid_value(&measure->calibration.grid, noisy, &value)) {
        dp_decimal_print(&value, text);
    } else {
        double number = ldexp((double)noisy, measure->calibration.grid.exp2);
        for (int i = 0; i < measure->calibration.grid.scale10; i++)
            number /= 10;
        snprintf(text, sizeof text, "%.17g", number);
    }
    add(bytes, text, strlen(text));
}

/* The groups that are released: their keys, and their noisy values row by row. */
struct noisy_rows {
    size_t n_rows;
    const char **keys; /* borrowed texts */
    __int128 *values;
};

static bool draw(struct dp_noise *noise, const struct release *release, const __int128 *exact,
                 size_t first, __int128 *noisy)
{
    for (size_t i = first; i < release->n_measures; i++)
        if (!dp_noise_add(noise, &release->measures[i].calibration, exact ? exact[i] : 0,
                          &noisy[i]))
            return false;
    return true;
}

static void take_keys(const struct release *release, struct noisy_rows *out,
                      const char *const *keys)
{
    for (size_t i = 0; i < release->n_keys; i++)
        out->keys[out->n_rows * release->n_keys + i] = keys[i];
    out->n_rows++;
}

static bool release_private_keys(struct dp_noise *noise, const struct release *release,
                                 const struct exact_rows *rows, struct noisy_rows *out)
{
    assert(release->n_measures > 0 && release->measures[0].kind == MEASURE_UNITS);
    for (size_t i = 0; i < rows->n_rows; i++) {
        const __int128 *exact = rows->values + i * release->n_measures;
        __int128 *noisy = out->values + out->n_rows * release->n_measures;
        if (!dp_noise_add(noise, &release->measures[0].calibration, exact[0], &noisy[0]))
            return false;
        if (noisy[0] < release->key_threshold)
            continue;
        if (!draw(noise, release, exact, 1, noisy))
            return false;
        take_keys(release, out, (const char *const *)(rows->keys + i * release->n_keys));
    }
    return true;
}

static int compare_keys(const char *const *a, const char *const *b, size_t n_keys)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (a[i] == NULL || b[i] == NULL) {
            if (a[i] != b[i])
                return a[i] == NULL ? 1 : -1;
            continue;
        }
        int order = strcmp(a[i], b[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

struct key_order {
    size_t n_keys;
    const char *const *keys;
};

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct key_order *order = context;
    return compare_keys(order->keys + *(const size_t *)a * order->n_keys,
                        order->keys + *(const size_t *)b * order->n_keys, order->n_keys);
}

/* The exact values of a domain's group; NULL where no unit is in it. index: exact rows by key. */
static const __int128 *find_group(const struct release *release, const struct exact_rows *rows,
                                  const size_t *index, const char *const *group)
{
    const char *const *keys = (const char *const *)rows->keys;
    size_t low = 0, high = rows->n_rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(keys + index[middle] * release->n_keys, group, release->n_keys);
        if (order == 0)
            return rows->values + index[middle] * release->n_measures;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool release_domain(struct dp_noise *noise, const struct release *release,
                           const struct exact_rows *rows, struct noisy_rows *out)
{
    size_t n_exact = rows ? rows->n_rows : 0;
    size_t *index = calloc(n_exact + 1, sizeof *index);
    assert(index != NULL);
    for (size_t i = 0; i < n_exact; i++)
        index[i] = i;
    if (n_exact > 0) {
        struct key_order order = {release->n_keys, (const char *const *)rows->keys};
        qsort_r(index, n_exact, sizeof *index, compare_rows, &order);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < release->n_domain; i++) {
        const char *const *group = release->domain + i * release->n_keys;
        const __int128 *exact = n_exact > 0 ? find_group(release, rows, index, group) : NULL;
        ok = draw(noise, release, exact, 0, out->values + out->n_rows * release->n_measures);
        take_keys(release, out, group);
    }
    free(index);
    return ok;
}

static bool release_rows(struct dp_noise *noise, const struct release *release,
                         const struct exact_rows *rows, struct noisy_rows *out)
{
    if (release->n_keys > 0 && release->domain == NULL)
        return rows == NULL || release_private_keys(noise, release, rows, out);
    if (release->n_keys > 0)
        return release_domain(noise, release, rows, out);
    out->n_rows = 1;
    return draw(noise, release, rows && rows->n_rows > 0 ? rows->values : NULL, 0, out->values);
}

static void append_values(struct array_params *params, const struct release *release,
                          const struct noisy_rows *rows, size_t measure)
{
    struct bytes bytes = {0};
    add(&bytes, "{", 1);
    for (size_t i = 0; i < rows->n_rows; i++) {
        if (i > 0)
            add(&bytes, ",", 1);
        add_number(&bytes, &release->measures[measure],
                   rows->values[i * release->n_measures + measure]);
    }
    add(&bytes, "}", 1);
    append(params, release->measures[measure].floating ? OID_FLOAT8_ARRAY : OID_NUMERIC_ARRAY, 0,
           bytes);
}

bool release_arrays(struct dp_noise *noise, const struct release *release,
                    const struct exact_rows *rows, bool empty, struct array_params *params)
{
    size_t most = release->n_domain + (rows ? rows->n_rows : 0) + 1;
    struct noisy_rows out = {0};
    out.keys = calloc(most * (release->n_keys + 1), sizeof *out.keys);
    out.values = calloc(most * (release->n_measures + 1), sizeof *out.values);
    assert(out.keys != NULL && out.values != NULL);
    bool ok = empty || release_rows(noise, release, rows, &out);
    for (size_t i = 0; ok && i < release->n_keys; i++)
        append_strings(params, OID_BYTEA_ARRAY, OID_BYTEA, out.n_rows, out.keys + i,
                       release->n_keys);
    for (size_t i = 0; ok && i < release->n_measures; i++)
        append_values(params, release, &out, i);
    free(out.keys);
    free(out.values);
    return ok;
}
