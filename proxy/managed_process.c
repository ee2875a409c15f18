#include "proxy/managed_process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 20,
    CLEAR_FAST_MS = 10000, /* for a fast shutdown */
    CLEAR_MOST_MS = 20000
};

static void sleep_ms(unsigned milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

/* Between fork and exec of a program with threads only async-signal-safe calls are allowed. */
static void __attribute__((noreturn))
child_exec(const char *path, char *const *arguments, char *const *environment, int log_fd,
           uint64_t memory_bytes, pid_t parent)
{
    struct rlimit none = {0, 0};
    struct rlimit memory = {(rlim_t)memory_bytes, (rlim_t)memory_bytes};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t empty;

    /* Ctrl-C in pgveil's terminal is pgveil's to handle; its death, however sudden, is a fast
     * shutdown for the server. */
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGINT) != 0 || getppid() != parent)
        _exit(126);
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        sigaction(signal_number, &standard, NULL);
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    setrlimit(RLIMIT_CORE, &none); /* a core file would hold the ledger's memory */
    if (memory_bytes > 0 && setrlimit(RLIMIT_AS, &memory) != 0)
        _exit(126);
    if (chdir("/") != 0) /* initdb complains where it may not read the current folder */
        _exit(126);
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0)
        _exit(126);
    if (close_range(3, ~0U, 0) != 0)
        _exit(126);
    execve(path, arguments, environment);
    _exit(127);
}

pid_t process_start(const char *path, const char *const *arguments, const char *log,
                    uint64_t memory_bytes)
{
    /* Nothing of pgveil's environment: PGDATA, PGPORT, LANG, LD_PRELOAD decide nothing here. */
    static char search_path[] = "PATH=/usr/local/bin:/usr/bin:/bin", language[] = "LC_ALL=C";
    char *environment[] = {search_path, language, NULL};
    char **copy = NULL;
    size_t n = 0;
    pid_t pid = -1, parent = getpid();
    int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return -1;
    while (arguments[n] != NULL)
        n++;
    copy = calloc(n + 1, sizeof *copy);
    if (copy == NULL)
        goto out;
    for (size_t i = 0; i < n; i++) {
        /* PostgreSQL's programs find their folder by the name they are called by. */
        if ((copy[i] = strdup(i == 0 ? path : arguments[i])) == NULL)
            goto out;
    }
    pid = fork();
    if (pid == 0)
        child_exec(path, copy, environment, log_fd, memory_bytes, parent);
out:
    for (size_t i = 0; copy != NULL && i < n; i++)
        free(copy[i]);
    free(copy);
    close(log_fd);
    return pid;
}

bool process_wait(pid_t pid, unsigned timeout_ms, int *status)
{
    for (unsigned waited = 0;; waited += POLL_MS) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid || (ended < 0 && errno == ECHILD))
            return true;
        if (waited >= timeout_ms)
            return false;
        sleep_ms(POLL_MS);
    }
}

/* A PostgreSQL process of this cluster, and not the shell of somebody who looks around. */
static bool works_in(const char *pid_text, const char *folder)
{
    char link[64], target[PATH_MAX], name[32] = "";
    snprintf(link, sizeof link, "/proc/%.20s/comm", pid_text);
    FILE *file = fopen(link, "re");
    if (file == NULL)
        return false;
    bool postgres = fgets(name, sizeof name, file) != NULL && strcmp(name, "postgres\n") == 0;
    fclose(file);
    if (!postgres)
        return false;
    snprintf(link, sizeof link, "/proc/%.20s/cwd", pid_text);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    return strcmp(target, folder) == 0;
}

size_t process_signal_folder(const char *folder, int signal_number)
{
    size_t n = 0;
    DIR *processes = opendir("/proc");
    if (processes == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !works_in(entry->d_name, folder))
            continue;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid == getpid())
            continue;
        n++;
        if (signal_number != 0)
            kill(pid, signal_number);
    }
    closedir(processes);
    return n;
}

bool process_clear_folder(const char *folder)
{
    char real[PATH_MAX];
    if (realpath(folder, real) == NULL)
        return errno == ENOENT;
    /* SIGINT is a fast shutdown to a postmaster and a cancel to its processes; SIGQUIT ends each of
     * them at once, and the write-ahead log repairs what that leaves. */
    size_t left = process_signal_folder(real, SIGINT);
    for (unsigned waited = 0; left > 0; waited += POLL_MS) {
        if (waited >= CLEAR_MOST_MS)
            return false;
        sleep_ms(POLL_MS);
        bool hurry = waited >= CLEAR_FAST_MS && waited % 1000 == 0;
        left = process_signal_folder(real, hurry ? SIGQUIT : 0);
    }
    return true;
}
