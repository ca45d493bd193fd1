"""Jobs: what a container runs, how it stands, and the port of those who run it.

A job's name follows from the call that starts it, so that a call that is made again after
its worker was lost finds the job that it had started.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any, Final, Protocol

import msgspec

from arcbook.outcome import ErrorKind

DEADLINE_SECONDS: Final = 24 * 3600.0
"""How long a job may take where nothing is said."""

TTL_SECONDS: Final = 3600
"""How long an ended job is kept where nothing is said."""

LOG_BYTES_MAX: Final = 8 * 1024 * 1024
"""What is kept of a job's log: its end."""

NAME_PREFIX: Final = "arcbook-"


class JobError(RuntimeError):
    """A job cannot be started, looked at or stopped; the message says why."""

    def __init__(
        self,
        message: str,
        kind: ErrorKind = ErrorKind.CONFIG,
        *,
        code: str = "",
        retryable: bool = False,
    ) -> None:
        self.kind = kind
        self.code = code or kind.name
        self.retryable = retryable
        super().__init__(message)


class JobStatus(enum.StrEnum):
    """How a job stands; the names of its ends are those that watchers of jobs report."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IMAGE_PULL = "failed_image_pull"
    OUT_OF_MEMORY = "failed_oom"
    NODE_LOST = "failed_node_lost"
    TIMEOUT = "failed_timeout"


class SecretRef(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a Kubernetes secret."""

    secret_name: str
    secret_key: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A container to run."""

    name: str
    execution_id: int
    step: str
    #: What waits for it, for a watcher's callback: ``container`` or ``script``.
    kind: str
    image: str
    command: list[str] = []
    #: Code that stands between them, for an interpreter.
    code: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    secrets: dict[str, SecretRef] = {}
    working_dir: str = ""
    deadline_seconds: float = DEADLINE_SECONDS
    ttl_seconds: int = TTL_SECONDS
    #: Where it runs, as far as its backend knows such places.
    namespace: str = ""
    #: Fields of the pod and the container that are passed on as they are.
    pod: dict[str, Any] = {}
    container: dict[str, Any] = {}
    backoff_limit: int = 0


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """How a job stands."""

    status: JobStatus
    uid: str = ""
    exit_code: int | None = None
    reason: str = ""
    started_at: str | None = None
    completed_at: str | None = None
    #: Whether it has ended only for us: it would wait until its deadline.
    is_stuck: bool = False


class JobLog(msgspec.Struct, frozen=True, kw_only=True):
    """What a job printed, or the end of it."""

    text: str = ""
    is_truncated: bool = False


class JobName(msgspec.Struct, frozen=True, kw_only=True):
    """Names a started job: who runs it, where, and since when."""

    backend: str
    namespace: str
    name: str
    uid: str
    #: Seconds since the epoch.
    began: int

    def __str__(self) -> str:
        return f"{self.backend}/{self.namespace}/{self.name}/{self.uid}/{self.began}"

    @classmethod
    def of(cls, text: str) -> JobName:
        """Read a name.

        Raises:
            JobError: it is none.
        """
        backend, *rest = text.split("/")
        if len(rest) != 4 or not rest[3].isdigit():
            raise JobError(f"{text!r} names no job")
        namespace, name, uid, began = rest
        return cls(backend=backend, namespace=namespace, name=name, uid=uid, began=int(began))


class Jobs(Protocol):
    """Runs jobs. Every method raises :class:`JobError` where it cannot do its work."""

    async def start(self, job: Job) -> JobName:
        """Start a job, or find it if it was started before."""

    async def look(self, name: JobName) -> JobState | None:
        """Return how a job stands, or ``None`` if it is gone."""

    async def log(self, name: JobName) -> JobLog:
        """Return what a job printed."""

    async def remove(self, name: JobName) -> None:
        """End a job and delete it; nothing happens if it is gone."""

    async def close(self) -> None:
        """Let go of connections."""


def job_name(idempotency_key: str, attempt: int) -> str:
    """Return the name of the job of one try of a call."""
    digest = hashlib.sha256(f"{idempotency_key}:{attempt}".encode()).hexdigest()
    return NAME_PREFIX + digest[:32]
