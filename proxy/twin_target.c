#include "proxy/twin_target.h"

#include <assert.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "proxy/wire.h"

bool twin_target_unix(struct twin_target *target, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    memset(target, 0, sizeof *target);
    if (length < 0 || (size_t)length >= sizeof address.sun_path)
        return false;
    memcpy(&target->address, &address, sizeof address);
    target->length = sizeof address;
    return true;
}

bool twin_target_of(struct twin_target *target, const PGconn *connection,
                    const struct tls_target *tls)
{
    const char *host = PQhost(connection), *port = PQport(connection);
    char path[256];
    memset(target, 0, sizeof *target);
    if (PQstatus(connection) != CONNECTION_OK || PQgssEncInUse((PGconn *)(uintptr_t)connection))
        return false;
    if (host != NULL && host[0] == '/') {
        int length = snprintf(path, sizeof path, "%s/.s.PGSQL.%s", host, port);
        return length > 0 && (size_t)length < sizeof path && twin_target_unix(target, path);
    }
    /* The very server that the administrator is connected to, whatever its name stands for now. */
    target->length = sizeof target->address;
    if (getpeername(PQsocket(connection), (struct sockaddr *)&target->address, &target->length) !=
            0 ||
        (target->address.ss_family != AF_INET && target->address.ss_family != AF_INET6))
        return false;
    target->tls = PQsslInUse((PGconn *)(uintptr_t)connection) ? tls : NULL;
    return (target->tls != NULL) == (PQsslInUse((PGconn *)(uintptr_t)connection) != 0);
}

bool twin_target_is_local(const struct twin_target *target)
{
    return target->address.ss_family == AF_UNIX;
}

static void ask_for_tls(struct stream *stream)
{
    struct wire_writer writer = wire_begin(stream_output(stream), 0);
    wire_add_int32(&writer, WIRE_TLS_REQUEST);
    wire_end(&writer);
}

/* One byte and no more: what follows it unencrypted was slipped in by somebody else. */
static enum twin_opening read_answer(struct twin_opener *opener, const struct twin_target *target,
                                     struct stream *stream)
{
    char answer[2] = "";
    struct evbuffer *input = stream_input(stream);
    if (evbuffer_get_length(input) == 0)
        return TWIN_OPENING;
    if (evbuffer_remove(input, answer, 2) != 1 || answer[0] != 'S')
        return TWIN_SHUT;
    opener->asked = false;
    return stream_start_tls_client(stream, target->tls) ? TWIN_OPENING : TWIN_SHUT;
}

enum twin_opening twin_opener_step(struct twin_opener *opener, const struct twin_target *target,
                                   struct stream *stream, enum stream_event event)
{
    switch (event) {
    case STREAM_CONNECTED:
        if (target->tls == NULL || stream_is_tls(stream))
            return TWIN_OPEN;
        ask_for_tls(stream);
        opener->asked = true;
        return TWIN_OPENING;
    case STREAM_DATA:
        return opener->asked ? read_answer(opener, target, stream) : TWIN_OPENING;
    case STREAM_DRAINED:
        return TWIN_OPENING;
    case STREAM_CLOSED:
        return TWIN_SHUT;
    }
    return TWIN_SHUT;
}
