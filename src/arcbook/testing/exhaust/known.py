"""The states of the model: what is stored, believed, held and on its way; its rules and bounds."""

from __future__ import annotations

from typing import Final, NamedTuple

NOBODY: Final = -1

GOES_ON: Final = frozenset({"pending", "claimed", "waiting"})
"""How a command stands that has not ended."""


class Label(NamedTuple):
    """What was done, and to what. A verb that begins with ``_`` is seen by nobody."""

    verb: str
    command: int = 0
    generation: int = 0
    attempt: int = 0
    worker: int = NOBODY


Key = tuple[int, int, int]
"""A command, its generation and attempt."""


class Row(NamedTuple):
    """A command as it is stored."""

    #: none, pending, claimed, waiting; at the end done, failed, stopped.
    status: str = "none"
    generation: int = 0
    attempt: int = 1
    worker: int = NOBODY
    #: Its task that must not run twice has begun.
    began: bool = False
    #: How often its outcome was applied.
    applied: int = 0
    #: Whether pools were told of it, as far as a server remembers.
    announced: bool = False

    @property
    def is_out(self) -> bool:
        """Whether it is given out."""
        return self.status in ("pending", "claimed")

    def is_for(self, key: Key) -> bool:
        """Whether it is out in exactly this generation and attempt."""
        return self.is_out and (self.generation, self.attempt) == key[1:]


class Stored(NamedTuple):
    """What is stored, or what a server believes that is."""

    seq: int
    rows: tuple[Row, ...]
    cancelled: bool = False


class Held(NamedTuple):
    """What a worker has in hand; it began, asks (to record that), may (go on), or is done."""

    key: Key
    phase: str


class Message(NamedTuple):
    """What is on its way: notice, claimed, report, record, answer, stop, receipt."""

    kind: str
    key: Key
    worker: int = NOBODY
    #: Of a report: done, waits, lost; of an answer: accepted, recorded, refused; of a claim:
    #: whether the task has begun before.
    detail: str = ""
    #: A command that comes with an answer.
    brings: Key | None = None
    #: Whether it is on its way a second time.
    twin: bool = False


class Mishaps(NamedTuple):
    """What may still go wrong."""

    crashes: int = 1
    losses: int = 1
    twins: int = 0
    silences: int = 0
    takeovers: int = 1
    cancels: int = 0
    #: Commands that end by something else: a time limit, another branch, a fatal error.
    limits: int = 0


class Known(NamedTuple):
    """A state."""

    stored: Stored
    #: What each server believes; nothing, if it drives nothing.
    views: tuple[Stored | None, ...]
    #: What each worker holds; nothing, if it is dead.
    workers: tuple[frozenset[Held] | None, ...]
    way: frozenset[Message] = frozenset()
    mishaps: Mishaps = Mishaps()
    #: How often each task was performed.
    performed: tuple[int, ...] = ()


class Rules(NamedTuple):
    """What keeps it right. A model without one of these must break something."""

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
    """How large a world is."""

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
