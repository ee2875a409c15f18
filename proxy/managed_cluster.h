#ifndef PROXY_MANAGED_CLUSTER_H
#define PROXY_MANAGED_CLUSTER_H

/* The folder of a managed server: made by initdb, its settings written anew at each start, so that
 * they are those of this version of pgveil. */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/managed.h"

struct cluster {
    enum managed_kind kind;
    char folder[PATH_MAX], data[PATH_MAX], socket[PATH_MAX], log[PATH_MAX];
    char socket_path[PATH_MAX];
    char bin[PATH_MAX]; /* folder of initdb and postgres */
};

const char *managed_kind_name(enum managed_kind kind);

/* mkdir -p of mode 0700; an existing folder must belong to this user and is made 0700. */
bool folder_make(const char *path, char error[512]);

/* Fills in the paths, makes the folders, finds the programs. */
bool cluster_prepare(struct cluster *cluster, enum managed_kind kind, const char *state_directory,
                     const char *postgres_bin, char error[512]);
/* Runs initdb where there is no data yet. The twins always begin with an empty cluster: nothing in
 * it is worth more than the certainty that a crash of the machine has not spoilt it. No process may
 * be using the cluster. */
bool cluster_fill(const struct cluster *cluster, char error[512]);
/* Removes what a killed postmaster left: lock files and socket. No process may be using the
 * cluster. */
void cluster_remove_locks(const struct cluster *cluster);
/* The same, and writes postgresql.conf, pg_hba.conf and pg_ident.conf. */
bool cluster_configure(const struct cluster *cluster, uint64_t connections, char error[512]);
/* The last fatal line of the server's log, else its last line, for messages; "" where none is. */
void cluster_last_log_line(const struct cluster *cluster, char line[256]);

#endif
