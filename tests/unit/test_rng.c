/* The generator on a system without entropy, and on a kernel that cannot wipe memory in children:
 * both system calls are the test's own here. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mechanisms/noise.h"
#include "mechanisms/rng.h"

static bool has_entropy = true;
static unsigned n_seeds;

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    if (!has_entropy) {
        errno = ENOSYS;
        return -1;
    }
    n_seeds++;
    return (ssize_t)syscall(SYS_getrandom, buffer, length, flags);
}

int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_WIPEONFORK) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}

static bool draw(uint64_t *word)
{
    return dp_rng_system.next64(dp_rng_system.state, word);
}

Test(rng, fresh_entropy_is_mixed_in_every_mebibyte)
{
    enum { MEBIBYTE = 1 << 20 };
    uint64_t word;
    cr_assert(draw(&word));
    n_seeds = 0;
    for (size_t bytes = 0; bytes < (size_t)4 * MEBIBYTE; bytes += sizeof(word)) {
        cr_assert(draw(&word));
    }
    cr_expect(n_seeds >= 4 && n_seeds <= 5, "%u seeds in four mebibytes", n_seeds);
}

Test(rng, without_entropy_there_is_no_word_and_no_noise)
{
    uint64_t word;
    has_entropy = false;
    cr_expect_not(draw(&word));
    cr_expect_null(dp_noise_new());
    has_entropy = true;
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    has_entropy = false;
    cr_expect_not(dp_noise_refill(noise), "a refill wants fresh bytes");
    cr_expect_not(draw(&word), "none since the last attempt failed");
    const struct dp_calibration gaussian = {.mechanism = DP_GAUSSIAN, .m = 112589990684261};
    __int128 noisy = 42;
    unsigned n = 0;
    while (n < 10000 && dp_noise_add(noise, &gaussian, 0, &noisy)) {
        n++; /* what is in store was drawn with entropy */
        noisy = 42;
    }
    cr_expect(n > 1000 && n < 10000, "%u", n);
    cr_expect(noisy == 42, "nothing is written where nothing was drawn");
    has_entropy = true;
    cr_expect(dp_noise_add(noise, &gaussian, 0, &noisy));
    dp_noise_free(noise);
}

/* Without MADV_WIPEONFORK a child has its parent's memory: process ids tell. */
Test(rng, a_child_draws_its_own_where_the_kernel_does_not_wipe)
{
    enum { N = 500 };
    const struct dp_calibration wide = {.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 20) + 1};
    struct dp_noise *noise = dp_noise_new();
    int64_t own[N + 1];
    int64_t theirs[N + 1];
    int ends[2];
    cr_assert_not_null(noise);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    for (size_t i = 0; i < N; i++) {
        __int128 noisy;
        cr_assert(dp_noise_add(noise, &wide, 0, &noisy));
        own[i] = (int64_t)noisy;
    }
    cr_assert(draw((uint64_t *)&own[N]));
    if (child == 0) {
        _exit(write(ends[1], own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
    }
    cr_assert_eq(read(ends[0], theirs, sizeof(theirs)), (ssize_t)sizeof(theirs));
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    size_t equal = 0;
    for (size_t i = 0; i < N + 1; i++) {
        equal += own[i] == theirs[i];
    }
    /* two draws of scale 2^30 agree with a probability below 2^-31 */
    cr_expect_eq(equal, 0, "%zu of %d agree", equal, N);
    dp_noise_free(noise);
}
