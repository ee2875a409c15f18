#ifndef MECHANISMS_CHACHA20_H
#define MECHANISMS_CHACHA20_H

/* The block function of RFC 8439: 64 bytes of keystream. */
#include <stdint.h>

enum { DP_CHACHA20_KEY_WORDS = 8, DP_CHACHA20_BLOCK_BYTES = 64 };

void dp_chacha20_block(const uint32_t key[DP_CHACHA20_KEY_WORDS], uint32_t counter,
                       const uint32_t nonce[3], unsigned char out[DP_CHACHA20_BLOCK_BYTES]);

/* The four blocks of counter, counter + 1, .., computed side by side: several times as fast. */
void dp_chacha20_four_blocks(const uint32_t key[DP_CHACHA20_KEY_WORDS], uint32_t counter,
                             const uint32_t nonce[3],
                             unsigned char out[4 * DP_CHACHA20_BLOCK_BYTES]);

#endif
