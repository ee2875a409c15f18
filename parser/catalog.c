/* Looking things up in a dataset's catalogue. */
#include "parser/catalog.h"

#include <string.h>

const struct catalog_table *catalog_find(const struct catalog *catalog, const char *schema,
                                         const char *name)
{
    for (size_t i = 0; i < catalog->n_tables; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (strcmp(table->schema, schema) == 0 && strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}
