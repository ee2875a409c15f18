/* From exact rows to noisy arrays, with noise too small to show: m is so large that a draw is zero
 * but with probability far below 1e-100. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mechanisms/cdf.h"
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
    static const struct kept_draw first = {.answer = 1, .m = 12345},
                                  second[] = {{.answer = 0, .m = 3}, {.answer = 2, .m = 4}};
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

Test(release, groups_of_a_finer_answer_are_added_up)
{
    static const char *const domain[] = {"a", "b"};
    static const uint32_t fold[] = {1, 0, 1, 0, 1, 1};
    static const struct kept_draw own[] = {{.answer = 0, .m = 3, .fold = fold, .n_fold = 6}};
    static const struct kept_draw both[] = {{.answer = 0, .m = 3, .fold = fold, .n_fold = 6},
                                            {.answer = 1, .m = 4}};
    struct measure measures[] = {
        {.kind = MEASURE_COUNT, .calibration = quiet, .n_kept = 1, .kept = own},
        {.kind = MEASURE_COUNT, .calibration = quiet, .n_kept = 2, .kept = both}};
    struct release release = {
        .n_keys = 1, .n_domain = 2, .domain = domain, .n_measures = 2, .measures = measures};
    const __int128 most = ((__int128)1 << 105) - 1;
    const __int128 fine[] = {1, 10, -20, 1000, 300, 4}, coarse[] = {1000, 300};
    const __int128 largest[] = {most, -most, most, -most, most, most};
    const __int128 *const kept[] = {fine, coarse}, *const ends[] = {largest, coarse};
    struct array_params params = {0};
    struct release_output *output = release_begin(noise, &release, kept, 10);
    cr_assert(release_finish(output, false, &params));
    cr_expect(has_text(&params, 1, "{1010,285}"));
    /* (9 * 1010 + 16 * 1000) / 25 = 1003.6, (9 * 285 + 16 * 300) / 25 = 294.6 */
    cr_expect(has_text(&params, 2, "{1004,295}"));
    release_free(output);
    array_params_clear(&params);
    output = release_begin(noise, &release, ends, 10);
    cr_assert(release_finish(output, false, &params));
    /* -2 and 4 times 2^105 - 1 */
    cr_expect(has_text(&params, 1,
                       "{-81129638414606681695789005144062,162259276829213363391578010288124}"));
    release_free(output);
    array_params_clear(&params);
}

Test(release, no_group_is_a_list_of_groups_too)
{
    struct measure measures[] = {{.kind = MEASURE_UNITS, .calibration = quiet, .draw = quiet}};
    struct release release = {
        .n_keys = 1, .n_measures = 1, .n_drawn = 1, .measures = measures, .key_threshold = 1000};
    const char *key = "a";
    const __int128 exact = 1, none = 0;
    const __int128 *noisy = &none;
    struct array_params params = {0};
    struct release_output *drawn = release_begin(noise, &release, NULL, 10);
    cr_assert(release_add(drawn, &key, &exact) && release_finish(drawn, false, &params));
    cr_assert_eq(release_groups(drawn), 0u);
    cr_assert_not_null(release_keys(drawn), "the ledger tells it from an answer without a list");
    array_params_clear(&params);
    struct release_output *given = release_begin(noise, &release, NULL, 10);
    cr_assert(release_give(given, 0, release_keys(drawn), &noisy));
    cr_assert(release_finish(given, false, &params));
    cr_expect(has_text(&params, 1, "{}"));
    release_free(drawn);
    release_free(given);
    array_params_clear(&params);
}

Test(release, a_refined_measure_is_the_weighted_mean_of_old_and_new)
{
    static const char *const domain[] = {"a", "b"};
    static const struct kept_draw old = {.answer = 0, .m = 5};
    struct measure measures[] = {
        {.kind = MEASURE_COUNT, .calibration = quiet},
        {.kind = MEASURE_COUNT, .calibration = quiet, .draw = quiet, .n_kept = 1, .kept = &old},
        {.kind = MEASURE_UNITS, .calibration = quiet, .draw = quiet}};
    static const struct kept_draw whole = {.answer = 1, .m = 7};
    measures[0].n_kept = 1;
    measures[0].kept = &whole;
    measures[1].kept = &(struct kept_draw){.answer = 0, .m = measures[1].draw.m};
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

/* A plan of n quantiles so sharp that a draw is the best bin but with probability far below 1e-100.
 */
static struct release_draw sharp(const struct dp_rank *ranks, size_t n)
{
    struct release_draw draw = {.ranks = ranks};
    cr_assert(dp_plan_quantiles_pure(n, 1 << 20, 1, n * UINT64_C(1000000000000), &draw.plan));
    return draw;
}

static const struct dp_rank median = {1, 2, 0};
/* Values of the first draw, in its order. */
static const struct release_value drawn[] = {{.place = 0}, {.place = 1}};

/* Rows of a histogram: keys, bin, weight in people. */
struct bin_row {
    const char *key;
    long long bin, people;
};

static bool add_bins(struct release_output *output, size_t index, const struct bin_row *rows,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const __int128 values[] = {rows[i].bin, rows[i].people * ((__int128)1 << 20)};
        if (!release_add_bin(output, index, &rows[i].key, values))
            return false;
    }
    return true;
}

Test(release, quantiles_are_the_lower_edges_of_drawn_bins_in_every_group_of_a_domain)
{
    static const char *const domain[] = {"south", NULL, "north"};
    static const struct dp_rank ranks[] = {{1, 4, 0}, {3, 4, 0}};
    static const struct bin_row rows[] = {{"north", 3, 100}, {"north", 7, 100}, {NULL, 1, 50}};
    struct release_histogram histogram = {.n_bins = 10,
                                          .unit_weight = 1 << 20,
                                          .groups = 1,
                                          .grid = {.scale10 = 2},
                                          .first = -100,
                                          .width = 50,
                                          .n_draws = 1,
                                          .n_values = 2,
                                          .values = drawn};
    histogram.draws[0] = sharp(ranks, 2);
    struct release release = {
        .n_keys = 1, .n_domain = 3, .domain = domain, .n_histograms = 1, .histograms = &histogram};
    struct release_output *output = release_begin(noise, &release, NULL, 3);
    struct array_params params = {0};
    cr_assert(add_bins(output, 0, rows, sizeof rows / sizeof *rows));
    cr_assert(release_finish(output, false, &params));
    cr_assert_eq(params.count, 3, "keys and two quantiles");
    /* Nobody is in the south: anything may be drawn there. */
    char low[64] = "", high[64] = "";
    cr_assert_eq(sscanf((const char *)params.items[1].bytes, "{%*[^,],%60[^}]", low), 1);
    cr_assert_eq(sscanf((const char *)params.items[2].bytes, "{%*[^,],%60[^}]", high), 1);
    cr_expect_str_eq(low, "-0.50,0.50");
    cr_expect_str_eq(high, "-0.50,2.50");
    release_free(output);
    array_params_clear(&params);
}

Test(release, histograms_of_withheld_groups_are_ignored_and_those_without_values_drawn)
{
    struct measure measures[] = {{.kind = MEASURE_UNITS, .draw = quiet, .calibration = quiet}};
    static const struct bin_row rows[] = {
        {"a", 1, 100}, {"b", 2, 100}, {"c", 4, 60}, {"c", 5, 40}, {"unknown", 9, 100}};
    struct release_histogram histogram = {.n_bins = 6,
                                          .unit_weight = 1 << 20,
                                          .groups = 1,
                                          .width = 1,
                                          .n_draws = 1,
                                          .n_values = 1,
                                          .values = drawn};
    histogram.draws[0] = sharp(&median, 1);
    struct release release = {.n_keys = 1,
                              .key_threshold = 10,
                              .n_measures = 1,
                              .n_drawn = 1,
                              .measures = measures,
                              .n_histograms = 1,
                              .histograms = &histogram};
    const char *keys[] = {"a", "b", "c", "d"};
    const __int128 units[] = {100, 3, 100, 50};
    struct release_output *output = release_begin(noise, &release, NULL, 4);
    struct array_params params = {0};
    char buffer[64];
    for (size_t i = 0; i < 4; i++)
        cr_assert(release_add(output, &keys[i], &units[i]));
    cr_assert(add_bins(output, 0, rows, sizeof rows / sizeof *rows));
    cr_assert(release_finish(output, false, &params));
    cr_assert_eq(params.count, 3);
    cr_expect_eq(int32_at(&params.items[0], 12), 3, "b is withheld");
    cr_expect_str_eq(element(&params.items[0], 2, buffer), "d");
    int a = -1, c = -1, d = -1;
    cr_assert_eq(sscanf((const char *)params.items[2].bytes, "{%d,%d,%d}", &a, &c, &d), 3);
    cr_expect_eq(a, 1);
    cr_expect_eq(c, 4);
    cr_expect(d >= 0 && d < 6, "nobody of d has a value: %d", d);
    release_free(output);
    array_params_clear(&params);
}

Test(release, a_histogram_that_breaks_its_word_ends_the_release_and_nothing_else)
{
    static const struct bin_row broken[][3] = {
        {{"x", 6, 1}}, {{"x", -1, 1}}, {{"x", 1, -1}}, {{"x", 1, 1}, {"y", 1, 1}, {"x", 2, 1}}};
    static const size_t n[] = {1, 1, 1, 3};
    static const char *const domain[] = {"x", "y"};
    struct release_histogram histogram = {.n_bins = 6,
                                          .unit_weight = 1 << 20,
                                          .groups = 1,
                                          .width = 1,
                                          .n_draws = 1,
                                          .n_values = 1,
                                          .values = drawn};
    histogram.draws[0] = sharp(&median, 1);
    struct release release = {
        .n_keys = 1, .n_domain = 2, .domain = domain, .n_histograms = 1, .histograms = &histogram};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
        struct release_output *output = release_begin(noise, &release, NULL, 2);
        cr_expect_not(add_bins(output, 0, broken[i], n[i]), "%zu", i);
        release_free(output);
    }
    /* More than all the people there are: no assertion of the mechanism fails. */
    static const struct bin_row many[] = {{"x", 1, (long long)1 << 50},
                                          {"x", 2, (long long)1 << 50}};
    struct release_output *output = release_begin(noise, &release, NULL, 2);
    struct array_params params = {0};
    cr_expect(add_bins(output, 0, many, 2));
    cr_expect(release_finish(output, false, &params));
    release_free(output);
    array_params_clear(&params);
}

Test(release, a_distribution_is_noised_once_and_all_ranks_are_read_from_it)
{
    static const struct bin_row rows[] = {{NULL, 0, 10}, {NULL, 3, 60}, {NULL, 9, 30}};
    static const struct dp_rank ranks[] = {{1, 20, 0},   {1, 10, 0},   {11, 100, 0},
                                           {70, 100, 0}, {71, 100, 0}, {99, 100, 0}};
    struct release_value values[6] = {{.from = 0}};
    struct release_histogram histogram = {.n_bins = 10,
                                          .unit_weight = 1 << 10,
                                          .groups = 1,
                                          .width = 1,
                                          .floating = true,
                                          .n_draws = 1,
                                          .n_values = 6,
                                          .values = values};
    for (size_t i = 0; i < 6; i++)
        values[i].rank = ranks[i];
    struct release_draw *draw = &histogram.draws[0];
    struct dp_cdf cdf;
    /* A deviation of less than a tenth of one. */
    cr_assert(dp_cdf_init(10, 1 << 10, 1, UINT64_C(1000000000000000), &cdf));
    draw->whole = cdf.calibration;
    draw->plan = (struct dp_quantile_plan){.unit_weight = 1 << 10, .n = 6};
    draw->ranks = ranks;
    dp_cdf_clear(&cdf);
    struct release release = {.n_histograms = 1, .histograms = &histogram};
    struct release_output *output = release_begin(noise, &release, NULL, 1);
    struct array_params params = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const __int128 bin[] = {rows[i].bin, (__int128)rows[i].people << 10};
        cr_assert(release_add_bin(output, 0, NULL, bin));
    }
    cr_assert(release_finish(output, false, &params));
    cr_assert_eq(params.count, 6);
    /* Ranks 10 and 70 of 100 lie where two bins meet: either may come. */
    cr_expect(text_is(&params.items[0], "{0}"));
    cr_expect(text_is(&params.items[2], "{3}"));
    cr_expect(text_is(&params.items[4], "{9}"));
    cr_expect(text_is(&params.items[5], "{9}"));
    release_free(output);
    array_params_clear(&params);
}

Test(release, what_was_kept_of_quantiles_is_handed_over_again_beside_what_is_drawn)
{
    static const char *const domain[] = {"x", "y"};
    /* Of all people the first half is in bin 2, the rest in bin 7; nobody is in group y. */
    static const uint64_t weights[2][10] = {{[2] = 50 << 10, [7] = 50 << 10}, {0}};
    static const struct bin_row rows[] = {{"x", 4, 100}};
    __int128 distribution[20], middle[2] = {5, 11};
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(10, DISTRIBUTION_UNIT_WEIGHT, 1, UINT64_C(1000000000000000), &cdf));
    for (size_t i = 0; i < 2; i++)
        dp_cdf_encode(&cdf, weights[i], distribution + 10 * i);
    static const __int128 far[20] = {[0] = 1000, [11] = -1000};
    const __int128 *kept[] = {middle, distribution, far};
    struct release_value values[] = {
        {.rank = {1, 4, 0}, .source = VALUE_OF_KEPT_DISTRIBUTION},
        {.rank = {1, 3, 0}, .source = VALUE_KEPT, .from = 0},
        {.rank = {1, 2, 0}, .source = VALUE_DRAWN, .from = 0, .place = 0},
        {.rank = {3, 4, 0}, .source = VALUE_OF_KEPT_DISTRIBUTION}};
    /* Of two draws the second weighs nearly nothing. */
    const struct kept_draw draws[] = {{.answer = 1, .m = cdf.calibration.m}, {.answer = 2, .m = 1}};
    struct release_histogram histogram = {.n_bins = 10,
                                          .unit_weight = 1 << 20,
                                          .groups = 1,
                                          .width = 1,
                                          .n_draws = 1,
                                          .n_values = 4,
                                          .values = values,
                                          .kept = {2, draws, cdf.calibration}};
    dp_cdf_clear(&cdf);
    histogram.draws[0] = sharp(&median, 1);
    struct release release = {
        .n_keys = 1, .n_domain = 2, .domain = domain, .n_histograms = 1, .histograms = &histogram};
    struct release_output *output = release_begin(noise, &release, kept, 2);
    struct array_params params = {0};
    cr_assert(add_bins(output, 0, rows, 1));
    cr_assert(release_finish(output, false, &params));
    cr_assert_eq(params.count, 5);
    int x = -1, y = -1;
    cr_expect(text_is(&params.items[1], "{2,0}"), "of nobody the first bin");
    cr_expect(text_is(&params.items[2], "{5,9}"), "a bin that is none is the nearest");
    cr_assert_eq(sscanf((const char *)params.items[3].bytes, "{%d,%d}", &x, &y), 2);
    cr_expect_eq(x, 4, "drawn now");
    cr_expect(text_is(&params.items[4], "{7,0}"));
    release_free(output);
    array_params_clear(&params);
}

Test(release, a_distribution_is_put_together_of_what_was_kept_and_what_is_drawn)
{
    static const struct bin_row rows[] = {{NULL, 4, 100}};
    static const uint64_t before[10] = {[8] = 100 << 10};
    __int128 distribution[10];
    const __int128 *kept[] = {distribution};
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(10, DISTRIBUTION_UNIT_WEIGHT, 1, UINT64_C(1000000000000000), &cdf));
    dp_cdf_encode(&cdf, before, distribution);
    struct kept_draw draw = {.answer = 0};
    struct release_value value = {.rank = {1, 2, 0}};
    struct release_histogram histogram = {.n_bins = 10,
                                          .unit_weight = DISTRIBUTION_UNIT_WEIGHT,
                                          .groups = 1,
                                          .width = 1,
                                          .n_draws = 1,
                                          .n_values = 1,
                                          .values = &value,
                                          .distribution = "its identity"};
    histogram.draws[0] = (struct release_draw){.plan = {.unit_weight = 1 << 10, .n = 1},
                                               .ranks = &value.rank,
                                               .whole = cdf.calibration,
                                               .n_kept = 1,
                                               .kept = &draw};
    struct release release = {.n_histograms = 1, .histograms = &histogram};
    for (int heavy = 0; heavy < 2; heavy++) {
        /* Half the people are in bin 4, the rest in bin 8, or three quarters and one, the weight
         * being that of the squares. */
        draw.m = heavy ? cdf.calibration.m * 2 : cdf.calibration.m / 2;
        struct release_output *output = release_begin(noise, &release, kept, 1);
        struct array_params params = {0};
        const __int128 bin[] = {rows[0].bin, (__int128)rows[0].people << 10};
        cr_assert(release_add_bin(output, 0, NULL, bin));
        cr_assert(release_finish(output, false, &params));
        cr_expect(text_is(&params.items[0], heavy ? "{8}" : "{4}"));
        const __int128 *fresh = release_distribution(output, 0);
        uint64_t alone[10] = {[4] = 100 << 10};
        __int128 encoded[10];
        dp_cdf_encode(&cdf, alone, encoded);
        double deviation = 0x1p50 / (double)cdf.calibration.m;
        for (size_t i = 0; i < 10; i++)
            cr_expect(fabs((double)(fresh[i] - encoded[i])) < 12 * deviation,
                      "what is kept is the draw alone");
        release_free(output);
        array_params_clear(&params);
    }
    dp_cdf_clear(&cdf);
}

Test(release, a_distribution_to_be_kept_is_handed_out_with_its_noise)
{
    static const char *const domain[] = {"x", "y"};
    static const struct bin_row rows[] = {{"x", 1, 100}, {"x", 3, 100}};
    struct release_value value = {.rank = {1, 2, 0}};
    struct dp_cdf cdf;
    cr_assert(dp_cdf_init(6, DISTRIBUTION_UNIT_WEIGHT, 1, UINT64_C(1000000000000), &cdf));
    struct release_histogram histogram = {.n_bins = 6,
                                          .unit_weight = DISTRIBUTION_UNIT_WEIGHT,
                                          .groups = 1,
                                          .width = 1,
                                          .n_draws = 1,
                                          .n_values = 1,
                                          .values = &value,
                                          .distribution = "its identity"};
    histogram.draws[0] =
        (struct release_draw){.plan = {.unit_weight = DISTRIBUTION_UNIT_WEIGHT, .n = 1},
                              .ranks = &value.rank,
                              .whole = cdf.calibration};
    struct release release = {
        .n_keys = 1, .n_domain = 2, .domain = domain, .n_histograms = 1, .histograms = &histogram};
    struct release_output *output = release_begin(noise, &release, NULL, 2);
    struct array_params params = {0};
    for (size_t i = 0; i < 2; i++) {
        const __int128 bin[] = {rows[i].bin, (__int128)rows[i].people << 10};
        cr_assert(release_add_bin(output, 0, &rows[i].key, bin));
    }
    cr_assert(release_finish(output, false, &params));
    const __int128 *noisy = release_distribution(output, 0);
    const uint64_t exact[2][6] = {{[1] = 100 << 10, [3] = 100 << 10}, {0}};
    double deviation = 0x1p50 / (double)cdf.calibration.m;
    for (size_t group = 0; group < 2; group++) {
        __int128 encoded[6];
        size_t same = 0;
        dp_cdf_encode(&cdf, exact[group], encoded);
        for (size_t i = 0; i < 6; i++) {
            double error = (double)(noisy[6 * group + i] - encoded[i]) / deviation;
            same += error == 0;
            cr_expect(error > -12 && error < 12, "%zu: %g deviations", i, error);
        }
        /* Each with a chance of less than one in a million: deviations are millions of units. */
        cr_expect_lt(same, 2u, "every bin has noise");
    }
    cr_expect_gt(deviation, 1e6);
    dp_cdf_clear(&cdf);
    release_free(output);
    array_params_clear(&params);
}

Test(release, groups_without_values_are_drawn_in_slices_each_once)
{
    enum { GROUPS = 300 };
    static char names[GROUPS][16];
    static const char *domain[GROUPS];
    for (int i = 0; i < GROUPS; i++) {
        snprintf(names[i], sizeof names[i], "g%03d", i);
        domain[i] = names[i];
    }
    static const struct bin_row rows[] = {{"g007", 3, 100}, {"g250", 5, 100}};
    struct release_histogram histograms[2] = {{.n_bins = 4000,
                                               .unit_weight = 1 << 20,
                                               .groups = 1,
                                               .width = 1,
                                               .n_draws = 1,
                                               .n_values = 1,
                                               .values = drawn}};
    histograms[0].draws[0] = sharp(&median, 1);
    histograms[1] = histograms[0];
    struct release release = {.n_keys = 1,
                              .n_domain = GROUPS,
                              .domain = domain,
                              .n_histograms = 2,
                              .histograms = histograms};
    struct release_output *output = release_begin(noise, &release, NULL, GROUPS);
    struct array_params params = {0};
    cr_assert(add_bins(output, 0, rows, 2));
    size_t slices = 0, steps = 0;
    for (; steps == 0; slices++) {
        steps = 20;
        cr_assert(release_draw_some(output, &steps));
        cr_assert_leq(slices, 600u);
    }
    cr_expect_geq(slices, 2u * (GROUPS - 2) / 20, "no group takes less than a step");
    cr_assert(release_finish(output, false, &params));
    cr_assert_eq(params.count, 3);
    cr_assert_eq(release_groups(output), (size_t)GROUPS);
    cr_expect_eq(release_bin(output, 7, 0, 0), 3u, "not drawn again without its values");
    cr_expect_eq(release_bin(output, 250, 0, 0), 5u);
    size_t other = 0;
    for (size_t i = 0; i < GROUPS; i++)
        other += release_bin(output, i, 0, 0) != release_bin(output, i, 1, 0);
    cr_expect_gt(other, GROUPS / 2u, "of nobody any bin, in each histogram by itself");
    release_free(output);
    array_params_clear(&params);
}
