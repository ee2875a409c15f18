#ifndef TESTS_SUPPORT_PG_SERVER_H
#define TESTS_SUPPORT_PG_SERVER_H

/* A throw-away PostgreSQL server for tests: a fresh cluster in a temporary folder, Unix socket
 * only, run by an unprivileged user where the test runs as root (PostgreSQL refuses root). */
#include <stdbool.h>
#include <sys/types.h>

struct pg_server {
    char directory[64]; /* its own; also holds the socket */
    char conninfo[128]; /* superuser "postgres"; append " dbname=..." */
    pid_t pid;
};

/* Aborts the test program with a message where the server cannot be started. settings: further
 * lines of postgresql.conf ("name = value"), ending with NULL; may be NULL. */
void pg_server_start(struct pg_server *server, const char *const *settings);
/* Ends it (fast) and leaves the data; pg_server_resume starts it again. */
void pg_server_pause(struct pg_server *server);
void pg_server_resume(struct pg_server *server);
/* Ends it and removes its folder. */
void pg_server_stop(struct pg_server *server);

/* Runs statements on a connection of their own; aborts on an error. */
void pg_server_run(const struct pg_server *server, const char *database, const char *sql);

/* For tests that start servers through the product's own code: gives up root for good. */
void drop_root(void);

#endif
