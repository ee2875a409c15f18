/* Known answers of the samplers (tests/tables/t1g_kat.json) and their exact arithmetic. Laws are
 * tested statistically in tests/stat. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "mechanisms/chacha20.h"
#include "mechanisms/sampler.h"
#include "mechanisms/selftest.h"
#include "tests/support/tape_rng.h"

static json_t *known;

static void load(void)
{
    json_error_t error;
    known = json_load_file("tests/tables/t1g_kat.json", 0, &error);
    cr_assert_not_null(known, "%s", error.text);
}

static void unload(void)
{
    json_decref(known);
}

TestSuite(sampler, .init = load, .fini = unload);

static json_t *list(const char *key, size_t length)
{
    json_t *array = json_object_get(known, key);
    cr_assert_eq(json_array_size(array), length, "%s", key);
    return array;
}

static int64_t number(const char *key)
{
    return json_integer_value(json_object_get(known, key));
}

static int64_t signed_value(const struct dp_base *base)
{
    return base->negative ? -(int64_t)base->magnitude : (int64_t)base->magnitude;
}

static int64_t laplace(const struct dp_rng *rng, const struct dp_divisor *m)
{
    struct dp_base base;
    int64_t noise;
    do {
        cr_assert(dp_sample_base_laplace(rng, &base));
    } while (!dp_laplace_noise(m, &base, &noise));
    return noise;
}

static int64_t gaussian(const struct dp_rng *rng, const struct dp_divisor *m)
{
    struct dp_base base;
    cr_assert(dp_sample_base_gaussian(rng, &base));
    return dp_gaussian_noise(m, &base);
}

Test(sampler, the_keystream_is_that_of_the_known_answers)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 0);
    json_t *words = list("first_words", 4);
    for (size_t i = 0; i < 4; i++) {
        uint64_t word;
        char text[17];
        cr_assert(rng.next64(rng.state, &word));
        snprintf(text, sizeof(text), "%016lx", (unsigned long)word);
        cr_expect_str_eq(text, json_string_value(json_array_get(words, i)));
    }
}

Test(sampler, four_blocks_of_keystream_are_those_drawn_one_by_one)
{
    const uint32_t key[8] = {1, 2, 3, 0xffffffff, 5, 6, 7, 0x80000000};
    const uint32_t nonce[3] = {9, 0xfffffff0, 11};
    static const uint32_t counters[] = {0, 1, 60, 0xfffffffe};
    for (size_t i = 0; i < 4; i++) {
        unsigned char four[256];
        dp_chacha20_four_blocks(key, counters[i], nonce, four);
        for (uint32_t block = 0; block < 4; block++) {
            unsigned char one[64];
            dp_chacha20_block(key, counters[i] + block, nonce, one);
            cr_expect_arr_eq(one, four + 64 * (size_t)block, 64);
        }
    }
}

Test(sampler, bernoulli_draws_and_their_words_are_the_known_ones)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 0);
    const char *expected = json_string_value(json_object_get(known, "bern_exp_half"));
    for (size_t i = 0; i < strlen(expected); i++) {
        bool success;
        cr_assert(dp_sample_bernoulli_exp(&rng, 1, 1, &success));
        cr_expect_eq(success, expected[i] == '1', "draw %zu", i);
    }
    cr_expect_eq(tape.n_words, (uint64_t)number("bern_exp_half_words"));
}

Test(sampler, base_laplace_draws_are_the_known_ones)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 0);
    json_t *expected = list("base_geo", 32);
    for (size_t i = 0; i < 32; i++) {
        struct dp_base base;
        json_t *row = json_array_get(expected, i);
        cr_assert(dp_sample_base_laplace(&rng, &base));
        cr_expect_eq(base.negative, json_integer_value(json_array_get(row, 0)) == 1);
        cr_expect_eq((int64_t)base.magnitude, json_integer_value(json_array_get(row, 1)));
    }
    cr_expect_eq(tape.n_words, (uint64_t)number("base_geo_words"));
}

Test(sampler, base_gaussian_draws_are_the_known_ones)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 0);
    json_t *expected = list("base_gauss", 32);
    for (size_t i = 0; i < 32; i++) {
        struct dp_base base;
        cr_assert(dp_sample_base_gaussian(&rng, &base));
        cr_expect_eq(signed_value(&base), json_integer_value(json_array_get(expected, i)));
    }
    cr_expect_eq(tape.n_words, (uint64_t)number("base_gauss_words"));
}

typedef int64_t noise_law(const struct dp_rng *rng, const struct dp_divisor *m);

static void check_noise(noise_law *law, const char *m_key, const char *list_key,
                        const char *words_key, const char *prefix)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 0);
    struct dp_divisor m = dp_divisor_make((uint64_t)number(m_key));
    json_t *expected = list(list_key, 200);
    for (size_t i = 0; i < 200; i++) {
        cr_expect_eq(law(&rng, &m), json_integer_value(json_array_get(expected, i)), "draw %zu", i);
    }
    cr_expect_eq(tape.n_words, (uint64_t)number(words_key));
    rng = tape_keystream(&tape, 0);
    int64_t sum = 0;
    int64_t squares = 0;
    for (int i = 0; i < 20000; i++) {
        int64_t noise = law(&rng, &m);
        sum += noise;
        squares += noise * noise;
    }
    char key[64];
    snprintf(key, sizeof(key), "%s_20000_sum", prefix);
    cr_expect_eq(sum, number(key));
    snprintf(key, sizeof(key), "%s_20000_sumsq", prefix);
    cr_expect_eq(squares, number(key));
    snprintf(key, sizeof(key), "%s_20000_words", prefix);
    cr_expect_eq((int64_t)tape.n_words, number(key));
}

Test(sampler, laplace_noise_is_the_known_one)
{
    check_noise(laplace, "dlap_m", "dlap_eps0.1", "dlap_words", "dlap");
}

Test(sampler, gaussian_noise_is_the_known_one)
{
    check_noise(gaussian, "rgauss_m", "rgauss_sigma10", "rgauss_words", "rgauss");
}

Test(sampler, the_start_up_self_test_passes)
{
    cr_assert(dp_self_test());
}

Test(sampler, every_draw_fails_where_the_generator_does)
{
    /* For every number of words short of what a draw takes, the draw must fail. */
    static uint64_t words[4000];
    struct tape source;
    struct dp_rng keystream = tape_keystream(&source, 7);
    for (size_t i = 0; i < 4000; i++) {
        cr_assert(keystream.next64(keystream.state, &words[i]));
    }
    for (size_t start = 0; start < 3000; start += 37) {
        struct tape tape;
        struct dp_rng rng = tape_words(&tape, words + start, 1000);
        struct dp_base whole;
        cr_assert(dp_sample_base_gaussian(&rng, &whole));
        size_t used = tape.n_words;
        for (size_t n = 0; n <= used; n++) {
            struct dp_base base;
            rng = tape_words(&tape, words + start, n);
            cr_expect_eq(dp_sample_base_gaussian(&rng, &base), n == used);
        }
    }
}

Test(sampler, the_refined_path_decides_exactly)
{
    /* e^(-n / 2^101) with n = 2^101 - 1: the first trial's word of all ones lands between A and A +
     * K, and the refinement must compare with n - A = 2^37 - 1 out of 2^37. */
    const unsigned __int128 n = ((unsigned __int128)1 << 101) - 1;
    static const struct {
        uint64_t refinement;
        uint64_t words;
        bool result;
    } cases[] = {
        /* the largest candidate is not below n - A: the first trial fails, so e^(-x) succeeds */
        {((uint64_t)1 << 37) - 1, 3, true},
        /* any smaller one is: the second trial decides, and a word of all ones fails it */
        {((uint64_t)1 << 37) - 2, 4, false},
        {0, 4, false},
    };
    for (size_t i = 0; i < 3; i++) {
        uint64_t words[] = {UINT64_MAX, 0, cases[i].refinement, UINT64_MAX};
        struct tape tape;
        struct dp_rng rng = tape_words(&tape, words, 4);
        bool result;
        cr_assert(dp_sample_bernoulli_exp(&rng, n, 101, &result));
        cr_expect_eq(result, cases[i].result, "case %zu", i);
        cr_expect_eq(tape.n_words, cases[i].words, "case %zu", i);
    }
}

/* Words that make the Gaussian's proposal the negative zero, and would accept it. */
Test(sampler, no_gaussian_draw_is_a_negative_zero)
{
    const uint64_t words[] = {1,                 /* fraction 0, negative */
                              0,                 /* which is accepted */
                              (uint64_t)1 << 63, /* no whole part */
                              UINT64_MAX};       /* e^(-1/2) says yes */
    struct tape tape;
    struct dp_base base;
    struct dp_rng rng = tape_words(&tape, words, 3);
    cr_assert(dp_sample_base_laplace(&rng, &base));
    cr_assert(base.negative && base.magnitude == 0, "the words do what they are meant to");
    rng = tape_words(&tape, words, 4);
    cr_expect_not(dp_sample_base_gaussian(&rng, &base), "a new proposal, for which words lack");
}

Test(sampler, uniform_draws_are_rejected_and_not_reduced)
{
    uint64_t words[] = {0, 7, 0, 6, 0, 5, 0, 4};
    struct tape tape;
    struct dp_rng rng = tape_words(&tape, words, 8);
    unsigned __int128 value;
    cr_assert(dp_sample_below(&rng, 5, &value));
    cr_expect(value == 4 && tape.n_words == 8, "7, 6 and 5 are rejected");
    rng = tape_words(&tape, words, 8);
    cr_assert(dp_sample_below(&rng, 1, &value));
    cr_expect(value == 0 && tape.n_words == 2);
    uint64_t high[] = {UINT64_MAX, UINT64_MAX, 1, 2};
    rng = tape_words(&tape, high, 4);
    cr_assert(dp_sample_below(&rng, ((unsigned __int128)1 << 126) + 1, &value));
    cr_expect(value == (((unsigned __int128)1 << 64) + 2));
}

Test(sampler, division_by_the_reciprocal_is_exact)
{
    struct tape tape;
    struct dp_rng rng = tape_keystream(&tape, 3);
    for (int i = 0; i < 200000; i++) {
        uint64_t words[3];
        for (int j = 0; j < 3; j++) {
            cr_assert(rng.next64(rng.state, &words[j]));
        }
        uint64_t m = ((uint64_t)1 << 61 | words[0] >> 3) >> (words[1] % 43);
        uint64_t value = (words[2] >> 2) >> (words[1] / 64 % 62);
        struct dp_divisor divisor = dp_divisor_make(m);
        cr_assert_eq(dp_divide(&divisor, value), value / m);
        /* multiples and their neighbours */
        uint64_t multiple = value / m * m;
        cr_assert_eq(dp_divide(&divisor, multiple), value / m);
        if (multiple > 0) {
            cr_assert_eq(dp_divide(&divisor, multiple - 1), value / m - 1);
        }
    }
    static const uint64_t edges[] = {(uint64_t)1 << 19, ((uint64_t)1 << 62) - 1, (uint64_t)1 << 61,
                                     ((uint64_t)1 << 50) + 1};
    for (size_t i = 0; i < 4; i++) {
        struct dp_divisor divisor = dp_divisor_make(edges[i]);
        uint64_t most = ((uint64_t)1 << 62) - 1;
        cr_expect_eq(dp_divide(&divisor, most), most / edges[i]);
        cr_expect_eq(dp_divide(&divisor, 0), 0);
    }
}

Test(sampler, gaussian_noise_rounds_to_the_nearest)
{
    struct dp_divisor m = dp_divisor_make(1000001);
    static const struct {
        uint64_t magnitude;
        int64_t rounded;
    } cases[] = {{0, 0}, {500000, 0}, {500001, 1}, {1500001, 1}, {1500002, 2}};
    for (size_t i = 0; i < 5; i++) {
        struct dp_base base = {.magnitude = cases[i].magnitude, .negative = false};
        cr_expect_eq(dp_gaussian_noise(&m, &base), cases[i].rounded);
        base.negative = true;
        cr_expect_eq(dp_gaussian_noise(&m, &base), -cases[i].rounded);
    }
}

Test(sampler, laplace_noise_rejects_the_negative_zero_only)
{
    struct dp_divisor m = dp_divisor_make(1000000);
    int64_t noise;
    struct dp_base base = {.magnitude = 999999, .negative = true};
    cr_expect_not(dp_laplace_noise(&m, &base, &noise));
    base.negative = false;
    cr_expect(dp_laplace_noise(&m, &base, &noise) && noise == 0);
    base.magnitude = 1999999;
    cr_expect(dp_laplace_noise(&m, &base, &noise) && noise == 1);
    base.negative = true;
    cr_expect(dp_laplace_noise(&m, &base, &noise) && noise == -1);
}

/* 2^a e^-x, N = 200,000 each, at 1e-6 by the normal approximation (4.9 standard deviations). */
Test(sampler, scaled_exponentials_come_as_often_as_they_should)
{
    enum { N = 200000, BITS = 20 };
    static const struct {
        unsigned log2_scale;
        double x;
    } cases[] = {{0, 0.5}, {1, 1.0}, {1, 1.75}, {2, 2.0}, {2, 2.5}, {5, 5.25}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        struct tape tape;
        struct dp_rng rng = tape_keystream(&tape, 40 + (uint32_t)c);
        unsigned __int128 n = (unsigned __int128)(cases[c].x * (1 << BITS));
        double p = ldexp(exp(-cases[c].x), (int)cases[c].log2_scale);
        double seen = 0;
        for (int i = 0; i < N; i++) {
            bool yes;
            cr_assert(dp_sample_scaled_bernoulli_exp(&rng, cases[c].log2_scale, n, BITS, &yes));
            seen += yes;
        }
        cr_expect(fabs(seen - N * p) < 4.9 * sqrt(N * p * (1 - p)), "2^%u e^-%g: %g of %g",
                  cases[c].log2_scale, cases[c].x, seen, N * p);
    }
}
