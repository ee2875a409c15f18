#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/live.h"

static struct config *read_text(const char *text)
{
    char path[] = "/tmp/pgveil-live-XXXXXX";
    struct config_error error;
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct config *config = config_read(path, &error);
    unlink(path);
    cr_assert_not_null(config, "%s: %s", error.key, error.text);
    return config;
}

#define DATASET(rest) "\"a\": {\"server\": \"host=x\", \"policy\": \"/p.json\"" rest "}"
#define WITH(top, datasets) "{\"state_directory\": \"/s\"" top ", \"datasets\": {" datasets "}}"

struct seen {
    size_t n, n_live, n_secret;
    char text[2000]; /* key=value of each */
};

static void on_value(void *context, const struct config_value *value)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    seen->n++;
    seen->n_live += value->reloads;
    seen->n_secret += value->is_conninfo;
    snprintf(seen->text + used, sizeof seen->text - used, "%s=%s;", value->key,
             value->value ? value->value : "(none)");
}

Test(config_live, every_value_is_shown_as_it_could_be_written)
{
    struct config *config =
        read_text(WITH(", \"tls\": {\"mode\": \"disable\"}", DATASET(", \"epsilon_max\": 0.25")));
    struct seen seen = {0};
    config_each(config, on_value, &seen);
    static const char *const expected[] = {"state_directory=/s;",
                                           "tls.mode=disable;",
                                           "listen.port=6432;",
                                           "ledger_server=(none);",
                                           "limits.connections_max=100;",
                                           "log_level=info;",
                                           "datasets.a.server=host=x;",
                                           "datasets.a.epsilon_max=0.25;",
                                           "datasets.a.delta_default=0.000000001;"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect_not_null(strstr(seen.text, expected[i]), "%s in %s", expected[i], seen.text);
    cr_expect_eq(seen.n_secret, 3, "ledger_server, twin_server and the dataset's");
    cr_expect_gt(seen.n_live, 10);
    cr_expect_lt(seen.n_live, seen.n);
    config_free(config);
}

static void on_change(void *context, const struct config_change *change)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    seen->n++;
    seen->n_live += change->applied;
    seen->n_secret += change->is_conninfo;
    snprintf(seen->text + used, sizeof seen->text - used, "%s:%s>%s;", change->key,
             change->before ? change->before : "-", change->after ? change->after : "-");
}

static struct seen reload(struct config *config, const char *text)
{
    struct seen seen = {0};
    struct config *fresh = read_text(text);
    config_reload(config, fresh, on_change, &seen);
    config_free(fresh);
    return seen;
}

Test(config_live, what_is_the_same_is_no_change)
{
    struct config *config = read_text(WITH("", DATASET("")));
    struct seen seen =
        reload(config, WITH(", \"log_level\": \"info\"", DATASET(", \"epsilon_default\": "
                                                                 "\"0.10\"")));
    cr_expect_eq(seen.n, 0, "%s", seen.text);
    config_free(config);
}

Test(config_live, what_can_change_is_taken_over_and_the_rest_is_left)
{
    struct config *config = read_text(WITH("", DATASET("")));
    struct seen seen =
        reload(config, WITH(", \"log_level\": \"debug\", \"listen\": {\"port\": 1}, \"timeouts\": "
                            "{\"idle_ms\": 500}, \"ledger_server\": \"password=p\"",
                            DATASET(", \"epsilon_max\": \"2\", \"measurements_max\": 9")));
    cr_expect_eq(seen.n, 6, "%s", seen.text);
    cr_expect_eq(seen.n_live, 3, "%s", seen.text);
    cr_expect_eq(seen.n_secret, 1);
    cr_expect_not_null(strstr(seen.text, "datasets.a.epsilon_max:1>2;"), "%s", seen.text);
    cr_expect_not_null(strstr(seen.text, "ledger_server:->password=p;"), "%s", seen.text);
    cr_expect_str_eq(config->log_level, "debug");
    cr_expect_eq(config->idle_timeout_ms, 500);
    cr_expect_eq(config->datasets[0].epsilon_max, 2000000000);
    cr_expect_eq(config->listen_port, 6432);
    cr_expect_eq(config->datasets[0].measurements_max, 4);
    cr_expect_null(config->ledger_server);
    config_free(config);
}

Test(config_live, new_and_missing_datasets_are_named_and_change_nothing)
{
    struct config *config = read_text(WITH("", DATASET("")));
    struct seen seen =
        reload(config, WITH("", "\"b\": {\"server\": \"host=x\", \"policy\": \"/p.json\"}"));
    cr_expect_eq(seen.n, 2, "%s", seen.text);
    cr_expect_eq(seen.n_live, 0);
    cr_expect_not_null(strstr(seen.text, "datasets.b:->"), "%s", seen.text);
    cr_expect_not_null(strstr(seen.text, "datasets.a:a dataset>-;"), "%s", seen.text);
    cr_expect_eq(config->n_datasets, 1);
    cr_expect_str_eq(config->datasets[0].name, "a");
    config_free(config);
}
