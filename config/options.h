#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

/* Every option of the server's file in two tables: what is read, and what docs/configuration.md
 * says, come from them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/json.h"

enum option_type {
    OPTION_TEXT,     /* char * */
    OPTION_PATH,     /* char *, resolved against the configuration's folder */
    OPTION_WORD,     /* char *, one of choices */
    OPTION_CHOICE,   /* an enum: the index of the word in choices */
    OPTION_PORT,     /* uint16_t */
    OPTION_COUNT,    /* uint64_t */
    OPTION_EPSILON,  /* dp_nano */
    OPTION_DELTA,    /* dp_atto */
    OPTION_DATASETS, /* read by config.c */
};

struct option {
    const char *key; /* dotted path */
    enum option_type type;
    size_t offset;              /* in the struct that is filled */
    const char *fallback;       /* JSON text of the default; NULL: none, "": required */
    uint64_t low, high;         /* inclusive; in the units of the field */
    const char *const *choices; /* NULL-terminated */
    const char *meaning;
};

extern const struct option options_server[];  /* struct config; key NULL ends it */
extern const struct option options_dataset[]; /* struct config_dataset */

/* Checks every key of the object and fills the target; strings are allocated, and the caller frees
 * the target also when this fails. folder: what relative paths are resolved against. */
bool options_read(const struct option *options, const struct json_place *place, const char *folder,
                  void *target);
/* Frees the target's strings. */
void options_free(const struct option *options, void *target);

/* The option's value in the target as text; false, and "" in out, where there is none. */
bool option_print(const struct option *option, const void *target, char *out, size_t size);
/* Copies the option's value; false, and nothing changed, without memory. */
bool option_copy(const struct option *option, void *target, const void *from);

/* The option's row of docs/configuration.md: | `key` | type | default | accepted | meaning | */
void option_describe(const struct option *option, char *out, size_t size);

#endif
