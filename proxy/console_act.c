/* Commands of the console that change something, or take long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/live.h"
#include "proxy/console_internal.h"
#include "proxy/log.h"
#include "proxy/session.h"

/* NULL with the error sent. */
static struct dataset *find_dataset(struct console *console, const char *name)
{
    struct dataset *dataset = server_dataset(console->server, name);
    char text[128];
    if (dataset == NULL) {
        snprintf(text, sizeof text, "there is no dataset \"%.63s\"", name);
        console_fail(console, "3D000", text, "SHOW DATASETS lists them.");
    }
    return dataset;
}

/* --- SYNC ------------------------------------------------------------------------------------ */

/* What pgveilctl makes a progress bar of: "copying public rows 3/7". */
static void on_progress(void *context, const struct worker_progress *progress)
{
    struct console *console = context;
    char text[128];
    if (console->state != CONSOLE_WAITING)
        return;
    if (progress->total > 0)
        snprintf(text, sizeof text, "%s %llu/%llu", progress->what,
                 (unsigned long long)progress->done, (unsigned long long)progress->total);
    else
        snprintf(text, sizeof text, "%s", progress->what);
    console_notice(console, text);
}

static void on_synced(void *context, const char *error)
{
    struct console *console = context;
    if (!console_resume(console))
        return;
    if (error)
        console_fail(console, "55000", error, "The dataset is served as before.");
    else
        console_done(console, "SYNC");
}

void console_sync(struct console *console, const char *argument)
{
    struct dataset *dataset = find_dataset(console, argument);
    const struct dataset_sync_calls calls = {
        .progress = on_progress, .done = on_synced, .context = console};
    if (dataset == NULL)
        return;
    if (!dataset_sync(dataset, &calls)) {
        console_fail(console, "55006", "a sync of this dataset is under way",
                     "SHOW DATASETS says when it is done.");
        return;
    }
    console->dataset = dataset;
    console_wait(console);
}

/* --- TEST ------------------------------------------------------------------------------------ */

static void on_tested(void *context)
{
    static const struct console_column columns[] = {
        {"check", false}, {"result", false}, {"detail", false}, {"hint", false}};
    static const char *const results[] = {
        [TEST_OK] = "ok", [TEST_FAILED] = "failed", [TEST_SKIPPED] = "skipped"};
    struct console *console = context;
    struct dataset_test *test = console->test;
    size_t count;
    const struct test_finding *findings = dataset_test_findings(test, &count);
    console->test = NULL;
    if (console_resume(console)) {
        console_columns(console, sizeof columns / sizeof *columns, columns);
        for (size_t i = 0; i < count; i++) {
            const char *cells[] = {findings[i].check, results[findings[i].result],
                                   findings[i].detail, findings[i].hint};
            console_row(console, 4, cells);
        }
        console_done(console, NULL);
    }
    dataset_test_free(test);
}

void console_test(struct console *console, const char *argument)
{
    const struct dataset *dataset = find_dataset(console, argument);
    if (dataset == NULL)
        return;
    console->test = dataset_test_start(dataset, on_tested, console);
    if (console->test == NULL)
        console_fail(console, "53000", "there is no thread for this now", NULL);
    else
        console_wait(console);
}

/* --- RELOAD ---------------------------------------------------------------------------------- */

static void show_change(void *context, const struct config_change *change)
{
    bool hide = change->is_conninfo;
    char *before = hide && change->before ? console_public_conninfo(change->before) : NULL;
    char *after = hide && change->after ? console_public_conninfo(change->after) : NULL;
    const char *cells[] = {change->key, hide ? before : change->before,
                           hide ? after : change->after,
                           change->applied ? "in use" : "needs a restart"};
    console_row(context, 4, cells);
    free(before);
    free(after);
}

/* A policy whose file has changed is synchronised; nobody waits for it. */
static void reload_policy(struct console *console, struct dataset *dataset)
{
    const struct dataset_sync_calls calls = {0};
    const char *before = dataset->edition ? dataset->edition->policy->version : NULL;
    struct config_error wrong;
    struct policy *policy = policy_read(dataset->config->policy, &wrong);
    char text[512];
    if (policy == NULL)
        snprintf(text, sizeof text, "not used: %.200s: %.200s", wrong.key, wrong.text);
    else if (before != NULL && strcmp(policy->version, before) == 0)
        text[0] = '\0';
    else
        snprintf(text, sizeof text, "%s",
                 dataset_sync(dataset, &calls) ? "a sync has begun"
                                               : "a sync is under way already");
    const char *cells[] = {dataset->config->policy, before, policy ? policy->version : NULL, text};
    if (text[0])
        console_row(console, 4, cells);
    policy_free(policy);
}

void console_reload(struct console *console, const char *argument)
{
    static const struct console_column columns[] = {
        {"key", false}, {"before", false}, {"after", false}, {"state", false}};
    struct server *server = console->server;
    struct config_error wrong;
    char text[600];
    (void)argument;
    struct config *fresh = config_read(server->config->file, &wrong);
    if (fresh == NULL) {
        snprintf(text, sizeof text, "%.200s: %.100s: %.250s", wrong.file, wrong.key, wrong.text);
        console_fail(console, "F0000", text, "Everything is as it was.");
        return;
    }
    console_columns(console, sizeof columns / sizeof *columns, columns);
    config_reload(server->config, fresh, show_change, console);
    config_free(fresh);
    log_set_level(server->config->log_level);
    for (size_t i = 0; i < server->n_datasets; i++)
        reload_policy(console, &server->datasets[i]);
    console_done(console, "RELOAD");
}

/* --- PAUSE, RESUME, KILL -----------------------------------------------------------------------
 */

static void set_paused(struct console *console, const char *name, bool paused, const char *tag)
{
    struct dataset *dataset = find_dataset(console, name);
    if (dataset == NULL)
        return;
    dataset->paused = paused;
    log_info("dataset %s: %s by the DBA", name, paused ? "paused" : "resumed");
    console_done(console, tag);
}

void console_pause(struct console *console, const char *argument)
{
    set_paused(console, argument, true, "PAUSE");
}

void console_unpause(struct console *console, const char *argument)
{
    set_paused(console, argument, false, "RESUME");
}

void console_kill(struct console *console, const char *argument)
{
    char *end = NULL;
    unsigned long pid = strtoul(argument, &end, 10);
    char text[128];
    if (*end != '\0' || pid == 0 || pid > UINT32_MAX ||
        !session_kill(console->server, (uint32_t)pid)) {
        snprintf(text, sizeof text, "there is no session %.40s", argument);
        console_fail(console, "42704", text, "SHOW SESSIONS lists them.");
        return;
    }
    console_done(console, "KILL");
}
