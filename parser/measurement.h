#ifndef PARSER_MEASUREMENT_H
#define PARSER_MEASUREMENT_H

/* What the SQL of measures and of histograms has in common; for those two files only. */
#include "parser/compile_internal.h"

#define EQUAL "OPERATOR(pg_catalog.=)"
#define LESS_EQUAL "OPERATOR(pg_catalog.<=)"

/* Which form of the SQL is written. */
struct form {
    const struct level *level;
    uint64_t cut, window, per_group;
    bool unique; /* one row a unit, by proof */
    bool root;   /* look for the row that the unit refers to */
    size_t seed; /* parameter of the hash */
    bool *uses_seed;
};

/* Each key's name, after the text `before`. */
void measurement_list_keys(const struct form *form, struct text *out, const char *before);
/* The rows that count, as "u", "k1".., "v1".., cut to the unit's bound of rows. */
void measurement_write_cut(const struct form *form, struct text *out);
/* A total order over those columns by a keyed hash. */
void measurement_write_order(const struct form *form, bool with_unit, bool with_values,
                             struct text *out);

/* histogram.c: keys as text, bin and weight of a level's histogram. */
const char *histogram_write(struct form form, const struct level_histogram *histogram);

#endif
