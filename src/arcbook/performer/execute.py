"""Performing commands: the one place where pipelines meet tools.

Workers and the command line use the same performer. It is a generator that yields
awaitables: a command whose tools answer at once is performed without touching the event
loop, any other continues as a task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from arcbook.engine.plan import Plan
from arcbook.performer.frames import cursor_frame, frame
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
            work: the command.
            plan: the playbook that it belongs to.
            folder: the folder of the playbook's file.
            checkpoint: records a pipeline's state durably; false if the command is not
                this worker's any more.

        Yields:
            Awaitables, whose results are sent back.

        Returns:
            The report.

        Raises:
            AbandonedError: the command is no longer this worker's.
        """
        performance = Performance(self, work, plan, folder, checkpoint)
        if plan.uses_secrets or self.secrets or self.may_meet_marks:
            yield from performance.reveal_context()
        if work.loop is None:
            return (yield from performance.whole())
        if work.count == 0:
            return (yield from cursor_frame(performance))
        return (yield from frame(performance))
