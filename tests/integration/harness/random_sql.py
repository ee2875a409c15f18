"""Random statements over the clinic: what the compiler accepts, composed at random."""

PATIENTS = ["id", "age", "sex", "city", "weight", "insured"]
VISITS = ["id", "patient_id", "day", "arrived", "cost", "code", '"Ward No"', "minutes", "note"]
CODES = ["code", "chapter"]
NUMBERS = {"id", "age", "weight", "cost", "minutes", '"Ward No"'}
DEEPEST = 4


def columns(alias, names):
    return [(alias, name) for name in names]


class Generator:
    def __init__(self, source):
        self.source = source
        self.scope = []

    def pick(self, *choices):
        return self.source.choice(choices)

    def column(self):
        alias, name = self.source.choice(self.scope)
        return f"{alias}.{name}"

    def number(self, depth=0):
        names = [f"{a}.{n}" for a, n in self.scope if n in NUMBERS]
        kind = self.source.randrange(9)
        if depth > DEEPEST or kind == 0 or not names:
            return self.pick("1", "2.5", "-3", "0", "1e3")
        if kind < 4:
            return self.source.choice(names)
        if kind == 4:
            return f"({self.number(depth + 1)} {self.pick(*'+-*/')} {self.number(depth + 1)})"
        if kind == 5:
            return f"least(greatest({self.number(depth + 1)}, 0), {self.pick('10', '100.5')})"
        if kind == 6:
            return (f"CASE WHEN {self.condition(depth + 1)} THEN {self.number(depth + 1)}"
                    f" ELSE {self.number(depth + 1)} END")
        return f"{self.pick('coalesce', 'greatest')}({self.number(depth + 1)}, 0)"

    def condition(self, depth=0):
        kind = self.source.randrange(7)
        if depth > DEEPEST or kind < 3:
            return (f"{self.number(depth + 1)} {self.pick('<', '>', '=', '<>', '>=')}"
                    f" {self.number(depth + 1)}")
        if kind == 3:
            return (f"({self.condition(depth + 1)} {self.pick('AND', 'OR')}"
                    f" {self.condition(depth + 1)})")
        if kind == 4:
            return f"NOT {self.condition(depth + 1)}"
        if kind == 5:
            return f"{self.number(depth + 1)} IS NULL"
        return f"{self.number(depth + 1)} IN (1, 2, 40)"

    def rows(self):
        """A FROM clause; the scope becomes its columns."""
        p, v, c = columns("p", PATIENTS), columns("v", VISITS), columns("c", CODES)
        kind = self.source.randrange(9)
        self.scope = p
        if kind == 0:
            return "patients p"
        if kind == 1:
            inner = self.condition()
            number = self.number()
            self.scope = columns("t", ["id", "age", "sex", "city"])
            return f"(SELECT p.id, {number} AS age, sex, city FROM patients p WHERE {inner}) t"
        self.scope = p + v
        if kind == 2:
            return (f"patients p {self.pick('', 'LEFT ')}JOIN visits v ON v.patient_id = p.id"
                    f"{self.pick('', ' AND ' + self.condition())}")
        if kind == 3:
            return "visits v RIGHT JOIN patients p ON p.id = v.patient_id"
        self.scope = v
        if kind == 4:
            return "visits v"
        if kind == 5:
            self.scope = v + columns("w", ["cost", "minutes", "note"])
            return "visits v JOIN visits w USING (patient_id)"
        self.scope = v + c
        if kind == 6:
            return "(SELECT * FROM visits WHERE minutes > 3) v JOIN icd_codes c ON v.code = c.code"
        return (f"visits v {self.pick('', 'LEFT ')}JOIN icd_codes c"
                f" {self.pick('USING (code)', 'ON c.code = v.code', 'ON c.chapter = v.note')}")

    def aggregate(self):
        kind = self.source.randrange(8)
        chosen = f" FILTER (WHERE {self.condition()})" if self.source.random() < 0.3 else ""
        if kind == 0:
            return "count(*)" + chosen
        if kind == 1:
            return f"count({self.column()})" + chosen
        if kind == 5:
            units = {"p": "count(DISTINCT p.id)", "v": "count(DISTINCT v.patient_id)",
                     "t": "count(DISTINCT t.id)"}
            alias = self.source.choice(self.scope)[0]
            return units.get(alias, "count(*)") + chosen
        if kind == 6:
            return f"count(DISTINCT {self.pick(self.column(), self.number(), self.condition())}){chosen}"
        return f"{self.pick('sum', 'sum', 'avg', 'stddev')}({self.number()}){chosen}"

    def statement(self):
        rows = self.rows()
        keys = [self.pick(self.column(), self.number()) for _ in range(self.source.choice([0, 0, 1, 1, 2]))]
        outputs = keys + [self.aggregate() for _ in range(self.source.choice([1, 2, 3]))]
        sql = f"SELECT {', '.join(outputs)} FROM {rows}"
        if self.source.random() < 0.5:
            sql += f" WHERE {self.condition()}"
        if keys:
            sql += f" GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}"
        return sql
