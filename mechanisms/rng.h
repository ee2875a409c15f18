#ifndef MECHANISMS_RNG_H
#define MECHANISMS_RNG_H

/*
 * Random words. Everything that draws takes a `const struct dp_rng *`; the programs use the one
 * instance below, and there is no way to exchange it at run time. Tests bring their own.
 */
#include <stdbool.h>
#include <stdint.h>

struct dp_rng {
    /* 64 uniform bits into *word. False without entropy: nothing may then be released. */
    bool (*next64)(void *state, uint64_t *word);
    void *state;
};

/*
 * ChaCha20 with fast key erasure (ALGORITHMS 10), seeded by getrandom: the key is replaced by its
 * own output at every 4 KiB block and words are wiped when given out, so that what is in memory now
 * tells nothing about words of the past. 32 fresh bytes are mixed in every MiB. A child process
 * finds the state wiped and seeds its own. One thread.
 */
extern const struct dp_rng dp_rng_system;

/* Mixes 32 fresh bytes of the kernel's into the key of dp_rng_system and drops the rest of the
 * block. False without entropy; the generator then gives no words until it succeeds. */
bool dp_rng_reseed(void);

#endif
