#ifndef PROXY_PREPARED_H
#define PROXY_PREPARED_H

/*
 * What pgveil remembers of a session's prepared statements and portals: only those that may be
 * private. Everything else lives on the twin alone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parser/parser.h"
#include "proxy/wire.h"

/* A candidate statement, parsed, with what the twin said of it. Counted references: the table, the
 * expected replies and a statement under way each hold one. */
struct prepared {
    unsigned references;
    char *name;
    char *sql;
    struct parsed *parsed;
    size_t n_params;
    uint32_t *param_types;          /* the twin's, from ParameterDescription */
    bool described;                 /* RowDescription or NoData has come */
    unsigned char *row_description; /* payload of the RowDescription; NULL: no rows */
    size_t row_description_length;
    size_t n_columns;
    bool ascii_columns;       /* all their names are in ASCII */
    unsigned described_after; /* so many Executes of the session */
    bool stale;               /* the client's encoding has changed since the twin was asked last */
    bool renamed;             /* likewise, since the columns' names came */
};

/* Takes parsed. */
struct prepared *prepared_new(const char *name, const char *sql, struct parsed *parsed);
struct prepared *prepared_hold(struct prepared *prepared);
void prepared_release(void *prepared);
/* Reads a ParameterDescription, RowDescription or NoData into it; false where it is malformed. */
bool prepared_describe(struct prepared *prepared, const struct wire_message *message);
/* Another statement takes its place. */
void prepared_forget_description(struct prepared *prepared);
/* Is its description complete, and are its columns' names those of the client's encoding? */
bool prepared_is_described(const struct prepared *prepared);
/* Writes its RowDescription with a Bind's result formats (0, 1 or n_columns codes), or NoData.
 * named: another RowDescription of as many columns, whose names are written; NULL: the own ones. */
void prepared_write_description(const struct prepared *prepared, const struct wire_message *named,
                                size_t n_formats, const uint16_t *formats, struct evbuffer *out);
/* True where another RowDescription has the same number of columns and the same types. */
bool prepared_same_types(const struct prepared *prepared, const struct wire_message *other);

/* A private portal bound on the twin. */
struct portal {
    char *name;
    struct prepared *prepared; /* holds a reference */
    size_t n_formats;
    uint16_t *formats;
    bool explain; /* the answer to EXPLAIN: its command tag is rewritten */
};

struct prepared_table {
    struct prepared **statements;
    size_t n_statements;
    struct portal *portals;
    size_t n_portals;
};

void prepared_table_clear(struct prepared_table *table);
/* Replaces a statement of the same name; takes the reference. */
void prepared_table_put(struct prepared_table *table, struct prepared *prepared);
/* The client's encoding has changed. What pgveil knows of statements by their names, it knows by
 * bytes: unless names are still read as UTF-8, those outside ASCII are forgotten. */
void prepared_table_change_encoding(struct prepared_table *table, bool utf8);
void prepared_table_remove(struct prepared_table *table, const char *name);
struct prepared *prepared_table_find(const struct prepared_table *table, const char *name);
void prepared_table_put_portal(struct prepared_table *table, const char *name,
                               struct prepared *prepared, size_t n_formats, const uint16_t *formats,
                               bool explain);
void prepared_table_remove_portal(struct prepared_table *table, const char *name);
void prepared_table_clear_portals(struct prepared_table *table);
const struct portal *prepared_table_find_portal(const struct prepared_table *table,
                                                const char *name);

#endif
