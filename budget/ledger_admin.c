/* Calls of the functions in schema_admin.sql that only the DBA's tool needs. */
#include "budget/ledger_admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "budget/accountant.h"
#include "budget/ledger_call.h"

/* Set aside for what numerical approximations could miss: 1e-12. */
static const dp_atto delta_numeric = 1000000;
static const dp_nano epsilon_nano_max = 1000000000000;

static const char *const mode_names[LEDGER_MODES] = {"gdp", "zcdp", "pure"};

bool ledger_mode_parse(const char *text, enum ledger_mode *mode)
{
    for (int i = 0; i < LEDGER_MODES; i++) {
        if (strcmp(text, mode_names[i]) == 0) {
            *mode = (enum ledger_mode)i;
            return true;
        }
    }
    return false;
}

const char *ledger_mode_name(enum ledger_mode mode)
{
    return mode_names[mode];
}

bool ledger_grant_init(struct ledger_grant *grant, dp_nano epsilon, dp_atto delta,
                       enum ledger_mode mode, const char *window, char *error, size_t size)
{
    memset(grant, 0, sizeof(*grant));
    grant->epsilon = epsilon;
    grant->delta = delta;
    grant->mode = mode;
    grant->window = window;
    /* A tenth, rounded up, pays for private keys and for what numbers could miss. Pure DP needs no
     * delta but for keys. */
    dp_atto tenth = mode == LEDGER_PURE ? delta : delta / 10 + (delta % 10 != 0);
    if (tenth < delta_numeric) {
        snprintf(error, size,
                 "delta is too small: a tenth of it (in mode pure: all of it) must hold 1e-12");
        return false;
    }
    grant->delta_conv = delta - tenth;
    grant->delta_keys = tenth - delta_numeric;
    bool found = epsilon <= epsilon_nano_max;
    if (mode == LEDGER_GDP) {
        found = dp_mu2_cap(epsilon, grant->delta_conv, &grant->cap_pico);
    } else if (mode == LEDGER_ZCDP) {
        found = accountant_zcdp_cap(epsilon, grant->delta_conv, &grant->cap_pico);
    }
    if (!found || grant->cap_pico > INT64_MAX) {
        snprintf(error, size,
                 "no budget follows from this epsilon and delta: epsilon must lie between 1e-9 and "
                 "1000, delta between 1e-11 and 1, and not both at their ends");
        return false;
    }
    return true;
}

const char *ledger_admin_word(const PGresult *result)
{
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
        PQnfields(result) < 1) {
        return "";
    }
    return PQgetvalue(result, 0, 0);
}

void ledger_version_call(struct ledger_call *call)
{
    ledger_call_begin(call,
                      "SELECT pg_catalog.max(v.version)::pg_catalog.text FROM pgveil.version v");
}

void ledger_analyst_add_call(struct ledger_call *call, const char *name, const char *verifier)
{
    ledger_call_begin(call, "SELECT pgveil.analyst_add($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, verifier);
}

void ledger_analyst_passwd_call(struct ledger_call *call, const char *name, const char *verifier)
{
    ledger_call_begin(call,
                      "SELECT pgveil.analyst_passwd($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, verifier);
}

void ledger_analyst_enable_call(struct ledger_call *call, const char *name, bool enabled)
{
    ledger_call_begin(call,
                      "SELECT pgveil.analyst_enable($1::pg_catalog.text, $2::pg_catalog.bool)");
    ledger_call_text(call, name);
    ledger_call_bool(call, enabled);
}

void ledger_analysts_call(struct ledger_call *call, const char *name)
{
    ledger_call_begin(call,
                      "SELECT a.analyst, a.enabled, pg_catalog.to_json(a.datasets) AS datasets,"
                      " pg_catalog.to_json(a.groups) AS groups, a.created_at"
                      " FROM pgveil.analysts($1::pg_catalog.text) a");
    ledger_call_text(call, name);
}

void ledger_analysts_in_words_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT a.analyst, a.enabled,"
                            " pg_catalog.array_to_string(a.datasets, ', ') AS datasets,"
                            " pg_catalog.array_to_string(a.groups, ', ') AS groups, a.created_at"
                            " FROM pgveil.analysts(NULL) a");
}

void ledger_analyst_remove_call(struct ledger_call *call, const char *name)
{
    ledger_call_begin(call, "SELECT pgveil.analyst_remove($1::pg_catalog.text)");
    ledger_call_text(call, name);
}

void ledger_member_call(struct ledger_call *call, const char *group, const char *analyst,
                        bool joins)
{
    ledger_call_begin(call, "SELECT pgveil.member($1::pg_catalog.text, $2::pg_catalog.text,"
                            " $3::pg_catalog.bool)");
    ledger_call_text(call, group);
    ledger_call_text(call, analyst);
    ledger_call_bool(call, joins);
}

void ledger_groups_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.groups()");
}

void ledger_grant_call(struct ledger_call *call, const char *holder, const char *name,
                       const char *dataset, const struct ledger_grant *grant)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.set_budget($1::pg_catalog.text, $2::pg_catalog.text,"
                      " $3::pg_catalog.text, $4::pg_catalog.int8, $5::pg_catalog.int8,"
                      " $6::pg_catalog.text, $7::pg_catalog.int8, $8::pg_catalog.int8,"
                      " $9::pg_catalog.int8, $10::pg_catalog.text)");
    ledger_call_text(call, holder);
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
    ledger_call_integer(call, grant->epsilon);
    ledger_call_integer(call, grant->delta);
    ledger_call_text(call, ledger_mode_name(grant->mode));
    ledger_call_integer(call, grant->cap_pico);
    ledger_call_integer(call, grant->delta_conv);
    ledger_call_integer(call, grant->delta_keys);
    ledger_call_text(call, grant->window);
}

void ledger_change_call(struct ledger_call *call, const char *holder, const char *name,
                        const char *dataset, const char *change)
{
    ledger_call_begin(call, "SELECT pgveil.change_budget($1::pg_catalog.text,"
                            " $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.text)");
    ledger_call_text(call, holder);
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
    ledger_call_text(call, change);
}

void ledger_budgets_call(struct ledger_call *call, const char *name, const char *dataset)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.budgets($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
}

void ledger_limits_call(struct ledger_call *call, const char *analyst, const char *dataset)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.limits($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, analyst);
    ledger_call_text(call, dataset);
}

void ledger_settings_call(struct ledger_call *call, const char *dataset)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.settings($1::pg_catalog.text)");
    ledger_call_text(call, dataset);
}

void ledger_setting_call(struct ledger_call *call, const char *name, const char *dataset)
{
    ledger_call_begin(call, "SELECT pgveil.setting($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
}

void ledger_setting_set_call(struct ledger_call *call, const char *name, const char *dataset,
                             const uint64_t *value)
{
    ledger_call_begin(call, "SELECT pgveil.set_setting($1::pg_catalog.text,"
                            " $2::pg_catalog.text, $3::pg_catalog.int8)");
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
    if (value) {
        ledger_call_integer(call, *value);
    } else {
        ledger_call_text(call, NULL);
    }
}

void ledger_accept_call(struct ledger_call *call, const struct ledger_head *noted)
{
    ledger_call_begin(call, "SELECT pgveil.accept($1::pg_catalog.int8, $2::pg_catalog.text)");
    ledger_call_integer(call, noted->seq);
    ledger_call_text(call, noted->hash);
}

void ledger_names_call(struct ledger_call *call, const char *kind)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.names($1::pg_catalog.text)");
    ledger_call_text(call, kind);
}

void ledger_alike_call(struct ledger_call *call, const char *kind, const char *name)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.alike($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, kind);
    ledger_call_text(call, name);
}

void ledger_datasets_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.datasets()");
}

void ledger_status_call(struct ledger_call *call)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.status()");
}

void ledger_entries_call(struct ledger_call *call, const char *name, const char *dataset,
                         uint64_t after, uint64_t limit, bool newest)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.entries($1::pg_catalog.text, $2::pg_catalog.text,"
                            " $3::pg_catalog.int8, $4::pg_catalog.int8, $5::pg_catalog.bool)");
    ledger_call_text(call, name);
    ledger_call_text(call, dataset);
    ledger_call_integer(call, after);
    ledger_call_integer(call, limit);
    ledger_call_bool(call, newest);
}

void ledger_entry_call(struct ledger_call *call, const char *key)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.entry($1::pg_catalog.text)");
    ledger_call_text(call, key);
}

void ledger_check_journal_call(struct ledger_call *call, uint64_t from, uint64_t to)
{
    ledger_call_begin(
        call, "SELECT * FROM pgveil.check_journal($1::pg_catalog.int8, $2::pg_catalog.int8)");
    ledger_call_integer(call, from);
    ledger_call_integer(call, to);
}

void ledger_check_state_call(struct ledger_call *call, uint64_t head_seq, const char *head_hash)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.check_state($1::pg_catalog.int8, $2::pg_catalog.text)");
    ledger_call_integer(call, head_seq);
    ledger_call_text(call, head_hash);
}

void ledger_answers_list_call(struct ledger_call *call, const char *dataset, const char *analyst)
{
    ledger_call_begin(call,
                      "SELECT * FROM pgveil.answers($1::pg_catalog.text, $2::pg_catalog.text)");
    ledger_call_text(call, dataset);
    ledger_call_text(call, analyst);
}

void ledger_answers_forget_call(struct ledger_call *call, const char *dataset, const char *analyst,
                                const uint64_t *draw)
{
    ledger_call_begin(call, "SELECT * FROM pgveil.answers_forget($1::pg_catalog.text,"
                            " $2::pg_catalog.text, $3::pg_catalog.int8)");
    ledger_call_text(call, dataset);
    ledger_call_text(call, analyst);
    if (draw) {
        ledger_call_integer(call, *draw);
    } else {
        ledger_call_text(call, NULL);
    }
}
