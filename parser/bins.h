#ifndef PARSER_BINS_H
#define PARSER_BINS_H

/*
 * The bins of a histogram: the range of an argument cut into parts of one width, 4,096 at most,
 * one per value where there are fewer values. Integers, dates (days since 2000-01-01) and
 * time stamps (microseconds) lie on the grid of ones, numeric on that of its scale, floating point
 * on a power of two. Public facts decide.
 */
#include <stdbool.h>
#include <stdint.h>

#include "mechanisms/calibrate.h"
#include "parser/arena.h"

enum { BINS_MAX = 4096 };

/* Bin number i holds the values from (first + i * width) grid units up to the next bin's. */
struct bins {
    uint32_t type; /* of the argument */
    uint32_t n;
    struct dp_grid grid;
    __int128 first, last, width; /* last: the largest value; grid units */
    bool floating;
    double low, high; /* floating point: the ends of the range */
};

/* For values from low to high of a type; scale: digits after the point, negative where there is no
 * such number. False where the type has no bins or the range is too large. */
bool bins_choose(uint32_t type, const struct dp_decimal *low, const struct dp_decimal *high,
                 int scale, struct bins *out);

/* Writes the number of x's bin as an int8. Total: x is clamped to the range, infinities too. x is
 * neither NULL nor NaN. */
void bins_write(const struct bins *bins, const char *x, struct text *out);

/* A value of the bins, given as SQL of type numeric (float8 where floating) in `value`, in the
 * argument's type. */
const char *bins_value_sql(const struct bins *bins, const char *value, struct arena *arena);

/* Size of a bin in words: "1", "0.05", "2 days", "15 minutes". */
const char *bins_width_text(const struct bins *bins, struct arena *arena);

#endif
