#include "parser/digest.h"

#include <openssl/evp.h>
#include <string.h>

enum { DIGEST_BYTES = 32 };

/* Length first: no two lists of texts run together into the same bytes. */
void digest_add(struct text *out, const char *text)
{
    if (text == NULL)
        text_add(out, "-;");
    else
        text_printf(out, "%zu:%s;", strlen(text), text);
}

void digest_add_number(struct text *out, uint64_t number)
{
    text_printf(out, "%llu;", (unsigned long long)number);
}

const char *digest_finish(const struct text *all)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_Digest(all->data, all->length, digest, &length, EVP_sha256(), NULL) != 1 ||
        length != DIGEST_BYTES)
        return NULL;
    char *out = arena_alloc(all->arena, 2 * DIGEST_BYTES + 1);
    for (unsigned i = 0; i < length; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[2 * DIGEST_BYTES] = '\0';
    return out;
}
