/* The connection to the ledger server, and synchronous calls on it. */
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "config/config.h"

static const char default_config[] = "/etc/pgveil/pgveil.json";

const char *ctl_config_path(const struct ctl *ctl)
{
    return ctl->option[CTL_OPTION_CONFIG] ? ctl->option[CTL_OPTION_CONFIG] : default_config;
}

struct config *ctl_read_config(const struct ctl *ctl)
{
    struct config_error error;
    struct config *config = config_read(ctl_config_path(ctl), &error);
    if (!config) {
        ctl_error("%s: %s%s%s%s", error.file, error.key, error.key[0] ? ": " : "", error.text,
                  ctl->option[CTL_OPTION_CONFIG] ? "" : "; --config names another file");
    }
    return config;
}

static PGconn *open_managed(const char *state_directory)
{
    /* Agreed with proxy/managed.c: the ledger's socket folder, administrator and database. */
    static const char socket_below_state[] = "/ledger/socket";
    size_t size = strlen(state_directory) + sizeof(socket_below_state);
    char *host = malloc(size);
    if (!host) {
        return NULL;
    }
    snprintf(host, size, "%s%s", state_directory, socket_below_state);
    const char *keys[] = {
        "host", "user", "dbname", "port", "client_encoding", "connect_timeout", "application_name",
        NULL};
    const char *values[] = {host,   "pgveil_admin", "ledger",    "5432",
                            "UTF8", "10",           "pgveilctl", NULL};
    PGconn *ledger = PQconnectdbParams(keys, values, 0);
    free(host);
    return ledger;
}

static PGconn *open_external(const char *conninfo)
{
    /* Later values win over those in the connection string, except the time-out. */
    const char *keys[] = {"connect_timeout", "dbname", "client_encoding", "application_name", NULL};
    const char *values[] = {"10", conninfo, "UTF8", "pgveilctl", NULL};
    return PQconnectdbParams(keys, values, 1);
}

bool ctl_conninfo_argument(const char *argument)
{
    static const char *const secrets[] = {"password", "sslpassword"};
    char *why = NULL;
    bool is_conninfo = strchr(argument, '=') || strstr(argument, "://");
    PQconninfoOption *options = is_conninfo ? PQconninfoParse(argument, &why) : NULL;
    bool open = true;
    if (is_conninfo && !options) {
        ctl_error("this is not a connection string: %s", why ? why : "out of memory");
        PQfreemem(why);
        return false;
    }
    for (const PQconninfoOption *option = options; option && option->keyword; option++) {
        for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
            open = open && !(option->val && strcmp(option->keyword, secrets[i]) == 0);
        }
    }
    PQconninfoFree(options);
    if (!open) {
        ctl_error("every user of the machine can see a password in an argument: keep it in the "
                  "configuration file or in libpq's password file");
    }
    return open;
}

static PGconn *open_ledger(struct ctl *ctl, enum ctl_exit *exit_code)
{
    *exit_code = CTL_USAGE;
    if (ctl->option[CTL_OPTION_SERVER] && !ctl_conninfo_argument(ctl->option[CTL_OPTION_SERVER])) {
        return NULL;
    }
    *exit_code = CTL_UNREACHABLE;
    if (ctl->option[CTL_OPTION_SERVER]) {
        return open_external(ctl->option[CTL_OPTION_SERVER]);
    }
    struct config *config = ctl_read_config(ctl);
    if (!config) {
        *exit_code = CTL_REFUSED;
        return NULL;
    }
    ctl->managed = !config->ledger_server;
    PGconn *ledger = config->ledger_server ? open_external(config->ledger_server)
                                           : open_managed(config->state_directory);
    config_free(config);
    return ledger;
}

static void ignore_notice(void *unused, const char *message)
{
    (void)unused;
    (void)message;
}

static enum ctl_exit check_version(struct ctl *ctl)
{
    struct ledger_call call;
    char known[16];
    enum ctl_exit exit_code = CTL_REFUSED;
    ledger_version_call(&call);
    PGresult *result = PQexecParams(ctl->ledger, call.sql, 0, NULL, NULL, NULL, NULL, 0);
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    snprintf(known, sizeof(known), "%d", LEDGER_SCHEMA_VERSION);
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        const char *found = PQgetvalue(result, 0, 0);
        if (strcmp(found, known) == 0) {
            exit_code = CTL_OK;
        } else if (strtol(found, NULL, 10) < LEDGER_SCHEMA_VERSION) {
            ctl_error("the ledger's schema is of version %s, this program needs %s: run `pgveilctl "
                      "init`",
                      found, known);
        } else {
            ctl_error("the ledger's schema is of version %s, this program knows %s: use the "
                      "pgveilctl that belongs to it",
                      found, known);
        }
    } else if (state && (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0)) {
        ctl_error("the server has no ledger yet: run `pgveilctl init`");
    } else {
        ctl_error("%s", PQerrorMessage(ctl->ledger));
    }
    PQclear(result);
    return exit_code;
}

enum ctl_exit ctl_connect(struct ctl *ctl, bool check_schema)
{
    enum ctl_exit exit_code;
    ctl->ledger = open_ledger(ctl, &exit_code);
    if (!ctl->ledger) {
        if (exit_code == CTL_UNREACHABLE) {
            ctl_error("out of memory");
        }
        return exit_code;
    }
    if (PQstatus(ctl->ledger) != CONNECTION_OK) {
        ctl_error("the ledger server cannot be reached: %s", PQerrorMessage(ctl->ledger));
        if (ctl->managed) {
            fputs(
                "Hint: the managed ledger runs as long as pgveil does (or `pgveil --ledger`), and "
                "is open to root and to the user that runs pgveil.\n",
                stderr);
        }
        return CTL_UNREACHABLE;
    }
    PQsetNoticeProcessor(ctl->ledger, ignore_notice, NULL);
    return check_schema ? check_version(ctl) : CTL_OK;
}

PGresult *ctl_call(struct ctl *ctl, const struct ledger_call *call)
{
    int sent = PQsendQueryParams(ctl->ledger, call->sql, call->n_params, NULL, call->values, NULL,
                                 NULL, 0);
    PGresult *result = sent ? ctl_await(ctl->ledger, ctl->command->name) : NULL;
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK) {
        return result;
    }
    ctl_error("%s: %s",
              PQstatus(ctl->ledger) == CONNECTION_BAD ? "the connection to the ledger is lost"
                                                      : "the ledger refused",
              PQerrorMessage(ctl->ledger));
    PQclear(result);
    return NULL;
}

enum ctl_exit ctl_show(struct ctl *ctl, const struct ledger_call *call, bool one)
{
    PGresult *result = ctl_call(ctl, call);
    bool ok = result && ctl_print_result(ctl, result, one);
    PQclear(result);
    return ok ? CTL_OK : CTL_REFUSED;
}

bool ctl_begin_change(struct ctl *ctl)
{
    if (!ctl->option[CTL_OPTION_DRY_RUN]) {
        return true;
    }
    PGresult *result = PQexec(ctl->ledger, "BEGIN");
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!ok) {
        ctl_error("%s", PQerrorMessage(ctl->ledger));
    }
    PQclear(result);
    return ok;
}

void ctl_finish_change(struct ctl *ctl)
{
    if (ctl->option[CTL_OPTION_DRY_RUN]) {
        PQclear(PQexec(ctl->ledger, "ROLLBACK"));
        fputs("dry run: nothing was changed\n", stderr);
    }
}

enum ctl_exit ctl_change(struct ctl *ctl, const struct ledger_call *call, const char *what,
                         const char *done)
{
    PGresult *result = ctl_call(ctl, call);
    if (!result) {
        return CTL_REFUSED;
    }
    const char *word = ledger_admin_word(result);
    enum ctl_exit exit_code = CTL_REFUSED;
    if (strcmp(word, "ok") == 0) {
        if (done) {
            fprintf(stderr, "%s: %s\n", what, done);
        }
        exit_code = CTL_OK;
    } else if (strcmp(word, "exists") == 0) {
        ctl_error("there is %s already", what);
    } else if (strcmp(word, "unknown") == 0) {
        ctl_error("there is no %s", what);
    } else {
        ctl_error("the ledger gave no usable answer");
    }
    PQclear(result);
    return exit_code;
}

void ctl_tell_no_dataset(const struct config *config, const char *dataset)
{
    struct ctl_nearest nearest;
    char hint[CTL_HINT_SIZE];
    ctl_nearest_begin(&nearest, dataset);
    for (size_t i = 0; i < config->n_datasets; i++) {
        ctl_nearest_try(&nearest, config->datasets[i].name);
    }
    ctl_error("%s has no dataset %s%s", config->file, dataset, ctl_nearest_hint(&nearest, hint));
}

bool ctl_dataset_configured(const struct ctl *ctl, const char *dataset)
{
    if (ctl->option[CTL_OPTION_SERVER] && !ctl->option[CTL_OPTION_CONFIG]) {
        return true;
    }
    struct config *config = ctl_read_config(ctl);
    if (!config) {
        return false;
    }
    bool found = config_find_dataset(config, dataset) != NULL;
    if (!found) {
        ctl_tell_no_dataset(config, dataset);
    }
    config_free(config);
    return found;
}
