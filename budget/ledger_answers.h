#ifndef BUDGET_LEDGER_ANSWERS_H
#define BUDGET_LEDGER_ANSWERS_H

/*
 * Answers that the ledger keeps (schema_answers.sql): what an analyst has paid for and may have
 * again for nothing, within the dataset's epoch and the window in which it was paid for.
 *
 * The order of things: ledger_kept_call before planning; the charge; where the charge says that it
 * takes draws over, ledger_adopted_call; after the noise ledger_keep_call.
 */
#include "budget/ledger.h"

enum {
    LEDGER_KEPT_MOST = 16 /* answers to one question that are handed out, the most exact ones */
};
/* keys_of: the keys that the first measure of the same release decides. */
#define LEDGER_KEYS_HERE UINT64_MAX

/* One noisy vector: what a measure of a release gave, in grid units, before anything was done with
 * it. Handed to ledger_keep_call by the caller, who owns all of it; or owned by ledger_answers. */
struct ledger_answer {
    uint64_t id; /* of the ledger; to keep: 0 */
    /* Its place in the releases of the charge. From ledger_kept_call: in those of the charge that
     * paid for it first; from ledger_adopted_call -1 for a key list that others are measured on. */
    int release;
    int measure;          /* its place in the release */
    const char *identity; /* of what is measured, whatever the noise (struct measure) */
    const char *since;    /* when it was charged, ISO, UTC; to keep: unused */
    /* Its charge holds what this draw of this measure costs; delta_atto what its threshold or its
     * coins cost. */
    struct dp_calibration calibration;
    /* Private keys. Where this answer decided them: keys, row by row, n_keys a row (an entry may be
     * NULL, the SQL NULL), and keys_of 0. Where it was measured on a list: the id of the answer
     * that decided it, or LEDGER_KEYS_HERE. Public keys or none: NULL and 0. */
    size_t n_keys;
    const char *const *keys;
    uint64_t keys_of;
    /* Public keys of a measure that adds up over groups: what it is without them, and which they
     * are, in the order of the groups (struct measure's family, struct release's fold_keys). NULL
     * and 0: else. */
    const char *family;
    size_t n_fold_keys;
    const char *const *fold_keys;
    size_t n_groups;
    const __int128 *noisy; /* n_groups; NULL: the keys alone are the answer */
};

struct ledger_answers {
    size_t n;
    struct ledger_answer *items;
    void *memory; /* what items and all they point at live in */
};
void ledger_answers_free(struct ledger_answers *answers);

/* What the analyst may have again that answers these questions (an identity; or FAMILY:KEY:KEY..,
 * in groups by at least those keys), LEDGER_KEPT_MOST for each at most, and behind it the key lists
 * that it is measured on where those were not asked for. Nothing for an account that is frozen,
 * disabled or revoked. Free the call. */
void ledger_kept_call(struct ledger_call *call, const char *analyst, const char *dataset,
                      const char *epoch, const char *const *questions, size_t n_questions);
/* The draws that the charge of this request took over, all answers of each, in the order of the
 * releases; behind them key lists as above. */
void ledger_adopted_call(struct ledger_call *call, const char *request_id, const char *analyst);
/* The result of both. LEDGER_OK or LEDGER_FAILED; *answers is to be freed after LEDGER_OK. */
enum ledger_outcome ledger_answers_result(const PGresult *result, struct ledger_answers *answers);

/* Keeps what a charge has measured. releases is what was charged; answers may leave out releases
 * (those taken over must be left out) and measures. Of a release with private keys the first
 * measure has the keys. Refused by the ledger unless the request is a charge of this analyst with
 * these releases; a second time it changes nothing. Not durable at once: a lost answer costs the
 * analyst, not the guarantee. Free the call. */
void ledger_keep_call(struct ledger_call *call, const char *request_id, const char *analyst,
                      const char *dataset, const char *epoch, const struct ledger_release *releases,
                      size_t n_releases, const struct ledger_answer *answers, size_t n_answers);
/* LEDGER_OK where the answers are kept now. */
enum ledger_outcome ledger_keep_result(const PGresult *result);

#endif
