#ifndef PROXY_MANAGED_H
#define PROXY_MANAGED_H

/*
 * PostgreSQL servers that pgveil runs itself, in its state directory: initdb, start, watch, restart
 * after a crash, stop. Unix sockets only, in a folder of mode 0700, memory limited by RLIMIT_AS.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct managed;

enum managed_kind { MANAGED_LEDGER, MANAGED_TWINS };

/* Initialises the cluster below directory if need be, adopts or ends a postmaster left by a killed
 * run, starts it and waits until it answers (synchronous; at start-up only). NULL with text in
 * error where it cannot. */
struct managed *managed_start(struct event_base *base, enum managed_kind kind,
                              const char *directory, const char *postgres_bin,
                              uint64_t memory_bytes, uint64_t connections, char error[512]);
/* Folder of its socket, and a libpq conninfo (database to be appended) as the administrator. */
const char *managed_socket_directory(const struct managed *managed);
const char *managed_conninfo(const struct managed *managed);
/* Fast shutdown, waits. */
void managed_stop(struct managed *managed);

#endif
