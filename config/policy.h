#ifndef CONFIG_POLICY_H
#define CONFIG_POLICY_H

/*
 * The policy of one dataset, as the DBA wrote it (DESIGN 6): immutable once read. Names are already
 * unquoted PostgreSQL identifiers. Whether the tables and columns exist is decided later, against
 * the protected database's catalogue (parser/catalog.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/error.h"
#include "mechanisms/decimal.h"

enum policy_bound_kind { POLICY_BOUND_NUMBER, POLICY_BOUND_DATE, POLICY_BOUND_TIMESTAMP };

struct policy_bounds {
    enum policy_bound_kind kind;
    struct dp_decimal low, high; /* numbers; days or microseconds since 2000-01-01 */
};

/* Bounds that are not declared but found by a measurement of their own. What is not said here
 * follows from the column's type (parser/catalog.h). */
struct policy_automatic {
    bool has_unit, has_range;
    struct dp_decimal unit;      /* above zero: the smallest size that matters */
    struct dp_decimal low, high; /* what is found lies within; what holds where nothing is found */
};

struct policy_column {
    char *name;
    struct policy_bounds *bounds;       /* NULL: none declared */
    struct policy_automatic *automatic; /* NULL: not to be found either */
    size_t n_domain;                    /* declared public group keys; 0: none */
    char **domain;                      /* text of each key; a NULL entry is the SQL NULL */
};

struct policy_table {
    char *schema, *name;
    bool is_public;              /* rows are readable by every analyst */
    bool is_view;                /* its definition is expanded; nothing below is declared */
    bool hidden;                 /* may be used by views, not visible to analysts */
    char *unit;                  /* column that names the privacy unit; NULL for public tables */
    char *ref_schema, *ref_name; /* table that the unit column references; NULL: the root */
    uint64_t max_rows;           /* 0: not declared */
    uint64_t max_groups;         /* 0: not declared */
    uint64_t max_rows_per_group; /* 0: not declared */
    size_t n_columns;
    struct policy_column *columns;
};

/* A span of time, in UTC, in which an answer that was paid for may be given again. Declared by the
 * DBA, never a function of the data's changes. */
enum policy_epoch {
    POLICY_EPOCH_DAY, /* the default */
    POLICY_EPOCH_HOUR,
    POLICY_EPOCH_WEEK, /* from Monday */
    POLICY_EPOCH_MONTH,
    POLICY_EPOCH_NONE /* one that does not end */
};

struct policy {
    char *file;
    char version[65];       /* SHA-256 of the file, hexadecimal */
    uint64_t minimum_units; /* fewest units of a published private key; at least 1 */
    bool reuse;             /* answers are kept, and given again for nothing */
    enum policy_epoch epoch;
    size_t n_tables;
    struct policy_table *tables;
};

/* Reads and checks a policy file. NULL with *error filled where anything is wrong. */
struct policy *policy_read(const char *path, struct config_error *error);
void policy_free(struct policy *policy);
/* "day", "hour", "week", "month" or "none", as the policy and the ledger write it. */
const char *policy_epoch_name(enum policy_epoch epoch);
const struct policy_table *policy_find_table(const struct policy *policy, const char *schema,
                                             const char *name);

#endif
