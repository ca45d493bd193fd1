"""A stand-in for the API server of Kubernetes: jobs, their pods, logs and watches.

It keeps to the protocol: versions of objects and lists, 409 for a name that is taken, 410
for a watch from a version that is forgotten, bookmarks, Status objects for errors. What a
kubelet and the job controller would do, a test does: ``run``, ``end``, ``change``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

NAME = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def problem(status: int, reason: str, message: str) -> web.Response:
    """Return an error as Kubernetes words it."""
    return web.json_response(status_body(status, reason, message), status=status)


def status_body(status: int, reason: str, message: str) -> dict[str, Any]:
    """Return a Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }


class Kubernetes:
    """One API server with one namespace."""

    def __init__(self, *, namespace: str = "work", token: str = "let-me-in") -> None:
        self.namespace = namespace
        self.token = token
        self.url = ""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"jobs": {}, "pods": {}}
        self.logs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        #: Version before which watches are too old.
        self.forgotten = 0
        self._version = 100
        self._changes: list[tuple[int, str, dict[str, Any]]] = []
        self._news = asyncio.Event()

    # -- what tests do --------------------------------------------------------------------

    def run(self, job: str, **status: Any) -> dict[str, Any]:
        """Create a pod for a job, as the job controller would."""
        owner = self.objects["jobs"][job]
        name = f"{job}-{uuid.uuid4().hex[:5]}"
        labels = owner["spec"]["template"]["metadata"]["labels"]
        pod = {
            "metadata": {"name": name, "labels": {**labels, "job-name": job}},
            "spec": owner["spec"]["template"]["spec"],
            "status": {"phase": "Running", **status},
        }
        self._put("pods", name, pod, "ADDED")
        self.change("jobs", job, status={"active": 1, "startTime": now()})
        return pod

    def end(self, job: str, exit_code: int = 0, *, log: bytes = b"", **facts: Any) -> None:
        """End the container of a job's pod, and the job."""
        pod = next(p for p in self.objects["pods"].values() if _of(p, job))
        name = pod["metadata"]["name"]
        self.logs[name] = log
        reason = "Completed" if exit_code == 0 else "Error"
        terminated = {"exitCode": exit_code, "reason": reason, **facts}
        statuses = [{"name": "main", "state": {"terminated": terminated}}]
        phase = "Succeeded" if exit_code == 0 else "Failed"
        self.change("pods", name, status={"phase": phase, "containerStatuses": statuses})
        self.conclude(job, "Complete" if exit_code == 0 else "Failed")

    def conclude(self, job: str, kind: str, reason: str = "BackoffLimitExceeded") -> None:
        """Give a job its last condition."""
        condition = {"type": kind, "status": "True", "lastTransitionTime": now()}
        if kind == "Failed":
            condition |= {"reason": reason, "message": "Job has failed"}
        self.change("jobs", job, status={"conditions": [condition]})

    def waits(self, job: str, reason: str, message: str) -> None:
        """Let the container of a job's pod wait for a reason."""
        waiting = {"waiting": {"reason": reason, "message": message}}
        self.run(job, phase="Pending", containerStatuses=[{"name": "main", "state": waiting}])

    def change(self, kind: str, name: str, **parts: Any) -> None:
        """Change parts of an object."""
        found = self.objects[kind][name]
        for part, values in parts.items():
            found[part] = {**found.get(part, {}), **values}
        self._put(kind, name, found, "MODIFIED")

    def drop(self, kind: str, name: str) -> None:
        """Delete an object."""
        found = self.objects[kind].pop(name)
        self._tell("DELETED", kind, found)

    def forget(self) -> None:
        """Forget all that was: watches from before now are too old, also those that go on."""
        self._version += 1
        self.forgotten = self._version
        self._wake()

    @property
    def job(self) -> dict[str, Any]:
        """The only job there is."""
        (found,) = self.objects["jobs"].values()
        return found

    # -- requests ---------------------------------------------------------------------------

    def app(self) -> web.Application:
        """Return the server."""
        made = web.Application(middlewares=[self._checked])
        jobs, pods = (f"/{base}/namespaces/{{ns}}" for base in ("apis/batch/v1", "api/v1"))
        made.router.add_get("/version", self._about)
        made.router.add_post(f"{jobs}/jobs", self._create)
        made.router.add_get(f"{jobs}/{{kind:jobs}}", self._list)
        made.router.add_get(f"{pods}/{{kind:pods}}", self._list)
        made.router.add_get(f"{jobs}/{{kind:jobs}}/{{name}}", self._get)
        made.router.add_delete(f"{jobs}/jobs/{{name}}", self._delete)
        made.router.add_get(f"{pods}/pods/{{name}}/log", self._log)
        return made

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "Unauthorized", "Unauthorized")
        namespace = request.match_info.get("ns", self.namespace)
        if namespace != self.namespace:
            return problem(403, "Forbidden", f'jobs is forbidden in the namespace "{namespace}"')
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["metadata"]["name"]
        if not NAME.fullmatch(name):
            return problem(422, "Invalid", f'Job.batch "{name}" is invalid: metadata.name')
        if name in self.objects["jobs"]:
            return problem(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        body["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": self.namespace}
        body["status"] = {}
        self._put("jobs", name, body, "ADDED")
        return web.json_response(body, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        kind, name = request.match_info["kind"], request.match_info["name"]
        found = self.objects[kind].get(name)
        if found is None:
            return problem(404, "NotFound", f'{kind} "{name}" not found')
        return web.json_response(found)

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self.objects["jobs"].get(name)
        if found is None:
            return problem(404, "NotFound", f'jobs.batch "{name}" not found')
        options = await request.json() if request.can_read_body else {}
        wanted = options.get("preconditions", {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return problem(409, "Conflict", "the UID in the precondition is another")
        self.drop("jobs", name)
        for pod in [n for n, p in self.objects["pods"].items() if _of(p, name)]:
            self.drop("pods", pod)
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self.objects["pods"]:
            return problem(404, "NotFound", f'pods "{name}" not found')
        lines = self.logs.get(name, b"").splitlines(keepends=True)
        count = int(request.query.get("tailLines", len(lines)))
        return web.Response(body=b"".join(lines[-count:]), content_type="text/plain")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        kind, selector = request.match_info["kind"], request.query.get("labelSelector", "")
        if request.query.get("watch"):
            return await self._watch(request, kind, selector)
        items = [one for one in self.objects[kind].values() if selected(one, selector)]
        begin, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 500))
        metadata = {"resourceVersion": str(self._version)}
        if begin + limit < len(items):
            metadata["continue"] = str(begin + limit)
        return web.json_response({"metadata": metadata, "items": items[begin : begin + limit]})

    async def _watch(self, request: web.Request, kind: str, selector: str) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion", self._version))
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        seconds = int(request.query.get("timeoutSeconds", 300))
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._send(response, kind, selector, since)
        return response

    async def _send(
        self, response: web.StreamResponse, kind: str, selector: str, since: int
    ) -> None:
        async for event in self._events(kind, selector, since):
            await response.write(json.dumps(event).encode() + b"\n")

    async def _events(self, kind: str, selector: str, since: int) -> AsyncIterator[dict[str, Any]]:
        while True:
            if since < self.forgotten:
                body = status_body(410, "Expired", f"too old resource version: {since}")
                yield {"type": "ERROR", "object": body}
                return
            news = self._news
            for version, event, found in self._changes:
                if version > since and found["kind_"] == kind and selected(found, selector):
                    yield {"type": event, "object": found}
            since = max(since, self._version)
            metadata = {"resourceVersion": str(since)}
            yield {"type": "BOOKMARK", "object": {"metadata": metadata}}
            await news.wait()

    # -- what changes -------------------------------------------------------------------------

    def _put(self, kind: str, name: str, found: dict[str, Any], event: str) -> None:
        found["metadata"].setdefault("creationTimestamp", now())
        self.objects[kind][name] = found
        self._tell(event, kind, found)

    def _tell(self, event: str, kind: str, found: dict[str, Any]) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        copied = json.loads(json.dumps({**found, "kind_": kind}))
        self._changes.append((self._version, event, copied))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _of(pod: dict[str, Any], job: str) -> bool:
    return bool(pod["metadata"]["labels"].get("job-name") == job)


def selected(found: dict[str, Any], selector: str) -> bool:
    """Return whether an object has the labels of a selector: ``a=b,c in (d,e)``."""
    labels = found["metadata"].get("labels", {})
    for name, many, one in re.findall(r"([\w./-]+)(?: in \(([^)]*)\)|=([^,]*))", selector):
        if labels.get(name) not in (many.split(",") if many else [one]):
            return False
    return True


def kubeconfig(url: str, token: str, *, namespace: str = "work", ca: str = "") -> str:
    """Return a kubeconfig file for a server."""
    cluster = {"server": url, **({"certificate-authority": ca} if ca else {})}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "me", "namespace": namespace},
                }
            ],
        }
    )


@contextlib.asynccontextmanager
async def serving(made: Kubernetes, ssl: Any = None) -> AsyncIterator[Kubernetes]:
    """Yield a stand-in that listens on a free port."""
    runner = web.AppRunner(made.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl)
    await site.start()
    port = runner.addresses[0][1]
    made.url = f"{'https' if ssl else 'http'}://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()
