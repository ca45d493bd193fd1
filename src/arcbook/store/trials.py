"""The port to notes of what is being decided, by which a dead owner's last decision is known."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Trial(NamedTuple):
    """Somebody decided an execution, and has not said since that it went well."""

    execution_id: int
    owner: str


class Trials(Protocol):
    """What owners were deciding when they vanished."""

    async def put_trials(self, owner: str, execution_ids: Collection[int]) -> None:
        """Note what an owner decides now, in place of what it decided before.

        Args:
            owner: the owner; no other process has the same name.
            execution_ids: the executions; none when it is through with them.
        """

    async def trials(self) -> list[Trial]:
        """Return what is being decided, or was when its owner died; by execution and owner."""

    async def forget_trials(self, execution_ids: Collection[int]) -> None:
        """Forget that executions were tried, whoever it was."""

    async def forget_ended_trials(self) -> None:
        """Forget that executions were tried which have ended or are gone."""
