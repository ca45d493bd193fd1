"""How far apart code runs is chosen by trying; what cannot be had is said, and never pretended."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from arcbook.cli.main import cli
from arcbook.compose.working import confinement_of
from arcbook.settings import Settings
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools import confinement as confining
from arcbook.tools.confinement import Confinement, Isolation
from arcbook.tools.isolation import IsolationError, choose, look
from arcbook.tools.python import Python
from arcbook.tools.shell import Shell

Make = Callable[[Isolation], Confinement]


@pytest.fixture
def make(tmp_path) -> Make:
    return lambda isolation: confinement_of(Settings(home=tmp_path), isolation)


@pytest.fixture
def without(monkeypatch) -> Callable[[str], None]:
    """Take a program away."""
    program = confining.program

    def take(name: str) -> None:
        def found(wanted: str) -> str:
            if wanted == name:
                raise FileNotFoundError(f"there is no program {name!r}; install it")
            return program(wanted)

        monkeypatch.setattr(confining, "program", found)
        monkeypatch.setattr("arcbook.tools.isolation.program", found)

    return take


async def test_the_strongest_that_works_is_chosen_and_said(make, caplog):
    caplog.set_level(logging.INFO)
    chosen = await choose("auto", make)

    assert chosen.isolation is Isolation.SANDBOX
    assert "isolation: sandbox" in caplog.text


async def test_what_cannot_be_had_is_passed_over_with_its_reason(make, without, caplog):
    without("bwrap")
    chosen = await choose("auto", make)

    assert chosen.isolation is not Isolation.SANDBOX
    assert "there is no program 'bwrap'" in caplog.text


async def test_refused_less_than_the_settings_want(make, without):
    without("bwrap")

    with pytest.raises(IsolationError, match="bwrap"):
        await choose("sandbox", make)


async def test_refused_an_isolation_that_does_not_exist(make):
    with pytest.raises(IsolationError, match="auto, process, user, sandbox"):
        await choose("jail", make)


async def test_refused_other_users_to_who_is_not_root(make, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(IsolationError, match="only root"):
        await choose("user", make)


async def test_a_sandbox_that_the_kernel_forbids_is_found_out_by_trying(make, monkeypatch):
    monkeypatch.setattr("arcbook.tools.sandbox.view", lambda *_, **__: ["--no-such-option"])
    found = {one.confinement.isolation: one.why_not for one in await look(make)}

    assert "shell does not run" in found[Isolation.SANDBOX]
    assert found[Isolation.PROCESS] == ""


def test_doctor_says_what_each_takes_and_what_a_worker_uses(tmp_path):
    answer = CliRunner().invoke(cli, ["--home", str(tmp_path), "doctor"])

    assert answer.exit_code == 0
    lines = answer.output.splitlines()
    assert lines[0] == "isolation sandbox  works"
    assert lines[1].startswith("isolation user")
    assert lines[2] == "isolation process  works"
    assert lines[3] == "a worker uses      sandbox"


async def test_refused_the_network_where_the_settings_say_so(tmp_path):
    made = Confinement.of_worker(Isolation.SANDBOX, workspaces=tmp_path / "work", has_network=False)
    context = FakeContext(confinement=made, workspace=made.make_workspace(1))
    tools = {"python": Python(), "shell": Shell()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 2)
    result = "reached"
except OSError:
    result = "refused"
"""
        outcome = await call_tool(tools["python"], "python", {"code": code}, context=context)
        assert outcome.data == "refused"
        command = (
            f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2)'"
        )
        outcome = await call_tool(tools["shell"], "shell", {"command": command}, context=context)
        assert not outcome.is_ok
    for tool in tools.values():
        await tool.close()


async def test_refused_a_variable_whose_name_is_a_command(tmp_path):
    made = Confinement.of_worker(Isolation.SANDBOX, workspaces=tmp_path / "work")
    context = FakeContext(confinement=made, workspace=made.make_workspace(1))
    for name in ("A; id >planted", "A B", "", "1A", "A\nB"):
        config = {"command": "true", "env": {name: "x"}}
        outcome = await call_tool(Shell(), "shell", config, context=context)
        assert not outcome.is_ok
    assert list(Path(context.workspace).iterdir()) == []


@pytest.mark.parametrize(
    "value", ["'; id >planted; '", "$(id >planted)", "`id >planted`", "a'b\n\\"]
)
async def test_contained_a_value_of_a_variable_is_never_a_command(tmp_path, value):
    made = Confinement.of_worker(Isolation.SANDBOX, workspaces=tmp_path / "work")
    context = FakeContext(confinement=made, workspace=made.make_workspace(1))
    config = {"command": 'printf %s "$GIVEN"', "env": {"GIVEN": value}}
    outcome = await call_tool(Shell(), "shell", config, context=context)

    assert outcome.data["stdout"] == value
    assert list(Path(context.workspace).iterdir()) == []


def test_a_workspace_from_before_belongs_to_the_user_of_its_execution(tmp_path):
    (tmp_path / "work" / "1").mkdir(parents=True)
    made = Confinement.of_worker(Isolation.SANDBOX, workspaces=tmp_path / "work")

    own = os.geteuid() if made.uid(1) is None else made.uid(1)
    assert Path(made.make_workspace(1)).stat().st_uid == own
