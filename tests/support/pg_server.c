#include "tests/support/pg_server.h"

#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 64, START_TRIES = 600 };

static void die(const char *what)
{
    perror(what);
    abort();
}

static const struct passwd *unprivileged(void)
{
    const struct passwd *user = getpwnam("postgres");
    if (user == NULL)
        user = getpwnam("nobody");
    if (user == NULL)
        die("no unprivileged user");
    return user;
}

void drop_root(void)
{
    if (geteuid() != 0)
        return;
    const struct passwd *user = unprivileged();
    if (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        die("cannot give up root");
}

static const char *program(const char *name)
{
    static char path[256];
    glob_t found;
    snprintf(path, sizeof path, "/usr/lib/postgresql/15/bin/%s", name);
    if (access(path, X_OK) == 0)
        return path;
    snprintf(path, sizeof path, "/usr/lib/postgresql/*/bin/%s", name);
    if (glob(path, 0, NULL, &found) == 0 && found.gl_pathc > 0)
        snprintf(path, sizeof path, "%s", found.gl_pathv[found.gl_pathc - 1]);
    else
        snprintf(path, sizeof path, "%s", name);
    globfree(&found);
    return path;
}

static pid_t spawn(const char *name, const char *const *arguments)
{
    const char *path = program(name);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    drop_root();
    prctl(PR_SET_PDEATHSIG, SIGINT); /* after the change of user, which clears it */
    if (chdir("/") != 0 || freopen("/dev/null", "w", stdout) == NULL ||
        (strcmp(name, "postgres") == 0 && freopen("/dev/null", "w", stderr) == NULL))
        _exit(126);
    char *copy[ARGUMENTS_MAX];
    size_t n = 0;
    for (; arguments[n] != NULL && n + 1 < ARGUMENTS_MAX; n++)
        copy[n] =
            strdup(n == 0 ? path : arguments[n]); /* initdb looks for postgres beside itself */
    copy[n] = NULL;
    execvp(path, copy);
    _exit(127);
}

void pg_server_resume(struct pg_server *server)
{
    char data[96];
    snprintf(data, sizeof data, "%s/data", server->directory);
    const char *arguments[ARGUMENTS_MAX] = {"postgres",
                                            "-D",
                                            data,
                                            "-k",
                                            server->directory,
                                            "-c",
                                            "listen_addresses=",
                                            "-c",
                                            "fsync=off",
                                            "-c",
                                            "shared_buffers=8MB",
                                            "-c",
                                            "log_min_messages=fatal",
                                            NULL};
    server->pid = spawn("postgres", arguments);
    for (int i = 0; i < START_TRIES; i++) {
        if (PQping(server->conninfo) == PQPING_OK)
            return;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            break;
        usleep(20000);
    }
    die("the test server does not start");
}

void pg_server_start(struct pg_server *server, const char *const *settings)
{
    char data[96], path[128];
    int status = 0;
    strcpy(server->directory, "/tmp/pgveil-test-XXXXXX");
    if (mkdtemp(server->directory) == NULL)
        die("mkdtemp");
    if (geteuid() == 0 &&
        chown(server->directory, unprivileged()->pw_uid, unprivileged()->pw_gid) != 0)
        die("chown");
    snprintf(data, sizeof data, "%s/data", server->directory);
    snprintf(server->conninfo, sizeof server->conninfo, "host=%s user=postgres", server->directory);
    const char *arguments[] = {"initdb",
                               "-D",
                               data,
                               "-U",
                               "postgres",
                               "-A",
                               "trust",
                               "--no-sync",
                               "--encoding=UTF8",
                               "--locale=C.UTF-8",
                               "--no-instructions",
                               NULL};
    pid_t pid = spawn("initdb", arguments);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("initdb");
    snprintf(path, sizeof path, "%s/postgresql.auto.conf", data);
    FILE *file = fopen(path, "a");
    if (file == NULL)
        die(path);
    for (; settings != NULL && *settings != NULL; settings++)
        fprintf(file, "%s\n", *settings);
    fclose(file);
    pg_server_resume(server);
}

void pg_server_pause(struct pg_server *server)
{
    kill(server->pid, SIGINT);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void pg_server_stop(struct pg_server *server)
{
    char command[128];
    if (server->pid > 0)
        pg_server_pause(server);
    snprintf(command, sizeof command, "rm -rf '%s'", server->directory);
    if (system(command) != 0)
        die("rm");
}

void pg_server_run(const struct pg_server *server, const char *database, const char *sql)
{
    char conninfo[256];
    snprintf(conninfo, sizeof conninfo, "%s dbname='%s'", server->conninfo, database);
    PGconn *conn = PQconnectdb(conninfo);
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "%s\n%s", sql, PQerrorMessage(conn));
        abort();
    }
    PQclear(result);
    PQfinish(conn);
}
