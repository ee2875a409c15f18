#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proxy/pg_client.h"
#include "tests/support/pg_server.h"

static struct pg_server server;
static struct event_base *base;
static struct pg_client *client;

static void start(void)
{
    pg_server_start(&server, NULL);
    base = event_base_new();
    client = pg_client_new(base, server.conninfo, "test server");
}

static void stop(void)
{
    pg_client_free(client);
    event_base_free(base);
    pg_server_stop(&server);
}

TestSuite(pg_client, .init = start, .fini = stop, .timeout = 60);

/* What a callback saw. */
struct seen {
    int calls, rows, lost;
    char value[64], sqlstate[6];
    bool last;
};

static void record(void *context, const PGresult *result)
{
    struct seen *seen = context;
    seen->calls++;
    if (result == NULL) {
        seen->lost++;
        seen->last = true;
        return;
    }
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    seen->last = PQresultStatus(result) != PGRES_SINGLE_TUPLE;
    seen->rows += PQntuples(result);
    snprintf(seen->sqlstate, sizeof seen->sqlstate, "%s", sqlstate != NULL ? sqlstate : "");
    if (PQntuples(result) > 0 && PQnfields(result) > 0)
        snprintf(seen->value, sizeof seen->value, "%s", PQgetvalue(result, 0, 0));
}

static void wait_for(const struct seen *seen)
{
    struct timeval begin, now;
    gettimeofday(&begin, NULL);
    do {
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        usleep(500);
        gettimeofday(&now, NULL);
    } while (!seen->last && now.tv_sec - begin.tv_sec < 20);
    cr_assert(seen->last, "no answer");
}

static void send_plain(const char *sql, uint64_t timeout_ms, struct seen *seen)
{
    pg_client_send(client, sql, 0, NULL, NULL, timeout_ms, record, seen);
}

Test(pg_client, answers_come_in_order_and_never_from_inside_send)
{
    struct seen seen[20] = {0};
    char sql[64];
    for (int i = 0; i < 20; i++) {
        snprintf(sql, sizeof sql, "SELECT %d", i);
        send_plain(sql, 1000, &seen[i]);
    }
    cr_assert_not(pg_client_is_idle(client));
    for (int i = 0; i < 20; i++)
        cr_assert_eq(seen[i].calls, 0);
    wait_for(&seen[19]);
    for (int i = 0; i < 20; i++) {
        snprintf(sql, sizeof sql, "%d", i);
        cr_assert_str_eq(seen[i].value, sql);
        cr_assert_eq(seen[i].calls, 1);
    }
    cr_assert(pg_client_is_idle(client));
}

Test(pg_client, parameters_are_copied_and_typed)
{
    struct seen seen = {0};
    char text[] = "2024-02-30x";
    const char *values[] = {text, NULL};
    Oid types[] = {25, 23};
    pg_client_send(client, "SELECT $1 || coalesce($2, 7)::text", 2, types, values, 0, record,
                   &seen);
    memset(text, '!', sizeof text - 1);
    wait_for(&seen);
    cr_assert_str_eq(seen.value, "2024-02-30x7");
}

Test(pg_client, an_error_concerns_only_its_statement)
{
    struct seen bad = {0}, good = {0};
    send_plain("SELECT 1/0", 0, &bad);
    send_plain("SELECT 5", 0, &good);
    wait_for(&good);
    cr_assert_str_eq(bad.sqlstate, "22012");
    cr_assert_str_eq(good.value, "5");
}

Test(pg_client, a_script_reports_its_first_error_else_its_last_result)
{
    struct seen bad = {0}, good = {0};
    pg_client_script(client, "SELECT 1; SELECT 1/0; SELECT 3", record, &bad);
    pg_client_script(client, "SELECT 1; SELECT 4", record, &good);
    wait_for(&good);
    cr_assert_eq(bad.calls, 1);
    cr_assert_str_eq(bad.sqlstate, "22012");
    cr_assert_str_eq(good.value, "4");
}

/* A callback that takes long with every row, and what the loop did between the rows. */
struct slow {
    struct seen seen;
    struct event *turn;
    int turns, turns_at_first_row, turns_at_last_row, reset_at_row;
};

static void take_a_turn(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval at_once = {0, 0};
    (void)fd, (void)what;
    struct slow *slow = context;
    slow->turns++;
    event_add(slow->turn, &at_once);
}

static void record_slowly(void *context, const PGresult *result)
{
    struct slow *slow = context;
    struct timespec begin, now;
    record(&slow->seen, result);
    if (slow->seen.last)
        return;
    if (slow->seen.rows == 1)
        slow->turns_at_first_row = slow->turns;
    slow->turns_at_last_row = slow->turns;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 7000000);
    if (slow->seen.rows == slow->reset_at_row)
        pg_client_reset(client);
}

static struct slow read_slowly(int reset_at_row)
{
    static const struct timeval at_once = {0, 0};
    struct slow slow = {.reset_at_row = reset_at_row};
    slow.turn = evtimer_new(base, take_a_turn, &slow);
    event_add(slow.turn, &at_once);
    pg_client_rows(client, "SELECT i FROM generate_series(1, 50) i", 0, NULL, NULL, 0,
                   record_slowly, &slow);
    wait_for(&slow.seen);
    event_free(slow.turn);
    return slow;
}

Test(pg_client, the_loop_has_its_turns_between_rows_that_take_long)
{
    struct slow slow = read_slowly(0);
    cr_assert_eq(slow.seen.rows, 50);
    cr_assert_eq(slow.seen.calls, 51);
    cr_assert_str_eq(slow.seen.value, "50");
    /* All fifty rows come in one packet; after each a slice is over. */
    cr_expect_geq(slow.turns_at_last_row - slow.turns_at_first_row, 49);
}

Test(pg_client, rows_that_wait_for_their_turn_are_gone_with_their_connection)
{
    struct slow slow = read_slowly(20);
    cr_assert_eq(slow.seen.rows, 20);
    cr_assert_eq(slow.seen.lost, 1);
    slow = read_slowly(0);
    cr_assert_eq(slow.seen.rows, 50, "another connection");
}

Test(pg_client, rows_arrive_one_by_one)
{
    struct seen seen = {0};
    pg_client_rows(client, "SELECT i FROM generate_series(1, 1000) i", 0, NULL, NULL, 0, record,
                   &seen);
    wait_for(&seen);
    cr_assert_eq(seen.calls, 1001);
    cr_assert_eq(seen.rows, 1000);
    cr_assert_str_eq(seen.value, "1000");
}

static void reset_at_tenth(void *context, const PGresult *result)
{
    struct seen *seen = context;
    record(context, result);
    if (seen->calls == 10)
        pg_client_reset(client);
}

Test(pg_client, a_row_callback_may_reset_the_connection)
{
    struct seen seen = {0}, next = {0};
    pg_client_rows(client, "SELECT i FROM generate_series(1, 1000) i", 0, NULL, NULL, 0,
                   reset_at_tenth, &seen);
    wait_for(&seen);
    cr_assert_eq(seen.calls, 11, "ten rows and the loss, got %d", seen.calls);
    cr_assert_eq(seen.lost, 1);
    send_plain("SELECT 'again'", 0, &next);
    wait_for(&next);
    cr_assert_str_eq(next.value, "again");
}

static void free_client(void *context, const PGresult *result)
{
    record(context, result);
    pg_client_free(client);
    client = NULL;
}

Test(pg_client, a_callback_may_free_the_client)
{
    struct seen first = {0}, second = {0};
    pg_client_send(client, "SELECT 1", 0, NULL, NULL, 0, free_client, &first);
    send_plain("SELECT 2", 5000, &second);
    wait_for(&second);
    cr_assert_str_eq(first.value, "1");
    cr_assert_eq(second.lost, 1);
    cr_assert_eq(second.calls, 1);
}

Test(pg_client, a_timeout_ends_the_statement_at_the_server_and_spares_the_next)
{
    struct seen slow = {0}, waits = {0}, count = {0};
    send_plain("SELECT pg_sleep(30) /* slow */", 300, &slow);
    send_plain("SELECT 'next'", 10000, &waits);
    wait_for(&slow);
    cr_assert_eq(slow.lost, 1);
    wait_for(&waits);
    cr_assert_str_eq(waits.value, "next");
    usleep(300000);
    send_plain("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* slow%' AND state = "
               "'active' AND pid <> pg_backend_pid()",
               0, &count);
    wait_for(&count);
    cr_assert_str_eq(count.value, "0");
}

Test(pg_client, a_statement_that_waits_too_long_fails_alone)
{
    struct seen slow = {0}, waits = {0};
    send_plain("SELECT pg_sleep(1)::text || 'done'", 0, &slow);
    send_plain("SELECT 1", 200, &waits);
    wait_for(&waits);
    cr_assert_eq(waits.lost, 1);
    cr_assert_eq(slow.calls, 0);
    wait_for(&slow);
    cr_assert_str_eq(slow.value, "done");
}

Test(pg_client, cancel_stops_the_running_statement_without_waiting)
{
    struct seen slow = {0}, ready = {0};
    send_plain("SELECT 1", 0, &ready);
    wait_for(&ready);
    send_plain("SELECT pg_sleep(30)", 0, &slow);
    for (int i = 0; i < 300; i++) { /* a request that comes before the statement runs is in vain */
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    kill(server.pid, SIGSTOP); /* nobody takes the request: who waits for that, waits for ever */
    pg_client_cancel(client);
    kill(server.pid, SIGCONT);
    wait_for(&slow);
    cr_assert_str_eq(slow.sqlstate, "57014");
}

Test(pg_client, the_server_may_go_and_come_back)
{
    struct seen first = {0}, running = {0}, down = {0}, back = {0};
    send_plain("SELECT 1", 0, &first);
    wait_for(&first);
    send_plain("SELECT pg_sleep(30)", 0, &running);
    event_base_loop(base, EVLOOP_NONBLOCK);
    pg_server_pause(&server);
    wait_for(&running);
    cr_assert_eq(running.lost, 1, "the statement under way is lost");
    send_plain("SELECT 2", 0, &down);
    wait_for(&down);
    cr_assert_eq(down.lost, 1, "nobody there");
    cr_assert_not(pg_client_is_connected(client));
    pg_server_resume(&server);
    send_plain("SELECT 'back'", 0, &back);
    wait_for(&back);
    cr_assert_str_eq(back.value, "back");
}

/* The server as a client sees one that restarts: its socket is moved away, and in its place
 * somebody hangs up on whoever connects. A restart of the real one takes as long as the machine is
 * busy. */
struct absence {
    char path[100], away[108];
    int listener;
};

static void begin_absence(struct absence *absence)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(absence->path, sizeof absence->path, "%s/.s.PGSQL.5432", server.directory);
    snprintf(absence->away, sizeof absence->away, "%s.away", absence->path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", absence->path);
    cr_assert_eq(rename(absence->path, absence->away), 0);
    absence->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(absence->listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(absence->listener, 4), 0);
}

static void expect_attempts(const struct absence *absence, int n, const struct seen *waits)
{
    for (int i = 0; i < 10000 && n > 0 && !waits->last; i++) {
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        int fd = accept(absence->listener, NULL, NULL);
        if (fd >= 0) {
            close(fd);
            n--;
        }
        usleep(1000);
    }
    cr_assert_eq(n, 0, "it is tried again");
}

static void end_absence(const struct absence *absence)
{
    close(absence->listener);
    cr_assert_eq(unlink(absence->path), 0);
    cr_assert_eq(rename(absence->away, absence->path), 0);
}

Test(pg_client, a_restart_of_the_server_is_waited_for)
{
    struct seen first = {0}, waits = {0};
    struct absence absence;
    PGconn *other = PQconnectdb(server.conninfo);
    send_plain("SELECT 1", 0, &first);
    wait_for(&first);
    begin_absence(&absence);
    PQclear(PQexec(other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                          "WHERE application_name = 'pgveil'"));
    PQfinish(other);
    for (int i = 0; i < 10000 && pg_client_is_connected(client); i++) {
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        usleep(1000);
    }
    cr_assert_not(pg_client_is_connected(client));
    send_plain("SELECT 'came back'", 0, &waits);
    expect_attempts(&absence, 2, &waits);
    cr_assert_not(waits.last, "it waits");
    end_absence(&absence);
    wait_for(&waits);
    cr_assert_str_eq(waits.value, "came back");
}

Test(pg_client, an_idle_connection_that_the_server_closed_costs_no_statement)
{
    struct seen first = {0}, next = {0}, settle = {0};
    send_plain("SELECT 1", 0, &first);
    wait_for(&first);
    pg_server_pause(&server);
    pg_server_resume(&server);
    for (int i = 0; i < 50 && pg_client_is_connected(client); i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    cr_assert_not(pg_client_is_connected(client));
    send_plain("SELECT 'fine'", 0, &next);
    wait_for(&next);
    cr_assert_str_eq(next.value, "fine");
    send_plain("", 0, &settle);
    wait_for(&settle);
    cr_assert_eq(settle.lost, 0);
}

Test(pg_client, a_server_that_asks_for_copy_data_is_given_up)
{
    struct seen copy = {0}, next = {0};
    send_plain("COPY pg_class FROM STDIN", 0, &copy);
    wait_for(&copy);
    cr_assert(copy.lost == 1 || copy.sqlstate[0] != '\0');
    pg_client_script(client, "COPY (SELECT 1) TO STDOUT", record, &next);
    next.last = false;
    wait_for(&next);
    cr_assert_eq(next.lost, 1);
}
