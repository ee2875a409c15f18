#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mechanisms/noise.h"
#include "mechanisms/rng.h"

static const struct dp_calibration gaussian = {.mechanism = DP_GAUSSIAN, .m = 112589990684261};
static const struct dp_calibration laplace = {.mechanism = DP_LAPLACE, .m = 112589990684262};

static uint64_t next_word(void)
{
    uint64_t word;
    cr_assert(dp_rng_system.next64(dp_rng_system.state, &word));
    return word;
}

static void read_words(int from, uint64_t *words, size_t n)
{
    cr_assert_eq(read(from, words, n * sizeof(*words)), (ssize_t)(n * sizeof(*words)));
}

Test(noise, parent_and_child_draw_different_words)
{
    enum { N = 64 };
    int ends[2];
    uint64_t own[N];
    uint64_t theirs[N];
    next_word(); /* the generator is in the middle of a block */
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = 0; i < N; i++) {
            if (!dp_rng_system.next64(dp_rng_system.state, &theirs[i])) {
                _exit(1);
            }
        }
        _exit(write(ends[1], theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 1);
    }
    for (size_t i = 0; i < N; i++) {
        own[i] = next_word();
    }
    read_words(ends[0], theirs, N);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++) {
            cr_assert_neq(own[i], theirs[j]);
        }
    }
    close(ends[0]);
    close(ends[1]);
}

static void draw_some(struct dp_noise *noise, int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        __int128 noisy;
        cr_assert(dp_noise_add(noise, i % 2 == 0 ? &gaussian : &laplace, 0, &noisy));
        values[i] = (int64_t)noisy;
    }
}

Test(noise, parent_and_child_never_use_the_same_samples)
{
    enum { N = 400 };
    int ends[2];
    int64_t own[N];
    int64_t theirs[N];
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        draw_some(noise, theirs, N);
        _exit(write(ends[1], theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 1);
    }
    draw_some(noise, own, N);
    cr_assert_eq(read(ends[0], theirs, sizeof(theirs)), (ssize_t)sizeof(theirs));
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    size_t equal = 0;
    for (size_t i = 0; i < N; i++) {
        equal += own[i] == theirs[i];
    }
    /* two independent draws of scale 10 agree with a probability of about 3 %: 12 of 400 */
    cr_expect(equal < 60, "%zu of %d agree", equal, N);
    dp_noise_free(noise);
    close(ends[0]);
    close(ends[1]);
}

Test(noise, an_empty_pool_still_draws_and_refills_in_slices)
{
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    cr_expect(dp_noise_wants_refill(noise));
    static int64_t values[20000];
    draw_some(noise, values, 20000); /* more than the first fill */
    size_t zeros = 0;
    for (size_t i = 0; i < 20000; i++) {
        zeros += values[i] == 0;
    }
    cr_expect(zeros > 500 && zeros < 1500, "%zu zeros where 890 are expected", zeros);
    size_t slices = 0;
    while (dp_noise_wants_refill(noise)) {
        cr_assert(dp_noise_refill(noise));
        slices++;
        cr_assert(slices < 1000);
    }
    cr_expect(slices > 10, "a call does a bounded slice of the work");
    draw_some(noise, values, 2);
    cr_expect(dp_noise_wants_refill(noise));
    dp_noise_free(noise);
    dp_noise_free(NULL);
}

Test(noise, totals_beyond_two_to_the_hundred_are_clamped_and_never_overflow)
{
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    const __int128 limit = (__int128)1 << 100;
    const __int128 most = (__int128)(~(unsigned __int128)0 >> 1);
    const struct dp_calibration widest = {.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 19) + 1};
    for (int i = 0; i < 1000; i++) {
        __int128 noisy;
        cr_assert(dp_noise_add(noise, &widest, most, &noisy));
        cr_expect(noisy > limit - ((__int128)1 << 40) && noisy < limit + ((__int128)1 << 40));
        cr_assert(dp_noise_add(noise, &widest, -most - 1, &noisy));
        cr_expect(noisy < -limit + ((__int128)1 << 40) && noisy > -limit - ((__int128)1 << 40));
        cr_assert(dp_noise_add(noise, &gaussian, limit - 5, &noisy));
        cr_expect(noisy > limit - 300 && noisy < limit + 300);
    }
    dp_noise_free(noise);
}

Test(noise, the_scale_follows_the_calibration_of_each_call)
{
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    const struct dp_calibration narrow = {.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 60) + 1};
    const struct dp_calibration wide = {.mechanism = DP_GAUSSIAN, .m = ((uint64_t)1 << 20) + 1};
    size_t large = 0;
    for (int i = 0; i < 1000; i++) {
        __int128 noisy;
        cr_assert(dp_noise_add(noise, &narrow, 42, &noisy));
        cr_expect(noisy == 42, "a standard deviation of 2^-10 rounds to nothing");
        cr_assert(dp_noise_add(noise, &wide, 0, &noisy));
        large += noisy > 1000000 || noisy < -1000000;
    }
    cr_expect(large > 990);
    dp_noise_free(noise);
}

Test(noise, the_generator_gives_fresh_words_across_blocks_and_reseeding)
{
    /* 2.5 MiB: blocks, and two times 32 fresh bytes; no word comes twice in a row or at a distance
     * of one block. */
    enum { N = 2621440 / 8, BLOCK = (4096 - 32) / 8 };
    uint64_t *words = malloc(N * sizeof(*words));
    cr_assert_not_null(words);
    uint64_t ones = 0;
    for (size_t i = 0; i < N; i++) {
        words[i] = next_word();
        ones += (uint64_t)__builtin_popcountll(words[i]);
        cr_assert(i < 1 || words[i] != words[i - 1]);
        cr_assert(i < BLOCK || words[i] != words[i - BLOCK]);
        if (i % 100000 == 0) {
            cr_assert(dp_rng_reseed());
        }
    }
    /* 2.1e7 fair bits: five standard deviations are 11,450 */
    uint64_t expected = (uint64_t)N * 32;
    uint64_t difference = ones > expected ? ones - expected : expected - ones;
    cr_expect(difference < 11450, "%lu of %lu", (unsigned long)ones, (unsigned long)expected);
    free(words);
}

Test(noise, a_calibration_that_nobody_made_gives_no_answer, .signal = SIGABRT)
{
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    const struct dp_calibration nothing = {.m = 0};
    __int128 noisy;
    (void)dp_noise_add(noise, &nothing, 1000, &noisy);
}

/* Words of the pool's memory that hold a sample. */
static size_t samples_left(const struct dp_noise *noise)
{
    enum { WORDS = 2 * 65536 };
    const volatile uint64_t *word = (const volatile uint64_t *)(const void *)noise;
    size_t n = 0;
    for (size_t i = 0; i < WORDS; i++) {
        n += word[i] >> 32 != 0;
    }
    return n;
}

Test(noise, a_sample_that_was_used_is_gone_from_memory)
{
    enum { DRAWS = 1000 };
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    size_t before = samples_left(noise);
    for (int i = 0; i < DRAWS; i++) {
        __int128 noisy;
        cr_assert(dp_noise_add(noise, &gaussian, 0, &noisy));
    }
    cr_expect_eq(samples_left(noise), before - DRAWS);
    dp_noise_free(noise);
}

Test(noise, coins_are_thrown_with_the_number_of_units_given)
{
    uint64_t keep[] = {0, 0, 0, UINT64_MAX};
    const struct dp_keep_table table = {.keep = keep, .n_entries = 4, .offset = 0};
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    for (uint64_t units = 0; units < 6; units++) {
        bool kept;
        cr_assert(dp_noise_keep(noise, &table, units, &kept));
        cr_expect_eq(kept, units >= 3, "%lu units", (unsigned long)units); /* wrong with 2^-64 */
    }
    dp_noise_free(noise);
}

Test(noise, quantiles_are_drawn_from_the_histogram_given)
{
    const uint64_t weights[4] = {100, 100, 1000, 100};
    const struct dp_rank ranks[2] = {{1, 2, 0}, {19, 20, 0}};
    struct dp_quantile_plan plan;
    uint32_t bins[2];
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    cr_assert(dp_plan_quantiles_pure(2, 1, 1, 10000000000, &plan));
    cr_assert(dp_noise_quantiles(noise, &plan, weights, 4, ranks, bins));
    /* the next bins are 35 units off at best, at a rate of 2.6: e^-90 */
    cr_expect(bins[0] == 2 && bins[1] == 3, "%u, %u", bins[0], bins[1]);
    dp_noise_free(noise);
}

/* How often a word stands in the memory that is wiped in children. -1: there is none. */
static int count_in_wiped_memory(uint64_t word)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(maps);
    char line[512];
    unsigned long low = 0;
    unsigned long high = 0;
    int n = -1;
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            low = from;
            high = to;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " wf") != NULL) {
            const volatile uint64_t *at = (const volatile uint64_t *)low;
            for (n = n < 0 ? 0 : n; at < (const volatile uint64_t *)high; at++) {
                n += *at == word;
            }
        }
    }
    fclose(maps);
    return n;
}

Test(noise, a_word_that_was_given_out_is_gone_from_memory)
{
    for (int i = 0; i < 20; i++) {
        uint64_t word = next_word();
        cr_expect_eq(count_in_wiped_memory(word), 0);
    }
    /* The search finds what is there: slots that are still empty. */
    struct dp_noise *noise = dp_noise_new();
    cr_assert_not_null(noise);
    cr_expect(count_in_wiped_memory(0) > 1000);
    dp_noise_free(noise);
}
