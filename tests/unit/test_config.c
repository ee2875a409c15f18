#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/options.h"

/* Reads a configuration from text; its folder is /tmp. */
static struct config *read_text(const char *text, struct config_error *error)
{
    char path[] = "/tmp/pgveil-config-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct config *config = config_read(path, error);
    unlink(path);
    return config;
}

static struct config *read_good(const char *text)
{
    struct config_error error;
    struct config *config = read_text(text, &error);
    cr_assert_not_null(config, "%s: %s", error.key, error.text);
    return config;
}

static void assert_refused(const char *text, const char *key, const char *piece)
{
    struct config_error error;
    struct config *config = read_text(text, &error);
    cr_assert_null(config, "accepted: %s", text);
    cr_assert_str_eq(error.key, key, "key '%s' (%s) for %s", error.key, error.text, text);
    cr_assert_not_null(strstr(error.text, piece), "'%s' lacks '%s'", error.text, piece);
}

#define WITH(rest)                                                                                 \
    "{" rest "\"state_directory\": \"state\", \"datasets\": {\"census\": "                         \
    "{\"server\": \"host=db dbname=census\", \"policy\": \"census.json\"}}}"
#define DATASET(rest)                                                                              \
    "{\"state_directory\": \"/s\", \"datasets\": {\"census\": "                                    \
    "{\"server\": \"host=db\", \"policy\": \"p.json\", " rest "}}}"

Test(config, the_smallest_file_gets_the_defaults)
{
    struct config *config = read_good(WITH(""));
    cr_assert_str_eq(config->listen_address, "127.0.0.1");
    cr_assert_eq(config->listen_port, 6432);
    cr_assert_eq(config->tls_mode, CONFIG_TLS_DISABLE);
    cr_assert_null(config->tls_certificate);
    cr_assert_null(config->ledger_server);
    cr_assert_eq(config->statement_tokens_max, 20000);
    cr_assert_eq(config->answer_quantum_ms, 0);
    cr_assert_str_eq(config->log_level, "info");
    cr_assert_eq(config->n_datasets, 1);
    const struct config_dataset *census = config_find_dataset(config, "census");
    cr_assert_not_null(census);
    cr_assert_eq(census->epsilon_default, 100000000);
    cr_assert_eq(census->epsilon_max, 1000000000);
    cr_assert_eq(census->delta_default, 1000000000);
    cr_assert_null(config_find_dataset(config, "Census"));
    config_free(config);
}

Test(config, relative_paths_start_at_the_files_folder)
{
    struct config *config = read_good(WITH("\"tls\": {\"mode\": \"require\", \"certificate\": "
                                           "\"tls/c.pem\", \"key\": \"/etc/k.pem\"}, "));
    cr_assert_str_eq(config->state_directory, "/tmp/state");
    cr_assert_str_eq(config->datasets[0].policy, "/tmp/census.json");
    cr_assert_str_eq(config->tls_certificate, "/tmp/tls/c.pem");
    cr_assert_str_eq(config->tls_key, "/etc/k.pem");
    cr_assert_eq(config->tls_mode, CONFIG_TLS_REQUIRE);
    config_free(config);
}

Test(config, every_written_value_is_used)
{
    struct config *config =
        read_good(WITH("\"listen\": {\"address\": \"*\", \"port\": 0}, \"log_level\": \"debug\", "
                       "\"limits\": {\"connections_max\": 7}, "
                       "\"timeouts\": {\"login_ms\": 1234}, \"answer_quantum_ms\": 50, "
                       "\"ledger_server\": \"host=l\", \"twin_server\": \"host=t\", "));
    cr_assert_str_eq(config->listen_address, "*");
    cr_assert_eq(config->listen_port, 0);
    cr_assert_eq(config->connections_max, 7);
    cr_assert_eq(config->login_timeout_ms, 1234);
    cr_assert_eq(config->answer_quantum_ms, 50);
    cr_assert_str_eq(config->ledger_server, "host=l");
    cr_assert_str_eq(config->twin_server, "host=t");
    cr_assert_str_eq(config->log_level, "debug");
    config_free(config);
}

Test(config, epsilon_and_delta_are_read_exactly)
{
    static const struct {
        const char *text;
        uint64_t epsilon;
    } cases[] = {{"0.3", 300000000},         {"\"0.3\"", 300000000},
                 {"1", 1000000000},          {"\"0.000001\"", 1000},
                 {"0.123456789", 123456789}, {"\"0.10000000000\"", 100000000},
                 {"2e-3", 2000000},          {"20", 20000000000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 DATASET("\"epsilon_max\": 20, \"epsilon_default\": %s, "
                         "\"delta_default\": \"1e-18\""),
                 cases[i].text);
        struct config *config = read_good(text);
        cr_assert_eq(config->datasets[0].epsilon_default, cases[i].epsilon, "%s", cases[i].text);
        cr_assert_eq(config->datasets[0].delta_default, 1);
        config_free(config);
    }
}

Test(config, refuses_epsilon_and_delta_out_of_range_or_inexact)
{
    static const char *const bad[] = {"0",       "-1",         "21",   "\"1e20\"",
                                      "\"NaN\"", "\"inf\"",    "\"\"", "0.0000000015",
                                      "[1]",     "\"1e-320\"", "null", "true"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, DATASET("\"epsilon_default\": %s"), bad[i]);
        assert_refused(text, "datasets.census.epsilon_default", "0.000001 to 20");
        snprintf(text, sizeof text, DATASET("\"delta_default\": %s"),
                 strcmp(bad[i], "0.0000000015") == 0 ? "\"1e-19\"" : bad[i]);
        assert_refused(text, "datasets.census.delta_default", "0.000000000000000001 to 0.001");
    }
    assert_refused(DATASET("\"epsilon_default\": 2"), "datasets.census.epsilon_default",
                   "above epsilon_max");
}

Test(config, unknown_keys_name_themselves_and_their_neighbours)
{
    assert_refused(WITH("\"listen_port\": 3, "), "listen_port", "accepted: listen, tls, ");
    assert_refused(WITH("\"listen\": {\"prot\": 3}, "), "listen.prot", "accepted: address, port");
    assert_refused(WITH("\"listen.port\": 3, "), "['listen.port']", "unknown key");
    assert_refused(WITH("\"limits\": {\"connections\": 3}, "), "limits.connections",
                   "connections_max");
    assert_refused(DATASET("\"epsilon\": 1"), "datasets.census.epsilon", "epsilon_default");
}

Test(config, wrong_types_and_ranges_say_what_is_accepted)
{
    assert_refused(WITH("\"listen\": {\"port\": \"6432\"}, "), "listen.port", "from 0 to 65535");
    assert_refused(WITH("\"listen\": {\"port\": 65536}, "), "listen.port", "is 65536");
    assert_refused(WITH("\"listen\": {\"port\": -1}, "), "listen.port", "is -1");
    assert_refused(WITH("\"listen\": 3, "), "listen", "an object");
    assert_refused(WITH("\"listen\": {\"address\": \"\"}, "), "listen.address", "is empty");
    assert_refused(WITH("\"listen\": {\"address\": null}, "), "listen.address", "is null");
    assert_refused(WITH("\"log_level\": \"loud\", "), "log_level", "\"warning\"");
    assert_refused(WITH("\"limits\": {\"statement_tokens_max\": 20001}, "),
                   "limits.statement_tokens_max", "from 100 to 20000");
    assert_refused(WITH("\"timeouts\": {\"login_ms\": 1.5}, "), "timeouts.login_ms", "is 1.5");
}

Test(config, what_is_required_cannot_be_left_out)
{
    assert_refused("{}", "state_directory", "missing");
    assert_refused("{\"state_directory\": \"/s\"}", "datasets", "missing");
    assert_refused("{\"state_directory\": \"/s\", \"datasets\": {}}", "datasets", "empty");
    assert_refused("{\"state_directory\": \"/s\", \"datasets\": {\"a\": {\"policy\": \"p\"}}}",
                   "datasets.a.server", "missing");
    assert_refused("{\"state_directory\": \"/s\", \"datasets\": {\"a\": {\"server\": \"p\"}}}",
                   "datasets.a.policy", "missing");
}

Test(config, tls_needs_both_files_and_a_mode)
{
    assert_refused(WITH("\"tls\": {\"mode\": \"require\"}, "), "tls.certificate", "missing");
    assert_refused(WITH("\"tls\": {\"mode\": \"allow\", \"certificate\": \"c\"}, "), "tls.key",
                   "missing");
    assert_refused(WITH("\"tls\": {\"certificate\": \"c\", \"key\": \"k\"}, "), "tls.mode",
                   "accepted: \"allow\", \"require\"");
}

Test(config, names_of_the_twin_servers_own_databases_are_taken)
{
    static const char *const names[] = {"postgres", "template1", "pgveil_x", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[256];
        struct config_error error;
        snprintf(text, sizeof text,
                 "{\"state_directory\": \"/s\", \"datasets\": {\"%s\": {\"server\": \"s\", "
                 "\"policy\": \"p\"}}}",
                 names[i]);
        cr_assert_null(read_text(text, &error), "accepted %s", names[i]);
        cr_assert_not_null(strstr(error.text, "no name for a dataset"), "%s", error.text);
    }
}

Test(config, a_file_that_is_not_json_is_refused_with_its_line)
{
    assert_refused("{\n \"listen\": {,}\n}", "", "line 2");
    assert_refused("{\"state_directory\": \"a\", \"state_directory\": \"b\"}", "", "duplicate");
    struct config_error error;
    cr_assert_null(config_read("/nonexistent/pgveil.json", &error));
    cr_assert_str_eq(error.file, "/nonexistent/pgveil.json");
    cr_assert_str_eq(error.text, "No such file or directory");
}

static char *read_whole(const char *path)
{
    FILE *stream = fopen(path, "r");
    cr_assert_not_null(stream, "%s: run from the repository's root", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_gt(fread(text, 1, (1 << 20) - 1, stream), 0);
    fclose(stream);
    return text;
}

/* Every row of a table must stand in the document, and no other row of a key. */
static size_t check_rows(const char *document, const struct option *options)
{
    size_t count = 0;
    for (; options->key; options++, count++) {
        char row[1024];
        option_describe(options, row, sizeof row);
        cr_assert_not_null(strstr(document, row), "docs/configuration.md lacks the row\n%s", row);
    }
    return count;
}

Test(config, the_documentation_holds_every_option_as_it_is)
{
    char *document = read_whole("docs/configuration.md");
    size_t expected = check_rows(document, options_server) + check_rows(document, options_dataset);
    size_t rows = 0;
    for (const char *at = document; (at = strstr(at, "\n| `")); at++)
        rows++;
    cr_assert_eq(rows, expected, "docs/configuration.md describes %zu options, there are %zu", rows,
                 expected);
    free(document);
}
