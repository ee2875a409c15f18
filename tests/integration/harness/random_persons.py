"""Random statements that decide about persons: EXISTS, NOT EXISTS and IN, groups of one person, WITH."""
from .random_sql import CODES, PATIENTS, VISITS, Generator, columns

UNITS = {"p": "p.id", "t": "t.id", "v": "v.patient_id", "g": "g.id", "h": "h.id", "x": "x.patient_id", "y": "y.id"}


class PersonGenerator(Generator):
    def __init__(self, source):
        super().__init__(source)
        self.nested = 0

    def inside(self, scope, write):
        """What is written in the scope of a subquery."""
        outer, self.scope = self.scope, scope
        self.nested += 1
        try:
            return write()
        finally:
            self.nested -= 1
            self.scope = outer

    def unit(self):
        units = sorted({alias for alias, _ in self.scope} & UNITS.keys())
        return UNITS[self.source.choice(units)] if units else None

    def condition(self, depth=0):
        if depth == 0 and self.nested < 3 and self.unit() and self.source.random() < 0.35:
            return self.about_persons() + (f" AND {super().condition(1)}" if self.source.random() < 0.4 else "")
        return super().condition(depth)

    def about_persons(self):
        unit, kind = self.unit(), self.source.randrange(6)
        if kind == 5:
            where = self.inside(columns("y", PATIENTS), self.condition)
            return f"{self.pick('', 'NOT ')}EXISTS (SELECT FROM patients y WHERE y.id = {unit} AND {where})"
        scope, rows = columns("x", VISITS), "visits x"
        if self.source.random() < 0.3:
            rows += " JOIN icd_codes c2 ON c2.code = x.code"
            scope = scope + columns("c2", CODES)
        if self.source.random() < 0.2:
            rows = f"(SELECT * FROM visits WHERE {self.inside(columns('visits', VISITS), self.condition)}) x"
            scope = columns("x", VISITS)
        if self.source.random() < 0.2:
            rows += " JOIN patients y ON y.id = x.patient_id"
            scope = scope + columns("y", PATIENTS)
        where = self.inside(scope, self.condition)
        if kind < 3:
            return (f"{self.pick('', 'NOT ')}EXISTS (SELECT {self.pick('1', '*', 'x.note')} FROM {rows}"
                    f" WHERE {self.pick(f'x.patient_id = {unit}', f'{unit} = x.patient_id')} AND {where})")
        if kind == 3:
            return f"{unit} IN (SELECT {self.pick('', 'DISTINCT ')}x.patient_id FROM {rows} WHERE {where})"
        return (f"{unit} IN (SELECT x.patient_id FROM {rows} WHERE {where} GROUP BY x.patient_id"
                f"{self.pick('', ', x.code')}{self.pick('', ' HAVING count(*) > 1', ' HAVING sum(x.minutes) > 60')})")

    def group(self, alias):
        """A subquery of one row, or some, a person; its columns."""
        scope = columns("v", VISITS)
        where = self.inside(scope, self.condition)
        kind = self.source.randrange(5)
        chosen = self.inside(scope, lambda: f" FILTER (WHERE {Generator.condition(self, 2)})") \
            if self.source.random() < 0.3 else ""
        if kind == 0:
            return (f"(SELECT DISTINCT v.patient_id AS id, v.code, v.minutes FROM visits v WHERE {where}) {alias}",
                    columns(alias, ["id", "code", "minutes"]))
        keys = "v.patient_id" + (", v.code" if kind == 1 else ", v.\"Ward No\"" if kind == 2 else "")
        names = ["id"] + (["code"] if kind == 1 else ['"Ward No"'] if kind == 2 else []) + ["cost", "minutes", "age"]
        shown = keys.replace("v.patient_id", "v.patient_id AS id")
        having = self.pick("", "", f" HAVING count(*) > {self.pick('0', '1', '3')}")
        inner = (f"(SELECT {shown}, {self.pick('sum', 'avg', 'min')}(v.cost){chosen} AS cost,"
                 f" {self.pick('max', 'min', 'sum')}(v.minutes) AS minutes,"
                 f" {self.pick('count(*)', 'count(v.note)', 'count(DISTINCT v.code)')}"
                 f" AS age FROM visits v WHERE {where} GROUP BY {keys}{having}) {alias}")
        if kind != 4:
            return inner, columns(alias, names)
        return (f"(SELECT o.id, max(o.cost) AS cost, sum(o.minutes) AS minutes, count(*) AS age FROM"
                f" {inner[:-len(alias)]}o GROUP BY o.id) {alias}"), columns(alias, names)

    def rows(self):
        kind = self.source.randrange(7)
        p, v = columns("p", PATIENTS), columns("v", VISITS)
        if kind < 2:
            return super().rows()
        self.scope = []
        group, g = self.group("g")
        if kind == 2:
            self.scope = g
            return group
        if kind == 3:
            self.scope = g + p
            return f"patients p {self.pick('', 'LEFT ')}JOIN {group} ON g.id = p.id"
        if kind == 4:
            self.scope = g + v
            return f"{group} JOIN visits v ON v.patient_id = g.id"
        if kind == 5:
            other, h = self.group("h")
            self.scope = g + h
            return f"{group} {self.pick('', 'LEFT ')}JOIN {other} ON h.id = g.id"
        where = self.inside(v, self.condition)
        self.scope = p + columns("w", ["cost", "minutes", "note"])
        return f"patients p LEFT JOIN (SELECT * FROM visits v WHERE {where}) w ON w.patient_id = p.id"

    def statement(self):
        return self.named(super().statement())

    def counts(self):
        """A statement of counts alone: no bound of a value binds."""
        rows, unit = self.rows(), self.unit()
        outputs = ["count(*)", f"count({self.column()})"] + ([f"count(DISTINCT {unit})"] if unit else [])
        where = f" WHERE {self.condition()}" if self.source.random() < 0.7 else ""
        return self.named(f"SELECT {', '.join(outputs)} FROM {rows}{where}")

    def named(self, sql):
        """Some of the rows by a name of WITH."""
        if self.source.random() < 0.7:
            return sql
        where = self.inside(columns("v", VISITS), self.condition)
        return f"WITH q AS (SELECT * FROM visits v WHERE {where}) " + sql.replace("visits x", "q x")
