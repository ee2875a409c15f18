/* The server's own file. What each key may be stands in options.c; here are the rules between keys.
 */
#include "config/config.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/options.h"

enum { NAME_BYTES_MAX = 63 }; /* of a PostgreSQL identifier */

/* Folder of a path, for the relative paths in the file. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static bool check_tls(const struct json_place *top, const struct config *config)
{
    struct json_place tls = json_get(top, "tls");
    struct json_place mode = json_get(&tls, "mode");
    struct json_place certificate = json_get(&tls, "certificate");
    struct json_place key = json_get(&tls, "key");
    bool has_both = config->tls_certificate && config->tls_key;
    if (config->tls_mode == CONFIG_TLS_DISABLE && (config->tls_certificate || config->tls_key))
        return json_fail(&mode, "is \"disable\" although a certificate or key is given; "
                                "accepted: \"allow\", \"require\"");
    if (config->tls_mode != CONFIG_TLS_DISABLE && !has_both)
        return json_fail(config->tls_certificate ? &key : &certificate,
                         "is missing, and tls.mode needs it; accepted: a path");
    return true;
}

/* The name becomes a database of the twin server, next to those every server has. */
static bool check_dataset_name(const struct json_place *place)
{
    static const char *const taken[] = {"postgres", "template0", "template1", NULL};
    size_t length = strlen(place->key);
    bool is_taken = strncmp(place->key, "pgveil", 6) == 0;
    for (size_t i = 0; taken[i]; i++)
        is_taken |= strcmp(place->key, taken[i]) == 0;
    if (length == 0 || length > NAME_BYTES_MAX || is_taken)
        return json_fail(place, "is no name for a dataset; accepted: 1 to 63 bytes, not postgres, "
                                "template0, template1, nor beginning with pgveil");
    return true;
}

static bool read_dataset(const struct json_place *place, const char *folder,
                         struct config_dataset *dataset)
{
    if (!check_dataset_name(place) || !options_read(options_dataset, place, folder, dataset))
        return false;
    struct json_place epsilon = json_get(place, "epsilon_default");
    if (dataset->epsilon_default > dataset->epsilon_max)
        return json_fail(&epsilon, "is above epsilon_max; accepted: at most epsilon_max");
    dataset->name = strdup(place->key);
    return dataset->name || json_fail(place, "out of memory");
}

static bool read_datasets(const struct json_place *top, const char *folder, struct config *config)
{
    struct json_place place = json_get(top, "datasets");
    const char *name;
    json_t *value;
    if (!json_is_object(place.value) || json_object_size(place.value) == 0)
        return json_fail(&place, "is %s; accepted: an object with at least one member",
                         json_is_object(place.value) ? "empty" : json_kind(place.value));
    config->datasets = calloc(json_object_size(place.value), sizeof *config->datasets);
    if (!config->datasets)
        return json_fail(&place, "out of memory");
    json_object_foreach(place.value, name, value)
    {
        struct json_place member = json_member(&place, name, value);
        config->n_datasets++;
        if (!read_dataset(&member, folder, &config->datasets[config->n_datasets - 1]))
            return false;
    }
    return true;
}

static bool read_all(const struct json_place *top, const char *folder, struct config *config)
{
    return options_read(options_server, top, folder, config) && check_tls(top, config) &&
           read_datasets(top, folder, config);
}

struct config *config_read(const char *path, struct config_error *error)
{
    char *bytes = NULL;
    size_t length = 0;
    bool done = false;
    char *folder = NULL;
    struct config *config = NULL;
    json_t *value = json_read_file(path, &bytes, &length, error);
    if (!value)
        return NULL;
    struct json_place top = json_top(path, value, error);
    folder = folder_of(path);
    config = calloc(1, sizeof *config);
    if (!folder || !config || !(config->file = strdup(path))) {
        json_fail(&top, "out of memory");
        goto cleanup;
    }
    done = read_all(&top, folder, config);
cleanup:
    /* The file may hold passwords in connection strings. */
    OPENSSL_cleanse(bytes, length);
    free(bytes);
    free(folder);
    json_decref(value);
    if (!done) {
        config_free(config);
        config = NULL;
    }
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->n_datasets; i++) {
        options_free(options_dataset, &config->datasets[i]);
        free(config->datasets[i].name);
    }
    free(config->datasets);
    options_free(options_server, config);
    free(config->file);
    free(config);
}

const struct config_dataset *config_find_dataset(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_datasets; i++) {
        if (strcmp(config->datasets[i].name, name) == 0)
            return &config->datasets[i];
    }
    return NULL;
}
