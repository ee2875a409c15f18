#ifndef PARSER_PER_UNIT_H
#define PARSER_PER_UNIT_H

/* What per_unit.c and per_unit_aggregate.c share: a subquery that groups by the unit, on its way to
 * a table of the compiler's own. */
#include "parser/compile_internal.h"

/* One subquery being built. */
struct unit_group {
    struct level *level; /* the subquery's own */
    const char *alias;   /* of the table in the level round it */
    struct text select;  /* of its SQL */
    struct catalog_table *table;
    VECTOR(struct catalog_column) columns;
    VECTOR(const PgQuery__Node *) aggregates; /* those of the columns after the keys */
};

/* Always false. */
bool unit_group_refuse(struct unit_group *group, int location, const char *what, const char *hint);
/* A column of the table, and its SQL. */
void unit_group_add(struct unit_group *group, struct catalog_column column, const char *sql);
/* The range of the column's values, where it is known and the type has one. */
void unit_group_bound(struct catalog_column *column, struct arena *arena, bool known,
                      const struct dp_decimal *low, const struct dp_decimal *high);
const char *unit_group_written(const struct unit_group *group, const struct expr *expr);

/* per_unit_aggregate.c: number of the aggregate's column; -1: refused, or waits for constants. */
int unit_group_aggregate(struct unit_group *group, PgQuery__Node *node);

#endif
