#ifndef MECHANISMS_DECIMAL_H
#define MECHANISMS_DECIMAL_H

/*
 * Exact decimal numbers: bounds, clamps and released values never pass through a double.
 * value = digits * 10^-scale, 0 <= scale <= DP_DECIMAL_SCALE_MAX, |digits| < 10^38.
 */
#include <stdbool.h>
#include <stddef.h>

enum { DP_DECIMAL_SCALE_MAX = 30, DP_DECIMAL_TEXT_MAX = 80 };

struct dp_decimal {
    __int128 digits;
    int scale;
};

/* Reads an optional sign, digits, fraction and exponent. False where the text is anything else
 * (NaN and infinities included) or needs more than 38 digits or DP_DECIMAL_SCALE_MAX places. */
bool dp_decimal_parse(const char *text, size_t length, struct dp_decimal *out);

/* Writes the shortest plain form ("-12.50" keeps its scale) and a NUL into
 * text[DP_DECIMAL_TEXT_MAX]; returns the length. */
size_t dp_decimal_print(const struct dp_decimal *value, char text[DP_DECIMAL_TEXT_MAX]);

struct dp_decimal dp_decimal_from_int(long long value);

/* Exact results; false on overflow, and *out is then untouched. */
bool dp_decimal_add(const struct dp_decimal *a, const struct dp_decimal *b, struct dp_decimal *out);
bool dp_decimal_subtract(const struct dp_decimal *a, const struct dp_decimal *b,
                         struct dp_decimal *out);
bool dp_decimal_multiply(const struct dp_decimal *a, const struct dp_decimal *b,
                         struct dp_decimal *out);
struct dp_decimal dp_decimal_negate(const struct dp_decimal *value);
struct dp_decimal dp_decimal_abs(const struct dp_decimal *value);

/* a / b rounded to the given scale, towards plus infinity where up is set, else towards minus
 * infinity. False where b is zero or the result does not fit. */
bool dp_decimal_divide(const struct dp_decimal *a, const struct dp_decimal *b, int scale, bool up,
                       struct dp_decimal *out);

/* Less than, equal to or greater than zero, as a is to b. Exact. */
int dp_decimal_compare(const struct dp_decimal *a, const struct dp_decimal *b);

/* Drops trailing zeros of the fraction. */
struct dp_decimal dp_decimal_normalize(const struct dp_decimal *value);

#endif
