#include "parser/plan.h"

bool release_is_measured(const struct release *release)
{
    return release->n_drawn > 0 || release->n_histograms > 0;
}
