"""A watcher of jobs: reports their ends to a server, which resumes the steps that wait."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from arcbook.client.client import Client
from arcbook.client.errors import ClientError, FaultedError, RefusedError
from arcbook.logs import events as logged
from arcbook.tools.confinement import Confinement
from arcbook.tools.container.jobs import JobError
from arcbook.tools.container.watching import JobEnd, watch_jobs
from arcbook.wire.http.access import CallbackRequest

RETRY_SECONDS: Final = 1.0
"""Pause before the first retry; it doubles with each."""

RETRY_SECONDS_MAX: Final = 30.0

WRONG: Final = frozenset({400, 404, 413, 422})
"""Refusals of one callback, which another attempt would not change."""

log = logging.getLogger(__name__)


class JobWatcher:
    """Watches jobs and reports their ends until it is cancelled."""

    def __init__(self, client: Client, confinement: Confinement) -> None:
        self._client = client
        self._confinement = confinement
        self._pause = RETRY_SECONDS

    async def run(self) -> None:
        """Watch jobs.

        Raises:
            RefusedError: the server does not accept the token.
        """
        while True:
            try:
                await watch_jobs(self._confinement, self._report)
            except JobError as error:
                log.warning(logged.JOBS_UNWATCHED, {"reason": error})
                await self._rest()

    async def _report(self, end: JobEnd) -> None:
        """Report an end until a server has it."""
        state = end.state
        request = CallbackRequest(
            state=str(state.status),
            reason=state.reason or None,
            job_name=end.name,
            job_uid=state.uid,
            exit_code=state.exit_code,
            completed_at=state.completed_at,
        )
        while True:
            try:
                taken = await self._client.report_job(end.execution_id, end.step, request)
            except RefusedError as error:
                if error.status not in WRONG and not isinstance(error, FaultedError):
                    raise
                log.warning(logged.JOB_UNREPORTED, {"job": end.name, "reason": error})
                if error.status in WRONG:
                    return
            except ClientError as error:
                log.warning(logged.JOB_UNREPORTED, {"job": end.name, "reason": error})
            else:
                self._pause = RETRY_SECONDS
                log.info(
                    logged.JOB_REPORTED,
                    {"job": end.name, "state": str(state.status), "answer": taken.status},
                )
                return
            await self._rest()

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, RETRY_SECONDS_MAX)
