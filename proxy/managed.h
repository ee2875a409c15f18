#ifndef PROXY_MANAGED_H
#define PROXY_MANAGED_H

/*
 * PostgreSQL servers that pgveil runs itself, in its state directory: initdb, start, watch, restart
 * after a crash, stop. Unix sockets only, in a folder of mode 0700, memory limited by RLIMIT_AS.
 *
 *   <state directory>/lock                       held while a pgveil runs on it
 *   <state directory>/ledger/{data,socket,log}   database "ledger"
 *   <state directory>/twins/{data,socket,log}    one database per dataset; new at each start
 *
 * Administrator of both: pgveil_admin, for the operating system's user that runs pgveil. The
 * servers end when pgveil ends, however it ends.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct managed;

enum managed_kind { MANAGED_LEDGER, MANAGED_TWINS };

/* Creates the state directory (mode 0700) where it is missing and locks it. Returns a descriptor to
 * be kept open as long as the servers run, -1 with text in error: another pgveil uses it, or it
 * cannot be used at all. Closing the descriptor unlocks. */
int managed_lock(const char *state_directory, char error[512]);

/* Initialises the cluster below the state directory if need be, ends a postmaster left by a killed
 * run, starts it and waits until it answers (synchronous; at start-up only). The state directory
 * must be locked. NULL with text in error where it cannot. postgres_bin may be NULL: looked for. */
struct managed *managed_start(struct event_base *base, enum managed_kind kind,
                              const char *directory, const char *postgres_bin,
                              uint64_t memory_bytes, uint64_t connections, char error[512]);
/* Folder of its socket, the socket itself, and a libpq conninfo (database to be appended, as in
 * " dbname=ledger") as the administrator. */
const char *managed_socket_directory(const struct managed *managed);
const char *managed_socket_path(const struct managed *managed);
const char *managed_conninfo(const struct managed *managed);
/* Process id of the postmaster; 0 while it is being restarted. */
int managed_pid(const struct managed *managed);
/* Fast shutdown, waits. Accepts NULL. */
void managed_stop(struct managed *managed);

#endif
