#ifndef PROXY_CONSOLE_INTERNAL_H
#define PROXY_CONSOLE_INTERNAL_H

/*
 * The console as its own files see it: console.c (life, protocol, dispatch), console_reply.c (rows
 * as messages), console_show.c (SHOW), console_act.c (what changes something or takes long).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/console.h"
#include "proxy/dataset_test.h"
#include "proxy/stream.h"
#include "proxy/wire.h"

enum console_state {
    CONSOLE_READY,   /* reads commands */
    CONSOLE_WAITING, /* for a worker or the ledger; the client is not read */
    CONSOLE_IGNORE,  /* after an error in the extended protocol: all is ignored up to Sync */
    CONSOLE_CLOSING  /* the stream is gone; freed once nothing is waited for */
};

struct console {
    struct console *next, **list;
    struct server *server;
    struct listener *listener;
    struct stream *stream; /* NULL once closing */
    struct startup *startup;
    enum console_state state;
    bool ended;              /* the client went while it was waiting */
    bool awaited;            /* a callback of somebody else's will come */
    struct dataset *dataset; /* whose sync is waited for */
    struct dataset_test *test;
    size_t n_rows;
    struct event *closing;
};

/* A column of an answer; is_number: an integer, for clients that care. */
struct console_column {
    const char *name;
    bool is_number;
};

/* console_reply.c: an answer is one table, or a command's tag, or an error; each ends the command.
 */
void console_columns(struct console *console, size_t n, const struct console_column *columns);
/* NULL cells are NULL. */
void console_row(struct console *console, size_t n, const char *const *cells);
void console_done(struct console *console, const char *tag); /* tag NULL: SHOW and the rows */
void console_fail(struct console *console, const char *sqlstate, const char *message,
                  const char *hint);
void console_notice(struct console *console, const char *message);
/* 2026-11-22T05:46:40Z */
const char *console_time(time_t at, char text[32]);
/* A connection string without what may be secret in it. Allocated; NULL without memory. */
char *console_public_conninfo(const char *conninfo);

/* console.c: the commands between these two come from callbacks. */
void console_wait(struct console *console);
/* False: the client has gone meanwhile, and the console with it. */
bool console_resume(struct console *console);

/* A command: its words, where NAME or PID stands for what the client gives. */
struct console_command {
    const char *words;
    const char *help;
    void (*run)(struct console *console, const char *argument);
};
extern const struct console_command console_commands[]; /* ends with NULL words */

/* console_show.c */
void console_show_status(struct console *console, const char *argument);
void console_show_datasets(struct console *console, const char *argument);
void console_show_sessions(struct console *console, const char *argument);
void console_show_analysts(struct console *console, const char *argument);
void console_show_config(struct console *console, const char *argument);
void console_show_version(struct console *console, const char *argument);
void console_show_help(struct console *console, const char *argument);
/* console_act.c */
void console_sync(struct console *console, const char *argument);
void console_test(struct console *console, const char *argument);
void console_reload(struct console *console, const char *argument);
void console_pause(struct console *console, const char *argument);
void console_unpause(struct console *console, const char *argument);
void console_kill(struct console *console, const char *argument);

#endif
