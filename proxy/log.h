#ifndef PROXY_LOG_H
#define PROXY_LOG_H

/*
 * One line of log a call, to standard error, with time and level. What may stand in it: names of
 * datasets, analysts, servers and files, SQLSTATEs, durations. What never may: text of a statement,
 * a parameter, an exact or noisy value, text of the protected server's errors.
 */
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above the level are dropped; the default is LOG_LEVEL_INFO. False: no such name. */
bool log_set_level(const char *name);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
