"""A process that is killed in the middle of an execution, and what goes on after it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from acceptance.service import Service
from acceptance.terminal import Terminal

ORDERS = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: orders, path: shop/orders}
workload: {url: "", log: ""}
workflow:
  - step: start
    tool:
      kind: python
      input: {log: "{{ workload.log }}"}
      code: |
        with open(log, "a") as file:
            file.write("start\\n")
        result = [10, 20, 30, 40]
    next: {arcs: [{step: announce}]}
  - step: announce
    tool: {kind: http, method: POST, url: "{{ workload.url }}/announce", body: {n: 4}}
    next: {arcs: [{step: bill}]}
  - step: bill
    loop: {in: "{{ start }}", iterator: order, spec: {mode: parallel, max_in_flight: 2}}
    tool:
      - name: note
        kind: python
        input: {log: "{{ workload.log }}", order: "{{ iter.order }}"}
        code: |
          with open(log, "a") as file:
              file.write(f"note {order}\\n")
          result = order
      - name: charge
        kind: http
        method: POST
        url: "{{ workload.url }}/charge/{{ iter.order }}"
    next: {arcs: [{step: total}]}
  - step: total
    tool:
      kind: python
      input: {log: "{{ workload.log }}", orders: "{{ start }}"}
      code: |
        with open(log, "a") as file:
            file.write("total\\n")
        result = sum(orders)
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: http, method: POST, url: "{{ workload.url }}/done", body: {total: "{{ total }}"}}
"""


class Shop:
    """A run of the orders, with the service that it calls and the log that it writes."""

    def __init__(self, arcbook: Terminal, service: Service) -> None:
        self.arcbook = arcbook
        self.service = service
        self.log = arcbook.folder / "log.txt"
        arcbook.write("orders.yaml", ORDERS)

    def start(self, *more: str) -> subprocess.Popen[str]:
        given = ("--set", f"url={self.service.url}", "--set", f"log={self.log}")
        return self.arcbook.start("run", "orders.yaml", "--json", *given, *more)

    def killed_at(self, path: str) -> None:
        """Run, and kill the process when it has asked for a path and waits for the answer."""
        self.service.held.add(path)
        process = self.start()
        self.service.wait_for(path)
        kill(process)
        self.service.release(path)

    def lines(self) -> Counter[str]:
        return Counter(self.log.read_text().splitlines())


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    assert process.returncode == -signal.SIGKILL


@pytest.fixture
def shop(arcbook: Terminal, service: Service) -> Shop:
    return Shop(arcbook, service)


@pytest.mark.parametrize("path", ["/announce", "/charge/30", "/done"])
def test_a_killed_run_resumes_to_the_right_result_without_repeating_recorded_work(
    shop: Shop, path: str
) -> None:
    shop.killed_at(path)
    (cut_off,) = shop.arcbook.executions()
    recorded = recorded_iterations(shop.arcbook.events(cut_off["execution_id"]))
    before = shop.lines()
    resumed = shop.arcbook("resume")
    (ended,) = shop.arcbook.executions()
    keys = [request.key for request in shop.service.requests if request.path == path]

    assert cut_off["status"] == "RUNNING"
    assert resumed.code == 0
    assert ended["status"] == "COMPLETED"
    assert ended["execution_id"] == cut_off["execution_id"]
    assert shop.arcbook("result", ended["execution_id"], "total").json == 100
    assert shop.lines()["start"] == shop.lines()["total"] == 1
    for index, order in enumerate((10, 20, 30, 40)):
        times = before[f"note {order}"] + (index not in recorded)
        assert shop.lines()[f"note {order}"] == times
    assert len(keys) == 2
    assert keys[0] == keys[1] != ""


def recorded_iterations(events: list[dict[str, Any]]) -> set[int]:
    """Return the iterations of the loop of which the log knows the result."""
    found: set[int] = set()
    for event in events:
        if event["type"] == "command.completed" and event["step"] == "bill":
            first = event.get("first", 0)
            found |= set(range(first, first + event["count"]))
    return found


def test_every_charge_has_one_key_however_often_it_was_cut_off(shop: Shop) -> None:
    shop.killed_at("/charge/10")
    shop.service.held.add("/charge/40")
    again = shop.arcbook.start("run", "orders.yaml", "--resume", "--json")
    shop.service.wait_for("/charge/40")
    kill(again)
    shop.service.release("/charge/40")
    resumed = shop.arcbook("run", "orders.yaml", "--resume", "--json")
    charges = [r for r in shop.service.requests if r.path.startswith("/charge")]
    keys = {path: {r.key for r in charges if r.path == path} for path in shop.service.paths()}

    assert resumed.code == 0
    assert resumed.json["status"] == "COMPLETED"
    assert all(len(keys[f"/charge/{order}"]) == 1 for order in (10, 20, 30, 40))
    assert len({r.key for r in charges}) == 4


def test_a_call_that_must_not_run_twice_fails_instead(arcbook: Terminal, service: Service) -> None:
    arcbook.write("pay.yaml", PAY)
    service.held.add("/pay")
    process = arcbook.start("run", "pay.yaml", "--set", f"url={service.url}")
    service.wait_for("/pay")
    kill(process)
    service.release("/pay")
    resumed = arcbook("resume")

    assert resumed.code == 1
    assert "redelivery: never" in resumed.err
    assert service.paths() == ["/quote", "/pay"]
    assert arcbook.executions()[0]["status"] == "FAILED"


PAY = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: pay, path: shop/pay}
workload: {url: ""}
workflow:
  - step: start
    tool:
      - {name: quote, kind: http, method: POST, url: "{{ workload.url }}/quote"}
      - {name: pay, kind: http, method: POST, url: "{{ workload.url }}/pay", redelivery: never}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
"""


def test_a_rule_may_decide_what_becomes_of_a_call_that_was_lost(
    arcbook: Terminal, service: Service
) -> None:
    rule = """{when: "{{ output.error.kind == 'worker_lost' }}", then: {do: continue}}"""
    policy = f"redelivery: never, spec: {{policy: {{rules: [{rule}]}}}}"
    arcbook.write("pay.yaml", PAY.replace("redelivery: never", policy))
    service.held.add("/pay")
    process = arcbook.start("run", "pay.yaml", "--set", f"url={service.url}")
    service.wait_for("/pay")
    kill(process)
    service.release("/pay")

    assert arcbook("resume").code == 0
    assert service.paths() == ["/quote", "/pay"]


def test_a_killed_caller_resumes_with_the_playbook_that_it_called(
    arcbook: Terminal, service: Service
) -> None:
    arcbook.write("caller.yaml", CALLER)
    arcbook.write("called.yaml", CALLED)
    service.held.add("/second")
    process = arcbook.start("run", "caller.yaml", "--set", f"url={service.url}")
    service.wait_for("/second")
    kill(process)
    service.release("/second")
    resumed = arcbook("resume")
    statuses = {row["path"]: row["status"] for row in arcbook.executions()}

    assert resumed.code == 0
    assert statuses == {"shop/caller": "COMPLETED", "shop/called": "COMPLETED"}
    assert service.paths() == ["/first", "/second", "/second"]


CALLER = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: caller, path: shop/caller}
workload: {url: ""}
workflow:
  - step: start
    tool: {kind: playbook, path: shop/called, input: {url: "{{ workload.url }}"}}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
"""

CALLED = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: called, path: shop/called}
workload: {url: ""}
workflow:
  - step: start
    tool: {kind: http, method: POST, url: "{{ workload.url }}/first"}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: http, method: POST, url: "{{ workload.url }}/second"}
"""


def test_what_a_living_process_runs_is_not_taken_from_it(shop: Shop) -> None:
    shop.service.held.add("/announce")
    process = shop.start()
    shop.service.wait_for("/announce")
    (row,) = shop.arcbook.executions()
    resumed = shop.arcbook("resume", row["execution_id"])
    shop.service.release("/announce")
    process.communicate()

    assert resumed.code == 2
    assert "is being run by another process" in resumed.err
    assert process.returncode == 0
    assert shop.service.paths().count("/announce") == 1


# -- cancelling -------------------------------------------------------------------------


def test_ctrl_c_cancels_and_exits_with_130(shop: Shop) -> None:
    shop.service.held.add("/announce")
    process = shop.start()
    shop.service.wait_for("/announce")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    (row,) = shop.arcbook.executions()

    assert process.returncode == 130
    assert '"CANCELLED"' in out
    assert "cancelling" in err
    assert row["status"] == "CANCELLED"
    assert shop.lines() == {"start": 1}


def test_a_second_ctrl_c_does_not_wait_and_resuming_finishes_the_cancellation(
    arcbook: Terminal,
) -> None:
    os.mkfifo(arcbook.folder / "reached")
    arcbook.write("stubborn.yaml", STUBBORN)
    reached = os.open(arcbook.folder / "reached", os.O_RDWR)
    process = arcbook.start("run", "stubborn.yaml", "--set", f"folder={arcbook.folder}")
    os.read(reached, 100)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "cancelling" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    os.close(reached)

    left = arcbook.executions()[0]["status"]
    resumed = arcbook("resume")

    assert process.returncode == 130
    assert left == "RUNNING"
    assert resumed.code == 130
    assert arcbook.executions()[0]["status"] == "CANCELLED"


STUBBORN = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: stubborn}
workload: {folder: ""}
workflow:
  - step: start
    tool:
      kind: shell
      cwd: "{{ workload.folder }}"
      command: "trap '' TERM; echo here > reached; while :; do sleep 0.05; done"
"""


def test_ctrl_c_while_resuming_leaves_the_execution_to_be_resumed_again(shop: Shop) -> None:
    shop.killed_at("/announce")
    shop.service.held.add("/announce")
    resuming = shop.arcbook.start("resume")
    shop.service.wait_for("/announce", times=2)
    resuming.send_signal(signal.SIGINT)
    _, err = resuming.communicate(timeout=20)
    left = shop.arcbook.executions()[0]["status"]
    shop.service.release("/announce")

    assert resuming.returncode == 130
    assert "Traceback" not in err
    assert "stopped; to continue, run: arcbook resume" in err
    assert left == "RUNNING"
    assert shop.arcbook("resume").code == 0
    assert shop.lines()["start"] == 1


def test_another_process_may_cancel_an_execution(shop: Shop) -> None:
    shop.service.held.add("/announce")
    process = shop.start()
    shop.service.wait_for("/announce")
    (row,) = shop.arcbook.executions()
    cancelled = shop.arcbook("cancel", row["execution_id"], "--reason", "wrong input")
    process.communicate(timeout=20)

    assert cancelled.code == 0
    assert "was asked to cancel" in cancelled.out
    assert process.returncode == 130
    assert "wrong input" in str(shop.arcbook.events(row["execution_id"]))


def test_an_execution_without_a_process_can_be_cancelled(shop: Shop) -> None:
    shop.killed_at("/announce")
    (row,) = shop.arcbook.executions()
    cancelled = shop.arcbook("cancel", row["execution_id"])

    assert cancelled.code == 0
    assert "is CANCELLED" in cancelled.out
    assert shop.service.paths() == ["/announce"]
    assert shop.arcbook("resume").out == "there is nothing to resume\n"


# -- watching ---------------------------------------------------------------------------


def test_events_can_be_followed_until_the_end(shop: Shop) -> None:
    shop.service.held.add("/announce")
    process = shop.start()
    shop.service.wait_for("/announce")
    (row,) = shop.arcbook.executions()
    following = shop.arcbook.start("events", row["execution_id"], "--follow", "--json")
    assert following.stdout is not None
    first = following.stdout.readline()
    shop.service.release("/announce")
    rest, _ = following.communicate(timeout=20)
    process.communicate()

    assert "playbook.started" in first
    assert "playbook.completed" in rest.splitlines()[-1]
    assert following.returncode == 0


def test_a_reader_that_goes_away_ends_the_output_quietly(shop: Shop, tmp_path: Path) -> None:
    process = shop.start()
    process.communicate()
    (row,) = shop.arcbook.executions()
    command = shop.arcbook.command("events", row["execution_id"], "--json")
    piped = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *command],
        capture_output=True, text=True, env=shop.arcbook.environment, cwd=tmp_path, check=True,
    )  # fmt: skip

    assert "playbook.started" in piped.stdout
    assert piped.stderr == ""
