"""The performer: runs the pipelines of commands with real tools.

Workers and the command line share it. It is a generator that yields awaitables, so a
command whose tools return immediately runs without the event loop; any other continues as
a task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from arcbook.engine.plan import Plan
from arcbook.performer.frames import cursor_frame, frame
from arcbook.performer.jobs import stop_job
from arcbook.performer.performance import Performance
from arcbook.performer.services import Awaits, Services
from arcbook.wire.payload import CommandPayload


class Performer(Services):
    """Performs commands with a set of tools."""

    def perform(
        self,
        work: CommandPayload,
        plan: Plan,
        *,
        folder: str,
        checkpoint: Callable[[Any], Awaitable[bool]],
    ) -> Awaits:
        """Perform a command.

        Args:
            work: The command.
            plan: The plan of its playbook.
            folder: The folder of the playbook's file.
            checkpoint: Records a pipeline's state durably; returns False if this worker no
                longer holds the command.

        Yields:
            Awaitables, whose results must be sent back.

        Returns:
            The report, or whether a job was stopped.

        Raises:
            AbandonedError: This worker no longer holds the command.
        """
        if work.stops:
            return (yield stop_job(self, work))
        performance = Performance(self, work, plan, folder, checkpoint)
        if plan.uses_secrets or self.secrets or self.may_meet_marks:
            yield from performance.reveal_context()
        if work.loop is None:
            return (yield from performance.run_step())
        if work.count == 0:
            return (yield from cursor_frame(performance))
        return (yield from frame(performance))
