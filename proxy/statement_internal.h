#ifndef PROXY_STATEMENT_INTERNAL_H
#define PROXY_STATEMENT_INTERNAL_H

/*
 * A private statement under way, as its own files see it. Each step ends by starting the next or by
 * failing; nothing goes back. What can be refused is refused before the charge. After it there is
 * one failure, the same whatever the cause, and the charge stands.
 *
 *   statement.c         start, flight, plan
 *   statement_plan.c    the planner's question, and its answer made anew
 *   statement_feed.c    what the ledger has to say: relations, EXPLAIN
 *   statement_charge.c  reserve, charge, measure
 *   statement_answer.c  the final statement
 */
#include "proxy/final.h"
#include "proxy/flight.h"
#include "proxy/release.h"
#include "proxy/reuse.h"
#include "proxy/session_internal.h"

enum { STATEMENT_LEDGER_TIMEOUT_MS = 10000 };

enum stage {
    STAGE_FLIGHT,  /* asking the twin; nothing spent */
    STAGE_LEDGER,  /* asking the ledger what remains; nothing spent */
    STAGE_RESERVE, /* waiting for a connection to the protected server; nothing spent */
    STAGE_CHARGE,  /* the debit is under way: it may or may not have happened */
    STAGE_MEASURE, /* charged */
    STAGE_KEEP,    /* measured; the ledger is noting the answers */
    STAGE_WAIT,    /* measured; the answer waits for its time quantum */
    STAGE_BIND     /* the final statement is on its way to the twin */
};

struct statement_run {
    struct session *session;
    unsigned serial; /* tells callbacks of an earlier run of the session apart */
    enum stage stage;
    struct arena *arena;
    struct statement_request request; /* own copies, in the arena; holds prepared */
    struct flight flight;
    bool answered; /* the flight's row has come */
    size_t n_constants;
    struct sql_constant *constants;
    struct plan_settings settings;
    const struct plan *plan;
    bool reuses;        /* answers are looked up and kept */
    const char **asked; /* questions to which the ledger has said what is kept */
    size_t n_asked;
    struct reuse reuse;
    size_t n_bought; /* numbers of plan->n_bounds releases, once they are drawn */
    struct plan_histogram *bought;
    struct ledger_answers taken; /* draws of others that the charge took over */
    uint64_t *adopted;           /* per charged release: another's draw that it takes over, or 0 */
    bool *skipped;               /* per relation of the plan: taken over, not measured */
    size_t n_arrays;             /* one set per relation of the plan; EXPLAIN: one */
    struct array_params *arrays;
    struct release_output **outputs; /* one per relation, NULL but for releases */
    size_t fed;          /* relations that the ledger feeds: those before this one are done */
    char request_id[37]; /* "": nothing is charged */
    unsigned tries;
    struct measurement *measurement;
    struct event *quantum;
    struct event *slice; /* to go on with drawing */
    uint64_t started_ms;
    const char *cancel; /* set when asked to stop while a step cannot be interrupted */
};

/* Own statement on the twin; a client that uses the name harms only its own session. */
extern const char run_statement_name[];

/* statement.c */
void run_end(struct session *session, enum statement_end how);
void run_fail(struct statement_run *run, const struct refusal *refusal);
void run_fail_with(struct statement_run *run, const char *sqlstate, const char *message,
                   const char *hint);
void run_fail_ledger(struct statement_run *run);
/* Gives the connection to the protected server back. */
void run_release_connection(struct statement_run *run);
/* True where the run was asked to stop: it then does. */
bool run_stops(struct statement_run *run);
/* Called unless the run has ended meanwhile; result NULL: no answer. */
typedef void run_ledger_answer(struct statement_run *run, const PGresult *result);
void run_ask_ledger(struct statement_run *run, const struct ledger_call *call,
                    run_ledger_answer *then);
/* With others that come now; alone: see ledger_queue.h. */
void run_ask_charge(struct statement_run *run, const struct ledger_charge *charge, bool alone,
                    run_ledger_answer *then);
void run_pass_on_error(struct statement_run *run, const struct wire_message *message);

/* statement_plan.c: what parser_plan says of the statement; run->plan. */
enum plan_result run_make_plan(struct statement_run *run, struct refusal *refusal,
                               const struct sql_constant **wanted, size_t *n_wanted);
void run_begin_outputs(struct statement_run *run);
/* Plans again with the bounds that were bought, for the same price, and begins the outputs anew.
 * False: there is no such plan. */
bool run_replan(struct statement_run *run);

/* statement_feed.c: asks the ledger for each relation that it feeds, one after the other; then the
 * releases' turn, or EXPLAIN's. */
void run_feed(struct statement_run *run);
void run_explain(struct statement_run *run);

/* statement_charge.c: measures what is to be measured, then answers. */
void run_charge_or_answer(struct statement_run *run);
/* Notes in the ledger how a charge ended, where there was one: the client has its answer (or an
 * error of the final statement's own), or the measurement failed. The charge stands whether or not
 * that succeeds; one of which nothing is noted is unresolved. */
void run_resolve(struct statement_run *run, bool answered);

/* statement_answer.c */
void run_bind_final(struct statement_run *run);
/* Answers leave at multiples of the quantum, counted from the statement's arrival. */
void run_wait_quantum(struct statement_run *run);

#endif
