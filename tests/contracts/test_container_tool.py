"""What the container tool promises, with jobs that are processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from api_cluster import Api, cluster
from arcbook.client.client import Client
from arcbook.client.errors import RefusedError
from arcbook.compose.job_watch import JobWatcher
from arcbook.outcome import ErrorKind, failed, ok
from arcbook.server.http.settings import HttpSettings
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Deferred, ToolCall, job_of
from arcbook.tools.confinement import Confinement, JobPlace
from arcbook.tools.container import waiting
from arcbook.tools.container.tool import KIND, Container

INNER = {"headers": {"Authorization": "Bearer inner"}}


def confinement(folder: Path) -> Confinement:
    jobs = JobPlace(backend="process", folder=str(folder / "jobs"))
    return Confinement(workspaces=str(folder / "work"), jobs=jobs)


@pytest.fixture
def context(tmp_path):
    return FakeContext(confinement=confinement(tmp_path))


@pytest.fixture
async def container():
    tool = Container()
    yield tool
    await tool.close()


def call(config, *, key="1:train:1:task:1", **facts):
    facts = {"execution_id": 1, "step": "train", "label": "task", **facts}
    return ToolCall(kind="container", config=config, idempotency_key=key, **facts)


async def ended(tool, context, config, **facts):
    """Start a job, and look at it until it has ended."""
    answer = await tool.run(call(config, **facts), context)
    async with asyncio.timeout(20):
        while isinstance(answer, Deferred):
            _, job = job_of(answer.key)
            answer = await tool.run(call(config, job=job, **facts), context)
    return answer


def processes(text: str) -> list[int]:
    """Return the processes with a text in their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if text.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
    return found


async def gone(text: str) -> None:
    """Wait until no process has a text in its arguments."""
    async with asyncio.timeout(10):
        while processes(text):
            await asyncio.sleep(0.02)


async def test_a_job_yields_its_log_and_its_exit_code(container, context):
    outcome = await ended(container, context, {"image": "any", "command": "echo out; echo err >&2"})

    assert outcome.is_ok
    assert (outcome.data["state"], outcome.data["exit_code"]) == ("succeeded", 0)
    assert outcome.data["logs"] == "out\nerr\n"
    assert set(outcome.data) <= set(KIND.result.names())


async def test_a_job_that_fails_says_with_which_exit_code(container, context):
    outcome = await ended(container, context, {"image": "any", "command": "echo why; exit 3"})

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.PROCESS, "EXIT_3")
    assert (outcome.data["state"], outcome.data["logs"]) == ("failed", "why\n")


async def test_words_variables_and_arguments_reach_the_command(container, context):
    config = {
        "image": "any",
        "command": ["sh", "-c", 'echo "$1 $NAME $DEEP $IDEMPOTENCY_KEY"', "sh"],
        "args": ["a b"],
        "env": [{"name": "NAME", "value": 7}, {"name": "DEEP", "value": {"x": [1]}}],
    }
    outcome = await ended(container, context, config)

    assert outcome.data["logs"] == 'a b 7 {"x":[1]} 1:train:1:task:1\n'


async def test_a_call_that_is_made_again_finds_its_job(container, context, tmp_path):
    marks = tmp_path / "marks"
    config = {"image": "any", "command": f"echo x >> {marks}; sleep 0.2"}

    both = await asyncio.gather(*(container.run(call(config), context) for _ in range(5)))
    outcome = await ended(Container(), context, config)

    assert len({answer.key for answer in both}) == 1
    assert outcome.is_ok
    assert marks.read_text() == "x\n"


@pytest.mark.parametrize(("ttl", "is_kept"), [(3600, True), (0, False)])
async def test_what_is_known_of_a_job_is_kept_for_its_time(
    container, context, tmp_path, ttl, is_kept
):
    config = {"image": "any", "command": "true"}
    await ended(container, context, {**config, "ttl": ttl}, key="1:first:1:task:1")
    (folder,) = (tmp_path / "jobs").iterdir()
    await ended(container, context, config, key="1:second:1:task:1")

    assert folder.exists() == is_kept


async def test_another_try_of_a_call_starts_another_job(container, context):
    first, second = [
        await container.run(call({"image": "any", "command": "true"}, attempt=attempt), context)
        for attempt in (1, 2)
    ]
    assert first.key != second.key


async def test_a_job_ends_at_its_deadline_with_all_that_it_started(container, context):
    config = {"image": "any", "command": "sleep 4711 & sleep 4711", "deadline": 0.3}
    outcome = await ended(container, context, config)

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.TIMEOUT, "FAILED_TIMEOUT")
    await gone("4711")


async def test_the_timeout_of_a_task_is_the_deadline_of_its_job(container, context):
    config = {"image": "any", "command": "sleep 4712"}
    outcome = await ended(container, context, config, timeout_seconds=0.3)

    assert outcome.error.code == "FAILED_TIMEOUT"


async def test_a_job_that_is_stopped_leaves_nothing_behind(container, context, tmp_path):
    answer = await container.run(call({"image": "any", "command": "sleep 4713"}), context)
    assert processes("4713")

    assert await container.stop(job_of(answer.key)[1], context.confinement)
    await gone("4713")
    assert list((tmp_path / "jobs").iterdir()) == []
    assert await container.stop(job_of(answer.key)[1], context.confinement)


async def test_a_job_whose_keeper_was_killed_is_lost(container, context):
    config = {"image": "any", "command": "sleep 4714"}
    answer = await container.run(call(config), context)
    group = os.getpgid(processes("4714")[0])
    os.killpg(group, 9)
    await gone("4714")
    outcome = await container.run(call(config, job=job_of(answer.key)[1]), context)

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.WORKER_LOST, "FAILED_NODE_LOST")
    assert outcome.error.retryable


async def test_of_a_long_log_the_end_is_kept(container, context, monkeypatch):
    monkeypatch.setattr("arcbook.tools.container.process.LOG_BYTES_MAX", 10)
    outcome = await ended(container, context, {"image": "any", "command": "seq 1000"})

    assert (outcome.data["logs"], outcome.data["truncated"]) == ("8\n999\n1000\n"[-10:], True)


@pytest.mark.parametrize(
    ("reported", "code"),
    [
        (failed(ErrorKind.PROCESS, "no", data={"state": "failed_oom"}), "FAILED_OOM"),
        (failed(ErrorKind.PROCESS, "no", data={"state": "failed_node_lost"}), "FAILED_NODE_LOST"),
        (failed(ErrorKind.PROCESS, "no", data={"state": "failed", "exit_code": 9}), "EXIT_9"),
        (failed(ErrorKind.PROCESS, "no", data={"state": 7}), "FAILED"),
        (failed(ErrorKind.PROCESS, "no"), "FAILED"),
    ],
)
async def test_what_a_callback_reported_ends_a_job_that_still_runs(
    container, context, reported, code
):
    config = {"image": "any", "command": "echo begun; sleep 4715"}
    answer = await container.run(call(config), context)
    again = call(config, job=job_of(answer.key)[1], reported=reported)
    outcome = await container.run(again, context)

    assert outcome.error.code == code
    await gone("4715")


async def test_a_reported_success_has_the_result_that_was_reported(container, context):
    config = {"image": "any", "command": "sleep 4716"}
    answer = await container.run(call(config), context)
    reported = ok({"state": "succeeded", "exit_code": 0, "result": {"rows": 3}})
    again = call(config, job=job_of(answer.key)[1], reported=reported)
    outcome = await container.run(again, context)

    assert outcome.is_ok
    assert outcome.data["result"] == {"rows": 3}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"command": "true"}, "image"),
        ({"image": "", "command": "true"}, "image"),
        ({"image": 7, "command": "true"}, "image"),
        ({"image": "any", "command": {"a": 1}}, "command"),
        ({"image": "any", "command": "true", "deadline": -1}, "deadline"),
        ({"image": "any", "command": "true", "env": {"A=B": 1}}, "A=B"),
        ({"image": "any", "command": "true", "env": [{"value": 1}]}, "env"),
        ({"image": "any", "command": ["a\0b"]}, "command"),
        ({"image": "any", "command": "true", "env": {"T": {"secret_name": "s"}}}, "secret_key"),
        (
            {
                "image": "any",
                "command": "true",
                "env": {"T": {"secret_name": "s", "secret_key": "k"}},
            },
            "secrets",
        ),
        ({"image": "any"}, "command"),
    ],
)
async def test_bad_parameters_are_an_outcome_that_names_them(container, context, config, words):
    outcome = await call_tool(container, "container", config, context=context)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert words in outcome.error.message


async def test_a_command_that_does_not_exist_fails_with_the_exit_code_of_shells(container, context):
    outcome = await ended(container, context, {"image": "any", "command": ["/no/such/program"]})

    assert outcome.error.code in ("EXIT_127", "EXIT_126")


async def test_a_backend_that_is_unknown_is_named(container, tmp_path):
    context = FakeContext(confinement=Confinement(jobs=JobPlace(backend="mainframe")))
    outcome = await call_tool(container, "container", {"image": "x"}, context=context)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "ARCBOOK_JOBS_BACKEND" in outcome.error.message


# -- in a cluster ---------------------------------------------------------------------

TWO = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: two, path: examples/two}
workflow:
  - step: start
    next: {spec: {mode: inclusive}, arcs: [{step: train}, {step: quick}]}
  - step: train
    tool: {kind: container, image: any, command: "echo trained; sleep 4720"}
  - step: quick
    tool: {kind: shell, command: echo quick}
"""


@pytest.fixture
async def api(tmp_path):
    settings = HttpSettings(internal_token="inner")
    made = cluster(tmp_path, settings=settings, concurrency=1, confinement=confinement(tmp_path))
    async with made as found:
        yield found[0]
    await gone("sleep 4720")


async def events(api: Api, execution_id: str, kind: str) -> list[dict]:
    query = {"event_type": kind}
    return (await api.get(f"/api/executions/{execution_id}/events", params=query))["events"]


async def until(api: Api, execution_id: str, kind: str, step: str) -> None:
    async with asyncio.timeout(20):
        while step not in [e["node_name"] for e in await events(api, execution_id, kind)]:
            await asyncio.sleep(0.02)


async def started(api: Api) -> str:
    await api.register(TWO)
    return await api.run("examples/two")


async def call_back(api: Api, execution_id: str, **body):
    where = f"/api/internal/container-callback/{execution_id}/train"
    status, taken, _ = await api.call("POST", where, body, **INNER)
    assert status == 202
    return taken


async def stale(api: Api) -> float:
    text = (await api.call("GET", "/metrics"))[1]
    lines = text.decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("arcbook_container_callback_stale_total")
    )


async def test_with_one_slot_another_step_ends_while_a_job_runs_and_a_callback_resumes_it(api):
    execution_id = await started(api)
    await until(api, execution_id, "step.exit", "quick")
    await until(api, execution_id, "command.suspended", "train")
    assert not [
        e for e in await events(api, execution_id, "step.exit") if e["node_name"] == "train"
    ]

    taken = await call_back(api, execution_id, state="succeeded", exit_code=0)

    assert taken["status"] == "accepted_in_flight"
    assert (await api.ended(execution_id))["status"] == "COMPLETED"


async def test_a_job_that_took_too_much_memory_fails_its_playbook_with_that_state(api):
    execution_id = await started(api)
    await until(api, execution_id, "command.suspended", "train")
    await call_back(api, execution_id, state="failed_oom", exit_code=137, reason="OOMKilled")

    found = await api.ended(execution_id)
    assert found["status"] == "FAILED"
    exits = {e["node_name"]: e for e in await events(api, execution_id, "step.exit")}
    assert "failed_oom" in str(exits["train"])
    assert "memory" in found["error"]


async def test_a_callback_that_comes_again_ends_the_step_once(api):
    execution_id = await started(api)
    await until(api, execution_id, "command.suspended", "train")
    before = await stale(api)
    told = {"state": "succeeded"}
    taken = await asyncio.gather(*(call_back(api, execution_id, **told) for _ in range(5)))
    await api.ended(execution_id)

    assert [one["accepted"] for one in taken].count(True) == 1
    exits = [e["node_name"] for e in await events(api, execution_id, "step.exit")]
    assert exits.count("train") == 1
    assert await stale(api) == before + 4


async def test_a_callback_that_nobody_waits_for_is_answered_and_counted(api):
    before = await stale(api)
    unknown = await call_back(api, "123", state="failed", job_uid="u")
    execution_id = await started(api)
    await until(api, execution_id, "command.suspended", "train")
    other = await call_back(api, execution_id, state="failed", job_name="arcbook-other")

    assert unknown["status"] == other["status"] == "accepted_stale"
    assert await stale(api) == before + 2
    await call_back(api, execution_id, state="succeeded")
    await api.ended(execution_id)


async def watched(api: Api, folder: Path, token: str):
    """Return a watcher of jobs that reports to a server."""
    async with Client(api.url, token) as client:
        await JobWatcher(client, confinement(folder)).run()


async def test_a_watcher_reports_the_end_of_a_job_before_its_worker_looks(
    api, tmp_path, monkeypatch
):
    monkeypatch.setattr(waiting, "LOOK_SECONDS_MIN", 3600.0)
    monkeypatch.setattr(waiting, "LOOK_SECONDS_MAX", 3600.0)
    await api.register(
        TWO.replace("sleep 4720", f"until [ -e {tmp_path}/go ]; do sleep 0.01; done")
    )
    execution_id = await api.run("examples/two")
    await until(api, execution_id, "command.suspended", "train")
    watching = asyncio.create_task(watched(api, tmp_path, "inner"))
    (tmp_path / "go").touch()

    assert (await api.ended(execution_id))["status"] == "COMPLETED"
    resumed = await events(api, execution_id, "command.resumed")
    assert len(resumed) == 1
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_watcher_whose_token_is_refused_ends(api, tmp_path, context, container):
    await ended(container, context, {"image": "any", "command": "true"})
    with pytest.raises(RefusedError):
        async with asyncio.timeout(10):
            await watched(api, tmp_path, "another")


async def test_a_cancelled_execution_ends_its_job_and_the_log_has_the_receipt(api):
    execution_id = await started(api)
    await until(api, execution_id, "command.suspended", "train")
    await until(api, execution_id, "step.exit", "quick")
    assert processes("sleep 4720")
    await api.post(f"/api/executions/{execution_id}/cancel", {"reason": "enough"})

    assert (await api.ended(execution_id))["status"] == "CANCELLED"
    receipts = await events(api, execution_id, "command.cancelled")
    assert [receipt["node_name"] for receipt in receipts] == ["train"]
    assert not processes("sleep 4720")
