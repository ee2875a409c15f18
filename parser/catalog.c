/* Looking things up in a dataset's catalogue, and what follows from a column's type. */
#include "parser/catalog.h"

#include <assert.h>
#include <string.h>

#include "mechanisms/bounds.h"
#include "mechanisms/calibrate.h"

/* Sizes whose powers of two, and quarter powers between them, are exact decimals. */
enum { EXPONENT_MIN = -24, EXPONENT_MAX = 60, PRECISION_MAX = 37 };

const struct catalog_table *catalog_find(const struct catalog *catalog, const char *schema,
                                         const char *name)
{
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (strcmp(table->schema, schema) == 0 && strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}

static struct dp_decimal power_of_two(int exponent)
{
    const struct dp_grid grid = {0, exponent};
    struct dp_decimal value;
    bool exact = dp_grid_value(&grid, 1, &value);
    assert(exact); /* by the enumeration above */
    (void)exact;
    return value;
}

/* The largest power of two that is not above the size. */
static int exponent_of(const struct dp_decimal *size)
{
    int exponent = EXPONENT_MAX;
    for (; exponent > EXPONENT_MIN; exponent--) {
        const struct dp_decimal power = power_of_two(exponent);
        if (dp_decimal_compare(&power, size) <= 0)
            break;
    }
    return exponent;
}

/* numeric(p, s): false where the type has no modifier or a negative scale. */
static bool numeric_digits(const struct catalog_type *type, int *precision, int *scale)
{
    if (type->oid != TYPE_NUMERIC || type->typmod < 4)
        return false;
    *precision = (int)((uint32_t)(type->typmod - 4) >> 16);
    *scale = (type->typmod - 4) & 0x7ff;
    return *scale <= DP_DECIMAL_SCALE_MAX && *precision >= *scale;
}

/* The smallest size that the type tells apart; the type's range, where it has one that matters. */
static bool type_facts(const struct catalog_type *type, struct catalog_automatic *out,
                       struct dp_decimal *unit, struct dp_decimal *most)
{
    int precision = 0, scale = 0;
    *unit = dp_decimal_from_int(1);
    *most = dp_decimal_from_int(INT64_MAX);
    if (type->oid == TYPE_INT2)
        *most = dp_decimal_from_int(INT16_MAX);
    if (type->oid == TYPE_INT4)
        *most = dp_decimal_from_int(INT32_MAX);
    if (numeric_digits(type, &precision, &scale)) {
        *unit = (struct dp_decimal){1, scale};
        *most = (struct dp_decimal){1, scale};
        for (int i = 0; i < precision && i < PRECISION_MAX; i++)
            most->digits *= 10;
        most->digits -= 1;
        out->scale = scale;
        return true;
    }
    bool integer = type->oid == TYPE_INT2 || type->oid == TYPE_INT4 || type->oid == TYPE_INT8;
    out->scale = integer ? 0 : -1;
    return integer;
}

static bool is_number(uint32_t type)
{
    return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8 || type == TYPE_NUMERIC ||
           type == TYPE_FLOAT4 || type == TYPE_FLOAT8;
}

bool catalog_automatic_find(const struct catalog_type *type, const struct policy_automatic *policy,
                            struct catalog_automatic *out, const char **wrong)
{
    struct dp_decimal unit, most;
    if (!is_number(type->oid)) {
        *wrong = "cannot have automatic bounds; accepted: \"auto\" for numbers";
        return false;
    }
    bool exact = type_facts(type, out, &unit, &most);
    if (!exact && !policy->has_unit) {
        *wrong = "has no smallest size of its own; accepted: {\"auto\": true, \"unit\": u} with "
                 "the smallest size that matters";
        return false;
    }
    out->exponent = exponent_of(policy->has_unit ? &policy->unit : &unit);
    const struct dp_decimal limit = power_of_two(out->exponent + DP_BOUND_BINS - 1);
    if (!exact || dp_decimal_compare(&most, &limit) > 0)
        most = limit;
    out->high = policy->has_range ? policy->high : most;
    out->low = policy->has_range ? policy->low : dp_decimal_negate(&most);
    const struct dp_decimal below = dp_decimal_negate(&out->low);
    if (dp_decimal_compare(&out->high, &limit) > 0 || dp_decimal_compare(&below, &limit) > 0) {
        *wrong =
            "has automatic bounds within a range of more than 2^40 times their unit; accepted: "
            "a smaller range, or a larger \"unit\"";
        return false;
    }
    return true;
}
