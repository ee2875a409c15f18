#include "proxy/managed_cluster.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/managed_process.h"

enum {
    INITDB_MOST_MS = 300000,
    GRAMMAR_MAJOR = 15, /* of the parser: a twin of this version reports its syntax errors best */
    LOG_BYTES_MAX = 10 << 20
};

/* Settings of both servers. Nothing that could hold a literal of a statement is logged. Shared
 * memory of the kind that PostgreSQL needs in any case: /dev/shm may be closed to us in a
 * container. */
static const char common_settings[] = "listen_addresses = ''\n"
                                      "port = 5432\n"
                                      "unix_socket_directories = '../socket'\n"
                                      "unix_socket_permissions = 0700\n"
                                      "superuser_reserved_connections = 3\n"
                                      "max_worker_processes = 0\n"
                                      "max_logical_replication_workers = 0\n"
                                      "max_prepared_transactions = 0\n"
                                      "wal_level = minimal\n"
                                      "max_wal_senders = 0\n"
                                      "huge_pages = off\n"
                                      "dynamic_shared_memory_type = sysv\n"
                                      "jit = off\n"
                                      "jit_provider = 'none'\n"
                                      "autovacuum_max_workers = 1\n"
                                      "logging_collector = off\n"
                                      "log_destination = 'stderr'\n"
                                      "log_line_prefix = '%m [%p] '\n"
                                      "log_min_error_statement = panic\n"
                                      "log_parameter_max_length = 0\n"
                                      "log_parameter_max_length_on_error = 0\n"
                                      "log_statement = none\n"
                                      "log_error_verbosity = terse\n"
                                      "log_duration = off\n"
                                      "log_min_duration_statement = -1\n"
                                      "log_min_duration_sample = -1\n"
                                      "log_transaction_sample_rate = 0\n"
                                      "log_checkpoints = off\n"
                                      "log_connections = off\n"
                                      "log_disconnections = off\n"
                                      "log_lock_waits = off\n"
                                      "log_temp_files = -1\n"
                                      "log_autovacuum_min_duration = -1\n"
                                      "log_timezone = 'UTC'\n"
                                      "timezone = 'UTC'\n"
                                      "datestyle = 'ISO, MDY'\n"
                                      "lc_messages = 'C'\n"
                                      "password_encryption = 'scram-sha-256'\n"
                                      "restart_after_crash = on\n";

/* A debit must be on disk when its COMMIT returns. */
static const char ledger_settings[] = "cluster_name = 'pgveil ledger'\n"
                                      "shared_buffers = 32MB\n"
                                      "fsync = on\n"
                                      "full_page_writes = on\n"
                                      "synchronous_commit = on\n"
                                      "max_wal_size = 256MB\n"
                                      "min_wal_size = 64MB\n"
                                      "log_min_messages = log\n";

/* Everything here can be built again, so nothing waits for the disk; after a crash of the machine
 * the twins are rebuilt at the next start anyway. The log takes nothing below FATAL:
 * debug_print_plan and its like are an analyst's to set and would write constants there. */
static const char twins_settings[] = "cluster_name = 'pgveil twins'\n"
                                     "shared_buffers = 32MB\n"
                                     "fsync = off\n"
                                     "full_page_writes = off\n"
                                     "synchronous_commit = off\n"
                                     "max_wal_size = 128MB\n"
                                     "min_wal_size = 32MB\n"
                                     "temp_file_limit = 1GB\n"
                                     "track_activities = off\n"
                                     "update_process_title = off\n"
                                     "log_min_messages = fatal\n";

static const char ledger_hba[] = "local all pgveil_admin peer map=pgveil\n"
                                 "local all all reject\n";

/* The socket's folder lets nobody in but pgveil; trust, because a password could be changed by the
 * role itself and would lock pgveil out. */
static const char twins_hba[] = "local all pgveil_admin peer map=pgveil\n"
                                "local postgres,template0,template1 all reject\n"
                                "local all +pgveil_analyst trust\n"
                                "local all all reject\n";

static bool __attribute__((format(printf, 2, 3))) fail(char error[512], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, 512, format, arguments);
    va_end(arguments);
    return false;
}

const char *managed_kind_name(enum managed_kind kind)
{
    return kind == MANAGED_LEDGER ? "ledger" : "twins";
}

/* Folders and files */

static bool join(char out[PATH_MAX], const char *folder, const char *name, char error[512])
{
    if ((size_t)snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return fail(error, "the path %.200s... is too long", folder);
    return true;
}

bool folder_make(const char *path, char error[512])
{
    char part[PATH_MAX];
    struct stat facts;
    if (path[0] == '\0' || (size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
        return fail(error, "the path \"%.200s\" is empty or too long", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return fail(error, "cannot create the folder %.200s: %s", part, strerror(errno));
        *slash = '/';
    }
    if (mkdir(part, 0700) != 0 && errno != EEXIST)
        return fail(error, "cannot create the folder %.200s: %s", part, strerror(errno));
    if (stat(part, &facts) != 0 || !S_ISDIR(facts.st_mode))
        return fail(error, "%.200s is not a folder", part);
    if (facts.st_uid != geteuid())
        return fail(error, "the folder %.200s belongs to user id %u, and pgveil runs as %u", part,
                    (unsigned)facts.st_uid, (unsigned)geteuid());
    if ((facts.st_mode & 07777) != 0700 && chmod(part, 0700) != 0)
        return fail(error, "cannot make the folder %.200s private: %s", part, strerror(errno));
    return true;
}

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *walk)
{
    (void)facts;
    (void)kind;
    (void)walk;
    return remove(path);
}

static bool folder_remove(const char *path)
{
    return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
}

static bool file_write(const char *folder, const char *name, const char *text, char error[512])
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (!join(path, folder, name, error) || !join(temporary, folder, "pgveil.new", error))
        return false;
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return fail(error, "cannot write %.200s: %s", temporary, strerror(errno));
    bool written = fchmod(fileno(file), 0600) == 0 && fputs(text, file) != EOF;
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path) != 0)
        return fail(error, "cannot write %.200s: %s", path, strerror(errno));
    return true;
}

/* Programs */

static bool is_bin(const char *folder)
{
    char path[PATH_MAX], ignored[512];
    return join(path, folder, "postgres", ignored) && access(path, X_OK) == 0 &&
           join(path, folder, "initdb", ignored) && access(path, X_OK) == 0;
}

/* The highest of the installed versions, or exactly the wanted one. */
static bool find_bin_of(int wanted, char bin[PATH_MAX])
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"};
    int best = 0;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            const char *number = found.gl_pathv[k] + (strchr(patterns[i], '*') - patterns[i]);
            int major = (int)strtol(number, NULL, 10);
            if (major <= best || (wanted != 0 && major != wanted) || !is_bin(found.gl_pathv[k]))
                continue;
            best = major;
            snprintf(bin, PATH_MAX, "%s", found.gl_pathv[k]);
        }
        globfree(&found);
    }
    return best != 0;
}

static bool find_bin_in_path(char bin[PATH_MAX])
{
    const char *path = getenv("PATH");
    char *copy = strdup(path != NULL ? path : ""), *rest = NULL;
    bool found = false;
    for (char *part = strtok_r(copy, ":", &rest); part != NULL && !found;
         part = strtok_r(NULL, ":", &rest)) {
        found = part[0] == '/' && is_bin(part);
        if (found)
            snprintf(bin, PATH_MAX, "%s", part);
    }
    free(copy);
    return found;
}

/* Major version of the data that is there; 0: none. */
static int data_major(const struct cluster *cluster)
{
    char path[PATH_MAX], text[16] = "", ignored[512];
    if (!join(path, cluster->data, "PG_VERSION", ignored))
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    fclose(file);
    return (int)strtol(text, NULL, 10);
}

static bool find_bin(struct cluster *cluster, const char *configured, char error[512])
{
    int major = cluster->kind == MANAGED_LEDGER ? data_major(cluster) : 0;
    if (configured != NULL) {
        int length = snprintf(cluster->bin, sizeof cluster->bin, "%s", configured);
        return ((size_t)length < sizeof cluster->bin && is_bin(configured)) ||
               fail(error, "postgres_bin: %.200s has no programs initdb and postgres", configured);
    }
    if (major != 0 && find_bin_of(major, cluster->bin))
        return true;
    if (find_bin_of(GRAMMAR_MAJOR, cluster->bin) || find_bin_in_path(cluster->bin) ||
        find_bin_of(0, cluster->bin))
        return true;
    return fail(error, "no PostgreSQL server found (initdb and postgres): install it, or name the "
                       "folder of its programs with postgres_bin");
}

void cluster_last_log_line(const struct cluster *cluster, char line[256])
{
    char next[256];
    line[0] = '\0';
    FILE *file = fopen(cluster->log, "re");
    if (file == NULL)
        return;
    bool fatal = false; /* "database system is shut down" explains nothing */
    while (fgets(next, sizeof next, file) != NULL) {
        next[strcspn(next, "\n")] = '\0';
        bool next_fatal = strstr(next, "FATAL:") != NULL;
        if (next[0] != '\0' && (next_fatal || !fatal)) {
            memcpy(line, next, sizeof next);
            fatal = next_fatal;
        }
    }
    fclose(file);
}

/* initdb into a folder beside, renamed when complete: a killed initdb leaves nothing half-made. */
static bool cluster_init(const struct cluster *cluster, char error[512])
{
    char program[PATH_MAX], fresh[PATH_MAX], line[256];
    int status = 0;
    if (!join(program, cluster->bin, "initdb", error) ||
        !join(fresh, cluster->folder, "data.new", error))
        return false;
    if (!folder_remove(fresh))
        return fail(error, "cannot remove %.200s: %s", fresh, strerror(errno));
    const char *const arguments[] = {"initdb",
                                     "--pgdata",
                                     fresh,
                                     "--username=pgveil_admin",
                                     "--encoding=UTF8",
                                     "--locale=C.UTF-8",
                                     "--auth-local=peer",
                                     "--auth-host=reject",
                                     "--no-instructions",
                                     cluster->kind == MANAGED_TWINS ? "--no-sync" : NULL,
                                     NULL};
    log_info("%s server: initdb", managed_kind_name(cluster->kind));
    pid_t pid = process_start(program, arguments, cluster->log, 0);
    if (pid < 0 || !process_wait(pid, INITDB_MOST_MS, &status) || status != 0) {
        cluster_last_log_line(cluster, line);
        return fail(error, "initdb failed for the %s server: %s (see %.200s)",
                    managed_kind_name(cluster->kind), line, cluster->log);
    }
    if (rename(fresh, cluster->data) != 0)
        return fail(error, "cannot rename %.200s: %s", fresh, strerror(errno));
    return true;
}

/* The server's own words go to its log; started over where it has grown. */
static void trim_log(const struct cluster *cluster)
{
    struct stat facts;
    if (stat(cluster->log, &facts) == 0 && facts.st_size > LOG_BYTES_MAX &&
        truncate(cluster->log, 0) != 0)
        log_warning("cannot shorten %s", cluster->log);
}

bool cluster_prepare(struct cluster *cluster, enum managed_kind kind, const char *state_directory,
                     const char *postgres_bin, char error[512])
{
    char state[PATH_MAX];
    memset(cluster, 0, sizeof *cluster);
    cluster->kind = kind;
    if (geteuid() == 0)
        return fail(error,
                    "PostgreSQL refuses to run as root, and so do the managed servers: start "
                    "pgveil as an unprivileged user");
    if (!folder_make(state_directory, error))
        return false;
    if (realpath(state_directory, state) == NULL)
        return fail(error, "%.200s: %s", state_directory, strerror(errno));
    if (!join(cluster->folder, state, managed_kind_name(kind), error) ||
        !join(cluster->data, cluster->folder, "data", error) ||
        !join(cluster->socket, cluster->folder, "socket", error) ||
        !join(cluster->log, cluster->folder, "log", error) ||
        !join(cluster->socket_path, cluster->socket, ".s.PGSQL.5432", error))
        return false;
    size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    if (strlen(cluster->socket_path) > most)
        return fail(error,
                    "state_directory is too long: the socket %.200s has a path of %zu bytes, and "
                    "the system allows %zu",
                    cluster->socket_path, strlen(cluster->socket_path), most);
    if (!folder_make(cluster->folder, error) || !folder_make(cluster->socket, error) ||
        !find_bin(cluster, postgres_bin, error))
        return false;
    trim_log(cluster);
    return true;
}

bool cluster_fill(const struct cluster *cluster, char error[512])
{
    if (cluster->kind == MANAGED_TWINS && !folder_remove(cluster->data))
        return fail(error, "cannot remove %.200s: %s", cluster->data, strerror(errno));
    return data_major(cluster) != 0 || cluster_init(cluster, error);
}

/* Settings */

/* "name" with doubled quotes, for pg_ident.conf. */
static bool ident_text(char *out, size_t size, char error[512])
{
    char buffer[4096], quoted[256];
    struct passwd entry, *user = NULL;
    size_t n = 0;
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &user) != 0 || user == NULL)
        return fail(error, "user id %u has no name on this system, and PostgreSQL wants one",
                    (unsigned)geteuid());
    for (const char *at = user->pw_name; *at != '\0'; at++) {
        if (n + 3 > sizeof quoted || *at == '\n')
            return fail(error, "the user's name is of no use in pg_ident.conf");
        if (*at == '"')
            quoted[n++] = '"';
        quoted[n++] = *at;
    }
    quoted[n] = '\0';
    /* A leading slash would make it a regular expression. */
    if (quoted[0] == '/')
        return fail(error, "the user's name is of no use in pg_ident.conf");
    /* root could become this user anyway; so the DBA's tool works with sudo as well. */
    snprintf(out, size, "pgveil \"%s\" pgveil_admin\npgveil root pgveil_admin\n", quoted);
    return true;
}

/* What a killed postmaster leaves: process ids that may belong to somebody else by now, which
 * PostgreSQL would take for a running server. */
void cluster_remove_locks(const struct cluster *cluster)
{
    char path[PATH_MAX + 16];
    unlink(cluster->socket_path);
    snprintf(path, sizeof path, "%s.lock", cluster->socket_path);
    unlink(path);
    snprintf(path, sizeof path, "%s/postmaster.pid", cluster->data);
    unlink(path);
}

bool cluster_configure(const struct cluster *cluster, uint64_t connections, char error[512])
{
    char settings[8192], ident[512];
    bool ledger = cluster->kind == MANAGED_LEDGER;
    int length = snprintf(settings, sizeof settings,
                          "# Written by pgveil at each start.\nmax_connections = %llu\n%s%s",
                          (unsigned long long)connections, common_settings,
                          ledger ? ledger_settings : twins_settings);
    assert(length > 0 && (size_t)length < sizeof settings);
    if (!ident_text(ident, sizeof ident, error))
        return false;
    cluster_remove_locks(cluster);
    return file_write(cluster->data, "postgresql.conf", settings, error) &&
           file_write(cluster->data, "postgresql.auto.conf", "", error) &&
           file_write(cluster->data, "pg_hba.conf", ledger ? ledger_hba : twins_hba, error) &&
           file_write(cluster->data, "pg_ident.conf", ident, error);
}
