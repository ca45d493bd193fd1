"""Count tokens and iterations independently of the engine, to check fan-in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from arcbook.dsl.model import Playbook, Router, RouterMode
from arcbook.engine.state import State
from arcbook.events.types import (
    AnyEvent,
    ArcTaken,
    CancelRequested,
    CommandCompleted,
    PlaybookCompleted,
    PlaybookStarted,
    StepEnter,
    StepExit,
    StepSkipped,
    TokenPlaced,
)
from arcbook.outcome import OK

Routes = Mapping[str, frozenset[int]]
"""The unconditional arcs of steps, by name."""


def routes_of(playbook: Playbook) -> Routes:
    """Return the unconditional arcs of a playbook's steps."""
    return {step.name: _certain(step.router) for step in playbook.steps}


def _certain(router: Router) -> frozenset[int]:
    free = [number for number, arc in enumerate(router.arcs) if arc.when is None]
    if router.mode is RouterMode.EXCLUSIVE:
        return frozenset({0}) if free[:1] == [0] else frozenset()
    return frozenset(free)


class Flow:
    """The tokens and iterations of one execution."""

    def __init__(
        self,
        execution_id: int,
        fail: Callable[[str, str], None],
        routes: Mapping[str, Routes] | None = None,
    ) -> None:
        self.execution_id = execution_id
        self._fail = fail
        self._known = routes or {}
        #: The unconditional arcs of its playbook.
        self._routes: Routes = {}
        self._tokens: dict[str, Counter[str]] = {}
        self._entered: set[tuple[str, int]] = set()
        self._left: set[tuple[str, int]] = set()
        self._counted: dict[tuple[str, int], set[int]] = {}

    def copy(self) -> Flow:
        """Return what goes on as it is at this moment, to be followed on another way."""
        twin = Flow(self.execution_id, self._fail, self._known)
        twin._routes = self._routes
        twin._tokens = {step: Counter(tokens) for step, tokens in self._tokens.items()}
        twin._entered, twin._left = set(self._entered), set(self._left)
        twin._counted = {visit: set(done) for visit, done in self._counted.items()}
        return twin

    def fail(self, rule: str, message: str) -> None:
        """Say what is broken."""
        self._fail(rule, f"{self.execution_id}: {message}")

    def before(self, state: State, event: AnyEvent) -> None:
        """Take an event that is about to be applied."""
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, state, event)

    def after(self, state: State) -> None:
        """Look at a state after a commit."""
        for key, run in state.runs.items():
            if run.loop is not None and len(run.commands) > run.loop.start.in_flight_max:
                self.fail("limit", f"loop {key} has {len(run.commands)} frames out")

    # -- tokens -----------------------------------------------------------------------

    def _send(self, step: str, taken: list[ArcTaken]) -> None:
        for arc in taken:
            if not arc.absorbed:
                self._tokens.setdefault(arc.to, Counter())[step] += 1

    def _started(self, state: State, event: PlaybookStarted) -> None:
        self._routes = self._known.get(event.path, {})
        if event.entry:
            self._tokens[event.entry] = Counter([""])

    def _placed(self, state: State, event: TokenPlaced) -> None:
        self._tokens.setdefault(event.step, Counter())[event.came_from] += 1

    def _enter(self, state: State, event: StepEnter) -> None:
        visit = (event.step, event.visit)
        if visit in self._entered:
            self.fail("fan-in", f"{visit} is entered again")
        self._entered.add(visit)
        tokens = self._tokens.pop(event.step, Counter())
        tokens.pop("", None)  # the token of the entry step has no origin
        if tokens != Counter(event.came_from):
            self.fail(
                "fan-in", f"{visit} fired for {event.came_from}, and {dict(tokens)} were there"
            )

    def _exit(self, state: State, event: StepExit) -> None:
        visit = (event.step, event.visit)
        if visit in self._left or visit not in self._entered:
            self.fail("fan-in", f"{visit} is left, and was not in it")
        self._left.add(visit)
        self._send(event.step, event.took)
        if event.status == OK:
            self._routed(event.step, event.took)
        run = state.runs.get(f"{event.step}:{event.visit}")
        if event.loop is None or event.status != OK or run is None or run.loop is None:
            return
        start = run.loop.start
        if start.total >= 0 and self._counted.get(visit, set()) != set(range(start.total)):
            self.fail("fan-in", f"loop {visit} ended without all of its iterations")

    def _skip(self, state: State, event: StepSkipped) -> None:
        if event.reason != "unreachable":
            self._tokens.pop(event.step, None)
            self._send(event.step, event.took)
            self._routed(event.step, event.took)

    def _routed(self, step: str, taken: list[ArcTaken]) -> None:
        """Where no guard holds it back, a step that is left, or passed over, leads on."""
        lacking = self._routes.get(step, frozenset()) - {arc.arc for arc in taken}
        if lacking:
            self.fail("routing", f"{step} leads on by {sorted(lacking)}, and does not")

    def _end(self, state: State, event: PlaybookCompleted) -> None:
        remaining = {step: dict(tokens) for step, tokens in self._tokens.items() if tokens}
        if remaining or state.runs:
            self.fail(
                "fan-in", f"completed with tokens at {remaining} and {list(state.runs)} running"
            )

    def _cancel(self, state: State, event: CancelRequested) -> None:
        self._tokens.clear()

    # -- iterations -------------------------------------------------------------------

    def _completed(self, state: State, event: CommandCompleted) -> None:
        run = state.runs.get(f"{event.step}:{event.visit}")
        if run is None or run.loop is None or run.loop.start.total < 0:
            return
        counted = self._counted.setdefault((event.step, event.visit), set())
        for index in range(event.first, event.first + event.count):
            if index in counted:
                self.fail("once", f"iteration {index} of {event.step}:{event.visit} counts twice")
            counted.add(index)


_HANDLERS: dict[type, Callable[[Flow, State, Any], None]] = {
    CancelRequested: Flow._cancel,
    CommandCompleted: Flow._completed,
    PlaybookCompleted: Flow._end,
    PlaybookStarted: Flow._started,
    StepEnter: Flow._enter,
    StepExit: Flow._exit,
    StepSkipped: Flow._skip,
    TokenPlaced: Flow._placed,
}
