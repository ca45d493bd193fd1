"""``arcbook up``: a cluster of processes on this machine, watched over and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from acceptance.terminal import Terminal
from acceptance.test_dev import GREET, until
from arcbook.compose.machine.programs import ServiceMissingError, nats_program, postgres_folder
from arcbook.testing.processes import Process
from arcbook.testing.services import free_port

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def home():
    """A folder that PostgreSQL's account may enter, if the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="arcbook-up-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def arcbook(tmp_path, home):
    try:
        postgres_folder()
        nats_program()
    except ServiceMissingError as error:
        pytest.skip(str(error))
    terminal = Terminal(tmp_path, home)
    yield terminal
    terminal.close()


class Up:
    """A local cluster, and the ids of its processes."""

    def __init__(self, arcbook, *arguments):
        self._arcbook = arcbook
        self._arguments = arguments
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = self._arcbook.command("up", "--port", self.port, *self._arguments)
        environment = self._arcbook.environment
        self.process = Process(command, "ready;", cwd=self._arcbook.folder, env=environment)
        self.process.wait_ready()

    def pids(self):
        return [int(pid) for pid in json.loads((self._folder / "processes.json").read_text())]

    @property
    def _folder(self):
        return self._arcbook.home / "up"

    def run(self, *arguments):
        return self._arcbook("--server", self.url, "run", *arguments)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def up(arcbook):
    up = Up(arcbook, "--workers", 2)
    up.start()
    yield up
    up.process.stop(signal.SIGINT)


def test_a_cluster_runs_playbooks_and_stops_all(up, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    assert up.run(name).json["said"] == "hello world"
    pids = up.pids()
    assert len(pids) == 5
    assert all(map(is_alive, pids))
    again = arcbook("up", "--port", free_port())
    assert (again.code, "another 'arcbook up'" in again.err) == (1, True)

    up.process.stop(signal.SIGINT)
    assert "stopped" in up.process.log
    assert not any(map(is_alive, pids))


def test_what_ends_is_started_again(up, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    for place in range(5):
        pid = up.pids()[place]
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: pid not in up.pids())

    # What was killed last may still be starting.
    until(lambda: up.run(name).code == 0)
    assert up.run(name).json["said"] == "hello world"
    assert up.process.log.count("restarting it") >= 5


def test_a_killed_one_leaves_nothing_in_the_way(up, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    assert up.run(name).code == 0
    before = up.pids()
    up.process.stop(signal.SIGKILL)
    up.start()

    assert "ended the processes of a killed" in up.process.log
    assert not any(map(is_alive, before))
    assert up.run("tests/greet").json["said"] == "hello world"
    listed = arcbook("executions", "list", "--server", up.url, "--json").json
    assert len(listed) == 2


def test_postgres_alone_is_enough(arcbook):
    up = Up(arcbook, "--workers", 1, "--without-nats")
    up.start()
    try:
        assert up.run(arcbook.write("greet.yaml", GREET)).json["said"] == "hello world"
        assert len(up.pids()) == 3
    finally:
        up.process.stop(signal.SIGINT)


def test_a_port_that_is_taken_is_told(arcbook):
    taken = Up(arcbook, "--workers", 0)
    taken.start()
    try:
        other = Terminal(arcbook.folder, arcbook.home / "other")
        ran = other("up", "--port", taken.port, "--workers", 0)
    finally:
        taken.process.stop(signal.SIGINT)

    assert (ran.code, "cannot listen on" in ran.err) == (1, True)
