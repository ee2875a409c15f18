#include "mechanisms/wiped.h"

#include <string.h>
#include <sys/mman.h>

void *dp_wiped_alloc(size_t bytes, bool *kernel_wipes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    *kernel_wipes = madvise(memory, bytes, MADV_WIPEONFORK) == 0;
    (void)madvise(memory, bytes, MADV_DONTDUMP); /* a core dump is the administrator's choice */
    return memory;
}

void dp_wiped_free(void *memory, size_t bytes)
{
    if (memory != NULL) {
        explicit_bzero(memory, bytes);
        (void)munmap(memory, bytes);
    }
}
