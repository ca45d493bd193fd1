"""The normal form of a playbook.

:mod:`arcbook.dsl.upgrade` rewrites older and shorter spellings first, so the rest of Arcbook
handles only these types. Values that may contain templates are typed ``Any`` and kept as
written; :mod:`arcbook.engine.plan` compiles them.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from arcbook.dsl.source import START, Position


class RouterMode(enum.StrEnum):
    """How many of a step's arcs may fire."""

    #: The first arc whose guard is true.
    EXCLUSIVE = "exclusive"
    #: Every arc whose guard is true.
    INCLUSIVE = "inclusive"


class NoMatch(enum.StrEnum):
    """What happens if none of a step's arcs fires."""

    #: The branch ends here.
    COMPLETE = "complete"
    #: The branch ends here, without a warning.
    QUIET = "quiet"
    #: The step fails.
    ERROR = "error"


class LoopMode(enum.StrEnum):
    """How a loop iterates over its items."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    CURSOR = "cursor"


class OnError(enum.StrEnum):
    """What a failed iteration does to its loop."""

    FAIL = "fail"
    CONTINUE = "continue"


class Do(enum.StrEnum):
    """The directive of a policy rule."""

    CONTINUE = "continue"
    RETRY = "retry"
    JUMP = "jump"
    BREAK = "break"
    FAIL = "fail"


class Backoff(enum.StrEnum):
    """How the delay between tries grows."""

    NONE = "none"
    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Redelivery(enum.StrEnum):
    """Whether an interrupted call may run again."""

    #: It runs again, with the same idempotency key.
    ALLOWED = "allowed"
    #: It does not run again; its outcome is an error of kind ``worker_lost``.
    NEVER = "never"


class Lifetime(enum.StrEnum):
    """How long a value that ``set`` writes lives."""

    #: The execution.
    CTX = "ctx"
    #: One iteration of a loop.
    ITER = "iter"
    #: One visit of a step.
    STEP = "step"
    #: One run of a pipeline.
    LOCAL = "local"


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a playbook, with its position in the document."""

    position: Position = START


class Assignment(_Part, frozen=True, kw_only=True):
    """One entry of a ``set``."""

    lifetime: Lifetime
    #: Where to write, below the lifetime's root: ``("page", "next")``.
    path: tuple[str, ...]
    value: Any


class Rule(_Part, frozen=True, kw_only=True):
    """One policy rule; the first whose guard is true decides what follows a task."""

    #: Guard; ``True`` for an ``else``.
    when: Any = True
    do: Do | None = Do.CONTINUE
    #: Total number of tries, including the first; a number or a template.
    attempts: Any = 3
    backoff: Backoff = Backoff.NONE
    #: Seconds before the next try; a number or a template.
    delay: Any = 1.0
    #: Longest delay, in seconds.
    delay_max: Any = None
    #: Label of the task to jump to, or ``previous``.
    to: str | None = None
    set: tuple[Assignment, ...] = ()


class OutputSpec(_Part, frozen=True, kw_only=True):
    """How a task's result is stored."""

    #: Fields that can be read without loading a result stored by reference.
    select: tuple[str, ...] = ()
    #: Size above which the result is stored by reference; ``None`` for the default.
    inline_bytes_max: int | None = None
    #: Where to store it; ``auto`` chooses by size.
    store: str = "auto"


class Task(_Part, frozen=True, kw_only=True):
    """One labelled tool call of a step's pipeline."""

    label: str
    kind: str
    #: The tool's own parameters, templates included.
    config: dict[str, Any] = {}
    input: dict[str, Any] = {}
    auth: Any = None
    set: tuple[Assignment, ...] = ()
    rules: tuple[Rule, ...] = ()
    #: Seconds; a number or a template.
    timeout: Any = None
    redelivery: Redelivery = Redelivery.ALLOWED
    output: OutputSpec | None = None
    #: Position of each key of ``config``.
    places: dict[str, Position] = {}


class AdmitRule(_Part, frozen=True, kw_only=True):
    """One admission rule; the first whose guard is true decides whether the step runs."""

    when: Any
    allow: bool


class Cursor(_Part, frozen=True, kw_only=True):
    """Where a cursor loop claims its rows."""

    kind: str = "postgres"
    auth: Any = None
    #: Statement that claims and returns rows.
    claim: str = ""
    options: dict[str, Any] = {}


class Frame(_Part, frozen=True, kw_only=True):
    """How a cursor loop groups rows; numbers or templates."""

    rows_max: Any = 1
    row_concurrency: Any = 1
    #: ``row`` runs the body for each row, ``frame`` once for all rows of a frame.
    process: str = "row"
    lease_seconds: Any = None
    heartbeat_seconds: Any = None
    attempts_max: Any = None


class Loop(_Part, frozen=True, kw_only=True):
    """A step's loop."""

    iterator: str
    mode: LoopMode = LoopMode.SEQUENTIAL
    #: The collection, for sequential and parallel loops.
    items: Any = None
    cursor: Cursor | None = None
    #: Maximum concurrent iterations (or frames); a number, a template, or ``None``.
    max_in_flight: Any = None
    on_error: OnError = OnError.FAIL
    frame: Frame = Frame()


class Arc(_Part, frozen=True, kw_only=True):
    """An edge from one step to another."""

    to: str
    #: Guard; an arc with ``None`` always fires on success.
    when: Any = None
    set: tuple[Assignment, ...] = ()


class Router(_Part, frozen=True, kw_only=True):
    """A step's choice among its arcs."""

    mode: RouterMode = RouterMode.EXCLUSIVE
    on_no_match: NoMatch = NoMatch.COMPLETE
    arcs: tuple[Arc, ...] = ()


class Step(_Part, frozen=True, kw_only=True):
    """A node of the graph: admission, a pipeline of tasks, and a router."""

    name: str
    description: str = ""
    tasks: tuple[Task, ...]
    #: Whether ``tool`` is a list of tasks in the document.
    is_pipeline: bool = False
    #: Whether the document has no tool here: the step only routes, without a result.
    routes_only: bool = False
    input: dict[str, Any] = {}
    loop: Loop | None = None
    #: Guard; if it is false, the step is skipped.
    when: Any = None
    #: Admission rules; the first whose guard is true decides. If there is none, the step runs.
    admit: tuple[AdmitRule, ...] = ()
    set: tuple[Assignment, ...] = ()
    router: Router = Router()
    #: Number of tokens that start the step; 0 for all that can arrive.
    join: int = 0
    #: Seconds; a number or a template.
    timeout: Any = None
    #: Pool that runs the step, or ``None`` for the default.
    pool: str | None = None


class KeychainEntry(_Part, frozen=True, kw_only=True):
    """One entry of the playbook's keychain."""

    name: str
    kind: str
    #: The entry's other keys, templates included.
    config: dict[str, Any] = {}


class Playbook(_Part, frozen=True, kw_only=True):
    """A playbook."""

    name: str
    path: str
    version: str = ""
    description: str = ""
    labels: dict[str, Any] = {}
    #: Default input.
    workload: dict[str, Any] = {}
    #: Other mappings at the root, which templates read by their key.
    data: dict[str, Any] = {}
    keychain: tuple[KeychainEntry, ...] = ()
    steps: tuple[Step, ...]
    entry: str
    final: str | None = None
    no_next_is_error: bool = False
    #: Template of the playbook's result, or ``None``.
    output: Any = None
    #: Seconds for the whole execution; a number or a template.
    timeout: Any = None
    #: Position of each key of ``executor.spec``.
    places: dict[str, Position] = {}

    def step(self, name: str) -> Step:
        """Return a step by name.

        Raises:
            KeyError: If there is no such step.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
