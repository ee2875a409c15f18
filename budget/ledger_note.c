#include "budget/ledger_note.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *ledger_note_path(const char *state_directory)
{
    char *path = NULL;
    return asprintf(&path, "%s/ledger-head", state_directory) < 0 ? NULL : path;
}

static bool parse(const char *line, struct ledger_head *head)
{
    char *colon = NULL;
    errno = 0;
    head->seq = strtoull(line, &colon, 10);
    if (errno != 0 || colon == line || *colon != ':')
        return false;
    size_t digits = strspn(colon + 1, "0123456789abcdef");
    if (digits != sizeof head->hash - 1 || (colon[1 + digits] != '\n' && colon[1 + digits] != '\0'))
        return false;
    memcpy(head->hash, colon + 1, digits);
    head->hash[digits] = '\0';
    return true;
}

bool ledger_note_read(const char *path, struct ledger_head *head, bool *found, char error[512])
{
    char line[128] = "";
    FILE *file = fopen(path, "re");
    int reason = errno;
    memset(head, 0, sizeof *head);
    *found = file != NULL;
    if (file == NULL && reason == ENOENT)
        return true;
    if (file == NULL) {
        snprintf(error, 512, "%.300s cannot be read: %s", path, strerror(reason));
        return false;
    }
    bool ok = fgets(line, sizeof line, file) != NULL && parse(line, head);
    fclose(file);
    if (!ok)
        snprintf(error, 512, "%.300s should hold SEQ:HASH of the journal and does not", path);
    return ok;
}

bool ledger_note_write(const char *path, const struct ledger_head *head)
{
    char *fresh = NULL;
    struct stat old;
    bool ok = false;
    if (asprintf(&fresh, "%s.new", path) < 0)
        return false;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ok = dprintf(fd, "%" PRIu64 ":%s\n", head->seq, head->hash) > 0 && fsync(fd) == 0;
        if (ok && geteuid() == 0 && stat(path, &old) == 0)
            ok = fchown(fd, old.st_uid, old.st_gid) == 0;
        ok = close(fd) == 0 && ok && rename(fresh, path) == 0;
    }
    free(fresh);
    return ok;
}
