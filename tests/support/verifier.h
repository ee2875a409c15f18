#ifndef TESTS_SUPPORT_VERIFIER_H
#define TESTS_SUPPORT_VERIFIER_H

/* A SCRAM verifier as the ledger would hold it. Allocated; aborts on failure. */
char *make_verifier(const char *password, const char *salt_base64, unsigned iterations);

#endif
