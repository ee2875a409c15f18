#ifndef CONFIG_ERROR_H
#define CONFIG_ERROR_H

/* What is wrong with a file: the first error wins, nothing allocates while failing. */
struct config_error {
    char file[256];
    char key[256];  /* path of the key, "datasets.census.policy" */
    char text[512]; /* what is wrong and what would be accepted */
};

#endif
