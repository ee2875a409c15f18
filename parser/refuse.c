/* Refusals: fixed size, nothing allocates while failing, the first one wins. */
#include "parser/refuse.h"

#include <stdio.h>
#include <string.h>

int refuse_position(const char *source, int location)
{
    if (source == NULL || location < 0)
        return 0;
    int characters = 1;
    for (int i = 0; i < location && source[i] != '\0'; i++)
        if (((unsigned char)source[i] & 0xC0) != 0x80)
            characters++;
    /* Inside a character: count the character itself, not the next one. */
    if (((unsigned char)source[strnlen(source, (size_t)location)] & 0xC0) == 0x80)
        characters--;
    return characters;
}

/* Cuts at a character's boundary, so that what is sent stays valid UTF-8. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t length = text == NULL ? 0 : strlen(text);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    if (length > 0)
        memcpy(out, text, length);
    out[length] = '\0';
}

bool refuse(struct refusal *refusal, const char *source, int location, const char *sqlstate,
            const struct refusal_text *text)
{
    if (refusal->sqlstate[0] != '\0')
        return false;
    copy_text(refusal->sqlstate, sizeof refusal->sqlstate, sqlstate);
    refusal->position = refuse_position(source, location);
    copy_text(refusal->message, sizeof refusal->message, text->message);
    copy_text(refusal->detail, sizeof refusal->detail, text->detail);
    copy_text(refusal->hint, sizeof refusal->hint, text->hint);
    return false;
}
