#include "config/json.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 16 * 1024 * 1024 };

static bool fail_file(const char *path, struct config_error *error, const char *what)
{
    snprintf(error->file, sizeof error->file, "%s", path);
    error->key[0] = '\0';
    snprintf(error->text, sizeof error->text, "%s", what);
    return false;
}

static bool read_bytes(const char *path, char **bytes, size_t *length, struct config_error *error)
{
    char *data = NULL;
    size_t used = 0, capacity = 0;
    bool done = false;
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return fail_file(path, error, strerror(errno));
    for (;;) {
        if (used == capacity) {
            if (capacity >= FILE_BYTES_MAX) {
                fail_file(path, error, "the file is larger than 16 MiB");
                goto cleanup;
            }
            capacity = capacity ? 2 * capacity : 16384;
            char *grown = realloc(data, capacity);
            if (!grown) {
                fail_file(path, error, "out of memory");
                goto cleanup;
            }
            data = grown;
        }
        size_t got = fread(data + used, 1, capacity - used, stream);
        used += got;
        if (got == 0)
            break;
    }
    if (ferror(stream)) {
        fail_file(path, error, strerror(errno));
        goto cleanup;
    }
    done = true;
cleanup:
    fclose(stream);
    if (!done) {
        free(data);
        return false;
    }
    *bytes = data;
    *length = used;
    return true;
}

json_t *json_read_file(const char *path, char **bytes, size_t *length, struct config_error *error)
{
    json_error_t syntax;
    memset(error, 0, sizeof *error);
    if (!read_bytes(path, bytes, length, error))
        return NULL;
    json_t *value = json_loadb(*bytes, *length, JSON_REJECT_DUPLICATES, &syntax);
    if (value && json_is_object(value))
        return value;
    if (value) {
        fail_file(path, error, "the file holds no JSON object; accepted: { ... }");
    } else {
        fail_file(path, error, "");
        snprintf(error->text, sizeof error->text, "not valid JSON at line %d, column %d: %s",
                 syntax.line, syntax.column, syntax.text);
    }
    json_decref(value);
    free(*bytes);
    *bytes = NULL;
    return NULL;
}

struct json_place json_top(const char *file, json_t *value, struct config_error *error)
{
    return (struct json_place){.error = error, .file = file, .value = value};
}

struct json_place json_member(const struct json_place *parent, const char *key, json_t *value)
{
    return (struct json_place){
        .error = parent->error, .file = parent->file, .parent = parent, .key = key, .value = value};
}

struct json_place json_get(const struct json_place *parent, const char *key)
{
    return json_member(parent, key, json_object_get(parent->value, key));
}

struct json_place json_element(const struct json_place *parent, size_t index)
{
    struct json_place place = json_member(parent, NULL, json_array_get(parent->value, index));
    place.index = index;
    return place;
}

/* Appends the path; keys that are not plain words are put in brackets. */
static void write_path(const struct json_place *place, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (!place->parent) {
        out[0] = '\0';
        return;
    }
    write_path(place->parent, out, size);
    size_t used = strlen(out);
    if (!place->key)
        snprintf(out + used, size - used, "[%zu]", place->index);
    else if (place->key[0] != '\0' && place->key[strspn(place->key, plain)] == '\0')
        snprintf(out + used, size - used, "%s%s", used ? "." : "", place->key);
    else
        snprintf(out + used, size - used, "['%s']", place->key);
}

bool json_fail(const struct json_place *place, const char *format, ...)
{
    struct config_error *error = place->error;
    if (error->text[0] != '\0')
        return false;
    snprintf(error->file, sizeof error->file, "%s", place->file);
    write_path(place, error->key, sizeof error->key);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

const char *json_kind(const json_t *value)
{
    if (!value)
        return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

bool json_only_keys(const struct json_place *place, const char *const *accepted)
{
    const char *key;
    json_t *value;
    if (!json_is_object(place->value))
        return json_fail(place, "is %s; accepted: an object", json_kind(place->value));
    json_object_foreach(place->value, key, value)
    {
        size_t i = 0;
        while (accepted[i] && strcmp(accepted[i], key) != 0)
            i++;
        if (accepted[i] || (strcmp(key, "comment") == 0 && json_is_string(value)))
            continue;
        char list[256] = "";
        for (i = 0; accepted[i]; i++) {
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", accepted[i]);
        }
        struct json_place unknown = json_member(place, key, value);
        return json_fail(&unknown, "unknown key; accepted: %s", list);
    }
    return true;
}

bool json_read_text(const struct json_place *place, const char **out)
{
    if (!json_is_string(place->value))
        return json_fail(place, "is %s; accepted: a string", json_kind(place->value));
    *out = json_string_value(place->value);
    return true;
}

bool json_read_bool(const struct json_place *place, bool *out)
{
    if (!json_is_boolean(place->value))
        return json_fail(place, "is %s; accepted: true, false", json_kind(place->value));
    *out = json_is_true(place->value);
    return true;
}

bool json_read_count(const struct json_place *place, uint64_t low, uint64_t high, uint64_t *out)
{
    assert(high <= INT64_MAX);
    json_int_t number = json_integer_value(place->value);
    if (json_is_integer(place->value) && number >= 0 && (uint64_t)number >= low &&
        (uint64_t)number <= high) {
        *out = (uint64_t)number;
        return true;
    }
    char text[64];
    if (json_number_text(place->value, text))
        return json_fail(place, "is %s; accepted: an integer from %llu to %llu", text,
                         (unsigned long long)low, (unsigned long long)high);
    return json_fail(place, "is %s; accepted: an integer from %llu to %llu",
                     json_kind(place->value), (unsigned long long)low, (unsigned long long)high);
}

bool json_number_text(const json_t *value, char text[64])
{
    if (json_is_integer(value)) {
        snprintf(text, 64, "%lld", (long long)json_integer_value(value));
        return true;
    }
    if (!json_is_real(value))
        return false;
    double number = json_real_value(value);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 64, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    return true;
}

bool json_decimal(const json_t *value, struct dp_decimal *out)
{
    char text[64];
    if (json_is_string(value))
        return dp_decimal_parse(json_string_value(value), json_string_length(value), out);
    return json_number_text(value, text) && dp_decimal_parse(text, strlen(text), out);
}
