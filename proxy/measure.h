#ifndef PROXY_MEASURE_H
#define PROXY_MEASURE_H

/*
 * Runs the measurements of one statement on the protected server: one read-only REPEATABLE READ
 * transaction with pinned settings, from a small pool of connections per dataset. The only file
 * that sends anything about an analyst's statement to the protected server, and it sends nothing
 * but the plan's SQL.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "parser/plan.h"

struct measure_pool;
struct measurement; /* one under way */

/* One exact row of the release-th release of the plan: its keys as texts (NULL: SQL NULL), and of
 * part 0 its measures, of part i a bin of its i-th histogram and the bin's weight. All are wiped or
 * gone after the call. Parts come in order. There is no limit on the rows: their number is not
 * public. False: give up; done follows with failed. */
typedef bool measure_row(void *context, size_t release, size_t part, const char *const *keys,
                         const __int128 *values);
/* failed: whatever the cause; nothing else is known of it. Called from the event loop, never from
 * inside measure_start. */
typedef void measure_done(void *context, bool failed);

/* Connects on demand. NULL without memory. */
struct measure_pool *measure_pool_new(struct event_base *base, const struct config *config,
                                      const struct config_dataset *dataset);
/* What is under way fails. Accepts NULL. */
void measure_pool_free(struct measure_pool *pool);

/* plan is borrowed until done or measure_abandon; time_zone, the analyst's, is copied (NULL: UTC),
 * and set only where a release uses it. Waits for a free connection if need be; the configuration's
 * measurement_timeout_ms counts from here. */
struct measurement *measure_start(struct measure_pool *pool, const struct plan *plan,
                                  const char *time_zone, measure_row *row, measure_done *done,
                                  void *context);
/* The same in two steps, so that what can fail without touching data fails before the charge: ready
 * is called when the transaction is open and nothing was asked in it; measure_go then asks. done
 * with failed before ready: the server cannot be had. Abandoned between the two, the connection
 * goes back as it is. The timeout counts anew from measure_go. */
typedef void measure_ready(void *context);
struct measurement *measure_reserve(struct measure_pool *pool, const struct plan *plan,
                                    const char *time_zone, measure_ready *ready, measure_row *row,
                                    measure_done *done, void *context);
/* skipped (NULL: none): relations of the plan that are not asked after all; borrowed until done.
 * Behind the plan's bounds, if it has any, ready is called once more, with the transaction open and
 * nothing under way in it, perhaps from inside this call: then the plan is exchanged by
 * measure_replan, and measure_go asks for the rest. */
void measure_go(struct measurement *measurement, const bool *skipped);
/* Another plan with the same relations and measures; what was asked stays so. The plan before it
 * need not be there any more. */
void measure_replan(struct measurement *measurement, const struct plan *plan);
/* The client went away or cancelled: done is not called; the server is told to stop. */
void measure_abandon(struct measurement *measurement);

#endif
