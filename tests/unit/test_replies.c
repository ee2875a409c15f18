/* The queue of expected replies: order, what ends a reply, what an error takes with it. */
#include <criterion/criterion.h>
#include <event2/buffer.h>

#include "proxy/replies.h"

static int released;

static void count_release(void *context)
{
    (void)context;
    released++;
}

static void sink(void *context, const struct wire_message *message)
{
    (void)context, (void)message;
}

Test(replies, entries_come_out_in_the_order_they_went_in_however_many)
{
    struct replies replies;
    replies_init(&replies);
    int numbers[1000];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++)
            replies_push(&replies, 'P', sink, &numbers[i], NULL);
        for (int i = 0; i < 1000; i++)
            cr_assert_eq(replies_take(&replies).context, &numbers[i]);
    }
    cr_assert_null(replies_head(&replies));
    replies_clear(&replies);
}

Test(replies, an_error_drops_everything_up_to_the_next_sync_and_releases_it)
{
    struct replies replies;
    replies_init(&replies);
    released = 0;
    replies_push(&replies, 'B', NULL, NULL, count_release);
    replies_push(&replies, 'E', NULL, NULL, count_release);
    replies_push(&replies, 'S', NULL, NULL, count_release);
    replies_push(&replies, 'P', NULL, NULL, count_release);
    cr_assert(replies_fail(&replies));
    cr_assert_eq(released, 2);
    cr_assert_eq(replies_head(&replies)->message, 'S');
    cr_assert_eq(replies.count, 2);
    replies_clear(&replies);
    cr_assert_eq(released, 4);
}

Test(replies, without_a_sync_an_error_empties_the_queue)
{
    struct replies replies;
    replies_init(&replies);
    replies_push(&replies, 'B', NULL, NULL, NULL);
    cr_assert_not(replies_fail(&replies));
    cr_assert_eq(replies.count, 0);
    replies_clear(&replies);
}

Test(replies, each_message_knows_what_ends_its_reply)
{
    static const struct {
        char message;
        const char *ends, *goes_on;
    } cases[] = {{'P', "1", "2CZ"},   {'B', "2", "1CZ"}, {'C', "3", "C"},   {'D', "Tn", "t"},
                 {'E', "CIs", "DTZ"}, {'S', "Z", "CD"},  {'Q', "Z", "CDTI"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reply reply = {.message = cases[i].message};
        for (const char *type = cases[i].ends; *type; type++)
            cr_assert(reply_ends(&reply, *type), "%c ends %c", *type, reply.message);
        for (const char *type = cases[i].goes_on; *type; type++)
            cr_assert_not(reply_ends(&reply, *type), "%c goes on after %c", reply.message, *type);
    }
}

Test(replies, local_bytes_are_freed_with_their_entry)
{
    struct replies replies;
    replies_init(&replies);
    struct evbuffer *bytes = evbuffer_new();
    evbuffer_add(bytes, "x", 1);
    replies_push_local(&replies, bytes);
    cr_assert_eq(replies_head(&replies)->local, bytes);
    replies_clear(&replies);
}

Test(replies, a_sink_is_found_while_its_reply_is_owed)
{
    struct replies replies;
    replies_init(&replies);
    cr_assert_not(replies_await(&replies, sink));
    replies_push(&replies, 'P', NULL, NULL, NULL);
    replies_push(&replies, 'P', sink, NULL, NULL);
    cr_assert(replies_await(&replies, sink));
    replies_pop(&replies);
    replies_pop(&replies);
    cr_assert_not(replies_await(&replies, sink));
    replies_clear(&replies);
}
