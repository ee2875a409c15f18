/*
 * The plan of a private statement: made of what the twin and the ledger have said, and once more,
 * for the same price, where bounds had to be found first.
 */
#include <string.h>

#include "proxy/log.h"
#include "proxy/statement_internal.h"

void run_begin_outputs(struct statement_run *run)
{
    for (size_t i = 0; i < run->n_arrays; i++)
        if (run->plan->relations[i].kind == RELATION_RELEASE)
            run->outputs[i] =
                release_begin(run->session->server->noise, run->plan->relations[i].release,
                              run->reuse.values, run->session->server->config->answer_rows_max);
}

/* The numbers of bounds that are known: kept ones, and those that the statement has bought. */
static const struct plan_histogram *list_histograms(const struct statement_run *run, size_t *n)
{
    const struct reuse *reuse = &run->reuse;
    struct plan_histogram *all =
        arena_alloc(run->arena, (reuse->n + run->n_bought + 1) * sizeof *all);
    *n = 0;
    for (size_t i = 0; i < reuse->n; i++)
        if (reuse->values[i] != NULL && reuse->kept[i].keys_of == 0)
            all[(*n)++] = (struct plan_histogram){.identity = reuse->kept[i].identity,
                                                  .calibration = reuse->kept[i].calibration,
                                                  .n = reuse->kept[i].n_groups,
                                                  .noisy = reuse->values[i]};
    for (size_t i = 0; i < run->n_bought; i++)
        all[(*n)++] = run->bought[i];
    return all;
}

enum plan_result run_make_plan(struct statement_run *run, struct refusal *refusal,
                               const struct sql_constant **wanted, size_t *n_wanted)
{
    const struct prepared *prepared = run->request.prepared;
    struct plan_request request = {.catalog = run->session->edition->catalog,
                                   .resolved_oids = run->flight.oids,
                                   .settings = &run->settings,
                                   .n_params = prepared->n_params,
                                   .params = run->flight.params,
                                   .n_constants = run->n_constants,
                                   .constants = run->constants,
                                   .asks_for_kept = run->reuses,
                                   .n_kept = run->reuse.n,
                                   .kept = run->reuse.kept};
    request.histograms = list_histograms(run, &request.n_histograms);
    request.may_know_more = run->reuses && run->n_asked == 0;
    return parser_plan(prepared->parsed, run->request.index, &request, &run->plan, refusal, wanted,
                       n_wanted);
}

/* What a plan that was charged and the one that is measured in its place have in common: all that
 * the price was made of. */
static const char *price_of(struct arena *arena, const struct plan *plan)
{
    struct text out = text_new(arena);
    text_printf(&out, "%zu %llu %llu %llu %d", plan->n_bounds,
                (unsigned long long)plan->charge.mu2_pico,
                (unsigned long long)plan->charge.delta_atto,
                (unsigned long long)plan->charge.epsilon, plan->charge.pure);
    for (size_t i = 0; i < plan->n_relations; i++) {
        const struct release *release = plan->relations[i].release;
        text_printf(&out, " %d", plan->relations[i].kind);
        if (plan->relations[i].kind == RELATION_RELEASE)
            text_add(&out, release->n_drawn > 0 ? release->mechanism_json : "");
    }
    return out.data;
}

static bool replan_for(struct statement_run *run, const char *price)
{
    struct refusal refusal = {0};
    const struct sql_constant *wanted = NULL;
    size_t n_wanted = 0;
    return run_make_plan(run, &refusal, &wanted, &n_wanted) == PLAN_READY &&
           strcmp(price_of(run->arena, run->plan), price) == 0;
}

bool run_replan(struct statement_run *run)
{
    const char *price = price_of(run->arena, run->plan);
    for (size_t i = 0; i < run->n_arrays; i++) {
        release_free(run->outputs[i]);
        run->outputs[i] = NULL;
    }
    bool done = replan_for(run, price);
    if (!done) { /* within the outer range there was one before the charge */
        log_warning("no plan for the bounds that were found: the outer range is used");
        for (size_t i = 0; i < run->n_bought; i++)
            run->bought[i].noisy = NULL;
        done = replan_for(run, price);
    }
    if (done)
        run_begin_outputs(run);
    return done;
}
