"""Reading tests/cases."""
import json
import re

from .processes import ROOT

CASES = ROOT / "tests/cases"


def accepted():
    """(id, dataset, sql, parameters, approximate) of every accepted statement."""
    for path in sorted((CASES / "accept").glob("*.sql")):
        text = path.read_text()
        header = dict(re.findall(r"^-- (\w+): (.*)$", text, re.M))
        body = re.sub(r"^--.*\n", "", text, flags=re.M)
        parameters = json.loads(header.get("params", "[]"))
        for number, sql in enumerate(s.strip() for s in body.split(";\n")):
            if sql:
                yield (f"{path.stem}-{number + 1}", header["dataset"], sql.rstrip(";"), parameters,
                       header.get("compare") == "approximate")


def refused():
    """(id, dataset, case) of every refused statement."""
    for path in sorted((CASES / "refuse").glob("*.json")):
        document = json.loads(path.read_text())
        for number, case in enumerate(document["cases"]):
            yield f"{path.stem}-{number + 1}", document["dataset"], case
