#ifndef PROXY_DATASET_TEST_H
#define PROXY_DATASET_TEST_H

/*
 * Checks of a dataset's protected server, of the role that pgveil logs in with and of the policy,
 * one after the other on a thread of their own. Reads catalogues; of rows nothing but the number
 * that public tables have.
 */
#include <stddef.h>

#include "proxy/dataset.h"

enum test_result { TEST_OK, TEST_FAILED, TEST_SKIPPED };

struct test_finding {
    const char *check; /* static */
    enum test_result result;
    char detail[512];
    const char *hint; /* static; "" where nothing is to be done */
};

struct dataset_test;

/* finished comes from the loop; findings are read then. NULL without memory or a thread. */
struct dataset_test *dataset_test_start(const struct dataset *dataset,
                                        void (*finished)(void *context), void *context);
const struct test_finding *dataset_test_findings(const struct dataset_test *test, size_t *count);
/* Waits for the thread; finished does not follow. Accepts NULL. */
void dataset_test_free(struct dataset_test *test);

#endif
