#ifndef CONFIG_JSON_H
#define CONFIG_JSON_H

/* Reading JSON files strictly: every value knows its place, so that every error can name it. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/error.h"
#include "mechanisms/decimal.h"

/* A value and the way to it. Lives on the stack; parents outlive their children. */
struct json_place {
    struct config_error *error;
    const char *file;
    const struct json_place *parent; /* NULL: the file's top */
    const char *key;                 /* NULL: an array's element */
    size_t index;
    json_t *value; /* borrowed */
};

/* The whole file and the object in it; repeated keys are an error. NULL with *error filled. The
 * caller frees *bytes and decrefs the result. */
json_t *json_read_file(const char *path, char **bytes, size_t *length, struct config_error *error);

struct json_place json_top(const char *file, json_t *value, struct config_error *error);
struct json_place json_member(const struct json_place *parent, const char *key, json_t *value);
/* The member's value, or a place whose value is NULL. */
struct json_place json_get(const struct json_place *parent, const char *key);
struct json_place json_element(const struct json_place *parent, size_t index);

/* Records what is wrong here, unless something was recorded before; always false. */
bool json_fail(const struct json_place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Words for a value in a message: "a string", "the number 3". */
const char *json_kind(const json_t *value);

/* True where the value is an object and each of its keys is one of the NULL-terminated list, or
 * "comment" with a string, which means nothing. */
bool json_only_keys(const struct json_place *place, const char *const *accepted);

/* Checked values; false with the error recorded. Texts are borrowed. */
bool json_read_text(const struct json_place *place, const char **out);
bool json_read_bool(const struct json_place *place, bool *out);
bool json_read_count(const struct json_place *place, uint64_t low, uint64_t high, uint64_t *out);

/* The text of a number in the fewest digits that give the same number; false for other values. */
bool json_number_text(const json_t *value, char text[64]);
/* A number, or a string that holds one: strings are exact whatever their length. Records nothing.
 */
bool json_decimal(const json_t *value, struct dp_decimal *out);

#endif
