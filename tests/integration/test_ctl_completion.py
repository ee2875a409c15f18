"""Completions, as each shell makes them; those of shells that are not installed are not asked."""
import shutil
import subprocess

import pytest

from ledger_server import program

CASES = [
    ("bud", {"budget"}), ("group ", {"join", "leave", "list"}), ("budget fo", {"forecast"}),
    ("budget grant ana --eps", {"--epsilon"}), ("ledger verify --he", {"--head", "--help"}), ("status --js", {"--json"}),
    # Options and their values stand anywhere.
    ("-c file budget sh", {"show"}), ("--config file --json led", {"ledger"}), ("budget --json sh", {"show"}),
    ("budget grant ana census --window ", {"none", "day", "week", "month"}), ("budget cap census -m z", {"zcdp"}),
    ("budget grant --mode gdp ana --wi", {"--window"}),
    ("help bud", {"budget"}), ("help budget fo", {"forecast"}), ("completion ", {"bash", "zsh", "fish"}),
    # An option that a command does not have.
    ("status --eps", set()), ("group join --wi", set())]

BASH = """source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pgveilctl; printf '%s\\n' "${COMPREPLY[@]}" """
# The function as it is, with what it tells the shell printed instead.
ZSH = """compdef() { :; }; compadd() { shift; print -rl -- "$@"; }; _files() { print -l *; }
source "$0"; words=("$@"); CURRENT=$#words; _pgveilctl"""
FISH = "source $argv[1]; complete -C $argv[2]"


def words_of(line):
    return ["pgveilctl", *line.split(" ")]


def complete(shell, folder, line):
    script = folder.parent / "script"
    script.write_text(subprocess.run([program("pgveilctl"), "completion", shell], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout)
    command = {"bash": ["bash", "-c", BASH, script, *words_of(line)],
               "zsh": ["zsh", "-f", "-c", ZSH, script, *words_of(line)],
               "fish": ["fish", "--no-config", "-c", FISH, script, f"pgveilctl {line}"]}[shell]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    assert done.stderr == "", done.stderr
    found = {one.split("\t")[0] for one in done.stdout.splitlines()}
    # zsh is told all that is possible, and chooses itself.
    return {one for one in found if one.startswith(line.split(" ")[-1])} - {""}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a policy.json").write_text("")
    return folder


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request):
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def test_each_shell_completes_commands_options_and_their_values(shell, folder):
    for line, expected in CASES:
        assert complete(shell, folder, line) == expected, line


def test_each_shell_completes_files_where_a_file_is_meant(shell, folder):
    for line in ("-c ", "--config ", "policy check ", "analyst add ana --password-file "):
        assert "a policy.json" in "\n".join(complete(shell, folder, line)).replace("\\", ""), line
    for line in ("budget grant ", "ledger show ", "budget grant ana census --epsilon "):
        assert "a policy.json" not in "\n".join(complete(shell, folder, line)).replace("\\", ""), line


def test_there_are_completions_for_three_shells():
    done = subprocess.run([program("pgveilctl"), "completion", "tcsh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "bash, zsh or fish" in done.stderr
