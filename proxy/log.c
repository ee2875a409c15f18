#include "proxy/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static enum log_level log_threshold = LOG_LEVEL_INFO;

bool log_set_level(const char *name)
{
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        if (strcmp(level_names[level], name) == 0) {
            log_threshold = (enum log_level)level;
            return true;
        }
    }
    return false;
}

/* Names come from files and the network: a line stays one line, and a terminal stays sane. Control
 * characters are also U+0080 to U+009F, in two bytes. */
static void make_printable(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)at[0], next = (unsigned char)at[1];
        if (byte == 0xc2 && next >= 0x80 && next < 0xa0)
            at[0] = at[1] = ' ';
        else if (byte < ' ' || byte == 0x7f)
            at[0] = ' ';
    }
}

static void __attribute__((format(printf, 2, 0)))
log_line(enum log_level level, const char *format, va_list arguments)
{
    if (level > log_threshold)
        return;
    int saved_errno = errno;
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32], text[1024], line[1200];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    make_printable(text);
    int length = snprintf(line, sizeof line, "%s.%03ldZ %s: %s\n", stamp, now.tv_nsec / 1000000,
                          level_names[level], text);
    /* One write, so that lines of several processes on one file do not mix. */
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0) {
        /* Nowhere to complain to. */
    }
    errno = saved_errno;
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_WARNING, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}
