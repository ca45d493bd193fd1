"""Stopping the jobs of cancelled executions."""

from __future__ import annotations

import asyncio
from typing import Final

from arcbook.engine.inputs import Stopped
from arcbook.performer.services import Services
from arcbook.tools.api import job_of
from arcbook.wire.payload import CommandPayload

STOP_SECONDS: Final = 8.0
"""Time that a tool has to stop a job."""


async def stop_job(services: Services, work: CommandPayload) -> Stopped:
    """Stop the job of a command, and report whether its tool confirmed that it has ended.

    Whatever a tool raises here becomes a failed report, which the engine takes as no
    confirmation.
    """
    kind, name = job_of(work.stops)
    is_stopped = False
    stop = getattr(services.tools.tool(kind), "stop", None)
    if stop is not None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                is_stopped = await stop(name, services.confinement)
        except TimeoutError:
            is_stopped = False
    return Stopped(command_id=work.command_id, confirmed=is_stopped)
