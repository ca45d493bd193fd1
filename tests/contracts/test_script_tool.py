"""What the script tool promises, with jobs that are processes of this machine."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from moto.server import ThreadedMotoServer

from arcbook.dsl.load import load_playbook
from arcbook.egress import Egress
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext
from arcbook.tools.api import Credential, Deferred, ToolCall, job_of
from arcbook.tools.confinement import Confinement, JobPlace
from arcbook.tools.container.manifest import manifest
from arcbook.tools.container.script import CODE_BYTES_MAX, Script, ScriptParams, script_job, summary
from arcbook.tools.registry import Registry

COUNT = "import sys\nprint(sum(map(int, sys.argv[1:])), '$(HOME)')\n"


@pytest.fixture
def context(tmp_path):
    return context_in(tmp_path)


def context_in(folder: Path, **facts) -> FakeContext:
    jobs = JobPlace(backend="process", folder=str(folder / "jobs"))
    confinement = Confinement(workspaces=str(folder / "work"), jobs=jobs, **facts)
    return FakeContext(
        folder=str(folder), workspace=str(folder / "work/1"), confinement=confinement
    )


@pytest.fixture
async def script():
    tool = Script()
    yield tool
    await tool.close()


def call(config, **facts):
    facts = {"execution_id": 1, "step": "add", "label": "task", **facts}
    return ToolCall(kind="script", config=config, idempotency_key="1:add:1:task:1", **facts)


async def ended(tool, context, config, **facts) -> Outcome:
    """Start a job, and look at it until it has ended."""
    answer = await tool.run(call(config, **facts), context)
    async with asyncio.timeout(20):
        while isinstance(answer, Deferred):
            answer = await tool.run(call(config, job=job_of(answer.key)[1], **facts), context)
    return answer


@pytest.mark.parametrize(
    "config",
    [
        {"code": COUNT},
        {"script": {"source": {"type": "inline", "code": COUNT}}},
        {"script": {"type": "inline", "content": COUNT}},
        {"script": "count.py"},
        {"script": {"uri": "count.py", "type": "local"}},
        {"script": {"uri": "count.py", "source": {"type": "file"}}},
    ],
)
async def test_a_script_runs_wherever_its_text_is(script, context, tmp_path, config):
    (tmp_path / "count.py").write_text(COUNT)
    outcome = await ended(script, context, {**config, "args": [1, "2"]})

    assert outcome.is_ok, outcome.error
    assert outcome.data["logs"] == "3 $(HOME)\n"


async def test_the_ending_of_its_name_chooses_the_interpreter(script, context, tmp_path):
    (tmp_path / "say.sh").write_text('echo "$# $1"')
    outcome = await ended(script, context, {"script": "say.sh", "args": ["a b", "c"]})

    assert outcome.data["logs"] == "2 a b\n"


async def test_a_script_that_fails_says_with_which_exit_code(script, context):
    outcome = await ended(script, context, {"code": "exit(7)"})

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.PROCESS, "EXIT_7")


async def test_the_job_of_an_older_playbook_stands_in_a_mapping():
    config = {
        "code": "1",
        "job": {"image": "x:1", "timeout": 9, "ttl_seconds_after_finished": 5, "env": {"A": 1}},
    }
    seen = {}

    class Sees(Script):
        async def _load(self, params, call, context):
            seen["job"] = script_job(params, "print()", call)
            return Outcome()

    await Sees().run(call(config), FakeContext())
    job = seen["job"]
    assert (job.image, job.deadline_seconds, job.ttl_seconds, job.env["A"]) == ("x:1", 9, 5, "1")


def test_kubernetes_leaves_the_text_of_a_script_alone():
    params = ScriptParams(code=COUNT, args=["$(X)"])
    job = script_job(params, COUNT, call({}))
    (main,) = manifest(job)["spec"]["template"]["spec"]["containers"]

    assert main["command"] == ["python3", "-c", COUNT.replace("$(", "$$(")]
    assert main["args"] == ["$$(X)"]


@pytest.fixture
async def address():
    async def answer(request):
        if request.path == "/missing.py":
            return web.Response(status=404)
        return web.Response(text=COUNT)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def test_a_script_is_fetched_by_http(script, context, address):
    config = {"script": {"uri": f"{address}/count.py", "source": {"type": "http"}}, "args": [4]}
    outcome = await ended(script, context, config)

    assert outcome.data["logs"] == "4 $(HOME)\n"


async def test_an_address_that_egress_refuses_is_not_fetched(script, tmp_path, address):
    context = context_in(tmp_path, egress=Egress.of(private=False))
    config = {"script": {"uri": f"{address}/count.py", "source": {"type": "http"}}}
    outcome = await script.run(call(config), context)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert not (tmp_path / "jobs").exists()


async def test_a_file_outside_of_the_workspace_is_refused(script, tmp_path):
    (tmp_path / "secret.py").write_text(COUNT)
    context = context_in(tmp_path, folders=())
    outcome = await script.run(call({"script": str(tmp_path / "secret.py")}), context)

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "ARCBOOK_FOLDERS" in outcome.error.message


@pytest.fixture
def archive():
    """A credential for a server that speaks S3, which has the script in a bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "n0body"}
    for path, body in (("code", b""), ("code/count.py", COUNT.encode()), ("code/raw", b"\xff")):
        kind = {"Content-Type": "application/octet-stream"}
        put = urllib.request.Request(f"{url}/{path}", data=body, headers=kind, method="PUT")
        urllib.request.urlopen(put).close()
    yield Credential(name="archive", type="s3", data={**keys, "endpoint": url})
    server.stop()


@pytest.mark.blocks("the library of object stores builds a client for each call")
async def test_a_script_is_fetched_from_an_object_store(script, context, archive):
    config = {"script": {"uri": "s3://code/count.py", "source": {"type": "s3"}}, "args": [5]}
    outcome = await ended(script, context, config, auth=archive)

    assert outcome.is_ok, outcome.error
    assert outcome.data["logs"] == "5 $(HOME)\n"
    for key, kind in (("none.py", ErrorKind.NOT_FOUND), ("raw", ErrorKind.CONFIG)):
        answer = await script.run(
            call({"script": {"uri": f"s3://code/{key}"}}, auth=archive), context
        )
        assert answer.error.kind is kind


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"script": "none.py"}, ErrorKind.NOT_FOUND),
        ({"code": " "}, ErrorKind.CONFIG),
        ({"code": "x" * (CODE_BYTES_MAX + 1)}, ErrorKind.LIMIT),
        ({"code": "1", "interpreter": "cobol"}, ErrorKind.CONFIG),
        ({"code": "1", "image": 7}, ErrorKind.CONFIG),
        ({"code": "1", "job": {"ttl": "soon"}}, ErrorKind.CONFIG),
        ({"script": {"type": "carrier-pigeon", "uri": "x"}}, ErrorKind.CONFIG),
        ({"script": {"uri": "http://127.0.0.1:1/x", "source": "http"}}, ErrorKind.CONNECTION),
    ],
)
async def test_bad_parameters_are_an_outcome(script, context, config, kind):
    outcome = await script.run(call(config), context)

    assert outcome.error.kind is kind, outcome.error


def test_a_source_of_a_kind_that_there_is_not_is_found_by_lint():
    text = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: x}
workflow:
  - step: start
    tool: {kind: script, script: {uri: x, source: {type: ftp}}}
"""
    loaded = load_playbook(text, Registry())

    assert any("ftp" in d.message for d in loaded.diagnostics)


def test_a_dry_run_names_the_script_and_the_image():
    config = {"script": {"uri": "a.py"}, "job": {"image": "x:1"}}
    assert summary(config) == "run script a.py in image x:1"
