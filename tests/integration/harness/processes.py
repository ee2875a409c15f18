"""Processes and folders of the tests: never as root, always found again and ended."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / os.environ.get("PGVEIL_BUILD", "build/sanitize")


def postgres_bin():
    if "POSTGRES_BIN" in os.environ:
        return Path(os.environ["POSTGRES_BIN"])
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    raise RuntimeError("no PostgreSQL server below /usr/lib/postgresql")


def identity():
    """Arguments of subprocess that drop root: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def environment():
    keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {"LC_ALL": "C.UTF-8", "HOME": "/", **kept}


def new_folder():
    """A folder of the servers' user with a short path: Unix sockets allow 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pgveil-test.", dir="/tmp"))
    give_away(folder)
    return folder


def give_away(path):
    who = identity()
    if who:
        os.chown(path, who["user"], who["group"])


def readable_copy(path, folder):
    """The checkout may be unreadable to the servers' user."""
    copy = folder / path.name
    shutil.copy(path, copy)
    copy.chmod(0o755)
    return copy


def run(arguments, **options):
    return subprocess.run(
        [str(a) for a in arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=environment(),
        **identity(),
        **options,
    )


def checked(arguments, **options):
    result = run(arguments, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stdout}{result.stderr}")
    return result.stdout


def start(arguments, log):
    with open(log, "ab") as out:
        return subprocess.Popen(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=environment(),
            start_new_session=True,
            **identity(),
        )


def wait_until(check, seconds=30, what="it"):
    """Returns the first true value of check()."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.05)


def pids_below(folder, word=""):
    """Processes whose command line names a path below the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf8", "replace")
        except OSError:
            continue
        if f"{folder}/" in command and word in command:
            found.append(int(entry.name))
    return found


def children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if entry.name.isdigit() and int(fields[1]) == pid:
            found.append(int(entry.name))
    return found


def skip_without_terminals():
    """A bare root without /dev/pts has none."""
    try:
        for terminal in os.openpty():
            os.close(terminal)
    except OSError as error:
        pytest.skip(f"no terminals here: {error}")


def end_all_below(folder):
    """Whatever a test left, then the folder itself."""
    for signal_number, seconds in ((signal.SIGTERM, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        for pid in pids_below(folder):
            try:
                os.kill(pid, signal_number)
            except ProcessLookupError:
                pass
        try:
            wait_until(lambda: not pids_below(folder), seconds)
            break
        except TimeoutError:
            continue
    shutil.rmtree(folder, ignore_errors=True)
