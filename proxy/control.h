#ifndef PROXY_CONTROL_H
#define PROXY_CONTROL_H

/*
 * The DBA's way in: a Unix socket below the state directory that speaks PostgreSQL's protocol,
 *
 *   <state directory>/control/.s.PGSQL.5432      folder 0700, socket 0600
 *
 * open to the operating system's user that runs pgveil and to root, without a password. The
 * database "pgveil" is the administration console (proxy/console.h); any other is a dataset, with
 * the user as the analyst, in a session that explains private statements and never measures.
 */
#include "proxy/server.h"

struct control;

/* NULL with text in error. The state directory exists. */
struct control *control_new(struct server *server, char error[512]);
/* Takes no more connections and ends the consoles. Accepts NULL. */
void control_stop(struct control *control);
/* After everything that may still answer a console has gone. Accepts NULL. */
void control_free(struct control *control);

#endif
