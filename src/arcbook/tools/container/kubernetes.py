"""Jobs as Kubernetes Jobs.

Requests go through ``kr8s``, which knows kubeconfig files, service accounts and renewed
credentials. Its objects and watches are not used: each call here is one request with a time
limit, and a watch that has become too old begins anew with a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from arcbook.outcome import ErrorKind
from arcbook.tools.api import require
from arcbook.tools.confinement import Confinement
from arcbook.tools.container.jobs import (
    LOG_BYTES_MAX,
    Job,
    JobError,
    JobLog,
    JobName,
    JobState,
)
from arcbook.tools.container.manifest import CONTAINER, latest, manifest, seconds_of, state_of

if TYPE_CHECKING:
    import httpx
    from kr8s.asyncio import Api

BATCH: Final = "batch/v1"
CORE: Final = "v1"

REQUEST_SECONDS: Final = 10.0
"""Time limit of one request."""

LOG_LINES_MAX: Final = 100_000
"""Lines that are asked for of a log: its last ones."""

PODS_MAX: Final = 200
"""Pods of one job that are looked at; it starts at most 101."""

PAGE_MAX: Final = 500
"""Objects of one page of a list."""

_HINT: Final = (
    "set ARCBOOK_KUBECONFIG, run the worker in the cluster, or choose another ARCBOOK_JOBS_BACKEND"
)

_KINDS: Final = {
    400: ErrorKind.CONFIG,
    401: ErrorKind.AUTH,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    422: ErrorKind.CONFIG,
    429: ErrorKind.RATE_LIMIT,
}


class RefusedError(JobError):
    """The API server refused a request."""

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        is_fault = status >= 500
        kind = _KINDS.get(status, ErrorKind.SERVER_ERROR if is_fault else ErrorKind.CLIENT_ERROR)
        super().__init__(
            message, kind, code=f"KUBERNETES_{status}", retryable=is_fault or status == 429
        )


class KubernetesJobs:
    """Runs jobs in Kubernetes."""

    def __init__(self, confinement: Confinement) -> None:
        require("kr8s", "container")
        self._place = confinement.jobs
        self._api: Api | None = None
        self._lock = asyncio.Lock()

    async def start(self, job: Job) -> JobName:
        namespace = await self._namespace(job.namespace)
        try:
            body = await self._ask("POST", BATCH, namespace, "jobs", json=manifest(job))
        except RefusedError as error:
            if error.status != 409:
                raise
            body = await self._ask("GET", BATCH, namespace, f"jobs/{job.name}")
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp"):
            message = f"job {job.name} is being deleted"
            raise JobError(message, ErrorKind.CONNECTION, retryable=True)
        return JobName(
            backend="kubernetes",
            namespace=namespace,
            name=job.name,
            uid=metadata["uid"],
            began=seconds_of(metadata["creationTimestamp"]),
        )

    async def look(self, name: JobName) -> JobState | None:
        try:
            job = await self._ask("GET", BATCH, name.namespace, f"jobs/{name.name}")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        if name.uid and job["metadata"].get("uid") != name.uid:
            return None
        return state_of(job, await self._pods(name))

    async def log(self, name: JobName) -> JobLog:
        pod = latest(await self._pods(name))
        if pod is None:
            return JobLog()
        url = f"pods/{pod['metadata']['name']}/log"
        params = {"container": CONTAINER, "tailLines": str(LOG_LINES_MAX)}
        end, size, lines = bytearray(), 0, 0
        async with self._asked("GET", CORE, name.namespace, url, stream=True, params=params) as got:
            async for part in got.aiter_bytes():
                size += len(part)
                lines += part.count(b"\n")
                end += part
                del end[:-LOG_BYTES_MAX]
        is_cut = size > LOG_BYTES_MAX or lines >= LOG_LINES_MAX
        return JobLog(text=end.decode("utf-8", "replace"), is_truncated=is_cut)

    async def remove(self, name: JobName) -> None:
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if name.uid:
            options["preconditions"] = {"uid": name.uid}
        namespace = await self._namespace(name.namespace)
        try:
            await self._ask("DELETE", BATCH, namespace, f"jobs/{name.name}", json=options)
        except RefusedError as error:
            if error.status not in (404, 409):  # gone, or another of the same name
                raise

    async def close(self) -> None:
        api, self._api = self._api, None
        session = getattr(api, "_session", None)
        if session is not None:
            await session.aclose()

    # -- for watchers -------------------------------------------------------------------

    async def jobs(self, selector: str) -> tuple[list[dict[str, Any]], str]:
        """Return all jobs with some labels, and the version of the list."""
        items: list[dict[str, Any]] = []
        namespace = await self._namespace("")
        params = {"labelSelector": selector, "limit": str(PAGE_MAX)}
        while True:
            page = await self._ask("GET", BATCH, namespace, "jobs", params=params)
            items += page.get("items") or ()
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return items, metadata["resourceVersion"]
            params["continue"] = metadata["continue"]

    async def changes(
        self, version: str, resource: str, selector: str, since: str, seconds: int
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the events of a watch until it ends.

        Raises:
            RefusedError: the version is too old (410), or the watch is refused.
        """
        namespace = await self._namespace("")
        params = {
            "watch": "1",
            "labelSelector": selector,
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        more: dict[str, Any] = {"params": params, "timeout": seconds + REQUEST_SECONDS}
        async with self._asked("GET", version, namespace, resource, stream=True, **more) as got:
            async for line in got.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    message = str(status.get("message") or status.get("reason"))
                    raise RefusedError(message, int(status.get("code") or 500))
                yield event

    # -- requests -----------------------------------------------------------------------

    async def _pods(self, name: JobName) -> list[dict[str, Any]]:
        params = {"labelSelector": f"job-name={name.name}", "limit": str(PODS_MAX)}
        page = await self._ask("GET", CORE, name.namespace, "pods", params=params)
        pods: list[dict[str, Any]] = page.get("items") or []
        return pods

    async def _namespace(self, namespace: str) -> str:
        if namespace or self._place.namespace:
            return namespace or self._place.namespace
        return str((await self._opened()).auth.namespace)

    async def _ask(self, method: str, version: str, namespace: str, url: str, **more: Any) -> Any:
        """Make a request, and return the body of its answer."""
        async with self._asked(method, version, namespace, url, **more) as response:
            try:
                body = response.json()
            except ValueError:
                body = None
            if not isinstance(body, dict):
                raise JobError("what answers is no Kubernetes API server", ErrorKind.SCHEMA)
            return body

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, version: str, namespace: str, url: str, **more: Any
    ) -> AsyncIterator[httpx.Response]:
        """Make a request, and yield its answer.

        Raises:
            JobError: there is none, or it says no.
        """
        import httpx
        import kr8s

        api = await self._opened()
        try:
            async with api.call_api(
                method, version=version, namespace=namespace, url=url, **more
            ) as response:
                yield response
        except kr8s.ServerError as error:
            status = error.response.status_code if error.response is not None else 500
            message = f"Kubernetes refuses to {method} {url} in {namespace!r}: {error}"
            raise RefusedError(message, status) from None
        except httpx.TimeoutException:
            message = f"the Kubernetes API server did not answer within {REQUEST_SECONDS:g} seconds"
            raise JobError(message, ErrorKind.TIMEOUT, retryable=True) from None
        except (httpx.HTTPError, OSError) as error:
            raise _unreachable(error) from None

    async def _opened(self) -> Api:
        """Return the connection, opening it on first use."""
        import httpx
        import kr8s
        from kr8s.asyncio import Api as KubernetesApi

        async with self._lock:
            if self._api is not None:
                return self._api
            place = self._place
            api = KubernetesApi(
                kubeconfig=place.kubeconfig or None,
                context=place.context or None,
                bypass_factory=True,
            )
            api.timeout = httpx.Timeout(REQUEST_SECONDS)
            try:
                await api.auth
            except (ValueError, KeyError, OSError, TypeError, kr8s.APITimeoutError) as error:
                raise JobError(f"Kubernetes is not configured: {error}; {_HINT}") from None
            self._api = api
            return api


def _unreachable(error: Exception) -> JobError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None or "CERTIFICATE" in str(error):
        message = f"the certificate of the Kubernetes API server is refused: {error}"
        return JobError(message, ErrorKind.CONNECTION, code="TLS_CERTIFICATE")
    message = (
        f"the Kubernetes API server cannot be reached: {error or type(error).__name__}; {_HINT}"
    )
    return JobError(message, ErrorKind.CONNECTION, retryable=True)
