/* Decimals: every operation works on magnitudes of 1024 bits and then fits the result, so that no
 * intermediate can overflow before the result is known. */
#include "mechanisms/decimal.h"

#include <assert.h>
#include <stdint.h>

#include "mechanisms/wide.h"

enum { DIGITS_MAX = 38, EXPONENT_MAX = 9999 };

static unsigned __int128 magnitude(__int128 value)
{
    return value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
}

/* The value digits * 10^-scale as a decimal: drops trailing zeros only where they do not fit. */
static bool fit(bool negative, struct dp_wide digits, int scale, struct dp_decimal *out)
{
    struct dp_wide limit = dp_wide_power10(DIGITS_MAX);
    while (scale < 0) {
        digits = dp_wide_multiply(digits, dp_wide_from(10));
        scale++;
        if (dp_wide_compare(&digits, &limit) >= 0) {
            return false;
        }
    }
    while (scale > DP_DECIMAL_SCALE_MAX || dp_wide_compare(&digits, &limit) >= 0) {
        uint64_t remainder;
        struct dp_wide tenth = dp_wide_divide_small(digits, 10, &remainder);
        if (scale == 0 || remainder != 0 || digits.overflow) {
            return false;
        }
        digits = tenth;
        scale--;
    }
    unsigned __int128 value;
    if (!dp_wide_to_u128(&digits, &value)) {
        return false;
    }
    out->digits = negative ? -(__int128)value : (__int128)value;
    out->scale = scale;
    return true;
}

/* Exponent after the 'e': false where it is not a number; values beyond +-9999 saturate. */
static bool parse_exponent(const char *text, size_t length, int *out)
{
    size_t i = 0;
    bool negative = false;
    if (i < length && (text[i] == '+' || text[i] == '-')) {
        negative = text[i++] == '-';
    }
    if (i == length) {
        return false;
    }
    int value = 0;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value > EXPONENT_MAX / 10 ? EXPONENT_MAX : value * 10 + (text[i] - '0');
    }
    *out = negative ? -value : value;
    return true;
}

/* What has been read of a number so far. */
struct mantissa {
    unsigned __int128 digits; /* at most 38 significant ones */
    int n_significant;
    long scale; /* minus the power of ten of the last digit kept */
    bool any, point, exact;
};

static void add_digit(struct mantissa *read, int digit)
{
    read->any = true;
    if (read->n_significant == DIGITS_MAX) {
        /* No room: only zeros may follow, they count in the power of ten alone. */
        read->exact = read->exact && digit == 0;
        read->scale -= read->point ? 0 : 1;
        return;
    }
    read->digits = read->digits * 10 + (unsigned)digit;
    read->n_significant += read->digits != 0;
    read->scale += read->point ? 1 : 0;
}

bool dp_decimal_parse(const char *text, size_t length, struct dp_decimal *out)
{
    struct mantissa read = {.exact = true};
    size_t i = 0;
    bool negative = false;
    if (i < length && (text[i] == '+' || text[i] == '-')) {
        negative = text[i++] == '-';
    }
    for (; i < length && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.' && !read.point) {
            read.point = true;
        } else if (text[i] >= '0' && text[i] <= '9') {
            add_digit(&read, text[i] - '0');
        } else {
            return false;
        }
    }
    int exponent = 0;
    if (i < length && !parse_exponent(text + i + 1, length - i - 1, &exponent)) {
        return false;
    }
    if (!read.any || !read.exact) {
        return false;
    }
    long scale = read.scale - exponent;
    if (read.digits == 0) { /* zero has every scale */
        scale = scale < 0 ? 0 : scale > DP_DECIMAL_SCALE_MAX ? DP_DECIMAL_SCALE_MAX : scale;
    }
    if (scale < -DIGITS_MAX || scale > DP_DECIMAL_SCALE_MAX + DIGITS_MAX) {
        return false;
    }
    return fit(negative, dp_wide_from(read.digits), (int)scale, out);
}

size_t dp_decimal_print(const struct dp_decimal *value, char text[DP_DECIMAL_TEXT_MAX])
{
    assert(value->scale >= 0 && value->scale <= DP_DECIMAL_SCALE_MAX);
    char reversed[DP_DECIMAL_TEXT_MAX];
    size_t n = 0;
    unsigned __int128 rest = magnitude(value->digits);
    for (int place = 0; rest != 0 || place <= value->scale; place++) {
        if (place == value->scale && place > 0) {
            reversed[n++] = '.';
        }
        reversed[n++] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    }
    if (value->digits < 0) {
        reversed[n++] = '-';
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = reversed[n - 1 - i];
    }
    text[n] = '\0';
    return n;
}

struct dp_decimal dp_decimal_from_int(long long value)
{
    return (struct dp_decimal){.digits = value, .scale = 0};
}

/* Magnitude of value with the digits of a finer scale. */
static struct dp_wide at_scale(const struct dp_decimal *value, int scale)
{
    return dp_wide_multiply(dp_wide_from(magnitude(value->digits)),
                            dp_wide_power10((unsigned)(scale - value->scale)));
}

bool dp_decimal_add(const struct dp_decimal *a, const struct dp_decimal *b, struct dp_decimal *out)
{
    int scale = a->scale > b->scale ? a->scale : b->scale;
    struct dp_wide x = at_scale(a, scale);
    struct dp_wide y = at_scale(b, scale);
    bool negative_a = a->digits < 0;
    bool negative_b = b->digits < 0;
    if (negative_a == negative_b) {
        return fit(negative_a, dp_wide_add(x, y), scale, out);
    }
    if (dp_wide_compare(&x, &y) >= 0) {
        return fit(negative_a, dp_wide_subtract(x, y), scale, out);
    }
    return fit(negative_b, dp_wide_subtract(y, x), scale, out);
}

bool dp_decimal_subtract(const struct dp_decimal *a, const struct dp_decimal *b,
                         struct dp_decimal *out)
{
    struct dp_decimal minus_b = dp_decimal_negate(b);
    return dp_decimal_add(a, &minus_b, out);
}

bool dp_decimal_multiply(const struct dp_decimal *a, const struct dp_decimal *b,
                         struct dp_decimal *out)
{
    struct dp_wide product =
        dp_wide_multiply(dp_wide_from(magnitude(a->digits)), dp_wide_from(magnitude(b->digits)));
    return fit((a->digits < 0) != (b->digits < 0), product, a->scale + b->scale, out);
}

struct dp_decimal dp_decimal_negate(const struct dp_decimal *value)
{
    return (struct dp_decimal){.digits = -value->digits, .scale = value->scale};
}

struct dp_decimal dp_decimal_abs(const struct dp_decimal *value)
{
    return value->digits < 0 ? dp_decimal_negate(value) : *value;
}

bool dp_decimal_divide(const struct dp_decimal *a, const struct dp_decimal *b, int scale, bool up,
                       struct dp_decimal *out)
{
    if (b->digits == 0 || scale < 0 || scale > DP_DECIMAL_SCALE_MAX) {
        return false;
    }
    bool negative = (a->digits < 0) != (b->digits < 0);
    /* a / b * 10^scale = |a| 10^(scale + b.scale) / (|b| 10^a.scale) */
    struct dp_wide numerator = dp_wide_multiply(dp_wide_from(magnitude(a->digits)),
                                                dp_wide_power10((unsigned)(scale + b->scale)));
    struct dp_wide denominator =
        dp_wide_multiply(dp_wide_from(magnitude(b->digits)), dp_wide_power10((unsigned)a->scale));
    struct dp_decimal result;
    if (!fit(negative, dp_wide_divide(numerator, denominator, up != negative), scale, &result) ||
        result.scale != scale) {
        return false;
    }
    *out = result;
    return true;
}

int dp_decimal_compare(const struct dp_decimal *a, const struct dp_decimal *b)
{
    bool negative_a = a->digits < 0;
    bool negative_b = b->digits < 0;
    if (negative_a != negative_b) {
        return negative_a ? -1 : 1;
    }
    int scale = a->scale > b->scale ? a->scale : b->scale;
    struct dp_wide x = at_scale(a, scale);
    struct dp_wide y = at_scale(b, scale);
    int order = dp_wide_compare(&x, &y);
    return negative_a ? -order : order;
}

struct dp_decimal dp_decimal_normalize(const struct dp_decimal *value)
{
    struct dp_decimal result = *value;
    while (result.scale > 0 && result.digits % 10 == 0) {
        result.digits /= 10;
        result.scale--;
    }
    return result;
}
