"""What ``container`` and ``script`` share: starting a job, waiting for it, and its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from arcbook.events.types import WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Deferred, ToolCall, job_key
from arcbook.tools.confinement import Confinement
from arcbook.tools.container.jobs import Job, JobError, JobLog, JobName, Jobs, JobState, JobStatus
from arcbook.tools.container.kubernetes import KubernetesJobs
from arcbook.tools.container.process import ProcessJobs

T = TypeVar("T")

LOOK_SECONDS_MIN: Final = 1.0
"""Shortest time between two looks at a job that no callback told of."""

LOOK_SECONDS_MAX: Final = 60.0
"""Longest time between two looks."""

PRINTED_CHARACTERS_MAX: Final = 4096
"""What of a job's log is shown as printed by its task."""

OVERDUE_SECONDS: Final = 600.0
"""Time after its deadline in which a job that nobody could look at may still be heard of."""

START_SECONDS: Final = 60.0
"""Time that starting a job may take; the same for a look at it, and for its log."""

UNDO_SECONDS: Final = 2.0
"""Time that each part of undoing a start may take."""

BACKENDS: Final[dict[str, Callable[[Confinement], Jobs]]] = {
    "kubernetes": KubernetesJobs,
    "process": ProcessJobs,
}
"""Who can run jobs, by the name that ARCBOOK_JOBS_BACKEND gives."""

_KINDS: Final = {
    JobStatus.FAILED: ErrorKind.PROCESS,
    JobStatus.IMAGE_PULL: ErrorKind.NOT_FOUND,
    JobStatus.OUT_OF_MEMORY: ErrorKind.LIMIT,
    JobStatus.NODE_LOST: ErrorKind.WORKER_LOST,
    JobStatus.TIMEOUT: ErrorKind.TIMEOUT,
}

_SENTENCES: Final = {
    JobStatus.FAILED: "the job failed",
    JobStatus.IMAGE_PULL: "the job's image cannot be pulled",
    JobStatus.OUT_OF_MEMORY: "the job took more memory than it may",
    JobStatus.NODE_LOST: "the machine that ran the job is gone",
    JobStatus.TIMEOUT: "the job did not end within its deadline",
}

RESULT: Final = {
    "state": "How the job ended: `succeeded`.",
    "exit_code": "Exit code of its container.",
    "logs": "What the job printed; of a long log its end.",
    "truncated": "Whether the log is longer than what is kept.",
    "reason": "Why it failed, where it did.",
    "job_name": "Name of the job.",
    "job_uid": "Id of the job.",
    "namespace": "Where it ran.",
    "backend": "Who ran it: `kubernetes` or `process`.",
    "started_at": "When it started.",
    "completed_at": "When it ended.",
    "result": "What a callback gave as the job's result.",
}


class Waiting:
    """Starts jobs, and turns their ends into outcomes."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, Confinement], Jobs] = {}

    def jobs(self, backend: str, confinement: Confinement) -> Jobs:
        """Return who runs jobs under a name.

        Raises:
            JobError: there is nobody of that name.
            ImportError: packages are missing.
        """
        runner = self._jobs.get((backend, confinement))
        if runner is None:
            make = BACKENDS.get(backend)
            if make is None:
                names = ", ".join(sorted(BACKENDS))
                raise JobError(f"ARCBOOK_JOBS_BACKEND is {backend!r}; it can be {names}")
            runner = self._jobs[backend, confinement] = make(confinement)
        return runner

    async def run(
        self, call: ToolCall, confinement: Confinement, job: Callable[[], Job], deadline: float
    ) -> Outcome | Deferred:
        """Start the job of a call, or look at the one that it waits for."""
        try:
            if not call.job:
                return await self._start(call, confinement, job())
            return await self._look(call, confinement, JobName.of(call.job), deadline)
        except JobError as error:
            return failed(error.kind, str(error), code=error.code, retryable=error.retryable)

    async def stop(self, job: str, confinement: Confinement) -> bool:
        """Delete a job; return whether it is gone."""
        try:
            name = JobName.of(job)
            await self.jobs(name.backend, confinement).remove(name)
        except JobError:
            return False
        return True

    async def close(self) -> None:
        """Let go of all who run jobs."""
        jobs, self._jobs = list(self._jobs.values()), {}
        for one in jobs:
            await one.close()

    async def _start(self, call: ToolCall, confinement: Confinement, job: Job) -> Deferred:
        jobs = self.jobs(confinement.jobs.backend, confinement)
        limit = min(call.timeout_seconds or START_SECONDS, START_SECONDS)
        starting = asyncio.ensure_future(_in_time(jobs.start(job), "started", limit))
        try:
            name = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _undo(jobs, job, starting)
            raise
        except JobError as error:
            if error.kind is ErrorKind.TIMEOUT:  # it may have been started all the same
                await _undo(jobs, job, starting)
            raise
        return _wait(call, name)

    async def _look(
        self, call: ToolCall, confinement: Confinement, name: JobName, deadline: float
    ) -> Outcome | Deferred:
        jobs = self.jobs(name.backend, confinement)
        reported = reported_state(call.reported)
        is_overdue = time.time() > name.began + deadline + OVERDUE_SECONDS
        try:
            state = await _in_time(jobs.look(name), "looked at")
        except JobError as error:
            if reported is None and error.retryable and not is_overdue:
                return _wait(call, name)
            if reported is None:
                raise
            state = None
        if state is None or state.status is JobStatus.RUNNING:
            if reported is None and state is not None and not is_overdue:
                return _wait(call, name)
            state = reported or _without(state)
            log = await _log(jobs, name)
            await _removed(jobs, name)
        else:
            log = await _log(jobs, name)
            if state.is_stuck:
                await _removed(jobs, name)
        return outcome_of(name, state, log, call.reported)


def _without(state: JobState | None) -> JobState:
    """Return the end of a job that nobody can tell about."""
    if state is None:
        reason = "the job is gone, and nobody told of its end"
        return JobState(status=JobStatus.NODE_LOST, reason=reason)
    return JobState(status=JobStatus.TIMEOUT, uid=state.uid, started_at=state.started_at)


async def _undo(jobs: Jobs, job: Job, starting: asyncio.Future[JobName]) -> None:
    """Delete what a call that was cancelled has started, as far as it can be in a short time."""
    await asyncio.wait([starting], timeout=UNDO_SECONDS)
    if not starting.done():
        starting.cancel()
    elif not starting.cancelled():
        starting.exception()  # it was asked for, so that nobody warns of it
    name = JobName(backend="", namespace=job.namespace, name=job.name, uid="", began=0)
    with contextlib.suppress(JobError):  # its deadline ends it
        await _in_time(jobs.remove(name), "deleted", UNDO_SECONDS)


async def _removed(jobs: Jobs, name: JobName) -> None:
    with contextlib.suppress(JobError):  # its deadline ends it
        await _in_time(jobs.remove(name), "deleted")


async def _log(jobs: Jobs, name: JobName) -> JobLog:
    """Return a job's log; without one, why there is none: the job's end counts all the same."""
    try:
        return await _in_time(jobs.log(name), "read")
    except JobError as error:
        return JobLog(text=f"(there is no log: {error})\n", is_truncated=True)


async def _in_time(work: Awaitable[T], action: str, seconds: float = START_SECONDS) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        message = f"the job could not be {action} within {seconds:g} seconds"
        raise JobError(message, ErrorKind.TIMEOUT, retryable=True) from None


def _wait(call: ToolCall, name: JobName) -> Deferred:
    """Return the wait for a job: the longer it has run, the rarer it is looked at."""
    age = max(0.0, time.time() - name.began)
    seconds = min(max(age / 4, LOOK_SECONDS_MIN), LOOK_SECONDS_MAX)
    return Deferred(kind=WaitKind.JOB, key=job_key(call.kind, str(name)), timeout_seconds=seconds)


def reported_state(reported: Outcome | None) -> JobState | None:
    """Return the end of a job that a callback reported."""
    if reported is None:
        return None
    facts: Mapping[str, Any] = reported.data if isinstance(reported.data, Mapping) else {}
    label = str(facts.get("state") or "")
    ends = {status.value: status for status in _SENTENCES}
    status = JobStatus.SUCCEEDED if reported.is_ok else ends.get(label, JobStatus.FAILED)
    reason = facts.get("reason") or (reported.error.message if reported.error else "")
    return JobState(
        status=status,
        uid=str(facts.get("job_uid") or ""),
        exit_code=facts.get("exit_code"),
        reason=str(reason),
        completed_at=facts.get("completed_at"),
    )


def outcome_of(
    name: JobName, state: JobState, log: JobLog, reported: Outcome | None = None
) -> Outcome:
    """Return the outcome of a job that has ended."""
    facts: Mapping[str, Any] = (
        reported.data if reported is not None and isinstance(reported.data, Mapping) else {}
    )
    data: dict[str, Any] = {
        "state": str(state.status),
        "exit_code": state.exit_code,
        "logs": log.text,
        "truncated": log.is_truncated,
        "reason": state.reason or None,
        "job_name": name.name,
        "job_uid": name.uid,
        "namespace": name.namespace or None,
        "backend": name.backend,
        "started_at": state.started_at,
        "completed_at": state.completed_at,
    }
    if "result" in facts:
        data["result"] = facts["result"]
    meta = {"stdout": log.text[-PRINTED_CHARACTERS_MAX:]} if log.text else {}
    if state.status is JobStatus.SUCCEEDED:
        return ok(data, meta=meta)
    return _failure(state, data, meta)


def _failure(state: JobState, data: dict[str, Any], meta: dict[str, Any]) -> Outcome:
    message = _SENTENCES[state.status]
    code = state.status.upper()
    if state.status is JobStatus.FAILED and state.exit_code is not None:
        message, code = f"{message} with exit code {state.exit_code}", f"EXIT_{state.exit_code}"
    if state.reason:
        message = f"{message}: {state.reason}"
    retryable = state.status is JobStatus.NODE_LOST
    outcome = failed(_KINDS[state.status], message, code=code, retryable=retryable, data=data)
    return Outcome(status=outcome.status, data=data, error=outcome.error, meta=meta)
