/* Questions and progress on the terminal. */
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "budget/ctl.h"

bool ctl_confirm(struct ctl *ctl, enum ctl_exit *exit_code, const char *format, ...)
{
    char question[512];
    char answer[16];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(question, sizeof(question), format, arguments);
    va_end(arguments);
    *exit_code = CTL_OK;
    if (ctl->option[CTL_OPTION_YES] || ctl->option[CTL_OPTION_DRY_RUN]) {
        return true;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        ctl_error("%s Nothing was changed: repeat it with --yes", question);
        *exit_code = CTL_USAGE;
        return false;
    }
    fprintf(stderr, "%s Type yes: ", question);
    if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0) {
        ctl_error("nothing was changed");
        *exit_code = CTL_REFUSED;
        return false;
    }
    return true;
}

void ctl_progress(const char *what, uint64_t done, uint64_t total)
{
    enum { WIDTH = 40 };
    static bool shown;
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (total == 0) {
        fputs(shown ? "\r\033[K" : "", stderr);
        shown = false;
        return;
    }
    int filled = (int)(done * WIDTH / total);
    fprintf(stderr, "\r%s [%.*s%*s] %3d %%", what, filled,
            "########################################", WIDTH - filled, "",
            (int)(done * 100 / total));
    shown = true;
}

/* A spinner after the first second: whoever waits shall see that something does. */
static void show_waiting(const char *what, unsigned quarters, bool *shown)
{
    static const char marks[] = "|/-\\";
    if (quarters < 4 || !isatty(STDERR_FILENO)) {
        return;
    }
    fprintf(stderr, "\r\033[K%s %c %u s", what, marks[quarters % 4], quarters / 4);
    *shown = true;
}

PGresult *ctl_await(PGconn *connection, const char *what)
{
    enum { QUARTER_MS = 250 };
    struct pollfd socket = {.fd = PQsocket(connection), .events = POLLIN};
    PGresult *last = NULL;
    unsigned quarters = 0;
    bool shown = false, lost = false;
    while (!lost && PQisBusy(connection)) {
        int ready = poll(&socket, 1, QUARTER_MS);
        if (ready == 0) {
            show_waiting(what, ++quarters, &shown);
        } else if (ready > 0) {
            lost = PQconsumeInput(connection) == 0;
        }
    }
    if (shown) {
        fputs("\r\033[K", stderr);
    }
    for (PGresult *result; (result = PQgetResult(connection)) != NULL;) {
        PQclear(last);
        last = result;
    }
    return last;
}
