/*
 * A group that is not released is withheld whole. Noise is drawn in the order units, then the other
 * measures, for every group of a domain and for every group that passed its threshold; nothing that
 * depends on a true value but the threshold's outcome decides what is drawn. Where only the keys
 * are released, each group has one coin instead, thrown with its exact number of units. Quantiles
 * are drawn once it is known which groups are released, for exactly those.
 */
#include "proxy/release.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/release_kept.h"
#include "proxy/release_quantiles.h"

enum { OID_BYTEA_ARRAY = 1001, OID_NUMERIC_ARRAY = 1231 };
#define NO_GROUP SIZE_MAX
enum { OID_FLOAT8_ARRAY = 1022, OID_BYTEA = 17 };

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
static void append_strings(struct array_params *params, size_t n_rows, const char *const *cells,
                           size_t stride)
{
    struct bytes bytes = {0};
    bool has_null = false;
    for (size_t i = 0; i < n_rows; i++)
        has_null = has_null || cells[i * stride] == NULL;
    add_int32(&bytes, n_rows > 0 ? 1 : 0);
    add_int32(&bytes, has_null);
    add_int32(&bytes, OID_BYTEA);
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
    append(params, OID_BYTEA_ARRAY, 1, bytes);
}

void release_text_arrays(size_t n_columns, size_t n_rows, const char *const *cells,
                         struct array_params *params)
{
    for (size_t i = 0; i < n_columns; i++)
        append_strings(params, n_rows, cells + i, n_columns);
}

/* noisy * grid as the twin reads it. The value is already released: how it is written is
 * post-processing. */
static void add_number(struct bytes *bytes, bool floating, const struct dp_grid *grid,
                       __int128 noisy)
{
    char text[DP_DECIMAL_TEXT_MAX + 32];
    struct dp_decimal value;
    if (!floating && dp_grid_value(grid, noisy, &value)) {
        dp_decimal_print(&value, text);
    } else {
        double number = ldexp((double)noisy, grid->exp2);
        for (int i = 0; i < grid->scale10; i++)
            number /= 10;
        snprintf(text, sizeof text, "%.17g", number);
    }
    add(bytes, text, strlen(text));
}

struct release_output {
    struct dp_noise *noise;
    const struct release *release;
    size_t rows_max;
    size_t n_rows, capacity; /* released groups */
    char **keys;             /* n_rows * n_keys, owned */
    __int128 *noisy;         /* n_rows * n_measures; what is drawn now */
    const __int128 *const *kept;
    struct release_kept *draws; /* of its measures that were made before */
    bool given;                 /* its draws were made before */
    __int128 *exact; /* of every group of a domain, or of the one row; NULL: private keys */
    size_t n_exact;
    size_t *order;                      /* the domain's groups by key */
    struct quantile_output **quantiles; /* by histogram; NULL: no bin has come yet */
};

static bool has_private_keys(const struct release *release)
{
    return release->n_keys > 0 && release->domain == NULL;
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

static int compare_groups(const void *a, const void *b, void *context)
{
    const struct release *release = context;
    return compare_keys(release->domain + *(const size_t *)a * release->n_keys,
                        release->domain + *(const size_t *)b * release->n_keys, release->n_keys);
}

struct release_output *release_begin(struct dp_noise *noise, const struct release *release,
                                     const __int128 *const *kept, size_t rows_max)
{
    struct release_output *output = calloc(1, sizeof *output);
    assert(output != NULL);
    output->noise = noise;
    output->release = release;
    output->kept = kept;
    output->draws = release_kept_begin(release, kept);
    output->rows_max = rows_max;
    output->quantiles = calloc(release->n_histograms + 1, sizeof(struct quantile_output *));
    assert(output->quantiles != NULL);
    if (has_private_keys(release)) {
        assert(release->n_measures > 0 && release->n_drawn == release->n_measures &&
               release->measures[0].kind == MEASURE_UNITS);
        assert(release->keep == NULL || release->n_measures == 1);
        return output;
    }
    output->n_exact = release->n_keys > 0 ? release->n_domain : 1;
    output->exact = calloc(output->n_exact * release->n_drawn + 1, sizeof *output->exact);
    output->order = calloc(output->n_exact + 1, sizeof *output->order);
    assert(output->exact != NULL && output->order != NULL);
    for (size_t i = 0; i < output->n_exact; i++)
        output->order[i] = i;
    if (release->n_keys > 0)
        qsort_r(output->order, output->n_exact, sizeof *output->order, compare_groups,
                (void *)(uintptr_t)release);
    return output;
}

void release_free(struct release_output *output)
{
    if (output == NULL)
        return;
    for (size_t i = 0; output->keys && i < output->n_rows * output->release->n_keys; i++)
        free(output->keys[i]);
    if (output->exact)
        explicit_bzero(output->exact,
                       output->n_exact * output->release->n_drawn * sizeof *output->exact);
    for (size_t i = 0; i < output->release->n_histograms; i++)
        quantiles_free(output->quantiles[i]);
    release_kept_free(output->draws);
    free(output->quantiles);
    free(output->keys);
    free(output->noisy);
    free(output->exact);
    free(output->order);
    free(output);
}

/* Room for one more released group. */
static void make_room(struct release_output *output)
{
    const struct release *release = output->release;
    if (output->n_rows < output->capacity)
        return;
    output->capacity = output->capacity * 2 + 16;
    char **keys = realloc(output->keys, output->capacity * (release->n_keys + 1) * sizeof *keys);
    __int128 *noisy =
        realloc(output->noisy, output->capacity * (release->n_measures + 1) * sizeof *noisy);
    assert(keys != NULL && noisy != NULL);
    output->keys = keys;
    output->noisy = noisy;
}

/* Completes the group that is being added. */
static void copy_keys(struct release_output *output, const char *const *keys)
{
    size_t n_keys = output->release->n_keys;
    for (size_t i = 0; i < n_keys; i++) {
        char *key = keys[i] ? strdup(keys[i]) : NULL;
        assert(key != NULL || keys[i] == NULL);
        output->keys[output->n_rows * n_keys + i] = key;
    }
    output->n_rows++;
}

/* Noise for every measure that is drawn, from the first one on; exact has one integer for each. */
static bool draw(struct release_output *output, const __int128 *exact, size_t first)
{
    const struct release *release = output->release;
    __int128 *noisy = output->noisy + output->n_rows * release->n_measures;
    for (size_t i = 0; i < release->n_measures; i++) {
        const struct dp_calibration *calibration = &release->measures[i].draw;
        if (i >= first)
            noisy[i] = 0;
        if (calibration->m == 0)
            continue;
        if (i >= first && !dp_noise_add(output->noise, calibration, *exact, &noisy[i]))
            return false;
        exact++;
    }
    return true;
}

/* Does the private group appear? *units is its noisy number of units; zero where only the keys are
 * released. False without entropy. */
static bool choose_group(struct release_output *output, __int128 exact, __int128 *units,
                         bool *appears)
{
    const struct release *release = output->release;
    *units = 0;
    if (release->keep != NULL)
        return dp_noise_keep(output->noise, release->keep,
                             exact < 0           ? 0
                             : exact > INT64_MAX ? INT64_MAX
                                                 : (uint64_t)exact,
                             appears);
    if (!dp_noise_add(output->noise, &release->measures[0].draw, exact, units))
        return false;
    *appears = *units >= release->key_threshold;
    return true;
}

static bool add_private_group(struct release_output *output, const char *const *keys,
                              const __int128 *values)
{
    const struct release *release = output->release;
    __int128 units;
    bool appears = false;
    if (!choose_group(output, values[0], &units, &appears))
        return false;
    if (!appears)
        return true;
    if (output->n_rows == output->rows_max)
        return false;
    make_room(output);
    output->noisy[output->n_rows * release->n_measures] = units;
    if (!draw(output, values, 1))
        return false;
    copy_keys(output, keys);
    return true;
}

/* The group of a domain, or the one that was released with private keys (in the order of the keys,
 * as rows come); NO_GROUP where there is none, which for a domain the measurement's filter does not
 * let happen. */
static size_t find_group(const struct release_output *output, const char *const *keys)
{
    const struct release *release = output->release;
    bool private_keys = has_private_keys(release);
    const char *const *groups = private_keys ? (const char *const *)output->keys : release->domain;
    size_t low = 0, high = private_keys ? output->n_rows : output->n_exact;
    if (release->n_keys == 0)
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t group = private_keys ? middle : output->order[middle];
        int order = compare_keys(groups + group * release->n_keys, keys, release->n_keys);
        if (order == 0)
            return group;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NO_GROUP;
}

bool release_add(struct release_output *output, const char *const *keys, const __int128 *values)
{
    const struct release *release = output->release;
    if (has_private_keys(release))
        return add_private_group(output, keys, values);
    size_t group = find_group(output, keys);
    if (group != NO_GROUP)
        memcpy(output->exact + group * release->n_drawn, values,
               release->n_drawn * sizeof *output->exact);
    return true;
}

/* Once it is known which groups are released. */
static struct quantile_output *open_quantiles(struct release_output *output, size_t index)
{
    const struct release *release = output->release;
    if (output->quantiles[index] == NULL)
        output->quantiles[index] =
            quantiles_begin(output->noise, &release->histograms[index], output->kept,
                            has_private_keys(release) ? output->n_rows : output->n_exact);
    return output->quantiles[index];
}

bool release_add_bin(struct release_output *output, size_t index, const char *const *keys,
                     const __int128 *values)
{
    assert(index < output->release->n_histograms);
    size_t group = find_group(output, keys);
    return group == NO_GROUP ||
           quantiles_add(open_quantiles(output, index), group, values[0], values[1]);
}

/* Every group of a domain, in its order; or the one row of a release without keys. */
static bool draw_public_rows(struct release_output *output)
{
    const struct release *release = output->release;
    for (size_t group = 0; group < output->n_exact; group++) {
        make_room(output);
        if (!draw(output, output->exact + group * release->n_drawn, 0))
            return false;
        copy_keys(output, release->domain + group * release->n_keys);
    }
    return true;
}

bool release_give(struct release_output *output, size_t n_groups, const char *const *keys,
                  const __int128 *const *noisy)
{
    const struct release *release = output->release;
    bool chosen = has_private_keys(release);
    assert(output->n_rows == 0 && !output->given);
    if (chosen ? (keys == NULL && n_groups > 0) || n_groups > output->rows_max
               : n_groups != output->n_exact)
        return false;
    for (size_t row = 0; row < n_groups; row++) {
        make_room(output);
        for (size_t i = 0; i < release->n_measures; i++)
            output->noisy[row * release->n_measures + i] = noisy[i] != NULL ? noisy[i][row] : 0;
        copy_keys(output, (chosen ? keys : release->domain) + row * release->n_keys);
    }
    output->given = true;
    return true;
}

static void append_values(struct array_params *params, const struct release_output *output,
                          size_t measure)
{
    const struct release *release = output->release;
    struct bytes bytes = {0};
    add(&bytes, "{", 1);
    for (size_t i = 0; i < output->n_rows; i++) {
        __int128 drawn = output->noisy[i * release->n_measures + measure];
        if (i > 0)
            add(&bytes, ",", 1);
        add_number(&bytes, release->measures[measure].floating,
                   &release->measures[measure].calibration.grid,
                   release_kept_value(output->draws, i, measure, drawn));
    }
    add(&bytes, "}", 1);
    append(params, release->measures[measure].floating ? OID_FLOAT8_ARRAY : OID_NUMERIC_ARRAY, 0,
           bytes);
}

/* One value of a histogram in every group: the lower edge of its bin. */
static void append_edges(struct array_params *params, const struct release_output *output,
                         size_t index, size_t value)
{
    const struct release_histogram *histogram = &output->release->histograms[index];
    struct bytes bytes = {0};
    add(&bytes, "{", 1);
    for (size_t i = 0; i < output->n_rows; i++) {
        uint32_t bin = quantiles_of(output->quantiles[index], i)[value];
        if (i > 0)
            add(&bytes, ",", 1);
        add_number(&bytes, histogram->floating, &histogram->grid,
                   histogram->first + bin * histogram->width);
    }
    add(&bytes, "}", 1);
    append(params, histogram->floating ? OID_FLOAT8_ARRAY : OID_NUMERIC_ARRAY, 0, bytes);
}

bool release_draw_some(struct release_output *output, size_t *steps)
{
    bool drawn = true;
    for (size_t i = 0; i < output->release->n_histograms && drawn && *steps > 0; i++)
        drawn = quantiles_finish(open_quantiles(output, i), steps);
    return drawn;
}

bool release_finish(struct release_output *output, bool empty, struct array_params *params)
{
    const struct release *release = output->release;
    if (!empty && !output->given && !has_private_keys(release) && !draw_public_rows(output))
        return false;
    for (size_t i = 0; i < release->n_keys; i++)
        append_strings(params, output->n_rows, (const char *const *)output->keys + i,
                       release->n_keys);
    for (size_t i = release->n_hidden; i < release->n_measures; i++)
        append_values(params, output, i);
    size_t all = SIZE_MAX;
    if (!empty && !release_draw_some(output, &all))
        return false;
    for (size_t i = 0; i < release->n_histograms; i++)
        for (size_t n = 0; n < release->histograms[i].n_values; n++)
            append_edges(params, output, i, n);
    return true;
}

size_t release_groups(const struct release_output *output)
{
    return output->n_rows;
}

const char *const *release_keys(const struct release_output *output)
{
    static const char *const none[1]; /* that there is no group is an answer as well */
    return output->keys != NULL ? (const char *const *)output->keys : none;
}

__int128 release_drawn(const struct release_output *output, size_t group, size_t measure)
{
    assert(group < output->n_rows && output->release->measures[measure].draw.m != 0);
    return output->noisy[group * output->release->n_measures + measure];
}

uint32_t release_bin(const struct release_output *output, size_t group, size_t histogram,
                     size_t value)
{
    assert(group < output->n_rows && output->quantiles[histogram] != NULL);
    return quantiles_of(output->quantiles[histogram], group)[value];
}

const __int128 *release_distribution(const struct release_output *output, size_t histogram)
{
    assert(output->quantiles[histogram] != NULL);
    return quantiles_distribution(output->quantiles[histogram]);
}
