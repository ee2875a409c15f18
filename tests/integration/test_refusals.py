"""Every refused form: its SQLSTATE, where it points, what it says; nothing is spent, nothing read."""
import psycopg2
import pytest
from harness.cases import refused

CASES = list(refused())


@pytest.fixture
def refused_analyst(pgveil):
    return pgveil.analyst(grants={"clinic": ("1", "1e-6")})


@pytest.fixture(scope="module")
def session(pgveil):
    connection = pgveil.analyst(grants={"clinic": ("1", "1e-6")}).connect("clinic")
    yield connection
    connection.close()




@pytest.mark.parametrize("dataset, case", [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_form_is_refused(session, dataset, case):
    assert dataset == "clinic"
    with session.cursor() as cursor:
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute(case["sql"])
            rows = cursor.fetchall() if cursor.description else cursor.statusmessage
            pytest.fail(f"answered: {rows}")
    error = caught.value
    assert error.pgcode in case["sqlstate"].split("|"), (error.pgcode, error.pgerror)
    text = error.pgerror
    # What the twin itself says comes without them.
    if error.pgcode in ("42501", "0A000") and case.get("by") != "twin":
        assert "DETAIL:" in text and "HINT:" in text, text
    if "says" in case:
        assert case["says"] in text, text
    if "at" in case:
        position = int(error.diag.statement_position)
        assert case["sql"][position - 1:].startswith(case["at"]), (position, text)


def test_refusals_cost_nothing_and_touch_no_data(refused_analyst, pgveil, protected):
    before = len(protected.log.read_bytes())
    connection = refused_analyst.connect("clinic")
    for _, _, case in CASES:
        with connection.cursor() as cursor:
            try:
                cursor.execute(case["sql"])
            except psycopg2.Error:
                pass
        if protected.log.read_bytes()[before:].count(b"SELECT"):
            pytest.fail(f"the protected server was asked for {case['sql']}")
    connection.close()
    rows = refused_analyst.rows("clinic", "SELECT spent_mu2 FROM dp.budget")
    assert rows == [(0,)] or rows == [("0",)], rows
    assert refused_analyst.rows("clinic", "SELECT * FROM dp.history") == []


def test_explain_costs_nothing_and_touches_no_data(refused_analyst, protected):
    before = len(protected.log.read_bytes())
    lines = refused_analyst.rows("clinic", "EXPLAIN SELECT code, sum(cost) FROM visits GROUP BY code")
    assert len(lines) > 3, lines
    assert protected.log.read_bytes()[before:].count(b"visits") == 0
    assert refused_analyst.rows("clinic", "SELECT * FROM dp.history") == []


@pytest.mark.parametrize("value", ["1e20", "NaN", "inf", "-1", "0", "1e-320", "abc", "20.000000001"])
def test_an_epsilon_out_of_range_is_refused_with_the_range(refused_analyst, value):
    connection = refused_analyst.connect("clinic")
    with connection.cursor() as cursor:
        cursor.execute("SET dp.epsilon = %s", (value,))
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute("SELECT count(*) FROM patients")
    connection.close()
    assert caught.value.pgcode == "22023", caught.value
    assert "20" in caught.value.pgerror


def test_an_empty_epsilon_is_the_default(analyst):
    rows = analyst.rows("clinic", "SELECT count(*) FROM patients", settings={"dp.epsilon": ""})
    assert len(rows) == 1


def test_a_statement_in_a_failed_transaction_is_not_measured(refused_analyst):
    connection = refused_analyst.connect("clinic")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        with pytest.raises(psycopg2.Error):
            cursor.execute("SELECT 1/0")
        with pytest.raises(psycopg2.Error) as caught:
            cursor.execute("SELECT count(*) FROM patients")
        assert caught.value.pgcode == "25P02"
        cursor.execute("ROLLBACK")
    connection.close()
    assert refused_analyst.rows("clinic", "SELECT * FROM dp.history") == []
