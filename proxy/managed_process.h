#ifndef PROXY_MANAGED_PROCESS_H
#define PROXY_MANAGED_PROCESS_H

/* Processes of the managed servers: starting them cut off from pgveil's terminal, descriptors and
 * signals, and ending those that a killed run left behind. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts a program with standard output and error appended to the file log. memory_bytes: limit of
 * the address space, 0 for none. The process gets SIGINT when the calling thread ends, so call it
 * from the one that lives as long as pgveil. -1 on failure. */
pid_t process_start(const char *path, const char *const *arguments, const char *log,
                    uint64_t memory_bytes);

/* Waits at most so long for a child; false while it still runs. */
bool process_wait(pid_t pid, unsigned timeout_ms, int *status);

/* Sends a signal (0: none) to every PostgreSQL process that works in the folder; how many there
 * are. */
size_t process_signal_folder(const char *folder, int signal_number);

/* Ends every PostgreSQL process that works in the folder (its working directory is its cluster's),
 * and waits until none is left. False where some will not go. */
bool process_clear_folder(const char *folder);

#endif
