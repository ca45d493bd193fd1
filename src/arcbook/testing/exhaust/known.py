"""The states of the model: stored, believed and held data, and messages; its rules and bounds."""

from __future__ import annotations

from typing import Final, NamedTuple

NOBODY: Final = -1

GOES_ON: Final = frozenset({"pending", "claimed", "waiting"})
"""The statuses of a command that has not ended."""


class Label(NamedTuple):
    """A step of the model: a verb and its object. A verb that begins with ``_`` is unobserved."""

    verb: str
    command: int = 0
    generation: int = 0
    attempt: int = 0
    worker: int = NOBODY


Key = tuple[int, int, int]
"""A command, its generation and attempt."""


class Row(NamedTuple):
    """A stored command."""

    #: none, pending, claimed, waiting; at the end done, failed, stopped.
    status: str = "none"
    generation: int = 0
    attempt: int = 1
    worker: int = NOBODY
    #: Whether its task that must not run twice has begun.
    began: bool = False
    #: The number of times its outcome was applied.
    applied: int = 0
    #: Whether it was announced to its pool, as far as a server remembers.
    announced: bool = False

    @property
    def is_out(self) -> bool:
        """Whether it is given out."""
        return self.status in ("pending", "claimed")

    def is_for(self, key: Key) -> bool:
        """Whether it is out in exactly this generation and attempt."""
        return self.is_out and (self.generation, self.attempt) == key[1:]


class Stored(NamedTuple):
    """The stored data, or a server's view of it."""

    seq: int
    rows: tuple[Row, ...]
    cancelled: bool = False


class Held(NamedTuple):
    """A command that a worker holds: begun, asking (to record that), allowed to go on, or done."""

    key: Key
    phase: str


class Message(NamedTuple):
    """A message in transit: notice, claimed, report, record, answer, stop or receipt."""

    kind: str
    key: Key
    worker: int = NOBODY
    #: Of a report: done, waits, lost; of an answer: accepted, recorded, refused; of a claim:
    #: whether the task has begun before.
    detail: str = ""
    #: A command that comes with an answer.
    brings: Key | None = None
    #: Whether it is a duplicate.
    twin: bool = False


class Mishaps(NamedTuple):
    """The numbers of faults that may still happen."""

    crashes: int = 1
    losses: int = 1
    twins: int = 0
    silences: int = 0
    takeovers: int = 1
    cancels: int = 0
    #: Commands that end for another reason: a time limit, another branch, a fatal error.
    limits: int = 0


class Known(NamedTuple):
    """A state."""

    stored: Stored
    #: The view of each server; None if it drives nothing.
    views: tuple[Stored | None, ...]
    #: The commands that each worker holds; None if it is dead.
    workers: tuple[frozenset[Held] | None, ...]
    way: frozenset[Message] = frozenset()
    mishaps: Mishaps = Mishaps()
    #: The number of times each task was performed.
    performed: tuple[int, ...] = ()


class Rules(NamedTuple):
    """The rules of the protocol. A model without one of them must violate a check."""

    fence_events: bool = True
    fence_claims: bool = True
    fence_claims_by_events: bool = True
    check_attempts: bool = True
    check_generations: bool = True
    answer_after_commit: bool = True
    record_hand_over: bool = True
    tell_again: bool = True
    end_leases: bool = True
    report_again: bool = True
    load_on_takeover: bool = True
    record_first: bool = True
    tell_what_began: bool = True
    cancel_before_claims: bool = True
    cancel_before_reports: bool = True
    stop_in_time: bool = True


class Bounds(NamedTuple):
    """The bounds of the model."""

    commands: int = 1
    servers: int = 2
    workers: int = 2
    attempts_max: int = 2
    mishaps: Mishaps = Mishaps()
    #: Whether the tasks must not run twice, and whether each waits once before it is done.
    never: bool = False
    waits: bool = False
    #: Whether a message comes as often as somebody likes, and nothing is ever used up. So
    #: what a state allows only grows, which is what traces are compared with.
    endless: bool = False
