/* The door to parser/: everything that recurses runs on the large stack. */
#include "parser/parser.h"

#include <stdlib.h>
#include <string.h>

#include "parser/ast.h"
#include "parser/classify.h"
#include "parser/compile.h"
#include "parser/refuse.h"

struct parsed {
    struct arena *arena;      /* text, statements, packed tree */
    struct arena *plan_arena; /* of the last plan; NULL: none */
    const char *text;
    struct ast_bytes tree;
    bool unparsable;
    size_t n;
    struct statement *statements;
};

struct parse_work {
    struct parsed *parsed;
    const struct catalog *catalog;
    const struct parser_limits *limits;
    bool done;
};

static void whole_text(struct parsed *parsed, enum statement_class class)
{
    parsed->n = 1;
    parsed->statements = arena_alloc(parsed->arena, sizeof *parsed->statements);
    parsed->statements[0].class = class;
    parsed->statements[0].length = strlen(parsed->text);
}

static void too_large(struct parsed *parsed, const char *limit)
{
    whole_text(parsed, STATEMENT_REFUSED);
    const struct refusal_text text = {
        .message = "statement is too complex",
        .detail = arena_printf(parsed->arena, "The statement's %s is above the limit.", limit),
        .hint = "Split the statement, or ask for a higher limit.",
    };
    refuse(&parsed->statements[0].refusal, NULL, -1, "54001", &text);
}

/* Leading white space and comments belong to no statement of PostgreSQL's own error positions, but
 * the location that libpg_query gives starts with them; positions are counted from the text. */
static size_t skip_blank(const char *text, size_t location, size_t end)
{
    while (location < end && strchr(" \t\r\n\f\v", text[location]) != NULL)
        location++;
    return location;
}

static void split(struct parsed *parsed, const PgQuery__ParseResult *tree,
                  const struct catalog *catalog)
{
    size_t length = strlen(parsed->text);
    parsed->n = tree->n_stmts;
    parsed->statements = arena_alloc(parsed->arena, (parsed->n + 1) * sizeof *parsed->statements);
    for (size_t i = 0; i < parsed->n; i++) {
        const PgQuery__RawStmt *raw = tree->stmts[i];
        struct statement *statement = &parsed->statements[i];
        size_t start = (size_t)raw->stmt_location;
        size_t end = raw->stmt_len > 0 ? start + (size_t)raw->stmt_len : length;
        statement->location = skip_blank(parsed->text, start, end);
        statement->length = end - statement->location;
        classify_statement(parsed->arena, catalog, parsed->text, raw->stmt, statement);
    }
}

/* Memory of one statement's tree, and of its plan. */
enum { PARSE_BYTES_MAX = 256 << 20, PLAN_BYTES_MAX = 64 << 20 };

static void parse_on_stack(void *context)
{
    struct parse_work *work = context;
    struct parsed *parsed = work->parsed;
    const char *limit = NULL;
    jmp_buf escape;
    if (setjmp(escape) != 0) {
        arena_guard(parsed->arena, 0, NULL);
        too_large(parsed, "memory");
        work->done = true;
        return;
    }
    arena_guard(parsed->arena, PARSE_BYTES_MAX, &escape);
    enum ast_result result =
        ast_parse(parsed->arena, parsed->text, work->limits, &parsed->tree, &limit);
    const PgQuery__ParseResult *tree = NULL;
    if (result == AST_PARSED)
        tree = ast_unpack(parsed->arena, &parsed->tree);
    if (result == AST_TOO_LARGE) {
        too_large(parsed, limit);
    } else if (tree == NULL) {
        parsed->unparsable = true;
        whole_text(parsed, STATEMENT_RELAY);
    } else {
        split(parsed, tree, work->catalog);
    }
    arena_guard(parsed->arena, 0, NULL);
    work->done = true;
}

struct parsed *parser_parse(const char *text, const struct catalog *catalog,
                            const struct parser_limits *limits)
{
    struct arena *arena = arena_new();
    struct parsed *parsed = arena_alloc(arena, sizeof *parsed);
    parsed->arena = arena;
    /* Above the limit the text is refused unread; what is kept of it is for positions only. */
    parsed->text = arena_strndup(arena, text, strnlen(text, limits->text_bytes_max + 1));
    struct parse_work work = {parsed, catalog, limits, false};
    if (!ast_run(parse_on_stack, &work) || !work.done) {
        whole_text(parsed, STATEMENT_REFUSED);
        const struct refusal_text refusal = {"out of memory", NULL, NULL};
        refuse(&parsed->statements[0].refusal, NULL, -1, "53200", &refusal);
    }
    return parsed;
}

void parsed_free(struct parsed *parsed)
{
    if (parsed == NULL)
        return;
    arena_free(parsed->plan_arena);
    arena_free(parsed->arena);
}

size_t parsed_count(const struct parsed *parsed)
{
    return parsed->n;
}

const struct statement *parsed_statement(const struct parsed *parsed, size_t index)
{
    return &parsed->statements[index];
}

bool parsed_is_unparsable(const struct parsed *parsed)
{
    return parsed->unparsable;
}

struct plan_work {
    struct parsed *parsed;
    size_t index;
    struct compile_input input;
    struct compile_output *output;
};

static void plan_on_stack(void *context)
{
    struct plan_work *work = context;
    jmp_buf escape;
    if (setjmp(escape) != 0) {
        const struct refusal_text text = {"the statement is too complex",
                                          "Its plan needs too much memory.",
                                          "Ask for less at once."};
        arena_guard(work->input.arena, 0, NULL);
        memset(work->output, 0, sizeof *work->output);
        work->output->result = PLAN_REFUSED;
        refuse(&work->output->refusal, NULL, -1, "54001", &text);
        return;
    }
    arena_guard(work->input.arena, PLAN_BYTES_MAX, &escape);
    PgQuery__ParseResult *tree = ast_unpack(work->input.arena, &work->parsed->tree);
    if (tree == NULL || work->index >= tree->n_stmts) {
        arena_guard(work->input.arena, 0, NULL);
        return;
    }
    work->input.statement = tree->stmts[work->index];
    compile_statement(&work->input, work->output);
    arena_guard(work->input.arena, 0, NULL);
}

enum plan_result parser_plan(struct parsed *parsed, size_t index,
                             const struct plan_request *request, const struct plan **plan,
                             struct refusal *refusal, const struct sql_constant **wanted,
                             size_t *n_wanted)
{
    struct compile_output output = {.result = PLAN_REFUSED};
    *plan = NULL;
    *wanted = NULL;
    *n_wanted = 0;
    memset(refusal, 0, sizeof *refusal);
    if (index < parsed->n && parsed->statements[index].class == STATEMENT_CANDIDATE) {
        /* The request may hold what the last call wanted: its memory goes after this one. */
        struct arena *last = parsed->plan_arena;
        parsed->plan_arena = arena_new();
        struct plan_work work = {.parsed = parsed, .index = index, .output = &output};
        work.input = (struct compile_input){
            .arena = parsed->plan_arena,
            .request = request,
            .names = parsed->statements[index].names,
            .n_names = parsed->statements[index].n_names,
            .source = parsed->text,
        };
        if (!ast_run(plan_on_stack, &work))
            output.result = PLAN_REFUSED;
        arena_free(last);
    }
    *plan = output.plan;
    *refusal = output.refusal;
    *wanted = output.wanted;
    *n_wanted = output.n_wanted;
    if (output.result == PLAN_REFUSED && refusal->sqlstate[0] == '\0') {
        const struct refusal_text text = {"the statement cannot be planned", NULL, NULL};
        refuse(refusal, NULL, -1, "0A000", &text);
    }
    return output.result;
}
