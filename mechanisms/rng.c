/* The generator's state lives in memory that a child process finds zeroed: zero means not seeded.
 */
#include "mechanisms/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "mechanisms/chacha20.h"
#include "mechanisms/wiped.h"

enum {
    BLOCK_BYTES = 4096,
    KEY_BYTES = 32,
    WORDS_PER_BLOCK = (BLOCK_BYTES - KEY_BYTES) / 8,
    BLOCKS_PER_SEED = 256 /* 1 MiB */
};

struct state {
    uint32_t key[DP_CHACHA20_KEY_WORDS];
    uint64_t words[WORDS_PER_BLOCK];
    unsigned n_words;     /* left, taken from the end */
    unsigned blocks_left; /* until fresh bytes are mixed in; 0: not seeded */
    pid_t pid;
};

static struct state *state; /* owned for the life of the process */
static bool kernel_wipes;

static bool fresh_bytes(unsigned char bytes[KEY_BYTES])
{
    size_t have = 0;
    while (have < KEY_BYTES) {
        ssize_t n = getrandom(bytes + have, KEY_BYTES - have, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        have += (size_t)n;
    }
    return true;
}

bool dp_rng_reseed(void)
{
    if (state == NULL) {
        state = dp_wiped_alloc(sizeof(*state), &kernel_wipes);
    }
    if (state == NULL) {
        return false;
    }
    explicit_bzero(state->words, sizeof(state->words));
    state->n_words = 0;
    state->blocks_left = 0;
    unsigned char bytes[KEY_BYTES];
    if (!fresh_bytes(bytes)) {
        return false;
    }
    uint32_t fresh[DP_CHACHA20_KEY_WORDS];
    memcpy(fresh, bytes, sizeof(fresh));
    for (size_t i = 0; i < DP_CHACHA20_KEY_WORDS; i++) {
        state->key[i] ^= fresh[i];
    }
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(fresh, sizeof(fresh));
    state->blocks_left = BLOCKS_PER_SEED;
    state->pid = getpid();
    return true;
}

/* A new block: its first 32 bytes replace the key, the rest becomes words. */
static void next_block(void)
{
    enum { PART = 4 * DP_CHACHA20_BLOCK_BYTES };
    static const uint32_t nonce[3];
    unsigned char part[PART];
    uint32_t key[DP_CHACHA20_KEY_WORDS];
    unsigned char *words = (unsigned char *)state->words;
    for (uint32_t at = 0; at < BLOCK_BYTES; at += PART) {
        dp_chacha20_four_blocks(state->key, at / DP_CHACHA20_BLOCK_BYTES, nonce, part);
        if (at == 0) {
            memcpy(key, part, KEY_BYTES);
            memcpy(words, part + KEY_BYTES, PART - KEY_BYTES);
        } else {
            memcpy(words + at - KEY_BYTES, part, PART);
        }
    }
    memcpy(state->key, key, sizeof(state->key));
    explicit_bzero(key, sizeof(key));
    explicit_bzero(part, sizeof(part));
    state->n_words = WORDS_PER_BLOCK;
    state->blocks_left--;
}

static bool system_next64(void *unused, uint64_t *word)
{
    (void)unused;
    if (state == NULL || (!kernel_wipes && state->pid != getpid())) {
        if (!dp_rng_reseed()) {
            return false;
        }
    }
    if (state->n_words == 0) {
        if (state->blocks_left == 0 && !dp_rng_reseed()) {
            return false;
        }
        next_block();
    }
    uint64_t *slot = &state->words[--state->n_words];
    *word = *slot;
    *(volatile uint64_t *)slot = 0;
    return true;
}

const struct dp_rng dp_rng_system = {.next64 = system_next64, .state = NULL};
