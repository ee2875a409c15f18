#include "parser/plan.h"

bool release_is_measured(const struct release *release)
{
    bool measured = release->n_drawn > 0;
    for (size_t i = 0; i < release->n_histograms; i++)
        measured = measured || release->histograms[i].n_drawn > 0;
    return measured;
}

struct dp_calibration release_draw_sharpness(const struct release_draw *draw, uint64_t groups)
{
    struct dp_calibration sharpness = draw->whole;
    if (draw->whole.m == 0) /* the exponential mechanism's strength stands in the divisor's place */
        sharpness = (struct dp_calibration){.mechanism = DP_LAPLACE,
                                            .delta_grid = draw->plan.unit_weight,
                                            .groups = groups,
                                            .m = draw->plan.half_range};
    sharpness.charge = draw->plan.charge;
    return sharpness;
}
