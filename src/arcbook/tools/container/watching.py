"""The ends of jobs, as they come: what ``arcbook watch-jobs`` reports to a server.

A worker finds out the end of its job without this, only later. So nothing here needs to be
remembered: whoever starts anew reports all ends that it finds, and those that were reported
before change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from arcbook.tools.confinement import Confinement
from arcbook.tools.container.jobs import JobError, JobName, JobState, JobStatus
from arcbook.tools.container.kubernetes import BATCH, KubernetesJobs, RefusedError
from arcbook.tools.container.manifest import EXECUTION_LABEL, SELECTOR, STEP_ANNOTATION, seconds_of
from arcbook.tools.container.process import ProcessJobs

WINDOW_SECONDS: Final = 15
"""Length of one watch; after each, the pods of running jobs are looked at."""

PROCESS_SECONDS: Final = 0.2
"""Time between two looks at the jobs that are processes."""

REPORTED_MAX: Final = 10_000
"""Ends that are kept in mind; those before them may be reported again."""

GONE: Final = 410
"""Status of a watch from a version that the server has forgotten."""


class JobEnd(NamedTuple):
    """The end of a job, and what waits for it."""

    execution_id: str
    step: str
    name: str
    state: JobState


Report = Callable[[JobEnd], Awaitable[None]]


class _Reports:
    """Reports each end once, as far as it is kept in mind."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported: dict[str, None] = {}

    async def take(self, end: JobEnd) -> bool:
        """Report a job if it has ended; return whether it has."""
        if end.state.status is JobStatus.RUNNING:
            return False
        uid = end.state.uid
        if uid not in self._reported:
            await self._report(end)
            self._reported[uid] = None
            if len(self._reported) > REPORTED_MAX:
                del self._reported[next(iter(self._reported))]
        return True


async def watch_jobs(confinement: Confinement, report: Report) -> None:
    """Report the ends of jobs until cancelled.

    Raises:
        JobError: jobs cannot be watched; somebody may try again.
    """
    reports = _Reports(report)
    backend = confinement.jobs.backend
    if backend == "process":
        await _watch_processes(ProcessJobs(confinement), reports)
    elif backend == "kubernetes":
        jobs = KubernetesJobs(confinement)
        try:
            while True:
                await _watch_kubernetes(jobs, reports)
        finally:
            await jobs.close()
    else:
        raise JobError(f"jobs of {backend!r} cannot be watched; their workers look at them")


async def _watch_processes(jobs: ProcessJobs, reports: _Reports) -> None:
    while True:
        for facts in await asyncio.to_thread(lambda: list(jobs.all())):
            state = await asyncio.to_thread(jobs.state, facts.name)
            if state is not None:
                await reports.take(JobEnd(facts.execution_id, facts.step, facts.name, state))
        await asyncio.sleep(PROCESS_SECONDS)


async def _watch_kubernetes(jobs: KubernetesJobs, reports: _Reports) -> None:
    """List all jobs and watch them, until the watch is too old to go on."""
    items, version = await jobs.jobs(SELECTOR)
    running: dict[str, Mapping[str, Any]] = {job["metadata"]["name"]: job for job in items}
    try:
        while True:
            await _look(jobs, reports, running)
            async for event in jobs.changes(BATCH, "jobs", SELECTOR, version, WINDOW_SECONDS):
                changed = event["object"]
                version = changed["metadata"]["resourceVersion"]
                if event["type"] in ("ADDED", "MODIFIED"):
                    running[changed["metadata"]["name"]] = changed
                    await _look(jobs, reports, running, changed["metadata"]["name"])
                elif event["type"] == "DELETED":
                    running.pop(changed["metadata"]["name"], None)
    except RefusedError as error:
        if error.status != GONE:
            raise


async def _look(
    jobs: KubernetesJobs, reports: _Reports, running: dict[str, Mapping[str, Any]], name: str = ""
) -> None:
    """Look at one running job, or at all; drop those that have ended."""
    for each in [name] if name else list(running):
        metadata = running[each]["metadata"]
        state = await jobs.look(
            JobName(
                backend="kubernetes",
                namespace=metadata["namespace"],
                name=each,
                uid=metadata["uid"],
                began=seconds_of(metadata["creationTimestamp"]),
            )
        )
        execution_id = metadata["labels"].get(EXECUTION_LABEL, "")
        step = (metadata.get("annotations") or {}).get(STEP_ANNOTATION, "")
        if state is None or await reports.take(JobEnd(execution_id, step, each, state)):
            del running[each]
