"""What a shell is told to complete arguments to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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


def completed(home: Terminal, *words: str) -> list[str]:
    """Return what bash is answered behind some words, the last of which is begun."""
    line = ["arcbook", "--home", str(home.home), *words]
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
