/*
 * The options of the server's file and how one is read. Defaults are JSON texts that pass through
 * the same checks as what a DBA writes, so that a default out of range cannot exist for long.
 */
#include "config/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static const char *const tls_modes[] = {"disable", "allow", "require", NULL};
static const char *const durabilities[] = {"required", "unsafe", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};

#define SERVER(field) offsetof(struct config, field)
#define DATASET(field) offsetof(struct config_dataset, field)
#define MILLISECONDS_MAX 604800000 /* a week */

/* clang-format off */
const struct option options_server[] = {
    {"listen.address", OPTION_TEXT, SERVER(listen_address), "\"127.0.0.1\"", 0, 0, NULL,
     "Address that analysts connect to: a name or a number; `*` for all addresses of the machine."},
    {"listen.port", OPTION_PORT, SERVER(listen_port), "6432", 0, 65535, NULL,
     "Port; 0 takes a free one and says which in the log."},
    {"tls.mode", OPTION_CHOICE, SERVER(tls_mode), "\"disable\"", 0, 0, tls_modes,
     "Whether analysts may or must use TLS. `allow` and `require` need a certificate and a key."},
    {"tls.certificate", OPTION_PATH, SERVER(tls_certificate), NULL, 0, 0, NULL,
     "Certificate chain in PEM form."},
    {"tls.key", OPTION_PATH, SERVER(tls_key), NULL, 0, 0, NULL,
     "Private key of the certificate in PEM form."},
    {"state_directory", OPTION_PATH, SERVER(state_directory), "", 0, 0, NULL,
     "Folder of the managed servers, their sockets and pgveil's secrets; made with mode 0700."},
    {"ledger_server", OPTION_TEXT, SERVER(ledger_server), NULL, 0, 0, NULL,
     "Connection string of an external ledger server; without it pgveil runs one itself."},
    {"ledger_durability", OPTION_CHOICE, SERVER(ledger_durability), "\"required\"", 0, 0,
     durabilities,
     "`required`: pgveil runs on no ledger server that may lose a confirmed charge when it crashes "
     "(`fsync`, `full_page_writes` or `synchronous_commit` off, `data_sync_retry` on). `unsafe` is "
     "for tests alone: a crash may give spent budget back."},
    {"twin_server", OPTION_TEXT, SERVER(twin_server), NULL, 0, 0, NULL,
     "Connection string of an external twin server; without it pgveil runs one itself."},
    {"postgres_bin", OPTION_PATH, SERVER(postgres_bin), NULL, 0, 0, NULL,
     "Folder of initdb and postgres for the managed servers; without it the newest of "
     "/usr/lib/postgresql is taken."},
    {"limits.managed_memory_bytes", OPTION_COUNT, SERVER(managed_memory_bytes), "1073741824",
     268435456, 1099511627776, NULL,
     "Address space of each process of a managed server."},
    {"limits.connections_max", OPTION_COUNT, SERVER(connections_max), "100", 1, 10000, NULL,
     "Connections of all analysts."},
    {"limits.connections_per_analyst_max", OPTION_COUNT, SERVER(connections_per_analyst_max), "20",
     1, 10000, NULL,
     "Connections of one analyst."},
    {"limits.measurements_per_analyst_max", OPTION_COUNT, SERVER(measurements_per_analyst_max), "2",
     1, 1000, NULL,
     "Measurements of one analyst at the same time; further ones wait."},
    {"limits.message_bytes_max", OPTION_COUNT, SERVER(message_bytes_max), "4194304",
     65536, 16777216, NULL,
     "Length of one message from a client."},
    {"limits.statement_bytes_max", OPTION_COUNT, SERVER(statement_bytes_max), "262144",
     1024, 16777216, NULL,
     "Length of one statement's text."},
    {"limits.statement_tokens_max", OPTION_COUNT, SERVER(statement_tokens_max), "20000",
     100, 20000, NULL,
     "Tokens of one statement."},
    {"limits.statement_depth_max", OPTION_COUNT, SERVER(statement_depth_max), "1000",
     10, 1000, NULL,
     "Estimated depth of one statement's syntax tree."},
    {"limits.session_statements_max", OPTION_COUNT, SERVER(session_statements_max), "1000",
     1, 100000, NULL,
     "Prepared statements and portals of one session."},
    {"limits.domain_groups_max", OPTION_COUNT, SERVER(domain_groups_max), "10000", 1, 1000000, NULL,
     "Groups of one release with declared domains."},
    {"limits.unit_work_max", OPTION_COUNT, SERVER(unit_work_max), "100000", 1, 1000000000, NULL,
     "Joined rows that one privacy unit may cause in a measurement: rows times fan-out."},
    {"limits.answer_rows_max", OPTION_COUNT, SERVER(answer_rows_max), "100000", 1, 10000000, NULL,
     "Groups that one release with private keys may publish."},
    {"timeouts.login_ms", OPTION_COUNT, SERVER(login_timeout_ms), "30000", 100, MILLISECONDS_MAX,
     NULL, "From a client's connection to its first ready session."},
    {"timeouts.idle_ms", OPTION_COUNT, SERVER(idle_timeout_ms), "28800000", 100, MILLISECONDS_MAX,
     NULL, "A session that sends nothing, outside a transaction."},
    {"timeouts.idle_transaction_ms", OPTION_COUNT, SERVER(idle_transaction_timeout_ms), "600000",
     100, MILLISECONDS_MAX, NULL, "A session that sends nothing, inside a transaction."},
    {"timeouts.statement_ms", OPTION_COUNT, SERVER(statement_timeout_ms), "600000",
     100, MILLISECONDS_MAX, NULL, "One statement of an analyst, all in all."},
    {"timeouts.measurement_ms", OPTION_COUNT, SERVER(measurement_timeout_ms), "300000",
     100, MILLISECONDS_MAX, NULL, "The measurements of one statement on the protected server."},
    {"answer_quantum_ms", OPTION_COUNT, SERVER(answer_quantum_ms), "0", 0, 60000, NULL,
     "Private answers wait for the next multiple of this time; 0 is off."},
    {"log_level", OPTION_WORD, SERVER(log_level), "\"info\"", 0, 0, log_levels,
     "What goes to the log on standard error."},
    {"datasets", OPTION_DATASETS, 0, "", 0, 0, NULL,
     "One member per dataset; its name is the database that analysts connect to."},
    {NULL, OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};

const struct option options_dataset[] = {
    {"server", OPTION_TEXT, DATASET(server), "", 0, 0, NULL,
     "Connection string of the protected server, with a role that may only read the policy's "
     "tables."},
    {"policy", OPTION_PATH, DATASET(policy), "", 0, 0, NULL,
     "The dataset's policy file."},
    {"epsilon_default", OPTION_EPSILON, DATASET(epsilon_default), "0.1",
     1000, 20000000000, NULL,
     "Epsilon of a release where the analyst sets none."},
    {"epsilon_max", OPTION_EPSILON, DATASET(epsilon_max), "1",
     1000, 20000000000, NULL,
     "Largest epsilon of a release that an analyst may set."},
    {"delta_default", OPTION_DELTA, DATASET(delta_default), "1e-9",
     1, 1000000000000000, NULL,
     "Delta of a release with private keys where the analyst sets none."},
    {"measurements_max", OPTION_COUNT, DATASET(measurements_max), "4", 1, 1000, NULL,
     "Measurements of all analysts at the same time, each on its own connection."},
    {NULL, OPTION_TEXT, 0, NULL, 0, 0, NULL, NULL},
};
/* clang-format on */

enum { EPSILON_SCALE = 9, DELTA_SCALE = 18 };

/* Exact text of units * 10^-scale: "0.1", "0.000000001". */
static void scaled_text(uint64_t units, int scale, char out[DP_DECIMAL_TEXT_MAX])
{
    struct dp_decimal value = {.digits = (__int128)units, .scale = scale};
    value = dp_decimal_normalize(&value);
    dp_decimal_print(&value, out);
}

static void accepted_text(const struct option *option, char *out, size_t size)
{
    char low[DP_DECIMAL_TEXT_MAX], high[DP_DECIMAL_TEXT_MAX];
    switch (option->type) {
    case OPTION_TEXT:
        snprintf(out, size, "a string");
        return;
    case OPTION_PATH:
        snprintf(out, size, "a path");
        return;
    case OPTION_WORD:
    case OPTION_CHOICE:
        out[0] = '\0';
        for (size_t i = 0; option->choices[i]; i++) {
            size_t used = strlen(out);
            snprintf(out + used, size - used, "%s\"%s\"", i ? ", " : "", option->choices[i]);
        }
        return;
    case OPTION_PORT:
    case OPTION_COUNT:
        snprintf(out, size, "an integer from %llu to %llu", (unsigned long long)option->low,
                 (unsigned long long)option->high);
        return;
    case OPTION_EPSILON:
        scaled_text(option->low, EPSILON_SCALE, low);
        scaled_text(option->high, EPSILON_SCALE, high);
        snprintf(out, size, "a number or a string of one, %s to %s, at most 9 places", low, high);
        return;
    case OPTION_DELTA:
        scaled_text(option->low, DELTA_SCALE, low);
        scaled_text(option->high, DELTA_SCALE, high);
        snprintf(out, size, "a number or a string of one, %s to %s, at most 18 places", low, high);
        return;
    case OPTION_DATASETS:
        snprintf(out, size, "an object with at least one member");
        return;
    }
    out[0] = '\0';
}

void option_describe(const struct option *option, char *out, size_t size)
{
    char accepted[256];
    accepted_text(option, accepted, sizeof accepted);
    const char *fallback = !option->fallback          ? "none"
                           : option->fallback[0] == 0 ? "required"
                                                      : option->fallback;
    snprintf(out, size, "| `%s` | %s | %s | %s |", option->key, fallback, accepted,
             option->meaning);
}

static char *resolve(const char *folder, const char *path)
{
    char *out = NULL;
    if (path[0] == '/')
        return strdup(path);
    return asprintf(&out, "%s/%s", folder, path) < 0 ? NULL : out;
}

static bool fail_value(const struct option *option, const struct json_place *place)
{
    char accepted[256], number[64];
    accepted_text(option, accepted, sizeof accepted);
    if (json_is_string(place->value) && option->type != OPTION_TEXT && option->type != OPTION_PATH)
        return json_fail(place, "is \"%.80s\"; accepted: %s", json_string_value(place->value),
                         accepted);
    if (json_is_string(place->value))
        return json_fail(place, "is empty; accepted: %s", accepted);
    if (json_number_text(place->value, number))
        return json_fail(place, "is %s; accepted: %s", number, accepted);
    return json_fail(place, "is %s; accepted: %s", json_kind(place->value), accepted);
}

/* value = units * 10^-scale exactly, within the option's range. */
static bool read_scaled(const struct option *option, int scale, const struct json_place *place,
                        uint64_t *out)
{
    struct dp_decimal value, units;
    struct dp_decimal power = {.digits = 1, .scale = 0};
    for (int i = 0; i < scale; i++)
        power.digits *= 10;
    if (!json_decimal(place->value, &value) || !dp_decimal_multiply(&value, &power, &units))
        return fail_value(option, place);
    units = dp_decimal_normalize(&units);
    if (units.scale != 0 || units.digits < (__int128)option->low ||
        units.digits > (__int128)option->high)
        return fail_value(option, place);
    *out = (uint64_t)units.digits;
    return true;
}

static bool read_string(const struct option *option, const struct json_place *place,
                        const char *folder, char **out)
{
    const char *text = json_string_value(place->value);
    if (!text || text[0] == '\0')
        return fail_value(option, place);
    char *copy = option->type == OPTION_PATH ? resolve(folder, text) : strdup(text);
    if (!copy)
        return json_fail(place, "out of memory");
    *out = copy;
    return true;
}

static bool read_word(const struct option *option, const struct json_place *place, size_t *index)
{
    const char *text = json_string_value(place->value);
    for (size_t i = 0; text && option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *index = i;
            return true;
        }
    }
    return fail_value(option, place);
}

static bool read_value(const struct option *option, const struct json_place *place,
                       const char *folder, void *target)
{
    char *field = (char *)target + option->offset;
    uint64_t number = 0;
    size_t index = 0;
    char *text = NULL;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
        if (!read_string(option, place, folder, &text))
            return false;
        memcpy(field, &text, sizeof text);
        return true;
    case OPTION_WORD:
        if (!read_word(option, place, &index) || !read_string(option, place, folder, &text))
            return false;
        memcpy(field, &text, sizeof text);
        return true;
    case OPTION_CHOICE:
        if (!read_word(option, place, &index))
            return false;
        memcpy(field, &(unsigned){(unsigned)index}, sizeof(unsigned));
        return true;
    case OPTION_PORT:
        if (!json_read_count(place, option->low, option->high, &number))
            return false;
        memcpy(field, &(uint16_t){(uint16_t)number}, sizeof(uint16_t));
        return true;
    case OPTION_COUNT:
        if (!json_read_count(place, option->low, option->high, &number))
            return false;
        break;
    case OPTION_EPSILON:
        if (!read_scaled(option, EPSILON_SCALE, place, &number))
            return false;
        break;
    case OPTION_DELTA:
        if (!read_scaled(option, DELTA_SCALE, place, &number))
            return false;
        break;
    case OPTION_DATASETS:
        return true;
    }
    memcpy(field, &number, sizeof number);
    return true;
}

/* The keys that may stand directly below a prefix, once each. */
static void list_keys(const struct option *options, const char *prefix, char *out, size_t size)
{
    size_t skip = strlen(prefix);
    const char *last = "";
    size_t last_length = 0;
    out[0] = '\0';
    for (; options->key; options++) {
        if (strncmp(options->key, prefix, skip) != 0)
            continue;
        const char *name = options->key + skip;
        size_t length = strcspn(name, ".");
        if (length == last_length && strncmp(name, last, length) == 0)
            continue;
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%.*s", used ? ", " : "", (int)length, name);
        last = name;
        last_length = length;
    }
}

static bool check_keys(const struct option *options, const struct json_place *place,
                       const char *prefix)
{
    const char *key;
    json_t *value;
    if (!json_is_object(place->value))
        return json_fail(place, "is %s; accepted: an object", json_kind(place->value));
    json_object_foreach(place->value, key, value)
    {
        char path[128], group[128], list[400];
        struct json_place member = json_member(place, key, value);
        bool is_option = false, is_group = false;
        int length = snprintf(path, sizeof path, "%s%s", prefix, key);
        snprintf(group, sizeof group, "%s%s.", prefix, key);
        /* A dot in a written key would look like a path of the table. */
        if (length >= 0 && (size_t)length < sizeof path - 1 && !strchr(key, '.')) {
            for (const struct option *o = options; o->key; o++) {
                is_option |= strcmp(o->key, path) == 0;
                is_group |= strncmp(o->key, group, strlen(group)) == 0;
            }
        }
        if (is_group) {
            if (!check_keys(options, &member, group))
                return false;
        } else if (!is_option) {
            list_keys(options, prefix, list, sizeof list);
            return json_fail(&member, "unknown key; accepted: %s", list);
        }
    }
    return true;
}

/* Finds the value of a dotted key (one group at most); the places live in places[2]. */
static const struct json_place *find(const struct json_place *place, char *key,
                                     struct json_place places[2])
{
    char *dot = strchr(key, '.');
    if (!dot) {
        places[0] = json_get(place, key);
        return &places[0];
    }
    *dot = '\0';
    places[0] = json_get(place, key);
    places[1] = json_get(&places[0], dot + 1);
    return &places[1];
}

static bool read_option(const struct option *option, const struct json_place *place,
                        const char *folder, void *target)
{
    struct json_place places[2];
    char key[128];
    int length = snprintf(key, sizeof key, "%s", option->key);
    assert(length > 0 && (size_t)length < sizeof key);
    const struct json_place *found = find(place, key, places);
    if (found->value)
        return read_value(option, found, folder, target);
    if (!option->fallback)
        return true;
    if (option->fallback[0] == '\0') {
        char accepted[256];
        accepted_text(option, accepted, sizeof accepted);
        return json_fail(found, "is missing; accepted: %s", accepted);
    }
    json_t *fallback = json_loads(option->fallback, JSON_DECODE_ANY, NULL);
    if (!fallback)
        return json_fail(found, "out of memory");
    struct json_place standard = *found;
    standard.value = fallback;
    bool read = read_value(option, &standard, folder, target);
    json_decref(fallback);
    return read;
}

bool options_read(const struct option *options, const struct json_place *place, const char *folder,
                  void *target)
{
    if (!check_keys(options, place, ""))
        return false;
    for (const struct option *option = options; option->key; option++) {
        if (!read_option(option, place, folder, target))
            return false;
    }
    return true;
}

static bool is_text(const struct option *option)
{
    return option->type == OPTION_TEXT || option->type == OPTION_PATH ||
           option->type == OPTION_WORD;
}

void options_free(const struct option *options, void *target)
{
    for (const struct option *option = options; option->key; option++) {
        if (!is_text(option))
            continue;
        char *text;
        memcpy(&text, (char *)target + option->offset, sizeof text);
        free(text);
        text = NULL;
        memcpy((char *)target + option->offset, &text, sizeof text);
    }
}

/* Bytes of the field in the struct. */
static size_t field_size(const struct option *option)
{
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_WORD:
        return sizeof(char *);
    case OPTION_CHOICE:
        return sizeof(unsigned);
    case OPTION_PORT:
        return sizeof(uint16_t);
    case OPTION_COUNT:
    case OPTION_EPSILON:
    case OPTION_DELTA:
        return sizeof(uint64_t);
    case OPTION_DATASETS:
        break;
    }
    return 0;
}

bool option_print(const struct option *option, const void *target, char *out, size_t size)
{
    union {
        char *text;
        unsigned choice;
        uint16_t port;
        uint64_t number;
    } value = {.number = 0};
    char scaled[DP_DECIMAL_TEXT_MAX];
    memcpy(&value, (const char *)target + option->offset, field_size(option));
    out[0] = '\0';
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_WORD:
        snprintf(out, size, "%s", value.text ? value.text : "");
        return value.text != NULL;
    case OPTION_CHOICE:
        snprintf(out, size, "%s", option->choices[value.choice]);
        return true;
    case OPTION_PORT:
        snprintf(out, size, "%u", value.port);
        return true;
    case OPTION_COUNT:
        snprintf(out, size, "%llu", (unsigned long long)value.number);
        return true;
    case OPTION_EPSILON:
    case OPTION_DELTA:
        scaled_text(value.number, option->type == OPTION_EPSILON ? EPSILON_SCALE : DELTA_SCALE,
                    scaled);
        snprintf(out, size, "%s", scaled);
        return true;
    case OPTION_DATASETS:
        break;
    }
    return false;
}

bool option_copy(const struct option *option, void *target, const void *from)
{
    char *field = (char *)target + option->offset;
    const char *source = (const char *)from + option->offset;
    if (!is_text(option)) {
        memcpy(field, source, field_size(option));
        return true;
    }
    char *old, *text;
    memcpy(&old, field, sizeof old);
    memcpy(&text, source, sizeof text);
    char *copy = text ? strdup(text) : NULL;
    if (text && !copy)
        return false;
    memcpy(field, &copy, sizeof copy);
    free(old);
    return true;
}
