/* Questions and progress on the terminal. */
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
        ctl_error("%s cannot be undone: repeat it with --yes", ctl->command->name);
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
