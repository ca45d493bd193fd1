"""Large results, narrow terminals, colours and plurals."""

from __future__ import annotations

import fcntl
import struct
import termios
from pathlib import Path

import pytest

from acceptance.terminal import Screen, Terminal

LARGE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: large, path: tests/large}
workload: {rows: 400}
workflow:
  - step: start
    tool: {kind: python, input: {n: "{{ workload.rows }}"}, code: "result = list(range(n))"}
"""

WRONG = LARGE.replace("python", "pyhton")

ONE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: one, path: tests/one}
workflow:
  - step: start
    loop: {in: [1], iterator: i}
    tool: {kind: noop}
"""


class Narrow(Screen):
    """A terminal of forty columns."""

    def __init__(self, terminal: Terminal, *arguments: object) -> None:
        terminal.environment.pop("COLUMNS", None)
        super().__init__(terminal, *arguments)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))


@pytest.fixture
def large(arcbook: Terminal) -> Terminal:
    arcbook.write("large.yaml", LARGE)
    return arcbook


def test_a_large_result_is_shortened_on_a_terminal_and_nowhere_else(large: Terminal) -> None:
    screen = Screen(large, "run", "large.yaml")
    screen.end()
    (row,) = large.executions()
    identity = row["execution_id"]

    assert (
        f"302 more lines; all of it: arcbook result {identity} --home {large.home}" in screen.text
    )
    assert "398" not in screen.text.replace(identity, "")
    assert large("run", "large.yaml").json == list(range(400))
    assert large("result", identity).json == list(range(400))


def test_a_table_on_a_narrow_terminal_is_lines_that_fit(large: Terminal) -> None:
    large("run", "large.yaml")
    screen = Narrow(large, "executions", "list")
    screen.end()

    assert max(map(len, screen.text.splitlines())) <= 40
    assert "STATUS     COMPLETED" in screen.text
    assert "PATH       tests/large" in screen.text


@pytest.mark.parametrize(
    "arguments", [("run", "large.yaml"), ("run", "wrong.yaml"), ("executions", "list")]
)
def test_no_color_switches_colours_off(large: Terminal, arguments: tuple[str, ...]) -> None:
    large.write("wrong.yaml", WRONG)
    large.environment["NO_COLOR"] = "1"
    plain = Screen(large, *arguments)
    plain.end()

    assert b"\x1b[3" not in plain._written
    assert b"\x1b[9" not in plain._written


def test_colours_are_there_without_it(large: Terminal) -> None:
    large.environment.pop("NO_COLOR", None)
    screen = Screen(large, "run", "large.yaml")
    screen.end()

    assert b"\x1b[32m" in screen._written


def test_one_is_no_plural(arcbook: Terminal) -> None:
    ran = arcbook("run", arcbook.write("one.yaml", ONE))

    assert "1 of 1 item " in ran.err


def test_a_server_that_is_away_is_told_in_words(tmp_path: Path, arcbook: Terminal) -> None:
    ran = arcbook("executions", "list", "--server", "http://127.0.0.1:9")

    assert ran.err == "Error: no server answers at http://127.0.0.1:9: Connection refused\n"
