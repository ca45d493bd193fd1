"""The options that stand before and after every verb, and the places that answers name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest

from acceptance.terminal import ARCBOOK, Terminal
from arcbook.cli.main import cli

SHORT = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: short, path: tests/short}
workflow:
  - step: start
    tool: {kind: python, code: "result = {'n': 1}"}
"""


class Bare(Terminal):
    """The command line without ``--home`` before each verb."""

    def command(self, *arguments: object) -> list[str]:
        return [ARCBOOK, *map(str, arguments)]


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Bare]:
    terminal = Bare(tmp_path, forks=True)
    terminal.environment["XDG_DATA_HOME"] = str(tmp_path / "data")
    terminal.write("short.yaml", SHORT)
    yield terminal
    terminal.close()


@pytest.fixture
def strict_server() -> Iterator[str]:
    """A server that refuses every token."""

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"error": "the token is not valid"}).encode()
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def verbs(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield every verb, those below a group with its name before them."""
    if not isinstance(command, click.Group):
        yield names
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from verbs(below, *names, name)


@pytest.mark.parametrize("verb", list(verbs(cli)), ids=" ".join)
def test_every_verb_takes_the_home_and_json_behind_it(verb: tuple[str, ...]) -> None:
    command: Any = cli
    for name in verb:
        command = command.get_command(click.Context(command), name)
    names = [option for parameter in command.params for option in parameter.opts]

    assert [names.count(name) for name in ("--home", "--server", "--json")] == [1, 1, 1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--home", "here", "--json", "run", "short.yaml"),
        ("run", "--home", "here", "--json", "short.yaml"),
        ("run", "short.yaml", "--json", "--home", "here"),
        ("--json", "--home", "there", "run", "short.yaml", "--home", "here"),
    ],
)
def test_options_count_before_and_behind_a_verb(bare: Bare, arguments: tuple[str, ...]) -> None:
    ran = bare(*arguments)

    assert ran.json["result"] == {"n": 1}
    assert (bare.folder / "here" / "arcbook.db").exists()
    assert not (bare.folder / "there").exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("version",),
        ("lint", "short.yaml"),
        ("graph", "short.yaml"),
        ("schema",),
        ("completion", "bash"),
        ("catalog", "register", "short.yaml"),
        ("catalog", "list"),
        ("executions", "list"),
        ("credential", "add", "web", "--type", "bearer", "--set", "token=x1x1x1"),
        ("credential", "list"),
        ("wallet", "status"),
    ],
    ids=" ".join,
)
def test_verbs_answer_in_json(bare: Bare, verb: tuple[str, ...]) -> None:
    before, behind = bare("--json", *verb), bare(*verb, "--json")

    assert (before.code, behind.code) == (0, 0), before.err + behind.err
    assert isinstance(before.json, dict | list)
    assert type(before.json) is type(behind.json)


def test_the_version_is_an_option_too(bare: Bare) -> None:
    assert bare("--version").out == bare("version").out
    assert bare("--version").out.startswith("arcbook 0.")


def test_the_server_of_the_environment_counts_unless_the_command_line_names_a_place(
    bare: Bare,
) -> None:
    bare.environment["ARCBOOK_SERVER_URL"] = "http://127.0.0.1:9"

    assert "no server answers at http://127.0.0.1:9" in bare("executions", "list").err
    assert "no server answers at http://127.0.0.1:9" in bare("run", "short.yaml").err
    assert bare("run", "short.yaml", "--home", "here").code == 0
    assert bare("--home", "here", "executions", "list").code == 0
    other = bare("executions", "list", "--server", "http://127.0.0.1:7")
    assert "no server answers at http://127.0.0.1:7" in other.err


@pytest.mark.parametrize("verb", ["resume", "lint", "wallet"])
def test_a_verb_that_no_server_does_refuses_one(bare: Bare, verb: str) -> None:
    rest = {"resume": (), "lint": ("short.yaml",), "wallet": ("status",)}[verb]
    before = bare("--server", "http://127.0.0.1:9", verb, *rest)
    behind = bare(verb, *rest, "--server", "http://127.0.0.1:9")

    assert (before.code, behind.code) == (2, 2)
    assert "leave out --server" in before.err
    assert "leave out --server" in behind.err


def test_hints_name_the_place_that_they_are_about(bare: Bare) -> None:
    for verb in (("executions", "list"), ("catalog", "list"), ("credential", "list")):
        assert f"in the home {bare.folder / 'data' / 'arcbook'}" in bare(*verb).out
    assert "in the home here" in bare("events", "5", "--home", "here").err
    assert "in the home here" in bare("catalog", "show", "gone", "--home", "here").err


def test_a_refused_token_names_its_variable_and_the_server(bare: Bare, strict_server: str) -> None:
    ran = bare("executions", "list", "--server", strict_server)

    assert ran.code == 2
    assert "ARCBOOK_SERVER_TOKEN" in ran.err
    assert f"at the server {strict_server}" in ran.err


def test_a_document_of_the_catalog_is_shown_by_path_and_version(bare: Bare) -> None:
    bare("catalog", "register", "short.yaml")
    bare.write("short.yaml", SHORT.replace("1}", "2}"))
    bare("catalog", "register", "short.yaml")

    assert bare("catalog", "show", "/tests/short/").out == SHORT.replace("1}", "2}")
    assert bare("catalog", "show", "tests/short", "--version", 1).out == SHORT
    assert bare("catalog", "show", "tests/short", "--json").json["version"] == 2
    assert bare("catalog", "show", "tests/gone").code == 2
    assert bare("catalog", "show", "tests/short", "--version", 9).code == 2
