#ifndef BUDGET_CTL_SUGGEST_H
#define BUDGET_CTL_SUGGEST_H

/* What the files of `policy suggest` share: a database's catalogue as rows, grouped into tables. */
#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>

#include "budget/ctl.h"

/* One row per column of every ordinary table, in order. Names are quoted as SQL needs them. */
enum catalogue_column {
    CATALOGUE_TABLE,
    CATALOGUE_NAME,
    CATALOGUE_TYPE,
    CATALOGUE_CATEGORY,
    CATALOGUE_KEY,        /* t: alone the primary key */
    CATALOGUE_UNIQUE,     /* t: alone unique */
    CATALOGUE_REFERENCES, /* table whose primary key it references; "" */
    CATALOGUE_CHECKS,     /* its CHECK constraints; "" */
    CATALOGUE_LABELS,     /* of an enum, as a JSON array; "" */
    CATALOGUE_PARENT      /* table that its table inherits from; "" */
};

struct table {
    const char *name; /* borrowed from the result */
    int first, end;   /* its rows there */
    int key;          /* row of its key; -1 */
    int unit;         /* row of the column that leads to the unit; -1: not private */
};

struct catalogue {
    PGresult *rows;
    PGresult *views; /* and their like: name, relkind */
    PGresult *links; /* foreign keys that a policy cannot follow: from, to, columns */
    char **looked;   /* per row: what was seen in the column, NULL: nothing was looked at */
    int n_tables;
    struct table tables[];
};

const char *suggest_cell(const struct catalogue *catalogue, int row, enum catalogue_column column);
bool suggest_is(const struct catalogue *catalogue, int row, enum catalogue_column column);
/* NULL: none of that name. */
const struct table *suggest_find(const struct catalogue *catalogue, const char *name);

/* ctl_suggest_unit.c: the table whose rows are the privacy units, the one named or the likeliest;
 * NULL with the candidates printed. Marks the tables whose rows belong to a unit; why says what
 * speaks for it. */
const struct table *suggest_unit(struct catalogue *catalogue, const char *named, char why[512]);
/* Whether a column's name says that it may name people. */
bool suggest_names_people(const char *column);

/* ctl_suggest_look.c: reads the rows of the private tables, for --look. False with the reason
 * printed. */
bool suggest_look(struct ctl *ctl, PGconn *connection, struct catalogue *catalogue);

/* ctl_suggest_policy.c: the policy; NULL without memory. why: of the unit. */
json_t *suggest_policy(const struct catalogue *catalogue, const struct table *root,
                       const char *why);

#endif
