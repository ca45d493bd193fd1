"""What jobs in Kubernetes promise, against a stand-in of its API server."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from api_cluster import cluster
from arcbook.client.client import Client
from arcbook.compose.job_watch import JobWatcher
from arcbook.outcome import ErrorKind, Outcome
from arcbook.server.http.settings import HttpSettings
from arcbook.testing.tools import FakeContext
from arcbook.tools.api import Deferred, ToolCall, job_of
from arcbook.tools.confinement import Confinement, JobPlace
from arcbook.tools.container import kubernetes as module
from arcbook.tools.container import waiting, watching
from arcbook.tools.container.tool import Container
from arcbook.tools.container.watching import watch_jobs
from certificates import self_signed
from standin.kubernetes import Kubernetes, kubeconfig, serving

CONFIG = {"image": "busybox:1.37", "command": ["echo", "hello"]}


def context_of(tmp_path: Path, url: str, **facts) -> FakeContext:
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig(url, "let-me-in", **facts))
    jobs = JobPlace(backend="kubernetes", kubeconfig=str(file))
    return FakeContext(confinement=Confinement(jobs=jobs))


@pytest.fixture
async def server():
    async with serving(Kubernetes()) as made:
        yield made


@pytest.fixture
def context(server, tmp_path):
    return context_of(tmp_path, server.url)


@pytest.fixture
async def container():
    tool = Container()
    yield tool
    await tool.close()


def call(config=None, **facts):
    facts = {"execution_id": 7, "step": "train it!", "label": "task", **facts}
    key = "7:train it!:1:task:1"
    return ToolCall(kind="container", config=config or CONFIG, idempotency_key=key, **facts)


async def start(container, context, config=None) -> str:
    """Start a job, and return the name by which the tool knows it."""
    answer = await container.run(call(config), context)
    assert isinstance(answer, Deferred), answer
    return job_of(answer.key)[1]


async def look(container, context, job, **facts) -> Outcome | Deferred:
    return await container.run(call(job=job, **facts), context)


def only(server) -> str:
    return server.job["metadata"]["name"]


async def test_a_job_is_created_and_its_log_and_exit_code_are_the_result(
    container, context, server
):
    job = await start(container, context)
    server.run(only(server))
    assert isinstance(await look(container, context, job), Deferred)
    server.end(only(server), log=b"hello\n")
    outcome = await look(container, context, job)

    assert outcome.is_ok
    data = outcome.data
    assert (data["state"], data["exit_code"], data["logs"]) == ("succeeded", 0, "hello\n")
    assert (data["namespace"], data["job_name"]) == ("work", only(server))


async def test_the_manifest_has_what_the_task_says(container, context, server):
    config = {
        **CONFIG,
        "args": ["x"],
        "env": [
            {"name": "A", "value": "$(B) {1}"},
            {"name": "T", "value_from": {"secret_name": "s", "secret_key": "k"}},
        ],
        "resources": {"limits": {"memory": "64Mi", "nvidia.com/gpu": 1}},
        "service_account": "robot",
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "toleration_seconds": 5}],
        "volumes": [
            {"name": "v", "persistent_volume_claim": {"claim_name": "data"}},
            {"name": "e", "empty_dir": {}},
        ],
        "volume_mounts": [{"name": "v", "mount_path": "/v", "read_only": True}],
        "deadline": 90.5,
        "ttl": 60,
        "backoff_limit": 2,
    }
    await start(container, context, config)
    spec = server.job["spec"]
    pod = spec["template"]["spec"]
    (main,) = pod["containers"]

    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (91, 60)
    assert (spec["backoffLimit"], pod["restartPolicy"]) == (2, "Never")
    assert (main["image"], main["command"], main["args"]) == (
        "busybox:1.37",
        ["echo", "hello"],
        ["x"],
    )
    env = {one["name"]: one for one in main["env"]}
    assert env["A"]["value"] == "$$(B) {1}"
    assert env["T"]["valueFrom"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert env["IDEMPOTENCY_KEY"]["value"] == "7:train it!:1:task:1"
    assert main["resources"] == {"limits": {"memory": "64Mi", "nvidia.com/gpu": 1}}
    assert main["volumeMounts"] == [{"name": "v", "mountPath": "/v", "readOnly": True}]
    assert pod["volumes"][0] == {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    assert pod["volumes"][1] == {"name": "e", "emptyDir": {}}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}]
    assert (pod["serviceAccountName"], pod["nodeSelector"]) == ("robot", {"disk": "ssd"})


async def test_labels_name_the_execution_and_the_step_as_labels_can(container, context, server):
    await start(container, context)
    metadata = server.job["metadata"]

    assert metadata["labels"]["noetl.execution-id"] == "7"
    assert metadata["labels"]["noetl.step-name"] == "train-it"
    assert metadata["labels"]["noetl.tool-kind"] == "container"
    assert metadata["annotations"]["arcbook.io/step"] == "train it!"


async def test_a_call_that_is_made_again_finds_its_job(container, context, server):
    first = await start(container, context)
    other = Container()
    second = await start(other, context)
    await other.close()

    assert first == second
    assert len(server.objects["jobs"]) == 1


@pytest.mark.parametrize(
    ("facts", "kind", "code"),
    [
        ({"exit_code": 3}, ErrorKind.PROCESS, "EXIT_3"),
        ({"exit_code": 137, "reason": "OOMKilled"}, ErrorKind.LIMIT, "FAILED_OOM"),
    ],
)
async def test_a_container_that_fails_says_how(container, context, server, facts, kind, code):
    job = await start(container, context)
    server.run(only(server))
    server.end(only(server), log=b"why\n", **facts)
    outcome = await look(container, context, job)

    assert (outcome.error.kind, outcome.error.code) == (kind, code)
    assert outcome.data["exit_code"] == facts["exit_code"]
    assert outcome.data["logs"] == "why\n"


async def test_a_job_past_its_deadline_has_timed_out(container, context, server):
    job = await start(container, context)
    server.run(only(server))
    server.conclude(only(server), "Failed", "DeadlineExceeded")
    outcome = await look(container, context, job)

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.TIMEOUT, "FAILED_TIMEOUT")


async def test_an_image_that_cannot_be_pulled_ends_the_step_and_the_job(container, context, server):
    job = await start(container, context)
    server.waits(only(server), "ErrImagePull", "pull access denied")
    assert isinstance(await look(container, context, job), Deferred)
    name = next(iter(server.objects["pods"]))
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    statuses = [{"name": "main", "state": waits}]
    server.change("pods", name, status={"containerStatuses": statuses})
    outcome = await look(container, context, job)

    assert outcome.error.code == "FAILED_IMAGE_PULL"
    assert "no such image" in outcome.error.message
    assert server.objects["jobs"] == {}


@pytest.mark.parametrize("how", ["evicted", "disrupted", "no pod"])
async def test_a_node_that_is_lost_is_told_from_a_failure(container, context, server, how):
    job = await start(container, context)
    pod = server.run(only(server))["metadata"]["name"]
    if how == "no pod":
        server.drop("pods", pod)
    elif how == "evicted":
        server.change("pods", pod, status={"phase": "Failed", "reason": "Evicted"})
    else:
        condition = {"type": "DisruptionTarget", "status": "True"}
        server.change("pods", pod, status={"phase": "Failed", "conditions": [condition]})
    server.conclude(only(server), "Failed")
    outcome = await look(container, context, job)

    assert (outcome.error.kind, outcome.error.code) == (ErrorKind.WORKER_LOST, "FAILED_NODE_LOST")
    assert outcome.error.retryable


async def test_a_job_that_somebody_deleted_is_gone(container, context, server):
    job = await start(container, context)
    server.drop("jobs", only(server))
    outcome = await look(container, context, job)

    assert outcome.error.code == "FAILED_NODE_LOST"


async def test_of_a_long_log_the_end_is_kept(container, context, server, monkeypatch):
    monkeypatch.setattr(module, "LOG_BYTES_MAX", 100_000)
    job = await start(container, context)
    server.run(only(server))
    server.end(only(server), log=b"".join(b"%d\n" % n for n in range(200_000)))
    outcome = await look(container, context, job)

    assert outcome.data["truncated"]
    assert outcome.data["logs"].endswith("199998\n199999\n")
    assert len(outcome.data["logs"]) == 100_000


async def test_a_job_that_is_stopped_is_deleted_and_only_that_one(container, context, server):
    job = await start(container, context)
    server.run(only(server))
    other = job.replace(server.job["metadata"]["uid"], "another")
    assert await container.stop(other, context.confinement)
    assert len(server.objects["jobs"]) == 1

    assert await container.stop(job, context.confinement)
    assert server.objects == {"jobs": {}, "pods": {}}
    assert await container.stop(job, context.confinement)


# -- what goes wrong ------------------------------------------------------------------


async def failed_start(container, context, **facts):
    answer = await container.run(call(**facts), context)
    assert isinstance(answer, Outcome), answer
    return answer.error


async def test_a_server_that_is_not_there_is_a_connection_error(container, tmp_path):
    error = await failed_start(container, context_of(tmp_path, "http://127.0.0.1:1"))

    assert (error.kind, error.retryable) == (ErrorKind.CONNECTION, True)


async def test_a_place_without_kubernetes_says_what_to_set(container, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name in ("", str(tmp_path / "none")):
        jobs = JobPlace(kubeconfig=name)
        error = await failed_start(container, FakeContext(confinement=Confinement(jobs=jobs)))

        assert error.kind is ErrorKind.CONFIG
        assert "ARCBOOK_KUBECONFIG" in error.message


async def test_a_refused_token_is_an_error_of_credentials(container, context, server):
    server.token = "another"
    error = await failed_start(container, context)

    assert (error.kind, error.code) == (ErrorKind.AUTH, "KUBERNETES_401")


async def test_a_namespace_that_is_forbidden_is_named(container, context):
    error = await failed_start(container, context, config={**CONFIG, "namespace": "theirs"})

    assert error.kind is ErrorKind.AUTH
    assert "theirs" in error.message


async def test_a_server_that_hangs_ends_the_call_in_its_time(container, tmp_path):
    peers = []

    async def hang(reader, writer):
        peers.append(writer)
        await reader.read()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}"
    async with hanging, asyncio.timeout(10):
        error = await failed_start(container, context_of(tmp_path, url), timeout_seconds=0.2)
    for peer in peers:
        peer.close()

    assert (error.kind, error.retryable) == (ErrorKind.TIMEOUT, True)


async def test_what_is_no_api_server_is_said(container, tmp_path):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    talking = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{talking.sockets[0].getsockname()[1]}"
    async with talking:
        error = await failed_start(container, context_of(tmp_path, url))

    assert error.kind is ErrorKind.SCHEMA


async def test_a_certificate_that_nobody_vouches_for_is_refused(container, tmp_path):
    secret, certificate = self_signed()
    both, ca = tmp_path / "both.pem", tmp_path / "ca.pem"
    both.write_bytes(secret + certificate)
    ca.write_bytes(certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    async with serving(Kubernetes(), tls) as server:
        error = await failed_start(container, context_of(tmp_path, server.url))
        good = context_of(tmp_path, server.url, ca=str(ca))
        other = Container()
        answer = await other.run(call(), good)
        await other.close()

    assert (error.kind, error.code) == (ErrorKind.CONNECTION, "TLS_CERTIFICATE")
    assert not error.retryable
    assert isinstance(answer, Deferred)


async def test_a_call_that_is_cancelled_while_it_starts_a_job_leaves_none(
    container, context, server, monkeypatch
):
    began = asyncio.Event()
    create = module.KubernetesJobs.start

    async def slow(self, job):
        name = await create(self, job)
        began.set()
        await asyncio.sleep(0.1)
        return name

    monkeypatch.setattr(module.KubernetesJobs, "start", slow)
    running = asyncio.create_task(container.run(call(), context))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert server.objects["jobs"] == {}


async def test_a_server_that_is_away_for_a_while_does_not_end_a_job(
    container, context, server, monkeypatch
):
    job = await start(container, context)

    async def away(self, name):
        raise waiting.JobError("away", ErrorKind.CONNECTION, retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(module.KubernetesJobs, "look", away)
        assert isinstance(await look(container, context, job), Deferred)
        late = waiting.time.time() + waiting.OVERDUE_SECONDS + 2 * 86400
        patch.setattr(waiting.time, "time", lambda: late)
        ended = await look(container, context, job)
    assert ended.error.kind is ErrorKind.CONNECTION


# -- watching -------------------------------------------------------------------------


class Ends:
    """The ends that a watcher reports."""

    def __init__(self, context, monkeypatch):
        monkeypatch.setattr(watching, "WINDOW_SECONDS", 1)
        self._reported = asyncio.Queue()
        self._task = asyncio.create_task(watch_jobs(context.confinement, self._reported.put))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def next(self):
        async with asyncio.timeout(10):
            return await self._reported.get()

    def is_empty(self):
        return self._reported.empty()


async def watches(server, count=1):
    """Wait until the stand-in has been asked for so many lists and watches of jobs."""
    async with asyncio.timeout(10):
        while server.requests.count(("GET", "/apis/batch/v1/namespaces/work/jobs")) < count:
            await asyncio.sleep(0.01)


async def test_a_watcher_tells_the_end_of_a_job_once(container, context, server, monkeypatch):
    await start(container, context)
    name = only(server)
    server.run(name)
    async with Ends(context, monkeypatch) as ends:
        await watches(server, 2)
        server.end(name, 137, reason="OOMKilled")
        end = await ends.next()
        server.change("jobs", name, metadata={"touched": True})
        server.drop("jobs", name)
        await watches(server, 4)

        assert (end.execution_id, end.step, end.name) == ("7", "train it!", name)
        assert end.state.status == "failed_oom"
        assert ends.is_empty()


async def test_a_watcher_tells_ends_from_before_it_began(container, context, server, monkeypatch):
    await start(container, context)
    server.run(only(server))
    server.end(only(server))
    async with Ends(context, monkeypatch) as ends:
        assert (await ends.next()).state.status == "succeeded"


async def test_a_watch_that_is_too_old_begins_anew_with_a_list(
    container, context, server, monkeypatch
):
    await start(container, context)
    name = only(server)
    server.run(name)
    async with Ends(context, monkeypatch) as ends:
        await watches(server, 2)
        server.forget()
        await watches(server, 4)
        server.end(name)

        assert (await ends.next()).name == name


async def test_a_watcher_sees_an_image_that_cannot_be_pulled(
    container, context, server, monkeypatch
):
    await start(container, context)
    async with Ends(context, monkeypatch) as ends:
        await watches(server, 2)
        server.waits(only(server), "ImagePullBackOff", "no such image")

        assert (await ends.next()).state.status == "failed_image_pull"


# -- in a cluster ---------------------------------------------------------------------

TRAIN = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: train, path: examples/train}
workflow:
  - step: train it
    tool: {kind: container, image: "busybox:1.37", command: [echo, hello]}
    set: {ctx.logs: "{{ output.data.logs }}"}
"""


@pytest.fixture
async def api(context, tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_SECONDS_MIN", 3600.0)
    monkeypatch.setattr(waiting, "LOOK_SECONDS_MAX", 3600.0)
    settings = HttpSettings(internal_token="inner")
    made = cluster(tmp_path, settings=settings, concurrency=1, confinement=context.confinement)
    async with made as found:
        yield found[0]


async def created(server) -> str:
    """Wait until there is a job, and return its name."""
    async with asyncio.timeout(10):
        while not server.objects["jobs"]:
            await asyncio.sleep(0.01)
    return only(server)


async def parked(api, execution_id) -> None:
    """Wait until a step is parked."""
    query = {"event_type": "command.suspended"}
    async with asyncio.timeout(10):
        while not (await api.get(f"/api/executions/{execution_id}/events", params=query))["events"]:
            await asyncio.sleep(0.01)


async def test_a_watcher_resumes_the_step_that_waits_for_a_job(api, context, server):
    await api.register(TRAIN)
    execution_id = await api.run("examples/train")
    name = await created(server)
    server.run(name)
    await parked(api, execution_id)
    async with Client(api.url, "inner") as client:
        watcher = asyncio.create_task(JobWatcher(client, context.confinement).run())
        await watches(server, 2)
        server.end(name, log=b"hello\n")
        found = await api.ended(execution_id)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)

    assert (found["status"], found["variables"]) == ("COMPLETED", {"logs": "hello\n"})


async def test_a_cancelled_execution_deletes_its_job(api, server):
    await api.register(TRAIN)
    execution_id = await api.run("examples/train")
    await created(server)
    await parked(api, execution_id)
    await api.post(f"/api/executions/{execution_id}/cancel", {"reason": "enough"})

    assert (await api.ended(execution_id))["status"] == "CANCELLED"
    assert server.objects["jobs"] == {}
