"""The port to trials: records of executions being decided, left behind by a dead owner."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol


class Trial(NamedTuple):
    """An owner began to decide an execution and has not completed it."""

    execution_id: int
    owner: str


class Trials(Protocol):
    """Records of which executions owners are deciding."""

    async def put_trials(self, owner: str, execution_ids: Collection[int]) -> None:
        """Record which executions an owner decides now, replacing its previous records.

        Args:
            owner: Name of the owner, unique among processes.
            execution_ids: The executions; empty once they are committed.
        """

    async def trials(self) -> list[Trial]:
        """Return all records, including those of dead owners, by execution and owner."""

    async def forget_trials(self, execution_ids: Collection[int]) -> None:
        """Delete the records of executions, for all owners."""

    async def forget_ended_trials(self) -> None:
        """Delete the records of executions that have ended or were deleted."""
