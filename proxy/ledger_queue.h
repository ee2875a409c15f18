#ifndef PROXY_LEDGER_QUEUE_H
#define PROXY_LEDGER_QUEUE_H

/*
 * Charges on one dataset on their way to the ledger. One that comes while none is under way is sent
 * at once; those that come while others are go together with the next batch, as one transaction.
 * So the charges of a busy analyst queue neither for the locks on the accounts nor for the disk.
 */
#include "proxy/pg_client.h"

struct ledger_queue;

/* A charge waits and is under way for timeout_ms each at most. NULL without memory. */
struct ledger_queue *ledger_queue_new(struct event_base *base, const char *conninfo,
                                      const char *dataset, uint64_t timeout_ms);
/* Pending callbacks are called with NULL; what they add then is dropped. Not from inside a callback
 * of the queue. Accepts NULL. */
void ledger_queue_free(struct ledger_queue *queue);

/*
 * Takes the charge (ledger_charge_text). done is called from the event loop with a result for
 * ledger_charge_result; with an error of the server, where nothing was debited; or with NULL, where
 * the charge may or may not have happened: asked again under the same request id it happens once.
 * alone: in a batch of its own. For what was answered with an error, so that the next one is not
 * everybody's (an error of a batch is found out here, by sending each of its charges alone; where
 * it only collided with something else, the batch is sent again).
 */
void ledger_queue_add(struct ledger_queue *queue, char *charge, bool alone, pg_client_done *done,
                      void *context);

#endif
