"""What a shell is told to complete arguments to."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.dev_server import Dev
from acceptance.terminal import ARCBOOK, Terminal

SUM = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: sum, path: tests/sum}
workflow:
  - step: start
    tool: {kind: python, code: "result = 1"}
    next: {arcs: [{step: add}]}
  - step: add
    tool: {kind: noop}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    terminal = Terminal(tmp_path_factory.mktemp("completing"))
    terminal.write("sum.yaml", SUM)
    terminal("run", "sum.yaml")
    terminal("credential", "add", "warehouse", "--type", "bearer", "--set", "token=t1t1t1")
    return terminal


def completed(home: Terminal, *words: str, server: str = "") -> list[str]:
    """Return what bash is answered behind some words, the last of which is begun."""
    place = ["--server", server] if server else ["--home", str(home.home)]
    line = ["arcbook", *place, *words]
    asked = {
        "_ARCBOOK_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    answer = subprocess.run(
        [ARCBOOK],
        check=False,
        env={**home.environment, **asked},
        cwd=home.folder,
        capture_output=True,
        text=True,
    )
    assert answer.stderr == ""
    return answer.stdout.split()


@pytest.mark.parametrize("verb", ["executions show", "events", "result", "cancel", "retry-from"])
def test_ids_of_executions_are_completed(home: Terminal, verb: str) -> None:
    (row,) = home.executions()

    assert completed(home, *verb.split(), "") == [f"plain,{row['execution_id']}"]
    assert completed(home, *verb.split(), "9") == []


def test_steps_are_completed(home: Terminal) -> None:
    (row,) = home.executions()
    identity = row["execution_id"]

    assert completed(home, "retry-from", identity, "") == ["plain,start", "plain,add"]
    assert completed(home, "result", identity, "a") == ["plain,add"]
    assert completed(home, "run", "sum.yaml", "--target", "s") == ["plain,start"]


def test_files_and_paths_of_the_catalog_are_completed(home: Terminal) -> None:
    assert completed(home, "lint", "s") == ["file,"]
    assert completed(home, "graph", "s") == ["file,"]
    assert completed(home, "catalog", "register", "s") == ["file,"]
    assert completed(home, "run", "s") == ["file,"]
    assert completed(home, "run", "tes") == ["plain,tests/sum"]
    assert completed(home, "run", "") == ["plain,tests/sum", "plain,sum.yaml"]
    assert completed(home, "catalog", "show", "") == ["plain,tests/sum"]


def test_aliases_are_completed(home: Terminal) -> None:
    assert completed(home, "credential", "rm", "w") == ["plain,warehouse"]


def test_completing_makes_no_home(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)

    assert completed(terminal, "executions", "show", "") == []
    assert not terminal.home.exists()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A server that has a playbook, a run, a schedule and a credential, and no shared home."""
    terminal = Terminal(tmp_path_factory.mktemp("served"))
    terminal.write("sum.yaml", SUM)
    with Dev(terminal).serving() as dev:
        dev("run", "sum.yaml")
        dev("schedule", "add", "nightly", "tests/sum", "--cron", "30 2 * * *")
        dev("credential", "add", "lake", "--type", "bearer", "--set", "token=t2t2t2")
        yield dev


@pytest.mark.slow
def test_what_a_named_server_has_is_completed(dev: Dev, tmp_path: Path) -> None:
    (row,) = dev("executions", "list", "--json").json
    identity = row["execution_id"]
    home = Terminal(tmp_path)

    def asked(*words: str) -> list[str]:
        return completed(home, *words, server=dev.url)

    assert asked("run", "tes") == ["plain,tests/sum"]
    assert asked("run", "tests/sum", "--target", "") == ["plain,start", "plain,add"]
    assert asked("executions", "show", "") == [f"plain,{identity}"]
    assert asked("retry-from", identity, "") == ["plain,start", "plain,add"]
    assert asked("schedule", "add", "daily", "tes") == ["plain,tests/sum"]
    assert asked("schedule", "pause", "ni") == ["plain,nightly"]
    assert asked("credential", "rm", "") == ["plain,lake"]
    assert not home.home.exists()


@pytest.mark.slow
def test_an_answer_of_a_server_is_used_again_for_a_moment(tmp_path: Path) -> None:
    served, home = Terminal(tmp_path / "served"), Terminal(tmp_path / "typing")
    served.folder.mkdir()
    home.folder.mkdir()
    with Dev(served).serving() as dev:
        served.write("sum.yaml", SUM)
        dev("catalog", "register", "sum.yaml")
        url = dev.url
        first = completed(home, "catalog", "show", "t", server=url)

    assert first == ["plain,tests/sum"]
    assert completed(home, "catalog", "show", "tests", server=url) == ["plain,tests/sum"]
    (kept,) = (home.folder / "cache").rglob("*.json")
    assert kept.stat().st_mode & 0o077 == 0


def test_a_server_that_does_not_answer_completes_nothing_and_costs_little(tmp_path: Path) -> None:
    home = Terminal(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begins = time.monotonic()
        assert completed(home, "executions", "show", "", server=url) == []
        assert time.monotonic() - begins < 15
    assert completed(home, "executions", "show", "", server="http://127.0.0.1:9") == []
    assert completed(home, "executions", "show", "", server="nonsense") == []
    assert completed(home, "run", "", server="http://127.0.0.1:9") == ["file,"]
