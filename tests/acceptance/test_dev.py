"""``arcbook dev``: all in one process, and the verbs that speak to it."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request

import pytest

from acceptance.dev_server import Dev
from acceptance.terminal import Screen

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 30.0

GREET = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: greet, path: tests/greet}
workload: {who: world, more: {a: 1, b: 2}}
workflow:
  - step: start
    tool:
      kind: python
      input: {who: "{{ workload.who }}", more: "{{ workload.more }}"}
      code: |
        print("greeting")
        result = {"said": "hello " + who, "more": more}
"""

CALLS = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: calls, path: tests/calls}
workflow:
  - step: start
    tool: {kind: playbook, path: tests/greet}
"""

BROKEN = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: broken, path: tests/broken}
workflow:
  - step: start
    tool: {kind: python, code: "raise ValueError('too bad')"}
"""

GATED = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: gated, path: tests/gated}
workflow:
  - step: start
    tool: {kind: shell, command: "echo began > FOLDER/began; while [ ! -e FOLDER/gate ]; do sleep 0.05; done"}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: noop}
"""


@pytest.fixture
def dev(arcbook):
    with Dev(arcbook).serving() as dev:
        yield dev


def until(look):
    """Ask again and again until there is something; return it."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < ends_at, "it never came"
        time.sleep(0.05)
    return found


def newest(dev):
    return dev("executions", "list", "--json").json[0]


def test_a_run_at_a_server_looks_like_one_at_home(dev, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    there = dev("run", name, "--set", "who=you", "--set", "more.b=3")
    here = arcbook("run", name, "--set", "who=you", "--set", "more.b=3")

    assert (there.code, there.out) == (here.code, here.out)
    assert json.loads(there.out) == {"said": "hello you", "more": {"a": 1, "b": 3}}
    shape = [line.split()[:2] for line in here.err.splitlines()]
    assert [line.split()[:2] for line in there.err.splitlines()] == shape
    assert dev("run", "tests/greet", "--json").json["status"] == "COMPLETED"


def test_a_failed_run_says_why(dev, arcbook):
    ran = dev("run", arcbook.write("broken.yaml", BROKEN))

    assert ran.code == 1
    assert "too bad" in ran.err


def test_a_document_with_errors_is_shown(dev, arcbook):
    name = arcbook.write("wrong.yaml", GREET.replace("kind: python", "kind: pyhton"))

    assert dev("run", name).code == 2
    assert dev("catalog", "register", name).code == 1
    assert dev("run", "tests/nowhere").code == 2


def test_warnings_are_told_where_a_document_is_sent_and_where_it_is_kept(dev, arcbook):
    name = arcbook.write("odd.yaml", GREET.replace("{{ workload.who }}", "{{ workload.hwo }}"))

    run, registered = dev("run", name), dev("catalog", "register", name)

    assert "ARC309" in registered.err
    assert "ARC309" in run.err
    assert "has no value" in run.err
    assert "the workload has no 'nobody'" in dev("run", name, "--set", "nobody=1").err
    assert dev("run", name, "--strict").code == 2
    assert dev.process.find(r"tests/greet:\d+:\d+: (ARC309): the workload has no 'hwo'") == "ARC309"


def test_a_result_that_is_kept_elsewhere_comes_whole(dev, arcbook):
    code = 'result = {"rows": list(range(50000))}'
    name = arcbook.write("large.yaml", BROKEN.replace("raise ValueError('too bad')", "CODE"))
    text = (arcbook.folder / name).read_text().replace('"CODE"', f"'{code}'")
    ran = dev("run", arcbook.write("large.yaml", text))

    assert ran.code == 0, ran.err
    assert len(ran.json["rows"]) == 50000


def test_dev_tells_in_a_line_each_what_starts_ends_and_fails(dev, arcbook):
    dev("run", arcbook.write("greet.yaml", GREET))
    good = newest(dev)["execution_id"]
    dev("run", arcbook.write("broken.yaml", BROKEN))
    bad = newest(dev)["execution_id"]
    told = [" ".join(line.split()[1:]) for line in dev.process.log.splitlines()]

    assert f"started tests/greet execution {good}" in told
    assert any(line.startswith(f"completed tests/greet execution {good}, took") for line in told)
    failed = next(line for line in told if line.startswith(f"failed tests/broken execution {bad}"))
    assert "step 'start' failed: ValueError: too bad" in failed
    assert dev.process.find(r"described at (\S+)") == f"{dev.url}/docs"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_browser_finds_pages_that_need_no_other_host(dev, path):
    with urllib.request.urlopen(dev.url + path) as response:
        page = response.read().decode()

    assert response.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.findall(r"(?:src|href)=.(?:https?:)?//", page)
    assert "<script" not in page
    if path == "/docs":
        with urllib.request.urlopen(dev.url + "/api/openapi.json") as response:
            paths = json.load(response)["paths"]
        assert [p for p in paths if f"<code>{p}</code>" not in page] == []


def test_tokens_are_made_at_a_server(dev, arcbook):
    made = dev("token", "add", "ops", "--scope", "admin", "--json").json
    arcbook.environment["ARCBOOK_SERVER_TOKEN"] = made["token"]
    listed = dev("token", "list", "--json").json
    rotated = dev("token", "rotate", made["token_id"], "--json").json
    refused = dev("token", "list")
    arcbook.environment["ARCBOOK_SERVER_TOKEN"] = rotated["token"]

    assert [(row["token_id"], row["scope"]) for row in listed] == [(made["token_id"], "admin")]
    assert (refused.code, "another API token" in refused.err) == (2, True)
    assert dev("token", "rm", made["token_id"]).code == 0


def test_schedules_are_told_in_their_zone(dev, arcbook):
    dev("catalog", "register", arcbook.write("greet.yaml", GREET))
    cron = ("--cron", "30 2 * * *", "--timezone", "Asia/Tokyo")
    added = dev("schedule", "add", "nightly", "tests/greet", *cron)
    dev("schedule", "add", "pulse", "tests/greet", "--every", "1h")
    listed = dev("schedule", "list").out

    assert re.findall(r"02:30:00 JST", added.out) == ["02:30:00 JST"] * 5
    assert "02:30:00 JST" in listed
    zone = time.strftime("%Z")
    assert re.search(rf"every 3600 s +\S+ \S+ {zone}", listed), listed


def test_what_a_playbook_calls_is_registered_with_it(dev, arcbook):
    arcbook.write("below/greet.yaml", GREET)
    ran = dev("run", arcbook.write("calls.yaml", CALLS))

    assert ran.code == 0, ran.err
    assert ran.json["said"] == "hello world"


def test_the_verbs_read_what_is_at_the_server(dev, arcbook):
    assert dev("run", arcbook.write("greet.yaml", GREET)).code == 0
    identity = newest(dev)["execution_id"]

    assert "tests/greet" in dev("executions", "list").out
    shown = dev("executions", "show", identity).out
    assert "COMPLETED" in shown
    assert "greeting" in shown
    events = [json.loads(line) for line in dev("events", identity, "--json").out.splitlines()]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "playbook.completed"
    followed = dev("events", identity, "--follow", "--json").out.splitlines()
    assert len(followed) == len(events)
    assert dev("result", identity).json["said"] == "hello world"
    assert dev("result", identity, "start").json["said"] == "hello world"
    assert "tests/greet" in dev("catalog", "list").out
    assert arcbook("executions", "list").out.startswith("there are no executions")


def test_credentials_are_kept_at_the_server(dev):
    added = dev("credential", "add", "web", "--type", "bearer", "--set", "token=s3cret-word")
    assert added.code == 0
    listed = dev("credential", "list")
    assert "web" in listed.out
    assert "s3cret-word" not in listed.all
    assert dev("credential", "rm", "web").code == 0
    assert dev("credential", "rm", "web").code == 2


def test_schedules_are_kept_and_tick(dev, arcbook):
    assert dev("catalog", "register", arcbook.write("greet.yaml", GREET)).code == 0
    payload = '{"who": "clock"}'
    added = dev("schedule", "add", "pulse", "tests/greet", "--every", "1s", "--payload", payload)
    assert added.code == 0, added.err
    until(lambda: len(dev("executions", "list", "--json").json) >= 2)
    until(lambda: newest(dev)["status"] == "COMPLETED")
    assert dev("result", newest(dev)["execution_id"]).json["said"] == "hello clock"

    assert dev("schedule", "pause", "pulse").code == 0
    assert "paused" in dev("schedule", "list").out
    assert dev("schedule", "resume", "pulse").code == 0
    (view,) = dev("schedule", "list", "--json").json
    assert len(view["upcoming"]) == 5
    assert dev("schedule", "rm", "pulse").code == 0
    assert dev("schedule", "rm", "pulse").code == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("tests/nowhere", "--every", "1m"), "tests/nowhere"),
        (("tests/greet", "--cron", "61 * * * *"), "write minute, hour"),
        (("tests/greet", "--cron", "0 6 * * *", "--timezone", "Mars/Base"), "Europe/Berlin"),
        (("tests/greet", "--every", "0.1s"), "at least"),
    ],
)
def test_schedules_that_cannot_be(dev, arcbook, given, said):
    dev("catalog", "register", arcbook.write("greet.yaml", GREET))
    ran = dev("schedule", "add", "x", *given)

    assert (ran.code, said in ran.err) == (2, True), ran.err


def test_a_killed_server_goes_on_at_the_next_start(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    run = arcbook.start("--server", dev.url, "run", arcbook.write("gated.yaml", text))
    until((arcbook.folder / "began").exists)
    dev.process.stop(signal.SIGKILL)
    run.kill()
    dev.start()
    (arcbook.folder / "gate").touch()

    until(lambda: newest(dev)["status"] == "COMPLETED")


def test_ctrl_c_stops_in_order(dev, arcbook):
    dev.process.stop(signal.SIGINT)

    assert "stopped" in dev.process.log
    assert dev.process._process.returncode == 0


def test_two_on_one_folder_are_refused(dev, arcbook):
    ran = arcbook("dev", "--port", 0)

    assert (ran.code, "another process uses" in ran.err) == (2, True)


def test_a_run_can_be_cancelled(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    run = arcbook.start("--server", dev.url, "run", arcbook.write("gated.yaml", text))
    until((arcbook.folder / "began").exists)
    assert dev("cancel", newest(dev)["execution_id"]).code == 0
    run.communicate(timeout=PATIENCE_SECONDS)

    assert run.returncode == 130


def test_ctrl_c_cancels_a_run_and_waits_for_it(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    run = arcbook.start("--server", dev.url, "run", arcbook.write("gated.yaml", text))
    until((arcbook.folder / "began").exists)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=PATIENCE_SECONDS)

    assert run.returncode == 130
    assert newest(dev)["status"] == "CANCELLED"


def test_ctrl_c_on_a_terminal_offers_to_leave_the_execution_running(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    name = arcbook.write("gated.yaml", text)
    screen = Screen(arcbook, "--server", dev.url, "run", name)
    until((arcbook.folder / "began").exists)
    screen.press(b"\x03")
    screen.wait_for("running on the server, or Ctrl-C again to cancel it")
    screen.press(b"\n")

    assert screen.end() == 0
    assert f"arcbook events {newest(dev)['execution_id']} --follow" in screen.text
    (arcbook.folder / "gate").touch()
    until(lambda: newest(dev)["status"] == "COMPLETED")


def test_a_second_ctrl_c_on_a_terminal_cancels_at_the_server(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    screen = Screen(arcbook, "--server", dev.url, "run", arcbook.write("gated.yaml", text))
    until((arcbook.folder / "began").exists)
    screen.press(b"\x03")
    screen.wait_for("Ctrl-C again to cancel it")
    screen.press(b"\x03")

    assert screen.end() == 130
    assert newest(dev)["status"] == "CANCELLED"


def test_a_detached_run_is_started_and_not_waited_for(dev, arcbook):
    ran = dev("run", arcbook.write("greet.yaml", GREET), "--detach", "--json")

    assert ran.code == 0
    assert ran.json["execution_id"] == newest(dev)["execution_id"]
    until(lambda: newest(dev)["status"] == "COMPLETED")


def test_a_run_at_a_server_begins_at_the_step_that_is_asked_for(dev, arcbook):
    text = (
        GREET
        + "    next: {arcs: [{step: last}]}\n  - step: last\n    tool: {kind: python, code: 'result = 7'}\n"
    )
    name = arcbook.write("greet.yaml", text)
    there, here = (run("run", name, "--target", "last", "--json") for run in (dev, arcbook))
    wrong = [run("run", name, "--target", "lats") for run in (dev, arcbook)]

    assert (there.code, there.json["result"]) == (here.code, here.json["result"]) == (0, 7)
    assert dev("events", there.json["execution_id"], "--json").out.count('"step.enter"') == 1
    assert [ran.code for ran in wrong] == [2, 2]
    assert "no step 'lats': did you mean 'last'?" in wrong[0].err
    assert wrong[0].err == wrong[1].err


def test_resume_at_a_server_follows_the_run_that_goes_on(dev, arcbook):
    text = GATED.replace("FOLDER", str(arcbook.folder))
    name = arcbook.write("gated.yaml", text)
    started = dev("run", name, "--detach", "--json").json["execution_id"]
    until((arcbook.folder / "began").exists)
    following = arcbook.start("--server", dev.url, "run", name, "--resume", "--set", "a=1")
    assert f"execution {started} is resumed with its original input: values ignored" in line_with(
        following, "ignored"
    )
    (arcbook.folder / "gate").touch()
    _, err = following.communicate(timeout=PATIENCE_SECONDS)

    assert following.returncode == 0, err
    assert newest(dev)["execution_id"] == started
    assert dev("run", name, "--resume", "--json").json["execution_id"] != started


def line_with(process, words):
    """Return the next line of a process's errors that has some words."""
    return next(line for line in process.stderr if words in line)


def test_values_that_a_playbook_at_a_server_cannot_read_are_refused(dev, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    refused = [run("run", name, "--set", "whoo=you") for run in (dev, arcbook)]
    scheduled = dev("schedule", "add", "often", "tests/greet", "--every", "1h", "--payload", '{"whoo": 1}')  # fmt: skip
    passed = dev("run", name, "--set", "whoo=you", "--allow", "whoo")

    assert [ran.code for ran in refused] == [2, 2]
    assert "the workload has no 'whoo': did you mean 'who'?" in refused[0].err
    assert scheduled.code != 0
    assert passed.code == 0, passed.err
    assert dev("run", "tests/greet", "--set", "whoo=you").code == 2


def test_a_run_at_a_server_is_done_again_from_a_step(dev, arcbook):
    name = arcbook.write("greet.yaml", GREET)
    dev("run", name)
    first = newest(dev)["execution_id"]
    again = dev("retry-from", first, "start")
    arcbook.write("greet.yaml", GREET.replace("hello", "welcome"))
    repaired = dev("retry-from", first, "start", "--file", name)

    assert again.json["said"] == "hello world"
    assert repaired.json["said"] == "welcome world"
    assert dev("cancel", first).code == 1


def test_there_is_a_live_view_of_a_run_at_a_server(dev, arcbook):
    screen = Screen(arcbook, "--server", dev.url, "run", arcbook.write("greet.yaml", GREET))
    screen.wait_for("start.*")

    assert screen.end() == 0
    assert "COMPLETED" in screen.text
