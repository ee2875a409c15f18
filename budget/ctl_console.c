/*
 * pgveilctl console: lines to the running pgveil, tables back. On a terminal with a prompt, history
 * and line editing (libedit, where pgveilctl was built with it); otherwise a script whose first
 * failure ends it.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef PGVEIL_LIBEDIT
#include <editline/readline.h>
#endif

#include "budget/ctl.h"

static const char prompt[] = "pgveil> ";

static char *read_plain(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length = getline(&line, &size, stdin);
    if (length < 0) {
        free(line);
        return NULL;
    }
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) {
        line[--length] = '\0';
    }
    return line;
}

#ifdef PGVEIL_LIBEDIT
enum { HISTORY_LINES = 500 };

/* PGVEILCTL_HISTORY, or ~/.pgveilctl_history. Allocated; NULL: none. */
static char *history_path(void)
{
    const char *given = getenv("PGVEILCTL_HISTORY");
    const struct passwd *user = given ? NULL : getpwuid(geteuid());
    char *path = NULL;
    if (given) {
        return strdup(given);
    }
    if (!user || !user->pw_dir || asprintf(&path, "%s/.pgveilctl_history", user->pw_dir) < 0) {
        return NULL;
    }
    return path;
}

static char *read_edited(void)
{
    char *line = readline(prompt);
    if (line && line[strspn(line, " \t;")]) {
        add_history(line);
    }
    return line;
}

/* Words of the console's commands; the console itself says which there are. */
static char **command_words;

static char *next_word(const char *text, int state)
{
    static size_t at;
    if (state == 0) {
        at = 0;
    }
    while (command_words && command_words[at]) {
        const char *word = command_words[at++];
        if (strncasecmp(word, text, strlen(text)) == 0) {
            return strdup(word);
        }
    }
    return NULL;
}

static char **complete(const char *text, int start, int end)
{
    (void)start;
    (void)end;
    rl_attempted_completion_over = 1; /* no file names */
    return rl_completion_matches(text, next_word);
}

static void add_word(char **words, size_t *count, const char *word, size_t length)
{
    for (size_t i = 0; i < *count; i++) {
        if (strlen(words[i]) == length && strncmp(words[i], word, length) == 0) {
            return;
        }
    }
    words[*count] = strndup(word, length);
    *count += words[*count] != NULL;
}

static void learn_words(struct ctl *ctl)
{
    PGresult *help = PQexec(ctl->control, "SHOW HELP");
    size_t rows = PQresultStatus(help) == PGRES_TUPLES_OK ? (size_t)PQntuples(help) : 0;
    size_t count = 0;
    command_words = calloc(4 * rows + 1, sizeof(*command_words));
    for (size_t row = 0; command_words && row < rows; row++) {
        const char *at = PQgetvalue(help, (int)row, 0);
        for (int i = 0; i < 4 && *at; i++) {
            size_t length = strcspn(at, " ");
            if (strncmp(at, "NAME", length) != 0 && strncmp(at, "PID", length) != 0) {
                add_word(command_words, &count, at, length);
            }
            at += length;
            at += strspn(at, " ");
        }
    }
    PQclear(help);
}

static void forget_words(void)
{
    for (size_t i = 0; command_words && command_words[i]; i++) {
        free(command_words[i]);
    }
    free(command_words);
    command_words = NULL;
}

static char *begin_editing(struct ctl *ctl)
{
    char *path = history_path();
    rl_readline_name = "pgveilctl";
    rl_attempted_completion_function = complete;
    using_history();
    stifle_history(HISTORY_LINES);
    learn_words(ctl);
    if (path) {
        read_history(path);
    }
    return path;
}

static void end_editing(char *path)
{
    if (path && write_history(path) == 0) {
        chmod(path, S_IRUSR | S_IWUSR);
    }
    free(path);
    forget_words();
}
#else
static char *read_edited(void)
{
    fputs(prompt, stdout);
    fflush(stdout);
    return read_plain();
}

static char *begin_editing(struct ctl *ctl)
{
    (void)ctl;
    return NULL;
}

static void end_editing(char *path)
{
    free(path);
}
#endif

static bool is_word(const char *line, const char *word)
{
    size_t length;
    line += strspn(line, " \t\\");
    length = strcspn(line, " \t;");
    return length == strlen(word) && strncasecmp(line, word, length) == 0 &&
           line[length + strspn(line + length, " \t;")] == '\0';
}

static bool ends(const char *line)
{
    return is_word(line, "quit") || is_word(line, "exit") || is_word(line, "q");
}

static bool is_comment(const char *line)
{
    line += strspn(line, " \t;");
    return *line == '\0' || *line == '#' || strncmp(line, "--", 2) == 0;
}

static bool run_line(struct ctl *ctl, const char *line)
{
    if (is_comment(line)) {
        return true;
    }
    PGresult *result = ctl_control_run(ctl, is_word(line, "help") ? "SHOW HELP" : line);
    bool ok = result != NULL;
    if (ok && PQresultStatus(result) == PGRES_TUPLES_OK) {
        ok = ctl_print_result(ctl, result, false);
    } else if (ok) {
        fprintf(stderr, "%s\n", PQcmdStatus(result));
    }
    PQclear(result);
    return ok;
}

enum ctl_exit ctl_console(struct ctl *ctl)
{
    bool interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    enum ctl_exit exit_code = ctl_control(ctl, NULL, NULL);
    char *history = NULL;
    char *line = NULL;
    if (exit_code != CTL_OK) {
        return exit_code;
    }
    if (interactive) {
        fputs("The console of the running pgveil. help lists the commands, quit ends.\n", stdout);
        history = begin_editing(ctl);
    }
    while ((line = interactive ? read_edited() : read_plain()) != NULL && !ends(line)) {
        bool ok = run_line(ctl, line);
        free(line);
        line = NULL;
        if (!interactive && !ok) {
            exit_code = CTL_REFUSED;
            break;
        }
        if (PQstatus(ctl->control) != CONNECTION_OK) {
            exit_code = CTL_UNREACHABLE;
            break;
        }
    }
    if (interactive && !line) {
        putchar('\n');
    }
    free(line);
    end_editing(history);
    return exit_code;
}
