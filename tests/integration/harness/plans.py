"""What the compiler makes of statements, without a running pgveil: tests/tools/plan_tool.c."""
import json
import subprocess

from . import processes


def plans(dataset, statements, *options):
    """One plan (a dict) for every statement."""
    tool = processes.BUILD / "tests/tools/plan_tool"
    run = subprocess.run([tool, dataset, *options], input="\n--;\n".join(statements) + "\n",
                         capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    made = [json.loads(line) for line in run.stdout.rstrip("\n").split("\n")]
    assert len(made) == len(statements), run.stdout
    return made


class Measurement:
    """One release's SQL, run on a connection of one's own."""

    def __init__(self, cursor, release):
        self.release = release
        self.cursor = cursor

    def vectors(self, sql):
        """{keys: [exact integers]}; a group that is not there is all zeros."""
        keys = self.release["n_keys"]
        return {row[:keys]: [int(value) for value in row[keys:]] for row in self.rows(sql)}

    def weights(self, sql):
        """{keys: {bin: weight}} of a histogram's SQL; a bin that is not there weighs nothing."""
        groups, last = {}, None
        for *keys, number, weight in self.rows(sql):
            bins = groups.setdefault(tuple(keys), {})
            assert last in (tuple(keys), None) or not bins, "the bins of a group come together"
            assert not bins or int(number) > max(bins), "in their order"
            bins[int(number)] = int(weight)
            last = tuple(keys)
        return groups

    def rows(self, sql):
        types = [f"{p['type']}::regtype" for p in self.release["params"]]
        name = "measurement"
        self.cursor.execute("DEALLOCATE ALL")
        if types:
            self.cursor.execute("SELECT " + ", ".join(f"({t})::text" for t in types))
            names = self.cursor.fetchone()
            values = [p["text"] for p in self.release["params"]]
            self.cursor.execute(f"PREPARE {name} ({', '.join(names)}) AS {sql.replace('%', '%%')}", ())
            self.cursor.execute(f"EXECUTE {name} ({', '.join(['%s'] * len(values))})", values)
        else:
            self.cursor.execute(sql)
        return self.cursor.fetchall()
