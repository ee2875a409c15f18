#ifndef PARSER_OWNERSHIP_H
#define PARSER_OWNERSHIP_H

/* What other files of the compiler ask about owners; the rest is in compile_internal.h. */
#include "parser/compile_internal.h"

/* Does the table's unit column hold the unit itself? False: it refers to a row of another table
 * that is not the root, and the row belongs to that row's owner. */
bool ownership_is_direct(const struct catalog *catalog, const struct catalog_table *table);

/* Equalities of columns in the conditions of the level. */
void ownership_equalities(const struct level *level, equality_list *out);
/* Is the relation joined to the row that its unit column refers to? */
bool ownership_has_parent(const struct level *level, size_t relation,
                          const equality_list *equalities);

/* The condition " AND ..." that the row's unit is in the table that its unit column refers to
 * (source.missing_root). */
void ownership_write_root(const struct level *level, struct text *out);

/* Conditions " AND ..." by which a row that refers to rows of several owners belongs to nobody. The
 * key that it refers to was unique when the catalogue was read; this holds whatever became of it.
 * outer NULL: for WHERE; else for the ON of that outer join, where such a row is no match: it must
 * not decide about the preserved side's row, which has an owner of its own. */
void ownership_write_single(const struct level *level, const struct join *outer, struct text *out);

/* parents.c: joins the tables that lead from a row to its unit, where the statement does not. */
bool parents_join(struct level *level);

#endif
