#ifndef PROXY_FINAL_H
#define PROXY_FINAL_H

/* The messages that bind pgveil's own statements in the analyst's twin session: the client's
 * parameters as they came, the noisy arrays behind them. */
#include <stdbool.h>
#include <stddef.h>

#include "parser/plan.h"
#include "proxy/release.h"
#include "proxy/session_internal.h"

/* Parse of the plan's final statement, or of the rows of EXPLAIN. */
void final_parse(struct evbuffer *twin, const char *name, const struct plan *plan,
                 size_t n_client_params, const uint32_t *client_types, size_t n_arrays,
                 const struct array_params *arrays);
/* Bind with the client's parameters and result formats (client NULL: none, text) and the arrays.
 * Without arrays the results are text: the flight's own row. */
void final_bind(struct evbuffer *twin, const char *portal, const char *name,
                const struct statement_request *client, size_t n_arrays,
                const struct array_params *arrays);
/* Writes an ErrorResponse of the twin about a statement of pgveil's own: severity, SQLSTATE and
 * texts, without positions, which mean nothing in the client's text. */
void final_report_error(const struct wire_message *message, struct evbuffer *out);

#endif
