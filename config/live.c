#include "config/live.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"

enum { KEY_BYTES = 256, VALUE_BYTES = 1024 };

/* Everything else is copied somewhere at start-up (sockets, servers, pools, input limits). */
static const char *const live_keys[] = {"limits.connections_per_analyst_max",
                                        "limits.measurements_per_analyst_max",
                                        "limits.statement_bytes_max",
                                        "limits.statement_tokens_max",
                                        "limits.statement_depth_max",
                                        "limits.session_statements_max",
                                        "limits.domain_groups_max",
                                        "limits.unit_work_max",
                                        "limits.answer_rows_max",
                                        "timeouts.login_ms",
                                        "timeouts.idle_ms",
                                        "timeouts.idle_transaction_ms",
                                        "timeouts.statement_ms",
                                        "answer_quantum_ms",
                                        "log_level",
                                        "epsilon_default",
                                        "epsilon_max",
                                        "delta_default"};

static bool reloads(const struct option *option)
{
    for (size_t i = 0; i < sizeof live_keys / sizeof *live_keys; i++)
        if (strcmp(option->key, live_keys[i]) == 0)
            return true;
    return false;
}

static bool is_conninfo(const struct option *option)
{
    size_t length = strlen(option->key);
    return option->type == OPTION_TEXT && length >= 6 &&
           strcmp(option->key + length - 6, "server") == 0;
}

static void key_of(const struct option *option, const char *dataset, char key[KEY_BYTES])
{
    int length = dataset ? snprintf(key, KEY_BYTES, "datasets.%s.%s", dataset, option->key)
                         : snprintf(key, KEY_BYTES, "%s", option->key);
    assert(length > 0 && length < KEY_BYTES); /* names of datasets have at most 63 bytes */
}

struct visit {
    void (*visit)(void *context, const struct config_value *value);
    void *context;
};

static void each(const struct option *options, const char *dataset, const void *target,
                 const struct visit *visit)
{
    char key[KEY_BYTES], text[VALUE_BYTES];
    for (const struct option *option = options; option->key; option++) {
        if (option->type == OPTION_DATASETS)
            continue;
        key_of(option, dataset, key);
        struct config_value value = {
            .key = key,
            .value = option_print(option, target, text, sizeof text) ? text : NULL,
            .reloads = reloads(option),
            .is_conninfo = is_conninfo(option)};
        visit->visit(visit->context, &value);
    }
}

void config_each(const struct config *config,
                 void (*visit)(void *context, const struct config_value *value), void *context)
{
    const struct visit how = {visit, context};
    each(options_server, NULL, config, &how);
    for (size_t i = 0; i < config->n_datasets; i++)
        each(options_dataset, config->datasets[i].name, &config->datasets[i], &how);
}

struct reload {
    void (*changed)(void *context, const struct config_change *change);
    void *context;
};

static void reload(const struct option *options, const char *dataset, void *target,
                   const void *fresh, const struct reload *reload)
{
    char key[KEY_BYTES], before[VALUE_BYTES], after[VALUE_BYTES];
    for (const struct option *option = options; option->key; option++) {
        bool had = option_print(option, target, before, sizeof before);
        bool has = option_print(option, fresh, after, sizeof after);
        if (option->type == OPTION_DATASETS || (had == has && (!had || strcmp(before, after) == 0)))
            continue;
        key_of(option, dataset, key);
        struct config_change change = {.key = key,
                                       .before = had ? before : NULL,
                                       .after = has ? after : NULL,
                                       .applied =
                                           reloads(option) && option_copy(option, target, fresh),
                                       .is_conninfo = is_conninfo(option)};
        reload->changed(reload->context, &change);
    }
}

static void report_dataset(const char *name, const char *before, const char *after,
                           const struct reload *reload)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "datasets.%s", name);
    struct config_change change = {.key = key, .before = before, .after = after};
    reload->changed(reload->context, &change);
}

static struct config_dataset *find(struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_datasets; i++)
        if (strcmp(config->datasets[i].name, name) == 0)
            return &config->datasets[i];
    return NULL;
}

void config_reload(struct config *config, const struct config *fresh,
                   void (*changed)(void *context, const struct config_change *change),
                   void *context)
{
    const struct reload how = {changed, context};
    reload(options_server, NULL, config, fresh, &how);
    for (size_t i = 0; i < fresh->n_datasets; i++) {
        struct config_dataset *dataset = find(config, fresh->datasets[i].name);
        if (dataset)
            reload(options_dataset, dataset->name, dataset, &fresh->datasets[i], &how);
        else
            report_dataset(fresh->datasets[i].name, NULL, "a new dataset", &how);
    }
    for (size_t i = 0; i < config->n_datasets; i++)
        if (!config_find_dataset(fresh, config->datasets[i].name))
            report_dataset(config->datasets[i].name, "a dataset", NULL, &how);
}
