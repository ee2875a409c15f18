#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

/* The server's own file: read once, checked whole, immutable. Every key with its type, default,
 * range and meaning stands in the table of config/options.c; docs/configuration.md is checked
 * against it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/error.h"
#include "mechanisms/calibrate.h"

/* Whether charges must survive a crash of the ledger server; UNSAFE is for tests. */
enum config_durability { CONFIG_DURABILITY_REQUIRED, CONFIG_DURABILITY_UNSAFE };

enum config_tls { CONFIG_TLS_DISABLE, CONFIG_TLS_ALLOW, CONFIG_TLS_REQUIRE };

struct config_dataset {
    char *name;   /* the database that analysts connect to */
    char *server; /* libpq connection string of the protected server, read-only role */
    char *policy; /* path of the policy file, resolved against the configuration's folder */
    dp_nano epsilon_default, epsilon_max; /* per release */
    dp_atto delta_default;                /* per release with private keys */
    uint64_t measurements_max;            /* concurrent, all analysts */
};

struct config {
    char *file;
    char *listen_address;
    uint16_t listen_port;
    enum config_tls tls_mode;
    char *tls_certificate, *tls_key;
    char *state_directory; /* managed servers, sockets, secrets */
    char *ledger_server;   /* connection string of an external ledger; NULL: managed */
    enum config_durability ledger_durability;
    char *twin_server;             /* external twin server; NULL: managed */
    char *postgres_bin;            /* folder of initdb and postgres; NULL: looked for */
    uint64_t managed_memory_bytes; /* address space of each managed server's processes */
    uint64_t connections_max, connections_per_analyst_max;
    uint64_t measurements_per_analyst_max;
    uint64_t login_timeout_ms, idle_timeout_ms, idle_transaction_timeout_ms;
    uint64_t statement_timeout_ms;   /* the analyst's statement on the twin and in all */
    uint64_t measurement_timeout_ms; /* on the protected server */
    uint64_t message_bytes_max;      /* of one client message */
    uint64_t statement_bytes_max, statement_tokens_max, statement_depth_max;
    uint64_t session_statements_max; /* prepared statements and portals of one session */
    uint64_t domain_groups_max, unit_work_max, answer_rows_max;
    uint64_t answer_quantum_ms; /* 0: off */
    char *log_level;            /* error, warning, info, debug */
    size_t n_datasets;
    struct config_dataset *datasets;
};

/* NULL with *error filled: unknown keys, wrong types and out-of-range values name the file, the key
 * and what would be accepted. */
struct config *config_read(const char *path, struct config_error *error);
void config_free(struct config *config);
const struct config_dataset *config_find_dataset(const struct config *config, const char *name);

#endif
