#ifndef MECHANISMS_SELFTEST_H
#define MECHANISMS_SELFTEST_H

/* Start-up self tests: the keystream of RFC 8439, known draws of the base laws and of both noises,
 * and a check of the system's generator for repetition. False: do not run. */
#include <stdbool.h>

bool dp_self_test(void);

#endif
