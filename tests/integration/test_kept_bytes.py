"""How much is kept of an analyst's answers: the oldest are forgotten beyond a bound that is his own, others'
answers are not touched, and nobody gets anything back by it."""
from ledger_server import Ledger, kept_answer, release
from recount import check_all
from test_kept_answers import DRAW, ONE, PRICE, TWO, ask, at_once, ids, ledger, spent  # noqa: F401

SMALL = 1000  # mu^2 in pico of a small draw


def bound(ledger, value, *options):
    ledger.ctl("setting", "set", "kept_bytes_max", str(value), *options)


def draw(ledger, number, analyst="ana", groups=1, **kept):
    """A draw of a quantity of its own; its identity."""
    identity = f"{number:064}"
    ask(ledger, analyst, releases=[release(SMALL)],
        answers={0: [kept_answer(identity, noisy=list(range(groups)), **kept)]})
    return identity


def bytes_of(ledger, analyst):
    return ledger.one("SELECT coalesce(sum(d.bytes), 0)::bigint FROM pgveil.draw d JOIN pgveil.paid p ON p.draw = d.id "
                      "WHERE p.analyst = %s", analyst)


def test_a_draw_counts_for_what_it_takes(ledger):
    draw(ledger, 1)
    draw(ledger, 2, groups=10_000)
    small, large = [row["bytes"] for row in ledger.table("answers", "list")][::-1]
    assert 500 < small < 2000 and 10_000 * 4 < large < 10_000 * 20
    stored = ledger.one("SELECT pg_total_relation_size('pgveil.kept_answer') + pg_total_relation_size('pgveil.draw') "
                        "+ pg_total_relation_size('pgveil.paid')")
    for number in range(3, 203):
        draw(ledger, number, groups=100)
    grown = ledger.one("SELECT pg_total_relation_size('pgveil.kept_answer') + pg_total_relation_size('pgveil.draw') "
                       "+ pg_total_relation_size('pgveil.paid')") - stored
    counted = bytes_of(ledger, "ana") - small - large
    assert grown / 3 < counted < grown * 3


def test_the_oldest_go_first_and_the_newest_stays_however_large(ledger):
    identities = [draw(ledger, number) for number in range(20)]
    each = bytes_of(ledger, "ana") // 20
    bound(ledger, 5 * each)
    identities.append(draw(ledger, 20))
    assert ids(ledger) == list(range(17, 22)), "the last five"
    assert ledger.kept(identities[-1]) and not ledger.kept(identities[0])
    before = ledger.spend()
    large = draw(ledger, 99, groups=5000)
    assert ledger.kept(large) and len(ids(ledger)) == 1
    draw(ledger, 100)
    assert not ledger.kept(large), "it was beyond the bound alone"
    # What is forgotten is paid for again; nothing was given back.
    assert ledger.spend() == before + 2 * SMALL
    draw(ledger, 0)
    assert ledger.spend() == before + 3 * SMALL
    check_all(ledger)


def test_a_bound_of_one_dataset_is_of_that_dataset(ledger):
    bound(ledger, 1, "-d", "panel")
    for number in range(10):
        draw(ledger, number)
    assert len(ids(ledger)) == 10
    bound(ledger, 1, "-d", "census")
    draw(ledger, 10)
    assert len(ids(ledger)) == 1


def test_nobody_has_the_answers_of_others_forgotten(ledger):
    bob = [draw(ledger, number, "bob") for number in range(3)]
    ask(ledger, releases=[release(PRICE, fingerprint=DRAW)], answers={0: [kept_answer(ONE)]})
    taken = ask(ledger, "bob", releases=[release(PRICE, fingerprint=DRAW)], answers={0: [kept_answer(ONE)]})
    assert taken["adopted"] and taken["adopted"] != "0"
    shared_before = spent(ledger, "dataset", "")
    bound(ledger, 3 * bytes_of(ledger, "ana"))
    for number in range(100, 140):
        draw(ledger, number)
    assert all(ledger.kept(identity, analyst="bob") for identity in bob)
    # Ana has lost what she drew first; bob, who has paid for it as well, has it.
    assert ledger.kept(ONE, analyst="bob") and not ledger.kept(ONE)
    # She does not take over her own draw: it is made anew, and paid for by the dataset too.
    again = ask(ledger, releases=[release(PRICE, fingerprint=DRAW)], answers={0: [kept_answer(ONE)]})
    assert again["adopted"] is None and len(ledger.kept(ONE)) == 1
    assert spent(ledger, "dataset", "") == shared_before + 40 * SMALL + PRICE
    check_all(ledger)


def test_who_only_takes_over_is_bounded_too(ledger):
    """Ana draws, bob takes over, ana has it forgotten: what bob has is his, and bounded as his."""
    bound(ledger, 8000)
    for number in range(30):
        print_of = f"{number:063}f"
        for analyst in ("ana", "bob"):
            answer = ask(ledger, analyst, releases=[release(SMALL, fingerprint=print_of)],
                         answers={0: [kept_answer(f"{number:064}")]})
        assert answer["adopted"] not in (None, "0")
        assert bytes_of(ledger, "ana") <= 8000 and bytes_of(ledger, "bob") <= 8000
    assert len(ids(ledger)) < 10
    check_all(ledger)


def test_a_key_list_goes_with_what_is_measured_on_it(ledger):
    ask(ledger, releases=[release(SMALL)], n_keys=1, keys=["a", "b"], noisy=[5, 6])
    listed, = [row["id"] for row in ledger.kept(ONE)]
    ask(ledger, releases=[release(SMALL)], answers={0: [kept_answer(TWO, n_keys=1, keys_of=listed, noisy=[1, 2])]})
    assert len(ledger.kept(TWO)) == 2
    each = bytes_of(ledger, "ana") // 2
    bound(ledger, 3 * each)
    draw(ledger, 1)
    draw(ledger, 2)
    # Without the list its measure is of no use: it is not given again.
    assert ledger.kept(ONE) == [] and ledger.kept(TWO) == []
    check_all(ledger)


def test_sessions_that_keep_at_once_do_not_get_in_each_others_way(ledger):
    bound(ledger, 5000)

    own = [Ledger(ledger.server, ledger.database) for _ in range(4)]

    def work(index, _):
        for number in range(15):
            draw(own[index], 1000 * index + number, analyst=("ana", "bob")[index % 2])

    at_once(ledger, 4, work)
    for connection in own:
        connection.close()
    draw(ledger, 1, "ana")
    draw(ledger, 1, "bob")
    assert bytes_of(ledger, "ana") <= 5000 and bytes_of(ledger, "bob") <= 5000
    check_all(ledger)
