#ifndef PARSER_CATALOG_H
#define PARSER_CATALOG_H

/*
 * What the compiler knows of a dataset: the policy joined with the protected database's catalogue.
 * Public facts only, read over pgveil's own connection; immutable while in use. Built by
 * proxy/catalog_read.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/policy.h"
#include "mechanisms/decimal.h"

/* Object identifiers of built-in types: fixed numbers of PostgreSQL's pg_type.dat. */
enum type_oid {
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_UNKNOWN = 705,
    TYPE_BPCHAR = 1042,
    TYPE_VARCHAR = 1043,
    TYPE_DATE = 1082,
    TYPE_TIME = 1083,
    TYPE_TIMESTAMP = 1114,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_INTERVAL = 1186,
    TYPE_NUMERIC = 1700,
    TYPE_UUID = 2950
};

struct catalog_type {
    uint32_t oid;   /* on the protected server; enum types differ from server to server */
    int32_t typmod; /* -1: none */
    bool is_enum;
    char *schema, *name; /* qualified name, the same on both servers */
    char *declared;      /* SQL text with modifiers, "pg_catalog.numeric(10,2)" */
};

/* How the bounds of a column are found where the policy declares none (parser/auto_bounds.h). */
struct catalog_automatic {
    int exponent;                /* sizes are told apart from 2^exponent on, to 2^40 times that */
    int scale;                   /* places to which bounds are rounded, outwards; -1: as they are */
    struct dp_decimal low, high; /* the outer range */
};

struct catalog_column {
    char *name;
    int attnum;
    struct catalog_type type;
    bool not_null;
    bool deterministic;                 /* collation; true for types without one */
    uint32_t collation;                 /* its oid (attcollation); 0: none, or the default one */
    const struct policy_bounds *bounds; /* borrowed from the policy; NULL: none */
    bool is_automatic;                  /* bounds is NULL then */
    struct catalog_automatic automatic;
    size_t n_domain;
    char **domain; /* owned; canonical text in the column's type; NULL entry: SQL NULL */
    /* The catalogue proves that no row has a value outside the domain, NULL apart. */
    bool domain_complete;
};

/* A valid, immediate, non-partial, expression-free unique index. */
struct catalog_unique {
    uint32_t index_oid; /* on the protected server */
    size_t n_columns;
    int *columns; /* indexes into the table's columns */
};

/* A validated foreign key of one column to the key of the referenced table. */
struct catalog_foreign_key {
    uint32_t constraint_oid;
    int column;
    uint32_t ref_table_oid;
};

struct catalog_table {
    uint32_t oid; /* on the protected server */
    char *schema, *name;
    bool is_public, hidden;
    char *view;          /* its definition, all names qualified; NULL: a table. Owned */
    const char *derived; /* SQL that stands for a table of the compiler's own; NULL: a real one */
    bool has_children;   /* inheritance children or partitions: uniqueness proves nothing */
    int unit_column;     /* index into columns; -1: public table */
    int parent;          /* index of the table that the unit column references; -1: the root */
    int parent_key;      /* column of the parent that the unit column refers to; -1: the root */
    uint64_t max_rows, max_groups, max_rows_per_group; /* 0: not declared */
    uint64_t public_rows;                              /* rows of a public table at the last sync */
    size_t n_columns;
    struct catalog_column *columns;
    size_t n_unique;
    struct catalog_unique *unique;
    size_t n_foreign_keys;
    struct catalog_foreign_key *foreign_keys;
    uint32_t twin_oid; /* on the twin; 0: not there */
};

struct catalog {
    char *dataset;
    char *database;              /* the protected one, by a name that no other has */
    const struct policy *policy; /* borrowed */
    size_t n_tables;
    struct catalog_table *tables;
    int64_t hash_seed;   /* secret of the dataset: orders the groups of a unit */
    char *twin_database; /* that the twin_oids are of; NULL: not built */
    uint32_t twin_database_oid;
};

/* What the policy asks for and the type says. False: not for this type, or not without more being
 * said; *wrong is then the end of a sentence about the column. */
bool catalog_automatic_find(const struct catalog_type *type, const struct policy_automatic *policy,
                            struct catalog_automatic *out, const char **wrong);

const struct catalog_table *catalog_find(const struct catalog *catalog, const char *schema,
                                         const char *name);

#endif
