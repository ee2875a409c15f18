/* Recomputes prices from the journal, by the same functions of mechanisms/ that made them but from
 * the integers alone. */
#include "budget/ctl_audit.h"

#include <jansson.h>
#include <string.h>

static bool read_natural(const json_t *object, const char *key, uint64_t *out)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool measure_price(const json_t *measure, struct dp_charge *charge)
{
    struct dp_calibration calibration = {0};
    const char *mechanism = json_string_value(json_object_get(measure, "mechanism"));
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
    json_array_foreach(releases, index, release)
    {
        ok = ok && add_release(release, charge);
    }
    json_decref(releases);
    return ok;
}
