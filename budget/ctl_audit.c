/* Recomputes prices from the journal, by the same functions of mechanisms/ that made them but from
 * the integers alone. */
#include "budget/ctl_audit.h"

#include <jansson.h>
#include <string.h>

#include "mechanisms/quantile.h"

static bool read_natural(const json_t *object, const char *key, uint64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Quantiles drawn by the exponential mechanism. */
static bool quantile_price(const json_t *measure, struct dp_charge *charge)
{
    uint64_t n, groups, half_range;
    return read_natural(measure, "n", &n) && read_natural(measure, "groups", &groups) &&
           read_natural(measure, "half_range", &half_range) &&
           dp_quantile_charge((size_t)n, groups, half_range, charge);
}

static bool measure_price(const json_t *measure, struct dp_charge *charge)
{
    struct dp_calibration calibration = {0};
    const char *mechanism = json_string_value(json_object_get(measure, "mechanism"));
    if (mechanism && strcmp(mechanism, "exponential") == 0) {
        return quantile_price(measure, charge);
    }
    if (!mechanism || !read_natural(measure, "delta", &calibration.delta_grid) ||
        !read_natural(measure, "groups", &calibration.groups) ||
        !read_natural(measure, "m", &calibration.m)) {
        return false;
    }
    if (strcmp(mechanism, "gaussian") == 0) {
        calibration.mechanism = DP_GAUSSIAN;
        return dp_gaussian_charge(&calibration, charge);
    }
    if (strcmp(mechanism, "laplace") == 0) {
        calibration.mechanism = DP_LAPLACE;
        return dp_laplace_charge(&calibration, charge);
    }
    return false;
}

/* A complement is drawn with the noise of the Laplace sum that it completes, and one unit moves the
 * two together by no more than either: the sum's charge is for both, once. */
static bool is_complement(const json_t *release, const json_t *measure)
{
    uint64_t of, other;
    size_t index, completed = 0;
    json_t *item;
    const char *kind = json_string_value(json_object_get(measure, "measure"));
    if (!kind || strcmp(kind, "complement") != 0 || !read_natural(measure, "of", &of)) {
        return false;
    }
    const json_t *sum = json_array_get(release, of);
    kind = json_string_value(json_object_get(sum, "measure"));
    const char *mechanism = json_string_value(json_object_get(sum, "mechanism"));
    json_array_foreach(release, index, item)
    {
        completed += read_natural(item, "of", &other) && other == of;
    }
    return kind && mechanism && strcmp(kind, "sum") == 0 && strcmp(mechanism, "laplace") == 0 &&
           completed == 1;
}

static bool add_release(const json_t *release, struct dp_charge *sum)
{
    size_t index;
    json_t *measure;
    if (!json_is_array(release)) {
        return false;
    }
    json_array_foreach(release, index, measure)
    {
        struct dp_charge charge;
        if (is_complement(release, measure)) {
            continue;
        }
        if (!measure_price(measure, &charge) ||
            __builtin_add_overflow(sum->mu2_pico, charge.mu2_pico, &sum->mu2_pico) ||
            __builtin_add_overflow(sum->epsilon, charge.epsilon, &sum->epsilon)) {
            return false;
        }
        sum->pure = sum->pure && charge.pure;
    }
    return true;
}

bool ctl_audit_price(const char *detail, struct dp_charge *charge)
{
    *charge = (struct dp_charge){.pure = true};
    json_t *releases = json_loads(detail, JSON_REJECT_DUPLICATES, NULL);
    bool ok = json_is_array(releases);
    size_t index;
    json_t *release;
    if (json_is_object(releases)) { /* an adoption */
        ok = add_release(json_object_get(releases, "measures"), charge);
    }
    json_array_foreach(releases, index, release)
    {
        ok = ok && add_release(release, charge);
    }
    json_decref(releases);
    return ok;
}
