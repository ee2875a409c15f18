/* The payload of a startup packet: first byte which requests may still come, then the payload. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proxy/startup_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_session(const struct startup_packet *packet)
{
    const struct startup *startup = packet->startup;
    assert(startup->user[0] != '\0' && startup->database[0] != '\0');
    for (size_t i = 0; i < startup->n_parameters; i++) {
        assert(startup_setting_is_allowed(startup->parameters[i].name));
        assert(startup->parameters[i].value != NULL);
    }
    assert(packet->n_options == 0 || packet->negotiate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct wire_message message = {.payload = data + 1, .length = size - 1};
    struct startup_packet packet;
    startup_packet_read(&message, (data[0] & 1) != 0, (data[0] & 2) != 0, &packet);
    switch (packet.kind) {
    case STARTUP_SESSION:
        check_session(&packet);
        break;
    case STARTUP_REFUSED:
        assert(strlen(packet.sqlstate) == 5 && packet.text[0] != '\0');
        break;
    case STARTUP_TLS:
        assert((data[0] & 1) != 0 && message.length == 4);
        break;
    case STARTUP_GSS:
        assert((data[0] & 2) != 0 && message.length == 4);
        break;
    case STARTUP_CANCEL:
        assert(message.length == 12);
        break;
    case STARTUP_DROP:
        break;
    }
    startup_packet_clear(&packet);
    return 0;
}
