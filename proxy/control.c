#include "proxy/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/console.h"
#include "proxy/limits.h"
#include "proxy/listener.h"
#include "proxy/log.h"
#include "proxy/login.h"
#include "proxy/session.h"

struct control {
    struct server *server;
    struct listener *listener;
    struct console *consoles; /* linked */
};

static void on_login(void *owner, struct stream *stream, struct startup *startup)
{
    struct control *control = owner;
    if (strcmp(startup->database, CONSOLE_DATABASE) == 0)
        console_start(control->server, control->listener, &control->consoles, stream, startup);
    else
        session_start_explaining(control->server, control->listener, stream, startup);
}

static void on_login_ended(void *owner)
{
    struct control *control = owner;
    listener_release(control->listener);
}

static void on_cancel(void *owner, uint32_t pid, uint32_t key)
{
    struct control *control = owner;
    listener_release(control->listener);
    session_cancel(control->server, pid, key);
}

/* The folder's mode keeps others out already; a folder that was opened by mistake must not be
 * enough to get in. */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    if (peer.uid == geteuid() || peer.uid == 0)
        return true;
    log_warning("control socket: user %ld was turned away", (long)peer.uid);
    return false;
}

static void on_accepted(void *context, int fd)
{
    struct control *control = context;
    if (!is_trusted(fd)) {
        close(fd);
        listener_release(control->listener);
        return;
    }
    struct login_context login = {.base = control->server->base,
                                  .config = control->server->config,
                                  .trusted = true,
                                  .accepted = on_login,
                                  .cancel = on_cancel,
                                  .ended = on_login_ended,
                                  .owner = control};
    login_start(&login, fd);
}

/* Made where it is missing; never somebody else's, whatever its mode has become. */
static bool make_folder(const char *path, char error[512])
{
    struct stat folder;
    if (mkdir(path, S_IRWXU) != 0 && errno != EEXIST) {
        snprintf(error, 512, "cannot make %.400s: %s", path, strerror(errno));
        return false;
    }
    if (lstat(path, &folder) != 0 || !S_ISDIR(folder.st_mode) || folder.st_uid != geteuid() ||
        chmod(path, S_IRWXU) != 0) {
        snprintf(error, 512, "%.400s is not a folder of pgveil's own", path);
        return false;
    }
    return true;
}

struct control *control_new(struct server *server, char error[512])
{
    struct control *control = calloc(1, sizeof *control);
    char *folder = NULL, *path = NULL;
    snprintf(error, 512, "out of memory");
    if (control == NULL || asprintf(&folder, "%s/control", server->config->state_directory) < 0 ||
        asprintf(&path, "%s/.s.PGSQL.5432", folder) < 0)
        goto cleanup;
    control->server = server;
    if (make_folder(folder, error))
        control->listener = listener_new_unix(server->base, path, LIMIT_CONTROL_CONNECTIONS,
                                              on_accepted, control, error);
cleanup:
    free(folder);
    free(path);
    if (control != NULL && control->listener == NULL) {
        free(control);
        control = NULL;
    }
    return control;
}

void control_stop(struct control *control)
{
    if (control == NULL)
        return;
    listener_stop(control->listener);
    console_end_all(&control->consoles);
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    console_free_all(&control->consoles);
    listener_free(control->listener);
    free(control);
}
