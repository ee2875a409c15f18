#ifndef PARSER_REFUSAL_H
#define PARSER_REFUSAL_H

/* Why a statement is refused, in the words the analyst reads. The first refusal wins. */
struct refusal {
    char sqlstate[6]; /* "" : not refused */
    int position;     /* 1-based, in characters of the statement's text; 0: none */
    char message[256];
    char detail[512]; /* "" : none */
    char hint[512];   /* "" : none */
};

#endif
