"""Runs that are cut off, cancelled, gone on with and done again: what is said, and what is left."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from acceptance.service import Service
from acceptance.terminal import Screen, Terminal

TRIP = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: trip, path: shop/trip}
workload: {url: ""}
workflow:
  - step: start
    tool: {kind: python, code: "result = {'n': 1}"}
    next: {arcs: [{step: visit}]}
  - step: visit
    loop: {in: "{{ ['Oslo', 'Rome', 'Wien'] }}", iterator: city, spec: {mode: sequential}}
    tool: {kind: http, method: POST, url: "{{ workload.url }}/visit/{{ iter.city }}"}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: python, code: "result = {'done': True}"}
"""


class Trip:
    """A run that waits at a city."""

    def __init__(self, arcbook: Terminal, service: Service) -> None:
        self.arcbook = arcbook
        self.service = service
        arcbook.write("trip.yaml", TRIP)
        self.given = ("run", "trip.yaml", "--set", f"url={service.url}")

    def start(self, city: str) -> subprocess.Popen[str]:
        self.service.held.add(f"/visit/{city}")
        process = self.arcbook.start(*self.given)
        self.service.wait_for(f"/visit/{city}")
        return process

    def killed_at(self, city: str) -> str:
        """Run, and kill the process while it waits at a city; return the execution's id."""
        process = self.start(city)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.service.release(f"/visit/{city}")
        return str(self.row()["execution_id"])

    def row(self) -> dict[str, Any]:
        return self.arcbook.executions()[0]


@pytest.fixture
def trip(arcbook: Terminal, service: Service) -> Trip:
    return Trip(arcbook, service)


def test_a_run_whose_process_is_gone_is_shown_as_such_with_what_goes_on(trip: Trip) -> None:
    identity = trip.killed_at("Wien")
    advice = f"its process is gone: arcbook resume {identity} --home {trip.arcbook.home}"

    assert trip.row()["process_gone"] is True
    assert advice in trip.arcbook("executions", "list").out
    assert advice in trip.arcbook("executions", "show", identity).out


def test_a_run_whose_process_is_there_is_not(trip: Trip) -> None:
    process = trip.start("Rome")
    listed = trip.arcbook("executions", "list").out
    row = trip.row()
    trip.service.release("/visit/Rome")
    process.communicate()

    assert (row["status"], row["process_gone"]) == ("RUNNING", False)
    assert "process is gone" not in listed


def test_a_resumed_run_shows_the_times_and_counts_of_all_of_it(trip: Trip) -> None:
    identity = trip.killed_at("Wien")
    screen = Screen(trip.arcbook, "resume", identity)

    assert screen.end() == 0
    last = screen.text[screen.text.rindex("✓  start") :]
    assert "3 of 3 items" in last
    assert " h " not in screen.text
    assert '"done": true' in screen.text


def test_resume_answers_in_json(trip: Trip) -> None:
    identity = trip.killed_at("Rome")
    ran = trip.arcbook("resume", identity, "--json")

    assert (ran.json["execution_id"], ran.json["status"]) == (identity, "COMPLETED")
    assert ran.json["result"] == {"done": True}
    assert trip.arcbook("resume", "--json").json == []


def test_ctrl_c_says_what_it_did_and_what_comes_next_and_leaves_nothing_behind(trip: Trip) -> None:
    before = set(trip.arcbook.folder.iterdir())
    process = trip.start("Rome")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    identity = str(trip.row()["execution_id"])

    assert process.returncode == 130
    assert "reason: cancelled by the user" in said
    assert "stopped in visit" in said
    assert f"arcbook retry-from {identity} visit --home {trip.arcbook.home}" in said
    assert set(trip.arcbook.folder.iterdir()) - before <= {trip.arcbook.home}
    assert list((trip.arcbook.home / "owned").iterdir()) == []
    assert not [p for p in (trip.arcbook.home / "work").glob("*") if p.is_dir()]


def test_a_run_whose_terminal_is_closed_is_cancelled(trip: Trip) -> None:
    process = trip.start("Rome")
    process.send_signal(signal.SIGHUP)
    process.communicate()

    assert process.returncode == 130
    assert trip.row()["status"] == "CANCELLED"


def test_a_run_below_nohup_goes_on_when_its_terminal_is_closed(trip: Trip) -> None:
    trip.service.held.add("/visit/Rome")
    process = trip.arcbook.start(
        *trip.given, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    trip.service.wait_for("/visit/Rome")
    process.send_signal(signal.SIGHUP)
    trip.service.release("/visit/Rome")
    process.communicate()

    assert process.returncode == 0
    assert trip.row()["status"] == "COMPLETED"


def test_a_cancelled_run_shows_its_reason(trip: Trip) -> None:
    process = trip.start("Rome")
    identity = str(trip.row()["execution_id"])
    trip.arcbook("cancel", identity, "--reason", "wrong season")
    process.communicate(timeout=30)

    assert "cancelled: wrong season" in trip.arcbook("executions", "show", identity).out
    assert "wrong season" in trip.arcbook("executions", "list").out
    shown = trip.arcbook("executions", "show", identity, "--json").json
    assert shown["cancel_reason"] == "wrong season"
    assert [step["status"] for step in shown["steps"]] == ["done", "cancelled"]


def test_cancelling_tells_by_its_code_whether_the_run_ended_before(trip: Trip) -> None:
    identity = trip.killed_at("Rome")
    cancelled = trip.arcbook("cancel", identity)
    again = trip.arcbook("cancel", identity, "--json")
    trip.arcbook(*trip.given)
    completed = trip.arcbook("cancel", trip.row()["execution_id"])

    assert (completed.code, cancelled.code, again.code) == (1, 0, 0)
    assert "has already ended: COMPLETED" in completed.out
    assert again.json["status"] == "CANCELLED"


def test_retry_from_says_when_the_file_has_changed_and_takes_it(arcbook: Terminal) -> None:
    name = arcbook.write("sum.yaml", SUM)
    arcbook("run", name)
    (row,) = arcbook.executions()
    same = arcbook("retry-from", row["execution_id"], "add")
    arcbook.write("sum.yaml", SUM.replace("n + 1", "n + 10"))
    old = arcbook("retry-from", row["execution_id"], "add")
    new = arcbook("retry-from", row["execution_id"], "add", "--file", name)

    assert (same.json, old.json, new.json) == (2, 2, 11)
    assert "has changed since" not in same.err + new.err
    assert "sum.yaml has changed since; this runs version 1 of tests/sum" in old.err
    assert f"--file {Path(arcbook.folder) / name}" in old.err


def test_retry_from_refuses_the_file_of_another_playbook(arcbook: Terminal) -> None:
    arcbook("run", arcbook.write("sum.yaml", SUM))
    (row,) = arcbook.executions()
    other = arcbook.write("other.yaml", SUM.replace("tests/sum", "tests/other"))
    ran = arcbook("retry-from", row["execution_id"], "add", "--file", other)

    assert ran.code == 2
    assert "contains the playbook 'tests/other'" in ran.err


def test_a_document_may_come_from_standard_input(arcbook: Terminal) -> None:
    arcbook.write("sum.yaml", SUM)
    with (arcbook.folder / "sum.yaml").open() as document:
        ran = arcbook("run", "-", "--json", stdin=document)
    with (arcbook.folder / "sum.yaml").open() as document:
        linted = arcbook("lint", "-", "--json", stdin=document)

    assert ran.json["result"] == 2
    assert linted.json == []


def test_an_execution_is_shown_as_json_with_its_steps_and_result(arcbook: Terminal) -> None:
    arcbook("run", arcbook.write("sum.yaml", SUM))
    (row,) = arcbook.executions()
    shown = arcbook("executions", "show", row["execution_id"], "--json").json

    assert shown["result"] == 2
    assert [(step["name"], step["status"]) for step in shown["steps"]] == [
        ("start", "done"), ("add", "done"),
    ]  # fmt: skip
    spent = (shown["ended_at"] - shown["started_at"]) / 1000
    assert 0 < shown["steps"][0]["duration_ms"] <= spent


def test_detach_is_for_servers(arcbook: Terminal) -> None:
    ran = arcbook("run", arcbook.write("sum.yaml", SUM), "--detach")

    assert ran.code == 2
    assert "add --server" in ran.err


SUM = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: sum, path: tests/sum}
workflow:
  - step: start
    tool: {kind: python, code: "result = 1"}
    next: {arcs: [{step: add}]}
  - step: add
    tool: {kind: python, code: "result = n + 1", input: {n: "{{ start }}"}}
"""
