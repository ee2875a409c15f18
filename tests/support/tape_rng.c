#include "tests/support/tape_rng.h"

#include <string.h>

#include "mechanisms/chacha20.h"

static bool keystream_next64(void *state, uint64_t *word)
{
    struct tape *tape = state;
    uint32_t key[DP_CHACHA20_KEY_WORDS];
    uint32_t nonce[3] = {0, tape->seed, 0};
    size_t at = tape->n_words++ % 8;
    if (at == 0) {
        unsigned char bytes[32];
        for (unsigned char i = 0; i < sizeof(bytes); i++) {
            bytes[i] = i;
        }
        memcpy(key, bytes, sizeof(key));
        dp_chacha20_block(key, tape->counter++, nonce, tape->block);
    }
    memcpy(word, tape->block + 8 * at, sizeof(*word));
    return true;
}

static bool fast_next64(void *state, uint64_t *word)
{
    struct tape *tape = state;
    tape->n_words++;
    tape->mixed += 0x9e3779b97f4a7c15;
    uint64_t z = tape->mixed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    *word = z ^ z >> 31;
    return true;
}

static bool words_next64(void *state, uint64_t *word)
{
    struct tape *tape = state;
    if (tape->n_words == tape->n_listed) {
        return false;
    }
    *word = tape->words[tape->n_words++];
    return true;
}

struct dp_rng tape_keystream(struct tape *tape, uint32_t seed)
{
    *tape = (struct tape){.seed = seed};
    return (struct dp_rng){.next64 = keystream_next64, .state = tape};
}

struct dp_rng tape_fast(struct tape *tape, uint64_t seed)
{
    *tape = (struct tape){.mixed = seed * 0xd1342543de82ef95};
    return (struct dp_rng){.next64 = fast_next64, .state = tape};
}

struct dp_rng tape_words(struct tape *tape, const uint64_t *words, size_t n)
{
    *tape = (struct tape){.words = words, .n_listed = n};
    return (struct dp_rng){.next64 = words_next64, .state = tape};
}
