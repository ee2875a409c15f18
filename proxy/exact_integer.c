#include "proxy/exact_integer.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool exact_integer_read(const char *text, size_t length, __int128 *out)
{
    size_t at = 0;
    bool negative = length > 0 && text[0] == '-';
    __int128 value = 0; /* kept negative: the range is one longer on that side */
    if (negative)
        at++;
    size_t first = at;
    for (; at < length && is_digit(text[at]); at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text[at] - '0', &value))
            return false;
    }
    if (at == first)
        return false;
    if (at < length && text[at] == '.') {
        size_t fraction = ++at;
        while (at < length && text[at] == '0')
            at++;
        if (at == fraction)
            return false;
    }
    if (at != length)
        return false;
    if (!negative && __builtin_sub_overflow((__int128)0, value, &value))
        return false;
    *out = value;
    return true;
}
