#include "parser/plan.h"

bool release_is_measured(const struct release *release)
{
    bool measured = release->n_drawn > 0;
    for (size_t i = 0; i < release->n_histograms; i++)
        measured = measured || release->histograms[i].n_draws > 0;
    return measured;
}
