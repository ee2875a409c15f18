#ifndef PROXY_CONSOLE_H
#define PROXY_CONSOLE_H

/*
 * The administration console: a connection of the DBA's whose simple queries are commands of
 * pgveil's own (SHOW STATUS, SYNC census, ...; SHOW HELP lists them), answered with rows as any
 * PostgreSQL client reads them. One command at a time.
 */
#include "proxy/login.h"
#include "proxy/server.h"

/* Reserved: no dataset can have this name. */
#define CONSOLE_DATABASE "pgveil"

struct console;
struct listener;

/* Takes stream and startup, links itself into list; listener is told when it has gone. */
void console_start(struct server *server, struct listener *listener, struct console **list,
                   struct stream *stream, struct startup *startup);
/* Tells every client that pgveil stops. */
void console_end_all(struct console **list);
/* Frees what is left. */
void console_free_all(struct console **list);

#endif
