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
    struct text out = text_new(all->arena);
    if (EVP_Digest(all->data, all->length, digest, &length, EVP_sha256(), NULL) != 1 ||
        length != DIGEST_BYTES)
        return NULL;
    for (unsigned i = 0; i < length; i++)
        text_printf(&out, "%02x", digest[i]);
    return out.data;
}
