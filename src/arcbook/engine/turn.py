"""A decision in progress: the state, the plan and the events emitted so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from arcbook.engine.fold import apply, write
from arcbook.engine.inputs import Decision
from arcbook.engine.plan import Plan, PlanSet
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.engine.state import State
from arcbook.engine.views import Loaded
from arcbook.events.types import AnyEvent, CommandCancelled, Recorded, Write
from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError

MICROSECONDS: Final = 1_000_000


class LoopLimits(NamedTuple):
    """Limits on loops and decisions."""

    #: Concurrent iterations of a loop without ``max_in_flight``.
    in_flight_default: int = 64
    #: Upper bound of ``max_in_flight``.
    in_flight_max: int = 1024
    items_max: int = 10_000_000
    #: Events after which a decision leaves the remaining work to the next one.
    events_max: int = 250


LIMITS: Final = LoopLimits()


class Turn:
    """The working set of one decision. Emitting an event folds it at once."""

    __slots__ = (
        "_budget",
        "_context",
        "at",
        "decision",
        "limits",
        "loaded",
        "new_id",
        "plan",
        "state",
    )

    def __init__(
        self,
        state: State,
        plan: Plan,
        *,
        at: int,
        new_id: Callable[[], int],
        loaded: Loaded,
        limits: LoopLimits,
    ) -> None:
        self.state = state
        self.plan = plan
        self.at = at
        self.new_id = new_id
        self.loaded = loaded
        self.limits = limits
        self.decision = Decision()
        #: Shared by all templates of the decision; created when one needs it.
        self._budget: Budget | None = None
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        """The names that the execution's templates can read."""
        if self._context is None:
            state = self.state
            self._context = Context(
                execution_id=state.execution_id,
                path=state.path,
                version=state.version,
                catalog_id=state.catalog_id,
                workload=state.workload,
                payload=state.payload,
                ctx=state.ctx,
                steps=state.results,
            )
        return self._context

    @context.setter
    def context(self, context: Context | None) -> None:
        self._context = context

    def emit(self, event: AnyEvent) -> None:
        """Append an event and fold it into the state."""
        recorded = Recorded(self.state.seq + 1, self.at, event)
        self.decision.events.append(recorded)
        apply(self.state, recorded)

    @property
    def is_full(self) -> bool:
        """Whether the decision has reached its event limit; ``Settle`` continues from there."""
        return len(self.decision.events) >= self.limits.events_max

    def stopped(self, command_id: str, *, confirmed: bool = True) -> None:
        """Record that a command's tool has stopped."""
        command = self.state.command(command_id)
        assert command is not None
        self.emit(
            CommandCancelled(
                command_id=command_id,
                step=command.step,
                visit=command.visit,
                confirmed=confirmed,
            )
        )

    def scope(self, *layers: dict[str, Any], top: dict[str, Any] | None = None) -> ExecutionScope:
        """Return a scope of the execution's names, below the given layers."""
        if self._budget is None:
            self._budget = Budget()
        return ExecutionScope(
            self.context,
            data=self.plan.playbook.data,
            now=lambda: self.at,
            loaded=self.loaded,
            top=top,
            layers=layers,
            budget=self._budget,
        )


def live_mask(turn: Turn) -> int:
    """Return the steps that hold a token (waiting, running, parked or failed), as bits.

    A step with an uncaught failure keeps its token, so that a join behind it does not run
    without that step's result.
    """
    return turn.state.live.mask(turn.plan)


def missing_warnings(scope: ExecutionScope, where: str, *, strict: bool) -> list[str]:
    """Return a warning for each name that had no value where one was needed.

    Raises:
        TemplateError: If a name had no value and the execution is strict.
    """
    warnings = [f"{where}: {name!r} has no value" for name in scope.take_missing()]
    if warnings and strict:
        raise TemplateError(f"{warnings[0]}, and the run is strict")
    return warnings


class Overlay(dict[str, Any]):
    """Pending variables layered over the current ones, which are not copied."""

    __slots__ = ("below",)

    def __init__(self, below: dict[str, Any]) -> None:
        super().__init__()
        self.below = below

    def __missing__(self, key: str) -> Any:
        return self.below[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.below

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key, MISSING)
        return self.below.get(key, default) if value is MISSING else value

    def merged(self) -> dict[str, Any]:
        """Return both layers as one dict."""
        return {**self.below, **dict(super().items())}

    def keys(self) -> Any:
        return self.merged().keys()

    def items(self) -> Any:
        return self.merged().items()

    def __iter__(self) -> Any:
        return iter(self.merged())

    def __len__(self) -> int:
        return len(self.merged())


def render_sets(sets: tuple[PlanSet, ...], scope: ExecutionScope) -> list[Write]:
    """Render the writes of a ``set`` below ``ctx``; each entry sees the earlier ones."""
    writes: list[Write] = []
    for entry in sets:
        entry_write: Write = (list(entry.path), entry.value.render(scope))
        writes.append(entry_write)
        write(scope.context.ctx, [entry_write])
    return writes
