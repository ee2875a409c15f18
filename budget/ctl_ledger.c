/* pgveilctl ledger ...: the journal, read and checked. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ctl_audit.h"
#include "budget/ledger_admin.h"

static const uint64_t entries_per_page = 5000;

static bool read_count(const char *text, uint64_t *out)
{
    char *end;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0') {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return true;
}

/* The journal's last seq. */
static bool read_last(struct ctl *ctl, uint64_t *last)
{
    struct ledger_call call;
    ledger_status_call(&call);
    PGresult *result = ctl_call(ctl, &call);
    bool ok =
        result && PQntuples(result) == 1 && read_count(PQgetvalue(result, 0, STATUS_ENTRIES), last);
    if (result && !ok) {
        ctl_error("the ledger gave no usable answer");
    }
    PQclear(result);
    return ok;
}

/* Whether an entry says what was drawn, and what it cost. */
static bool has_price(const PGresult *entries, int row)
{
    const char *kind = PQgetvalue(entries, row, ENTRY_KIND);
    return strcmp(kind, "charge") == 0 || strcmp(kind, "adoption") == 0;
}

/* What fits a terminal; programs get every column. */
static PGresult *abridged(const PGresult *entries)
{
    static const char *const columns[] = {"seq",      "at",    "kind",    "analyst", "dataset",
                                          "mu2_pico", "delta", "epsilon", "state",   "note"};
    static const int sources[] = {ENTRY_SEQ,     ENTRY_AT,       ENTRY_KIND,  ENTRY_ANALYST,
                                  ENTRY_DATASET, ENTRY_MU2_PICO, ENTRY_DELTA, ENTRY_EPSILON,
                                  ENTRY_STATE,   ENTRY_DETAIL};
    enum { COLUMNS = sizeof(sources) / sizeof(sources[0]) };
    PGresult *result = ctl_new_result(COLUMNS, columns);
    bool ok = result != NULL;
    for (int row = 0; ok && row < PQntuples(entries); row++) {
        bool charge = has_price(entries, row);
        for (int column = 0; ok && column < COLUMNS; column++) {
            bool empty = charge && sources[column] == ENTRY_DETAIL;
            ok = ctl_set_value(result, row, column,
                               empty ? "" : PQgetvalue(entries, row, sources[column]));
        }
    }
    if (!ok) {
        ctl_error("out of memory");
        PQclear(result);
        return NULL;
    }
    return result;
}

enum ctl_exit ctl_ledger_tail(struct ctl *ctl)
{
    struct ledger_call call;
    uint64_t lines = 20;
    const char *name, *dataset;
    const char *given = ctl->option[CTL_OPTION_LINES];
    if (given && !read_count(given, &lines)) {
        ctl_error("--lines is a number");
        return CTL_USAGE;
    }
    if (!ctl_filters(ctl, &name, &dataset)) {
        return CTL_USAGE;
    }
    ledger_entries_call(&call, name, dataset, 0, lines, true);
    PGresult *entries = ctl_call(ctl, &call);
    PGresult *shown = entries && ctl->format == CTL_TABLE ? abridged(entries) : NULL;
    bool ok = entries && ctl_check_empty(ctl, entries, CTL_HOLDER, name, dataset) &&
              (shown || ctl->format != CTL_TABLE) &&
              ctl_print_result(ctl, shown ? shown : entries, false);
    PQclear(entries);
    PQclear(shown);
    return ok ? CTL_OK : CTL_REFUSED;
}

enum ctl_exit ctl_ledger_show(struct ctl *ctl)
{
    struct ledger_call call;
    uint64_t seq = 0;
    ledger_entry_call(&call, ctl->arguments[0]);
    PGresult *result = ctl_call(ctl, &call);
    bool found = result && PQntuples(result) == 1 && read_count(PQgetvalue(result, 0, 0), &seq);
    if (result && !found) {
        ctl_error("the journal has no entry %s", ctl->arguments[0]);
    }
    PQclear(result);
    if (!found) {
        return CTL_REFUSED;
    }
    ledger_entries_call(&call, NULL, NULL, seq - 1, 1, false);
    return ctl_show(ctl, &call, true);
}

enum ctl_exit ctl_ledger_export(struct ctl *ctl)
{
    uint64_t after = 0;
    uint64_t last;
    if (!read_last(ctl, &last)) {
        return CTL_REFUSED;
    }
    while (after < last) {
        struct ledger_call call;
        ledger_entries_call(&call, NULL, NULL, after, entries_per_page, false);
        PGresult *result = ctl_call(ctl, &call);
        int rows = result ? PQntuples(result) : 0;
        bool ok = rows > 0 && ctl_print_lines(ctl, result, after == 0) &&
                  read_count(PQgetvalue(result, rows - 1, 0), &after);
        PQclear(result);
        if (!ok) {
            ctl_progress(NULL, 0, 0);
            ctl_error("the journal was not written whole");
            return CTL_REFUSED;
        }
        ctl_progress("export", after < last ? after : last, last);
    }
    ctl_progress(NULL, 0, 0);
    return CTL_OK;
}

/* Appends the findings of one call. */
static bool collect(struct ctl *ctl, const struct ledger_call *call, PGresult *findings)
{
    PGresult *result = ctl_call(ctl, call);
    bool ok = result != NULL;
    for (int row = 0; ok && row < PQntuples(result); row++) {
        int at = PQntuples(findings);
        for (int column = 0; ok && column < 2; column++) {
            ok = ctl_set_value(findings, at, column, PQgetvalue(result, row, column));
        }
    }
    PQclear(result);
    return ok;
}

static bool add_finding(PGresult *findings, const char *seq, const char *finding)
{
    int row = PQntuples(findings);
    return ctl_set_value(findings, row, 0, seq) && ctl_set_value(findings, row, 1, finding);
}

/* Whether an entry of the journal was paid as its noise demands. */
static bool check_price(const PGresult *entries, int row, PGresult *findings)
{
    struct dp_charge price;
    uint64_t booked = 0;
    uint64_t epsilon = 0;
    const char *seq = PQgetvalue(entries, row, ENTRY_SEQ);
    const char *epsilon_text = PQgetvalue(entries, row, ENTRY_EPSILON);
    if (!has_price(entries, row)) {
        return true;
    }
    if (!ctl_audit_price(PQgetvalue(entries, row, ENTRY_DETAIL), &price) ||
        !read_count(PQgetvalue(entries, row, ENTRY_MU2_PICO), &booked)) {
        return add_finding(findings, seq, "its price cannot be recomputed");
    }
    bool pure = epsilon_text[0] != '\0';
    if (pure) {
        ctl_read_amount(epsilon_text, 9, &epsilon); /* 0 where it is zero: then it is too small */
    }
    if (price.mu2_pico > booked || (pure && (!price.pure || price.epsilon > epsilon))) {
        return add_finding(findings, seq, "it was charged less than its noise demands");
    }
    return true;
}

static bool check_prices(struct ctl *ctl, uint64_t after, PGresult *findings)
{
    struct ledger_call call;
    ledger_entries_call(&call, NULL, NULL, after, entries_per_page, false);
    PGresult *entries = ctl_call(ctl, &call);
    bool ok = entries != NULL;
    for (int row = 0; ok && row < PQntuples(entries); row++) {
        ok = check_price(entries, row, findings);
    }
    PQclear(entries);
    return ok;
}

static bool read_head(const char *text, uint64_t *seq, const char **hash)
{
    char digits[24];
    const char *colon = text ? strchr(text, ':') : NULL;
    if (!text) {
        return true;
    }
    if (!colon || (size_t)(colon - text) >= sizeof(digits) || strlen(colon + 1) != 64) {
        return false;
    }
    memcpy(digits, text, (size_t)(colon - text));
    digits[colon - text] = '\0';
    *hash = colon + 1;
    return read_count(digits, seq) && *seq > 0;
}

static bool check_all(struct ctl *ctl, uint64_t head_seq, const char *head_hash, uint64_t *last,
                      PGresult *findings)
{
    struct ledger_call call;
    if (!read_last(ctl, last)) {
        return false;
    }
    for (uint64_t from = 1; from <= *last; from += entries_per_page) {
        ledger_check_journal_call(&call, from, from + entries_per_page - 1);
        if (!collect(ctl, &call, findings) || !check_prices(ctl, from - 1, findings)) {
            return false;
        }
        ctl_progress("verify", from + entries_per_page < *last ? from + entries_per_page : *last,
                     *last);
    }
    ledger_check_state_call(&call, head_seq, head_hash);
    return collect(ctl, &call, findings);
}

enum ctl_exit ctl_ledger_verify(struct ctl *ctl)
{
    static const char *const columns[] = {"seq", "finding"};
    uint64_t head_seq = 0;
    uint64_t last = 0;
    const char *head_hash = "";
    struct ledger_head noted;
    if (!read_head(ctl->option[CTL_OPTION_HEAD], &head_seq, &head_hash)) {
        ctl_error("--head is the number of an entry, a colon and its hash of 64 digits");
        return CTL_USAGE;
    }
    if (!ctl->option[CTL_OPTION_HEAD]) {
        if (!ctl_noted_head(ctl, &noted)) {
            return CTL_REFUSED;
        }
        head_seq = noted.seq;
        head_hash = noted.hash;
    }
    PGresult *findings = ctl_new_result(2, columns);
    bool ok = findings && check_all(ctl, head_seq, head_hash, &last, findings);
    ctl_progress(NULL, 0, 0);
    bool clean = ok && PQntuples(findings) == 0;
    if (ok && (!clean || ctl->format != CTL_TABLE)) {
        ok = ctl_print_result(ctl, findings, false);
    }
    PQclear(findings);
    if (clean) {
        fprintf(stderr, "the ledger is sound: %" PRIu64 " entries\n", last);
    }
    return ok && clean ? CTL_OK : CTL_REFUSED;
}
