#include <criterion/criterion.h>
#include <string.h>

#include "proxy/exact_integer.h"

static bool reads(const char *text, __int128 expected)
{
    __int128 value = 0;
    return exact_integer_read(text, strlen(text), &value) && value == expected;
}

static bool refuses(const char *text)
{
    __int128 value = 77;
    return !exact_integer_read(text, strlen(text), &value) && value == 77;
}

Test(exact_integer, plain_integers_are_read)
{
    cr_assert(reads("0", 0));
    cr_assert(reads("-0", 0));
    cr_assert(reads("12", 12));
    cr_assert(reads("-9223372036854775808", -(__int128)9223372036854775807LL - 1));
    cr_assert(reads("10000000000000000000000", (__int128)10000000000LL * 1000000000000LL));
}

Test(exact_integer, a_fraction_of_zeros_is_an_integer)
{
    cr_assert(reads("12.000", 12));
    cr_assert(reads("-3.0", -3));
}

Test(exact_integer, the_range_is_that_of_128_bits)
{
    __int128 largest = (__int128)(((unsigned __int128)1 << 127) - 1);
    cr_assert(reads("170141183460469231731687303715884105727", largest));
    cr_assert(reads("-170141183460469231731687303715884105728", -largest - 1));
    cr_assert(refuses("170141183460469231731687303715884105728"));
    cr_assert(refuses("-170141183460469231731687303715884105729"));
    cr_assert(refuses("1701411834604692317316873037158841057270"));
}

Test(exact_integer, anything_else_is_refused)
{
    static const char *const texts[] = {"",   "-",   "+1",       "1.5",   "1.",
                                        ".0", "NaN", "Infinity", "1e3",   " 1",
                                        "1 ", "--1", "0x1",      "1.0.0", "1,000"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert(refuses(texts[i]), "\"%s\"", texts[i]);
}
