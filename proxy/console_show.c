/* SHOW: what pgveil knows of itself. Nothing of a statement's text, and no value. */
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "budget/ledger_admin.h"
#include "config/live.h"
#include "config/version.h"
#include "proxy/console_internal.h"
#include "proxy/listener.h"
#include "proxy/session.h"

enum { LEDGER_TIMEOUT_MS = 10000, CELLS_MAX = 16, CELL_BYTES = 32 };

/* Numbers as cells of one row. */
struct cells {
    size_t n;
    const char *cell[CELLS_MAX];
    char number[CELLS_MAX][CELL_BYTES];
};

static void add_text(struct cells *cells, const char *text)
{
    cells->cell[cells->n++] = text;
}

static void add_number(struct cells *cells, uint64_t number)
{
    snprintf(cells->number[cells->n], CELL_BYTES, "%" PRIu64, number);
    add_text(cells, cells->number[cells->n]);
}

static void add_time(struct cells *cells, time_t at)
{
    add_text(cells, console_time(at, cells->number[cells->n]));
}

static void send_row(struct console *console, const struct cells *cells)
{
    console_row(console, cells->n, cells->cell);
}

/* --- status ---------------------------------------------------------------------------------- */

struct counts {
    const char *analyst, *dataset; /* NULL: whoever, whichever */
    size_t sessions, measuring, outdated;
};

static void count(void *context, const struct session_facts *facts)
{
    struct counts *counts = context;
    if ((counts->analyst && strcmp(counts->analyst, facts->analyst) != 0) ||
        (counts->dataset && strcmp(counts->dataset, facts->dataset) != 0))
        return;
    counts->sessions++;
    counts->measuring += strcmp(facts->state, "measuring") == 0;
    counts->outdated += facts->outdated;
}

void console_show_status(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {
        {"version", false},  {"pid", true},      {"started_at", false}, {"uptime_seconds", true},
        {"address", false},  {"port", true},     {"connections", true}, {"sessions", true},
        {"measuring", true}, {"datasets", true}, {"ledger", false},     {"twin_server", false}};
    const struct server *server = console->server;
    struct counts counts = {0};
    struct cells cells = {0};
    bool ledger = false;
    (void)argument;
    session_each(server, count, &counts);
    for (size_t i = 0; i < LEDGER_CONNECTIONS; i++)
        ledger = ledger || pg_client_is_connected(server->ledger[i]);
    console_columns(console, sizeof columns / sizeof *columns, columns);
    add_text(&cells, PGVEIL_VERSION);
    add_number(&cells, (uint64_t)getpid());
    add_time(&cells, server->started_at);
    add_number(&cells, (uint64_t)(time(NULL) - server->started_at));
    add_text(&cells, server->config->listen_address);
    add_number(&cells, listener_port(server->listener));
    add_number(&cells, listener_connections(server->listener));
    add_number(&cells, counts.sessions);
    add_number(&cells, counts.measuring);
    add_number(&cells, server->n_datasets);
    add_text(&cells, ledger ? "connected" : "not connected");
    add_text(&cells, pg_client_is_connected(twin_server_admin(server->twins))
                         ? "connected"
                         : "connects on demand");
    send_row(console, &cells);
    console_done(console, NULL);
}

/* --- datasets -------------------------------------------------------------------------------- */

static const char *dataset_state(const struct dataset *dataset)
{
    if (dataset->sync)
        return dataset->edition ? "synchronising" : "opening";
    if (dataset->edition == NULL)
        return "waits for its server";
    return dataset->paused ? "paused" : "ready";
}

void console_show_datasets(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {
        {"dataset", false},        {"state", false},      {"sessions", true},
        {"measuring", true},       {"on_old_twin", true}, {"tables", true},
        {"policy_version", false}, {"synced_at", false},  {"policy", false},
        {"last_error", false}};
    const struct server *server = console->server;
    (void)argument;
    console_columns(console, sizeof columns / sizeof *columns, columns);
    for (size_t i = 0; i < server->n_datasets; i++) {
        const struct dataset *dataset = &server->datasets[i];
        const struct edition *edition = dataset->edition;
        struct counts counts = {.dataset = dataset->config->name};
        struct cells cells = {0};
        session_each(server, count, &counts);
        add_text(&cells, dataset->config->name);
        add_text(&cells, dataset_state(dataset));
        add_number(&cells, counts.sessions);
        add_number(&cells, counts.measuring);
        add_number(&cells, counts.outdated);
        add_number(&cells, edition ? edition->catalog->n_tables : 0);
        if (edition)
            snprintf(cells.number[cells.n], CELL_BYTES, "%.12s", edition->policy->version);
        add_text(&cells, edition ? cells.number[cells.n] : NULL);
        if (edition)
            add_time(&cells, edition->made_at);
        else
            add_text(&cells, NULL);
        add_text(&cells, dataset->config->policy);
        add_text(&cells, dataset->failure);
        send_row(console, &cells);
    }
    console_done(console, NULL);
}

/* --- sessions -------------------------------------------------------------------------------- */

static void show_session(void *context, const struct session_facts *facts)
{
    struct console *console = context;
    struct cells cells = {0};
    add_number(&cells, facts->pid);
    add_text(&cells, facts->analyst);
    add_text(&cells, facts->dataset);
    add_text(&cells, facts->explains_only ? "explains only" : "analyst");
    add_text(&cells, facts->state);
    add_number(&cells, facts->state_ms / 1000);
    add_text(&cells, facts->outdated ? "old" : "newest");
    add_text(&cells, facts->peer);
    send_row(console, &cells);
}

void console_show_sessions(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {
        {"pid", true},    {"analyst", false}, {"dataset", false}, {"kind", false},
        {"state", false}, {"seconds", true},  {"twin", false},    {"address", false}};
    (void)argument;
    console_columns(console, sizeof columns / sizeof *columns, columns);
    session_each(console->server, show_session, console);
    console_done(console, NULL);
}

/* --- analysts -------------------------------------------------------------------------------- */

static void on_analysts(void *context, const PGresult *result)
{
    static const struct console_column columns[] = {{"analyst", false},  {"enabled", false},
                                                    {"datasets", false}, {"groups", false},
                                                    {"sessions", true},  {"created_at", false}};
    enum { ANALYST, ENABLED, DATASETS, GROUPS, CREATED, FIELDS };
    struct console *console = context;
    if (!console_resume(console))
        return;
    if (result == NULL || PQresultStatus(result) != PGRES_TUPLES_OK ||
        PQnfields(result) != FIELDS) {
        console_fail(console, "57P03", "the ledger cannot be reached now", NULL);
        return;
    }
    console_columns(console, sizeof columns / sizeof *columns, columns);
    for (int row = 0; row < PQntuples(result); row++) {
        struct counts counts = {.analyst = PQgetvalue(result, row, ANALYST)};
        struct cells cells = {0};
        session_each(console->server, count, &counts);
        add_text(&cells, counts.analyst);
        add_text(&cells, PQgetvalue(result, row, ENABLED));
        add_text(&cells, PQgetvalue(result, row, DATASETS));
        add_text(&cells, PQgetvalue(result, row, GROUPS));
        add_number(&cells, counts.sessions);
        add_text(&cells, PQgetvalue(result, row, CREATED));
        send_row(console, &cells);
    }
    console_done(console, NULL);
}

void console_show_analysts(struct console *console, const char *argument)
{
    struct ledger_call call;
    (void)argument;
    ledger_analysts_in_words_call(&call);
    console_wait(console);
    pg_client_send(server_ledger(console->server), call.sql, call.n_params, NULL, call.values,
                   LEDGER_TIMEOUT_MS, on_analysts, console);
}

/* --- configuration, version, help --------------------------------------------------------------
 */

static void show_value(void *context, const struct config_value *value)
{
    char *hidden =
        value->value && value->is_conninfo ? console_public_conninfo(value->value) : NULL;
    const char *cells[] = {value->key, value->is_conninfo ? hidden : value->value,
                           value->reloads ? "yes" : "no"};
    console_row(context, 3, cells);
    free(hidden);
}

void console_show_config(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {
        {"key", false}, {"value", false}, {"reloads", false}};
    (void)argument;
    console_columns(console, sizeof columns / sizeof *columns, columns);
    config_each(console->server->config, show_value, console);
    console_done(console, NULL);
}

void console_show_version(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {{"version", false}};
    const char *cells[] = {"pgveil " PGVEIL_VERSION};
    (void)argument;
    console_columns(console, 1, columns);
    console_row(console, 1, cells);
    console_done(console, NULL);
}

void console_show_help(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {{"command", false}, {"does", false}};
    (void)argument;
    console_columns(console, 2, columns);
    for (const struct console_command *command = console_commands; command->words; command++) {
        const char *cells[] = {command->words, command->help};
        console_row(console, 2, cells);
    }
    console_done(console, NULL);
}
