#ifndef TESTS_SUPPORT_TAPE_RNG_H
#define TESTS_SUPPORT_TAPE_RNG_H

/* Reproducible generators for tests: a ChaCha20 keystream, a fast one, or a list of words that ends
 * in failure.
 */
#include <stddef.h>
#include <stdint.h>

#include "mechanisms/rng.h"

struct tape {
    uint64_t n_words; /* given out so far */
    uint64_t mixed;   /* SplitMix64's state */
    uint32_t seed, counter;
    unsigned char block[64];
    const uint64_t *words; /* NULL: the keystream */
    size_t n_listed;
};

/* Key 00 01 .. 1f; seed 0 is the keystream of the known answers. The tape must outlive the result.
 */
struct dp_rng tape_keystream(struct tape *tape, uint32_t seed);
/* SplitMix64: not for secrets, and several times as fast for millions of draws. */
struct dp_rng tape_fast(struct tape *tape, uint64_t seed);
/* Fails after the last word. */
struct dp_rng tape_words(struct tape *tape, const uint64_t *words, size_t n);

#endif
