/* Values of a grid as decimals and as text, exactly: 10^-s 2^-k is 5^k 10^-(s+k). */
#include <assert.h>
#include <string.h>

#include "mechanisms/calibrate.h"
#include "mechanisms/wide.h"

enum { GRID_EXPONENT_MAX = 256 };

/* |count| * grid = digits * 10^-scale. */
static struct dp_wide grid_digits(const struct dp_grid *grid, __int128 count, int *scale)
{
    unsigned __int128 magnitude = count < 0 ? -(unsigned __int128)count : (unsigned __int128)count;
    struct dp_wide digits = dp_wide_from(magnitude);
    *scale = grid->scale10;
    if (grid->exp2 >= 0) {
        return dp_wide_shift_left(digits, (unsigned)grid->exp2);
    }
    for (int i = 0; i < -grid->exp2; i++) {
        digits = dp_wide_multiply(digits, dp_wide_from(5));
    }
    *scale += -grid->exp2;
    return digits;
}

/* Nearly all values: what is shifted has fewer than 38 digits. */
static bool fits_shifted(const struct dp_grid *grid, __int128 count)
{
    const __int128 limit = (__int128)1 << 80;
    return grid->exp2 >= 0 && grid->exp2 <= 40 && grid->scale10 >= 0 &&
           grid->scale10 <= DP_DECIMAL_SCALE_MAX && count < limit && count > -limit;
}

bool dp_grid_value(const struct dp_grid *grid, __int128 count, struct dp_decimal *out)
{
    if (fits_shifted(grid, count)) {
        *out = (struct dp_decimal){count * ((__int128)1 << grid->exp2), grid->scale10};
        return true;
    }
    int scale;
    /* Nearly all values: answers have hundreds of thousands of them. */
    if (grid->exp2 == 0 && grid->scale10 >= 0 && grid->scale10 <= DP_DECIMAL_SCALE_MAX &&
        count >= INT64_MIN && count <= INT64_MAX) {
        *out = (struct dp_decimal){count, grid->scale10};
        return true;
    }
    struct dp_wide digits = grid_digits(grid, count, &scale);
    struct dp_wide limit = dp_wide_power10(38);
    while (scale > DP_DECIMAL_SCALE_MAX || (scale > 0 && dp_wide_compare(&digits, &limit) >= 0)) {
        uint64_t remainder;
        digits = dp_wide_divide_small(digits, 10, &remainder);
        scale--;
        if (remainder != 0) {
            return false;
        }
    }
    unsigned __int128 value;
    if (scale < 0 || dp_wide_compare(&digits, &limit) >= 0 || !dp_wide_to_u128(&digits, &value)) {
        return false;
    }
    out->digits = count < 0 ? -(__int128)value : (__int128)value;
    out->scale = scale;
    return true;
}

size_t dp_grid_print(const struct dp_grid *grid, __int128 count, char text[DP_GRID_TEXT_MAX])
{
    assert(grid->scale10 >= 0 && grid->scale10 <= DP_DECIMAL_SCALE_MAX);
    assert(grid->exp2 >= -GRID_EXPONENT_MAX && grid->exp2 <= GRID_EXPONENT_MAX);
    int scale;
    struct dp_wide digits = grid_digits(grid, count, &scale);
    /* Longest: 256 bits and 39 digits before the point, 30 + 256 places after it. */
    char reversed[DP_GRID_TEXT_MAX];
    size_t n = 0;
    for (int place = 0; !dp_wide_is_zero(&digits) || place <= scale; place++) {
        uint64_t digit;
        if (place == scale && place > 0) {
            reversed[n++] = '.';
        }
        digits = dp_wide_divide_small(digits, 10, &digit);
        reversed[n++] = (char)('0' + (int)digit);
    }
    if (count < 0) {
        reversed[n++] = '-';
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = reversed[n - 1 - i];
    }
    text[n] = '\0';
    return n;
}
