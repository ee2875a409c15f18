#ifndef PARSER_DISTINCT_H
#define PARSER_DISTINCT_H

/*
 * count(DISTINCT x) (ALGORITHMS 2.2): each unit keeps at most so many of its values in a group,
 * those first by a keyed hash of unit and value and then by the value; what is left is counted once
 * in each group. One unit moves the number by at most what it keeps. Values are canonical texts in
 * which equal means identical, as group keys are.
 */
#include "parser/compile_internal.h"

/* The rows of a measurement: columns "u", "k1".., "v1".. */
struct distinct_rows {
    const struct level *level;
    const char *sql;         /* of the rows, cut */
    uint64_t values;         /* of a unit that count in a group; 0: all that there can be */
    uint64_t window;         /* groups of a unit that are kept; 0: all */
    const char *group_order; /* in which a unit's groups are kept */
    size_t seed;             /* parameter of the hash */
};

/* Does the level count different values? */
bool distinct_any(const struct level *level);
/* How many values the expression can have, for its type, its declared domain or its bounds; 0: not
 * known. Nothing relies on it: a unit that has more of them keeps as many. */
uint64_t distinct_possible(const struct expr *expr);
/* The same rows and columns, without the groups beyond the window, and with 1 in the place of each
 * distinct value that is kept, once in a group: from here on it is an integer like any other. Which
 * unit's row has the 1 is left open: only the group's sum is used. */
void distinct_write(const struct distinct_rows *rows, struct text *out);

#endif
