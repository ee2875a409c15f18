#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/log.h"

/* Standard error goes into a pipe while the log is written. */
static int saved, ends[2];
static char text[4096];

static void start(void)
{
    cr_assert_eq(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
}

static const char *written(void)
{
    dup2(saved, STDERR_FILENO); /* closes the pipe's last writing end */
    ssize_t length = read(ends[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

TestSuite(log, .init = start);

Test(log, a_line_has_time_level_and_text)
{
    log_warning("dataset %s: %d", "census", 7);
    const char *line = written();
    cr_assert_eq(strlen(line), strlen("2026-11-22T03:26:57.867Z warning: dataset census: 7\n"));
    cr_assert_str_eq(line + strlen("2026-11-22T03:26:57.867"), "Z warning: dataset census: 7\n");
}

Test(log, lines_above_the_level_are_dropped)
{
    cr_assert(log_set_level("warning"));
    cr_assert_not(log_set_level("loud"));
    log_info("one");
    log_debug("two");
    log_error("three");
    log_warning("four");
    const char *lines = written();
    cr_assert_null(strstr(lines, "one"));
    cr_assert_null(strstr(lines, "two"));
    cr_assert_not_null(strstr(lines, "error: three\n"));
    cr_assert_not_null(strstr(lines, "warning: four\n"));
}

Test(log, a_name_cannot_forge_a_line_or_steer_a_terminal)
{
    log_info("user \"%s\"", "x\n2026-01-01T00:00:00.000Z error: forged\x1b[31m\xc2\x9b"
                            "31m Zo\xc3\xab");
    const char *line = written();
    cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
    cr_assert_null(strchr(line, '\x1b'));
    cr_assert_null(strchr(line, '\x9b'));
    cr_assert_not_null(strstr(line, "31m Zo\xc3\xab"));
}

Test(log, a_long_text_is_cut_and_still_ends_its_line)
{
    char name[3000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    log_info("%s", name);
    const char *line = written();
    cr_assert_lt(strlen(line), 1200);
    cr_assert_eq(line[strlen(line) - 1], '\n');
}
