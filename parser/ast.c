/*
 * libpg_query behind a small interface. The estimate of the depth of a tree counts, for every open
 * bracket or CASE, the tokens since the last comma, AND, OR, WHEN, THEN or ELSE, plus all set
 * operations and joins: chains of operators, casts, NOT, UNION and JOIN nest once per token or
 * less, what stands between commas does not nest. A token costs at most 2 kB of stack.
 */
#include "parser/ast.h"

#include <pg_query.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parser/walk.h"

enum { STACK_BYTES = 64 << 20 };

/*
 * The thread with the large stack: started when first needed, and kept. libpg_query sets up memory
 * and takes one of the process's few pthread keys for every thread that calls it, and gives neither
 * back reliably, so that there must be one thread and not one for every statement.
 */
struct worker {
    pthread_mutex_t calls; /* one caller at a time */
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    void (*work)(void *context); /* NULL: idle */
    void *context;
    pid_t process; /* whose thread it is: a child of fork has none */
};

static struct worker worker = {.calls = PTHREAD_MUTEX_INITIALIZER};

static void *run_worker(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&worker.mutex);
    for (;;) {
        while (worker.work == NULL)
            pthread_cond_wait(&worker.changed, &worker.mutex);
        void (*work)(void *context) = worker.work;
        void *context = worker.context;
        pthread_mutex_unlock(&worker.mutex);
        work(context);
        pthread_mutex_lock(&worker.mutex);
        worker.work = NULL;
        pthread_cond_broadcast(&worker.changed);
    }
    return NULL;
}

static bool start_worker(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_mutex_init(&worker.mutex, NULL) != 0 ||
        pthread_cond_init(&worker.changed, NULL) != 0 || pthread_attr_init(&attributes) != 0)
        return false;
    /* Signals are the main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker.work = NULL;
    bool started = pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
                   pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                   pthread_create(&thread, &attributes, run_worker, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (started)
        worker.process = getpid();
    return started;
}

bool ast_run(void (*work)(void *context), void *context)
{
    pthread_mutex_lock(&worker.calls);
    bool running = worker.process == getpid() || start_worker();
    if (running) {
        pthread_mutex_lock(&worker.mutex);
        worker.context = context;
        worker.work = work;
        pthread_cond_broadcast(&worker.changed);
        while (worker.work != NULL)
            pthread_cond_wait(&worker.changed, &worker.mutex);
        pthread_mutex_unlock(&worker.mutex);
    }
    pthread_mutex_unlock(&worker.calls);
    return running;
}

static void *arena_allocate(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

/* Everything goes with the arena. */
static void arena_release(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

struct level {
    bool is_case;
    size_t since; /* tokens since the last separator */
    size_t joins; /* set operations and joins: never reset */
};

struct depth {
    struct level *levels;
    size_t n, capacity;
    size_t sum, most;
};

static void depth_open(struct depth *depth, bool is_case)
{
    if (depth->n == depth->capacity)
        return; /* more levels than tokens allow: cannot happen, the array has one per token */
    depth->levels[depth->n++] = (struct level){.is_case = is_case};
}

static void depth_close(struct depth *depth, bool is_case)
{
    if (depth->n < 2 || depth->levels[depth->n - 1].is_case != is_case)
        return;
    struct level *level = &depth->levels[--depth->n];
    depth->sum -= level->since + level->joins;
}

static void depth_separate(struct depth *depth)
{
    struct level *level = &depth->levels[depth->n - 1];
    depth->sum -= level->since;
    level->since = 0;
}

static void depth_count(struct depth *depth, bool join)
{
    struct level *level = &depth->levels[depth->n - 1];
    if (join)
        level->joins++;
    else
        level->since++;
    if (++depth->sum > depth->most)
        depth->most = depth->sum;
}

static void depth_token(struct depth *depth, PgQuery__Token token)
{
    int kind = (int)token;
    switch (kind) {
    case PG_QUERY__TOKEN__ASCII_40: /* ( */
    case PG_QUERY__TOKEN__ASCII_91: /* [ */
        depth_count(depth, false);
        depth_open(depth, false);
        break;
    case PG_QUERY__TOKEN__ASCII_41: /* ) */
    case PG_QUERY__TOKEN__ASCII_93: /* ] */
        depth_close(depth, false);
        break;
    case PG_QUERY__TOKEN__CASE:
        depth_count(depth, false);
        depth_open(depth, true);
        break;
    case PG_QUERY__TOKEN__END_P:
        depth_close(depth, true);
        break;
    case PG_QUERY__TOKEN__ASCII_59: /* ; */
        depth->n = 1;
        depth->levels[0] = (struct level){0};
        depth->sum = 0;
        break;
    case PG_QUERY__TOKEN__ASCII_44: /* , */
    case PG_QUERY__TOKEN__AND:
    case PG_QUERY__TOKEN__OR:
    case PG_QUERY__TOKEN__WHEN:
    case PG_QUERY__TOKEN__THEN:
    case PG_QUERY__TOKEN__ELSE:
        depth_separate(depth);
        break;
    case PG_QUERY__TOKEN__UNION:
    case PG_QUERY__TOKEN__INTERSECT:
    case PG_QUERY__TOKEN__EXCEPT:
    case PG_QUERY__TOKEN__JOIN:
        depth_count(depth, true);
        break;
    default:
        depth_count(depth, false);
        break;
    }
}

static bool estimate_depth(const PgQuery__ScanResult *scan, size_t *most)
{
    struct depth depth = {.capacity = scan->n_tokens + 1, .n = 1};
    depth.levels = calloc(depth.capacity, sizeof *depth.levels);
    if (depth.levels == NULL)
        return false;
    for (size_t i = 0; i < scan->n_tokens; i++)
        depth_token(&depth, scan->tokens[i]->token);
    free(depth.levels);
    *most = depth.most;
    return true;
}

/* One token takes at least one byte, so that the packed list of the scanner is bounded by the
 * limit on the text's length. */
static enum ast_result check_tokens(const char *text, const struct parser_limits *limits,
                                    const char **limit)
{
    PgQueryScanResult result = pg_query_scan(text);
    enum ast_result answer = AST_UNPARSABLE;
    PgQuery__ScanResult *scan = NULL;
    if (result.error == NULL)
        scan =
            pg_query__scan_result__unpack(NULL, result.pbuf.len, (const uint8_t *)result.pbuf.data);
    if (scan != NULL) {
        size_t depth = 0;
        answer = AST_TOO_LARGE;
        if (scan->n_tokens > limits->tokens_max)
            *limit = "tokens";
        else if (!estimate_depth(scan, &depth) || depth > limits->depth_max)
            *limit = "depth";
        else
            answer = AST_PARSED;
        pg_query__scan_result__free_unpacked(scan, NULL);
    }
    pg_query_free_scan_result(result);
    return answer;
}

static bool parse_bytes(struct arena *arena, const char *text, struct ast_bytes *bytes)
{
    struct arena_place *place = arena_place(arena);
    PgQueryProtobufParseResult result = pg_query_parse_protobuf(text);
    PgQueryProtobuf tree = result.parse_tree;
    bool parsed = result.error == NULL;
    if (parsed)
        result.parse_tree = (PgQueryProtobuf){0, NULL};
    pg_query_free_protobuf_parse_result(result);
    if (!parsed)
        return false;
    *bytes = (struct ast_bytes){tree.len, (const unsigned char *)tree.data};
    arena_take(arena, place, tree.data, tree.len);
    return true;
}

enum ast_result ast_parse(struct arena *arena, const char *text, const struct parser_limits *limits,
                          struct ast_bytes *bytes, const char **limit)
{
    if (strnlen(text, limits->text_bytes_max + 1) > limits->text_bytes_max) {
        *limit = "length";
        return AST_TOO_LARGE;
    }
    enum ast_result result = check_tokens(text, limits, limit);
    if (result != AST_PARSED)
        return result;
    return parse_bytes(arena, text, bytes) ? AST_PARSED : AST_UNPARSABLE;
}

PgQuery__ParseResult *ast_unpack(struct arena *arena, const struct ast_bytes *bytes)
{
    ProtobufCAllocator allocator = {arena_allocate, arena_release, arena};
    return pg_query__parse_result__unpack(&allocator, bytes->length, bytes->data);
}

PgQuery__ParseResult *ast_parse_own(struct arena *arena, const char *text)
{
    struct ast_bytes bytes;
    return parse_bytes(arena, text, &bytes) ? ast_unpack(arena, &bytes) : NULL;
}

const char *ast_deparse(struct arena *arena, const PgQuery__ParseResult *tree)
{
    size_t length = pg_query__parse_result__get_packed_size(tree);
    uint8_t *packed = arena_alloc(arena, length + 1);
    pg_query__parse_result__pack(tree, packed);
    PgQueryProtobuf bytes = {.len = length, .data = (char *)packed};
    struct arena_place *place = arena_place(arena);
    PgQueryDeparseResult result = pg_query_deparse_protobuf(bytes);
    char *text = result.error == NULL ? result.query : NULL;
    if (text != NULL)
        result.query = NULL;
    pg_query_free_deparse_result(result);
    if (text == NULL)
        return NULL;
    arena_take(arena, place, text, strlen(text));
    const PgQuery__ParseResult *again = ast_parse_own(arena, text);
    return again != NULL && walk_equal(&again->base, &tree->base) ? text : NULL;
}
