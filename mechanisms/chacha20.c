#include "mechanisms/chacha20.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

static uint32_t rotate(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void quarter_round(uint32_t x[16], size_t a, size_t b, size_t c, size_t d)
{
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 16);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 12);
    x[a] += x[b];
    x[d] = rotate(x[d] ^ x[a], 8);
    x[c] += x[d];
    x[b] = rotate(x[b] ^ x[c], 7);
}

void dp_chacha20_block(const uint32_t key[DP_CHACHA20_KEY_WORDS], uint32_t counter,
                       const uint32_t nonce[3], unsigned char out[DP_CHACHA20_BLOCK_BYTES])
{
    const uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1],
                                key[2],     key[3],     key[4],     key[5],     key[6], key[7],
                                counter,    nonce[0],   nonce[1],   nonce[2]};
    uint32_t x[16];
    for (size_t i = 0; i < 16; i++) {
        x[i] = start[i];
    }
    for (int round = 0; round < 10; round++) {
        quarter_round(x, 0, 4, 8, 12);
        quarter_round(x, 1, 5, 9, 13);
        quarter_round(x, 2, 6, 10, 14);
        quarter_round(x, 3, 7, 11, 15);
        quarter_round(x, 0, 5, 10, 15);
        quarter_round(x, 1, 6, 11, 12);
        quarter_round(x, 2, 7, 8, 13);
        quarter_round(x, 3, 4, 9, 14);
    }
    for (size_t i = 0; i < 16; i++) {
        uint32_t word = x[i] + start[i];
        word = htole32(word);
        memcpy(out + 4 * i, &word, sizeof(word));
    }
}

/* Word j of four blocks. */
typedef uint32_t lanes __attribute__((vector_size(16)));

static inline lanes rotate_lanes(lanes x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static inline void quarter_round_lanes(lanes *a, lanes *b, lanes *c, lanes *d)
{
    *a += *b;
    *d = rotate_lanes(*d ^ *a, 16);
    *c += *d;
    *b = rotate_lanes(*b ^ *c, 12);
    *a += *b;
    *d = rotate_lanes(*d ^ *a, 8);
    *c += *d;
    *b = rotate_lanes(*b ^ *c, 7);
}

static inline void double_round_lanes(lanes x[16])
{
    quarter_round_lanes(&x[0], &x[4], &x[8], &x[12]);
    quarter_round_lanes(&x[1], &x[5], &x[9], &x[13]);
    quarter_round_lanes(&x[2], &x[6], &x[10], &x[14]);
    quarter_round_lanes(&x[3], &x[7], &x[11], &x[15]);
    quarter_round_lanes(&x[0], &x[5], &x[10], &x[15]);
    quarter_round_lanes(&x[1], &x[6], &x[11], &x[12]);
    quarter_round_lanes(&x[2], &x[7], &x[8], &x[13]);
    quarter_round_lanes(&x[3], &x[4], &x[9], &x[14]);
}

void dp_chacha20_four_blocks(const uint32_t key[DP_CHACHA20_KEY_WORDS], uint32_t counter,
                             const uint32_t nonce[3],
                             unsigned char out[4 * DP_CHACHA20_BLOCK_BYTES])
{
    const uint32_t first[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1],
                                key[2],     key[3],     key[4],     key[5],     key[6], key[7],
                                counter,    nonce[0],   nonce[1],   nonce[2]};
    lanes start[16];
    lanes x[16];
    for (size_t i = 0; i < 16; i++) {
        start[i] = (lanes){first[i], first[i], first[i], first[i]};
    }
    start[12] += (lanes){0, 1, 2, 3};
    for (size_t i = 0; i < 16; i++) {
        x[i] = start[i];
    }
    for (int round = 0; round < 10; round++) {
        double_round_lanes(x);
    }
    for (size_t i = 0; i < 16; i++) {
        x[i] += start[i];
        for (size_t block = 0; block < 4; block++) {
            uint32_t word = htole32(x[i][block]);
            memcpy(out + block * DP_CHACHA20_BLOCK_BYTES + 4 * i, &word, sizeof(word));
        }
    }
}
