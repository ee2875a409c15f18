/* From exact rows to noisy arrays, with noise too small to show: m is so large that a draw is zero
 * but with probability far below 1e-100. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/release.h"

static const struct dp_calibration quiet = {.mechanism = DP_GAUSSIAN,
                                            .grid = {0, 0},
                                            .delta_grid = 1,
                                            .groups = 1,
                                            .m = (UINT64_C(1) << 61) + 1};

static uint32_t int32_at(const struct array_param *param, size_t offset)
{
    const unsigned char *at = param->bytes + offset;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Text of the n-th element of a binary array; NULL: SQL NULL. */
static const char *element(const struct array_param *param, size_t n, char buffer[64])
{
    size_t offset = 20;
    for (size_t i = 0;; i++) {
        uint32_t length = int32_at(param, offset);
        if (i == n && length == UINT32_MAX)
            return NULL;
        if (i == n) {
            memcpy(buffer, param->bytes + offset + 4, length);
            buffer[length] = '\0';
            return buffer;
        }
        offset += 4 + (length == UINT32_MAX ? 0 : length);
    }
}

static bool text_is(const struct array_param *param, const char *text)
{
    return param->length == strlen(text) && memcmp(param->bytes, text, param->length) == 0;
}

static struct dp_noise *noise;

/* All rows in, arrays out; every measure is drawn by its calibration. */
static bool release_all(const struct release *wanted, size_t n_rows, const char *const *keys,
                        const __int128 *values, bool empty, struct array_params *params)
{
    enum { MOST = 4 };
    struct measure measures[MOST];
    struct release all = *wanted, *release = &all;
    cr_assert_leq(wanted->n_measures, MOST);
    for (size_t i = 0; i < wanted->n_measures; i++) {
        measures[i] = wanted->measures[i];
        measures[i].draw = measures[i].calibration;
    }
    all.measures = measures;
    all.n_drawn = all.n_measures;
    struct release_output *output = release_begin(noise, release, NULL, 2);
    bool ok = true;
    for (size_t i = 0; i < n_rows && ok; i++)
        ok = release_add(output, keys + i * release->n_keys, values + i * release->n_measures);
    ok = ok && release_finish(output, empty, params);
    release_free(output);
    return ok;
}

static void open_noise(void)
{
    noise = dp_noise_new();
    cr_assert_not_null(noise);
}

static void close_noise(void)
{
    dp_noise_free(noise);
}

TestSuite(release, .init = open_noise, .fini = close_noise);

Test(release, every_group_of_a_domain_appears_in_its_order_and_empty_ones_are_zero)
{
    static const char *const domain[] = {"south", "west", NULL, "north"};
    struct measure measures[] = {{.kind = MEASURE_COUNT, .calibration = quiet}};
    struct release release = {
        .n_keys = 1, .n_domain = 4, .domain = domain, .n_measures = 1, .measures = measures};
    const char *keys[] = {"north", NULL};
    __int128 values[] = {7, 3};
    enum { N = 2 };
    struct array_params params = {0};
    char buffer[64];
    cr_assert(release_all(&release, N, keys, values, false, &params));
    cr_assert_eq(params.count, 2);
    cr_assert_str_eq(element(&params.items[0], 0, buffer), "south");
    cr_assert_null(element(&params.items[0], 2, buffer));
    cr_assert_str_eq(element(&params.items[0], 3, buffer), "north");
    cr_assert(text_is(&params.items[1], "{0,0,3,7}"));
    array_params_clear(&params);
}

Test(release, private_groups_below_the_threshold_are_withheld_whole)
{
    struct measure measures[] = {{.kind = MEASURE_UNITS, .calibration = quiet},
                                 {.kind = MEASURE_SUM, .calibration = quiet}};
    measures[1].calibration.grid.scale10 = 2;
    struct release release = {
        .n_keys = 1, .key_threshold = 10, .n_measures = 2, .measures = measures};
    const char *keys[] = {"rare", "at", "above"};
    __int128 values[] = {9, 100, 10, -250, 11, 300};
    enum { N = 3 };
    struct array_params params = {0};
    char buffer[64];
    cr_assert(release_all(&release, N, keys, values, false, &params));
    cr_assert_eq(params.count, 3);
    cr_assert_eq(int32_at(&params.items[0], 12), 2);
    cr_assert_str_eq(element(&params.items[0], 0, buffer), "at");
    cr_assert_str_eq(element(&params.items[0], 1, buffer), "above");
    cr_assert(text_is(&params.items[1], "{10,11}"));
    cr_assert(text_is(&params.items[2], "{-2.50,3.00}"));
    array_params_clear(&params);
}

Test(release, keys_alone_are_kept_by_coins_and_nothing_else_is_handed_over)
{
    /* Certain from four people on, as likely as not with three, impossible below. */
    static uint64_t chances[] = {0, UINT64_C(1) << 63};
    struct dp_keep_table keep = {.keep = chances, .n_entries = 2, .offset = 2};
    struct measure measures[] = {{.kind = MEASURE_UNITS, .calibration = quiet}};
    struct release release = {
        .n_keys = 1, .n_measures = 1, .measures = measures, .keep = &keep, .n_hidden = 1};
    const char *keys[] = {"certain", "half", "never", "negative"};
    __int128 values[] = {(__int128)1 << 90, 3, 2, -1};
    enum { N = 4, RUNS = 2000 };
    size_t halves = 0;
    for (size_t run = 0; run < RUNS; run++) {
        struct array_params params = {0};
        char buffer[64];
        cr_assert(release_all(&release, N, keys, values, false, &params));
        cr_assert_eq(params.count, 1);
        uint32_t shown = int32_at(&params.items[0], 12);
        cr_assert(shown == 1 || shown == 2);
        cr_assert_str_eq(element(&params.items[0], 0, buffer), "certain");
        halves += shown == 2;
        array_params_clear(&params);
    }
    /* Six standard deviations of 2,000 fair coins: wrong once in 1e9. */
    cr_expect(halves > 1000 - 135 && halves < 1000 + 135, "%zu", halves);
}

Test(release, a_probe_gets_empty_arrays)
{
    struct measure measures[] = {{.kind = MEASURE_UNITS, .calibration = quiet}};
    struct release release = {.n_keys = 1, .n_measures = 1, .measures = measures};
    struct array_params params = {0};
    cr_assert(release_all(&release, 0, NULL, NULL, true, &params));
    cr_assert_eq(params.count, 2);
    cr_assert_eq(int32_at(&params.items[0], 0), 0);
    cr_assert(text_is(&params.items[1], "{}"));
    array_params_clear(&params);
}

Test(release, a_domain_without_measures_is_listed_without_rows)
{
    static const char *const domain[] = {"a", "1", "b", "2"};
    struct release release = {.n_keys = 2, .n_domain = 2, .domain = domain};
    struct array_params params = {0};
    char buffer[64];
    cr_assert(release_all(&release, 0, NULL, NULL, false, &params));
    cr_assert_eq(params.count, 2);
    cr_assert_str_eq(element(&params.items[1], 1, buffer), "2");
    array_params_clear(&params);
}

Test(release, floating_sums_are_multiples_of_their_grid)
{
    struct measure measures[] = {{.kind = MEASURE_SUM, .calibration = quiet, .floating = true}};
    measures[0].calibration.grid.exp2 = -40;
    struct release release = {.n_measures = 1, .measures = measures};
    __int128 values[] = {((__int128)3) << 39};
    enum { N = 1 };
    struct array_params params = {0};
    cr_assert(release_all(&release, N, NULL, values, false, &params));
    cr_assert_eq(params.items[0].type, 1022);
    cr_assert(text_is(&params.items[0], "{1.5}"));
    array_params_clear(&params);
}

Test(release, more_released_groups_than_allowed_fail_and_withheld_ones_do_not_count)
{
    struct measure measures[] = {{.kind = MEASURE_UNITS, .calibration = quiet}};
    struct release release = {
        .n_keys = 1, .key_threshold = 10, .n_measures = 1, .measures = measures};
    const char *keys[] = {"a", "b", "c", "d", "e"};
    const __int128 fits[] = {9, 10, 9, 11, 9}, does_not[] = {9, 10, 9, 11, 10};
    struct array_params params = {0};
    cr_assert(release_all(&release, 5, keys, fits, false, &params));
    array_params_clear(&params);
    cr_assert_not(release_all(&release, 5, keys, does_not, false, &params));
    array_params_clear(&params);
}

static bool has_text(const struct array_params *params, size_t index, const char *text)
{
    return index < params->count && text_is(&params->items[index], text);
}

Test(release, what_is_kept_is_handed_over_again_and_nothing_is_drawn)
{
    static const char *const domain[] = {"a", "b", NULL};
    static const struct kept_draw first = {1, 12345}, second[] = {{0, 3}, {2, 4}};
    struct measure measures[] = {
        {.kind = MEASURE_COUNT, .calibration = quiet, .n_kept = 1, .kept = &first},
        {.kind = MEASURE_SUM, .calibration = quiet, .n_kept = 2, .kept = second}};
    measures[1].calibration.grid.scale10 = 1;
    struct release release = {
        .n_keys = 1, .n_domain = 3, .domain = domain, .n_measures = 2, .measures = measures};
    const __int128 three[] = {0, 10, -7}, counts[] = {5, -1, 9}, four[] = {100, 35, -8};
    const __int128 *const kept[] = {three, counts, four};
    struct array_params params = {0};
    struct release_output *output = release_begin(noise, &release, kept, 10);
    cr_assert(release_finish(output, false, &params));
    cr_expect(has_text(&params, 1, "{5,-1,9}"));
    /* (9 y1 + 16 y2) / 25: 64, 26, -7.64 */
    cr_expect(has_text(&params, 2, "{6.4,2.6,-0.8}"));
    release_free(output);
    array_params_clear(&params);
}

Test(release, a_refined_measure_is_the_weighted_mean_of_old_and_new)
{
    static const char *const domain[] = {"a", "b"};
    static const struct kept_draw old = {0, 5};
    struct measure measures[] = {
        {.kind = MEASURE_COUNT, .calibration = quiet},
        {.kind = MEASURE_COUNT, .calibration = quiet, .draw = quiet, .n_kept = 1, .kept = &old},
        {.kind = MEASURE_UNITS, .calibration = quiet, .draw = quiet}};
    static const struct kept_draw whole = {1, 7};
    measures[0].n_kept = 1;
    measures[0].kept = &whole;
    measures[1].kept = &(struct kept_draw){0, measures[1].draw.m};
    struct release release = {.n_keys = 1,
                              .n_domain = 2,
                              .domain = domain,
                              .n_measures = 3,
                              .n_drawn = 2,
                              .measures = measures};
    const __int128 before[] = {10, -21}, kept_whole[] = {77, 78};
    const __int128 *const kept[] = {before, kept_whole};
    const char *keys[] = {"b", "elsewhere", "a"};
    const __int128 exact[] = {20, 1, 1000, 1000, 11, 2};
    struct array_params params = {0};
    struct release_output *output = release_begin(noise, &release, kept, 10);
    for (size_t i = 0; i < 3; i++)
        cr_assert(release_add(output, keys + i, exact + 2 * i));
    cr_assert(release_finish(output, false, &params));
    cr_expect(has_text(&params, 1, "{77,78}"));
    cr_expect(has_text(&params, 2, "{11,-1}"), "10.5 and -0.5, halves away from zero");
    cr_expect(has_text(&params, 3, "{2,1}"));
    /* What is kept of it is the new draw alone. */
    cr_assert_eq(release_groups(output), 2u);
    cr_expect_str_eq(release_keys(output)[1], "b");
    cr_expect_eq((long)release_drawn(output, 0, 1), 11);
    cr_expect_eq((long)release_drawn(output, 1, 1), 20);
    cr_expect_eq((long)release_drawn(output, 1, 2), 1);
    release_free(output);
    array_params_clear(&params);
}
