#ifndef PARSER_VIEWS_H
#define PARSER_VIEWS_H

/*
 * Views of the policy (DESIGN 10): where FROM names one, its definition stands instead, as a
 * subquery. What a definition reads is looked up in the catalogue and not in the session, and may
 * be hidden from analysts.
 */
#include <stdbool.h>

#include "parser/catalog.h"

/* Does the view read tables and views of the policy only, and never itself? False with the reason
 * in why. */
bool views_fit(const struct catalog *catalog, const struct catalog_table *view, char why[200]);

#endif
