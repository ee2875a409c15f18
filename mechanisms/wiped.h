#ifndef MECHANISMS_WIPED_H
#define MECHANISMS_WIPED_H

/* Memory for secrets of one process: page-aligned, zero at first, not in core dumps, and zero again
 * in a child process. */
#include <stdbool.h>
#include <stddef.h>

/* NULL without memory. *kernel_wipes is false where the kernel cannot wipe it in children: the
 * owner must then compare process ids. */
void *dp_wiped_alloc(size_t bytes, bool *kernel_wipes);
/* Wipes and frees; memory may be NULL. */
void dp_wiped_free(void *memory, size_t bytes);

#endif
