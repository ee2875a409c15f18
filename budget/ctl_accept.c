/* pgveilctl ledger accept: the DBA's word that a ledger which was set back is to be used. And the
 * note that pgveil keeps of the journal's newest entry, for who compares with it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "budget/ctl.h"
#include "budget/ledger_admin.h"
#include "budget/ledger_note.h"
#include "config/config.h"

/* Path of the note below the configuration's state directory; allocated, NULL with a message. */
static char *note_path(const struct ctl *ctl)
{
    struct config *config = ctl_read_config(ctl);
    if (!config) {
        return NULL;
    }
    char *path = ledger_note_path(config->state_directory);
    config_free(config);
    if (!path) {
        ctl_error("out of memory");
    }
    return path;
}

bool ctl_noted_head(const struct ctl *ctl, struct ledger_head *head)
{
    char error[512];
    bool found = false;
    memset(head, 0, sizeof(*head));
    /* A server named on the command line need not be the one that the note is about. */
    if (ctl->option[CTL_OPTION_SERVER]) {
        return true;
    }
    struct config *config = ctl_read_config(ctl);
    char *path = config ? ledger_note_path(config->state_directory) : NULL;
    bool ok = path && ledger_note_read(path, head, &found, error);
    if (path && !ok) {
        ctl_error("%s", error);
    }
    config_free(config);
    free(path);
    return ok;
}

/* Whether the journal holds the entry. False with a message where the ledger does not say. */
static bool holds(struct ctl *ctl, const struct ledger_head *noted, bool *continues)
{
    struct ledger_call call;
    ledger_continues_call(&call, noted);
    PGresult *result = ctl_call(ctl, &call);
    bool ok = result && ledger_continues_result(result, continues) == LEDGER_OK;
    PQclear(result);
    return ok;
}

static bool newest(struct ctl *ctl, struct ledger_head *head)
{
    struct ledger_call call;
    ledger_head_call(&call);
    PGresult *result = ctl_call(ctl, &call);
    bool ok = result && ledger_head_result(result, head) == LEDGER_OK;
    PQclear(result);
    return ok;
}

/* The journal first: where the note cannot be written the command is to be repeated. */
static enum ctl_exit accept(struct ctl *ctl, const char *path, const struct ledger_head *noted)
{
    struct ledger_call call;
    struct ledger_head head;
    if (!ctl_begin_change(ctl)) {
        return CTL_REFUSED;
    }
    ledger_accept_call(&call, noted);
    enum ctl_exit exit_code = ctl_change(ctl, &call, "ledger", NULL);
    if (exit_code == CTL_OK && !ctl->option[CTL_OPTION_DRY_RUN]) {
        if (!newest(ctl, &head)) {
            exit_code = CTL_REFUSED;
        } else if (!ledger_note_write(path, &head)) {
            ctl_error("cannot write %s: %s; repeat the command as pgveil's user or root", path,
                      strerror(errno));
            exit_code = CTL_REFUSED;
        } else {
            fprintf(stderr, "the ledger is accepted: pgveil goes on from entry %" PRIu64 "\n",
                    head.seq);
        }
    }
    ctl_finish_change(ctl);
    return exit_code;
}

enum ctl_exit ctl_ledger_accept(struct ctl *ctl)
{
    struct ledger_head noted;
    struct ledger_head head;
    char error[512];
    bool found = false;
    bool continues = true;
    enum ctl_exit exit_code = CTL_REFUSED;
    char *path = note_path(ctl);
    if (!path) {
        return CTL_REFUSED;
    }
    if (!ledger_note_read(path, &noted, &found, error)) {
        ctl_error("%s", error);
    } else if (!holds(ctl, &noted, &continues) || !newest(ctl, &head)) {
        exit_code = CTL_REFUSED;
    } else if (!found || noted.seq == 0 || continues) {
        fprintf(stderr, "nothing to accept: the ledger holds all that was noted of it in %s\n",
                path);
        exit_code = CTL_OK;
    } else if (ctl_confirm(ctl, &exit_code,
                           "The journal ends with entry %" PRIu64
                           " and does not hold entry %" PRIu64
                           ", which pgveil has seen. What was charged since the backup is "
                           "forgotten, and analysts keep what they learned for it. Use this "
                           "ledger all the same?",
                           head.seq, noted.seq)) {
        exit_code = accept(ctl, path, &noted);
    }
    free(path);
    return exit_code;
}
