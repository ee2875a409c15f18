/* Any role may change these in PostgreSQL, and clients send them; none of them reaches what pgveil
 * itself relies on. A name that ends with * stands for all that begin so. */
#include "parser/settings.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const allowed[] = {
    "application_name",
    "backslash_quote",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "default_transaction_*",
    "dp.confidence",
    "dp.delta",
    "dp.epsilon",
    "dp.max_error",
    "dp.mechanism",
    "dp.notices",
    "dp.reuse",
    "enable_*",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "geqo_*",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "jit_*",
    "join_collapse_limit",
    "lock_timeout",
    "plan_cache_mode",
    "row_security",
    "search_path",
    "seed",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_*",
    "work_mem",
    "xmlbinary",
    "xmloption",
};

bool setting_is_allowed(const char *name)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        size_t length = strlen(allowed[i]);
        if (allowed[i][length - 1] == '*' ? strncasecmp(name, allowed[i], length - 1) == 0
                                          : strcasecmp(name, allowed[i]) == 0)
            return true;
    }
    return false;
}
