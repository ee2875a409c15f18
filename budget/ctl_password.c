/*
 * Passwords: asked for without echo, or read from a file or standard input; never an argument,
 * which every user of the machine could see. Only the SCRAM-SHA-256 verifier leaves this file.
 * libpq makes it (OpenSSL's hashes, 4096 iterations, SASLprep), so that it agrees with what clients
 * send.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "budget/ctl.h"

enum { PASSWORD_SIZE = 1024, INTERRUPT = 3 };

/* The first line, without its end; false where it is too long or cannot be read. An interrupt from
 * the keyboard ends it and stays in it, as no password has one. */
static bool read_line(int file, char line[PASSWORD_SIZE])
{
    size_t length = 0;
    for (;;) {
        char byte;
        ssize_t got = read(file, &byte, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || length + 1 >= PASSWORD_SIZE || (got == 1 && byte == '\0')) {
            explicit_bzero(line, PASSWORD_SIZE);
            return false;
        }
        if (got == 0 || byte == '\n') {
            break;
        }
        line[length++] = byte;
        if (byte == INTERRUPT) {
            break;
        }
    }
    if (length > 0 && line[length - 1] == '\r') {
        length--;
    }
    line[length] = '\0';
    return true;
}

static bool read_file(const char *path, char password[PASSWORD_SIZE])
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        ctl_error("%s cannot be opened: %s", path, strerror(errno));
        return false;
    }
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 077)) {
        ctl_error("warning: others may read %s", path);
    }
    bool ok = read_line(file, password);
    close(file);
    if (!ok) {
        ctl_error("%s cannot be read, or its first line is too long", path);
    }
    return ok;
}

/* Asks once. Signals from the keyboard are off meanwhile, so that the echo is always restored; an
 * interrupt ends the line, and with it the question. */
static bool ask(int terminal, const char *question, char password[PASSWORD_SIZE])
{
    struct termios before;
    if (tcgetattr(terminal, &before) != 0) {
        return false;
    }
    struct termios silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    silent.c_cc[VEOL] = INTERRUPT;
    if (tcsetattr(terminal, TCSAFLUSH, &silent) != 0) {
        return false;
    }
    bool ok = write(terminal, question, strlen(question)) == (ssize_t)strlen(question) &&
              read_line(terminal, password);
    tcsetattr(terminal, TCSAFLUSH, &before);
    ok = write(terminal, "\n", 1) == 1 && ok;
    if (ok && strchr(password, INTERRUPT)) {
        explicit_bzero(password, PASSWORD_SIZE);
        return false;
    }
    return ok;
}

static bool ask_twice(char password[PASSWORD_SIZE], enum ctl_exit *exit_code)
{
    char again[PASSWORD_SIZE];
    bool ok = false;
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (terminal < 0) {
        ctl_error("there is no terminal to ask for a password on: use --password-file or "
                  "--password-stdin");
        *exit_code = CTL_USAGE;
        return false;
    }
    if (!ask(terminal, "Password: ", password) || !ask(terminal, "Again: ", again)) {
        ctl_error("no password was given");
    } else if (strcmp(password, again) != 0) {
        ctl_error("the two passwords differ");
    } else {
        ok = true;
    }
    explicit_bzero(again, sizeof(again));
    close(terminal);
    return ok;
}

char *ctl_new_verifier(struct ctl *ctl, const char *analyst, enum ctl_exit *exit_code)
{
    char password[PASSWORD_SIZE];
    char *verifier = NULL;
    const char *why;
    bool ok;
    *exit_code = CTL_REFUSED;
    if (ctl->option[CTL_OPTION_PASSWORD_FILE] && ctl->option[CTL_OPTION_PASSWORD_STDIN]) {
        ctl_error("--password-file and --password-stdin exclude each other");
        *exit_code = CTL_USAGE;
        return NULL;
    }
    if (ctl->option[CTL_OPTION_PASSWORD_FILE]) {
        ok = read_file(ctl->option[CTL_OPTION_PASSWORD_FILE], password);
    } else if (ctl->option[CTL_OPTION_PASSWORD_STDIN]) {
        ok = read_line(STDIN_FILENO, password);
        if (!ok) {
            ctl_error("standard input cannot be read, or its first line is too long");
        }
    } else {
        ok = ask_twice(password, exit_code);
    }
    if (ok && !ctl_password_usable(password, &why)) {
        ctl_error("%s", why);
    } else if (ok) {
        verifier = PQencryptPasswordConn(ctl->ledger, password, analyst, "scram-sha-256");
        if (!verifier) {
            ctl_error("no verifier can be made: %s", PQerrorMessage(ctl->ledger));
        }
    }
    explicit_bzero(password, sizeof(password));
    return verifier;
}
