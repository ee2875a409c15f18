#include "mechanisms/selftest.h"

#include <stddef.h>
#include <string.h>

#include "mechanisms/chacha20.h"
#include "mechanisms/rng.h"
#include "mechanisms/sampler.h"

/* Keystream of the key 00 01 .. 1f, nonce 0, from counter 0, as little-endian words. */
struct keystream {
    uint32_t counter;
    size_t left;
    unsigned char block[DP_CHACHA20_BLOCK_BYTES];
};

static bool keystream_next64(void *state, uint64_t *word)
{
    static const uint32_t key[DP_CHACHA20_KEY_WORDS] = {0x03020100, 0x07060504, 0x0b0a0908,
                                                        0x0f0e0d0c, 0x13121110, 0x17161514,
                                                        0x1b1a1918, 0x1f1e1d1c};
    static const uint32_t nonce[3];
    struct keystream *stream = state;
    if (stream->left == 0) {
        dp_chacha20_block(key, stream->counter++, nonce, stream->block);
        stream->left = sizeof(stream->block);
    }
    const unsigned char *bytes = stream->block + sizeof(stream->block) - stream->left;
    stream->left -= sizeof(*word);
    *word = 0;
    for (size_t i = 0; i < sizeof(*word); i++) {
        *word |= (uint64_t)bytes[i] << (8 * i);
    }
    return true;
}

/* RFC 8439, 2.3.2: key 00..1f, counter 1, nonce 00:00:00:09:00:00:00:4a:00:00:00:00. */
static bool chacha20_is_right(void)
{
    static const uint32_t key[DP_CHACHA20_KEY_WORDS] = {0x03020100, 0x07060504, 0x0b0a0908,
                                                        0x0f0e0d0c, 0x13121110, 0x17161514,
                                                        0x1b1a1918, 0x1f1e1d1c};
    static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    static const unsigned char expected[DP_CHACHA20_BLOCK_BYTES] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
        0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
        0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
        0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
        0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e};
    unsigned char block[DP_CHACHA20_BLOCK_BYTES];
    unsigned char four[4 * DP_CHACHA20_BLOCK_BYTES];
    dp_chacha20_block(key, 1, nonce, block);
    dp_chacha20_four_blocks(key, 0, nonce, four);
    return memcmp(block, expected, sizeof(block)) == 0 &&
           memcmp(four + sizeof(block), expected, sizeof(block)) == 0;
}

enum { KNOWN_DRAWS = 12 };

/* Laplace with epsilon 0.1 and Gaussian with sigma 10, each from the start of the keystream. */
static bool noises_are_right(void)
{
    static const int64_t laplace[KNOWN_DRAWS] = {45, 6, 1, -10, 26, -6, -1, -3, 2, -37, -10, -33};
    static const int64_t gaussian[KNOWN_DRAWS] = {6, 3, -2, 20, -8, 12, 11, 0, 16, -6, 0, -5};
    struct keystream stream = {0};
    const struct dp_rng rng = {.next64 = keystream_next64, .state = &stream};
    struct dp_divisor m = dp_divisor_make(112589990684262);
    for (size_t i = 0; i < KNOWN_DRAWS;) {
        struct dp_base base;
        int64_t noise;
        if (!dp_sample_base_laplace(&rng, &base)) {
            return false;
        }
        if (dp_laplace_noise(&m, &base, &noise) && noise != laplace[i++]) {
            return false;
        }
    }
    stream = (struct keystream){0};
    m = dp_divisor_make(112589990684261);
    for (size_t i = 0; i < KNOWN_DRAWS; i++) {
        struct dp_base base;
        if (!dp_sample_base_gaussian(&rng, &base) || dp_gaussian_noise(&m, &base) != gaussian[i]) {
            return false;
        }
    }
    return true;
}

/* 64 KiB of the system's generator: no 16 bytes equal those before them or the first ones. A good
 * generator fails with a probability below 2^-114. */
static bool system_does_not_repeat(void)
{
    enum { PAIRS = 64 * 1024 / 16 };
    uint64_t first[2] = {0};
    uint64_t last[2] = {0};
    for (size_t i = 0; i < PAIRS; i++) {
        uint64_t pair[2];
        if (!dp_rng_system.next64(dp_rng_system.state, &pair[0]) ||
            !dp_rng_system.next64(dp_rng_system.state, &pair[1])) {
            return false;
        }
        if (i > 0 &&
            (memcmp(pair, first, sizeof(pair)) == 0 || memcmp(pair, last, sizeof(pair)) == 0)) {
            return false;
        }
        memcpy(i == 0 ? first : last, pair, sizeof(pair));
        if (i == 0) {
            memcpy(last, pair, sizeof(pair));
        }
    }
    return true;
}

bool dp_self_test(void)
{
    return chacha20_is_right() && noises_are_right() && system_does_not_repeat();
}
