"""What a playbook does, done as plainly as can be: no events, no templates, nothing at once.

It is written from the language's description alone, and shares nothing with the engine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from oracle.playbooks import Playbook, Step, Task

VISITS_MAX: Final = 500
"""Visits after which a playbook counts as one that never ends: none of ours is."""


@dataclass
class Outcome:
    """What a task, an iteration or a step came to."""

    ok: bool
    data: Any = None
    #: What ``output.status`` says: a step may go on although its last task failed.
    says_ok: bool = True


@dataclass
class Course:
    """Everything that happened."""

    status: str = "COMPLETED"
    #: Steps that ran, in order.
    ran: list[int] = field(default_factory=list)
    #: Steps that failed and were not caught.
    failed: list[int] = field(default_factory=list)
    #: Calls by step, task and item.
    calls: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    ctx: dict[str, Any] = field(default_factory=dict)
    #: What the last visit of each step came to.
    results: dict[int, Outcome] = field(default_factory=dict)


class World:
    """Answers calls as the playbook says that it does."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        self.calls: Counter[tuple[int, int, int]] = Counter()

    def call(self, step: int, task: int, item: int) -> Outcome:
        """Return what a call comes to: some fail at first, some always."""
        key = (step, task, item)
        self.calls[key] += 1
        if self.calls[key] <= self._playbook.fails[key]:
            return Outcome(ok=False)
        return Outcome(ok=True, data={"n": self._playbook.numbers[key]})


class Interpreter:
    """Goes through one playbook."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        self._world = World(playbook)
        self._course = Course()
        self._arc_counts: Counter[tuple[int, int]] = Counter()

    def run(self) -> Course:
        """Return everything that happens."""
        course = self._course
        if self._playbook.is_chain:
            self._run_chain()
        else:
            self._run_graph()
        course.calls = self._world.calls
        if course.failed:
            course.status = "FAILED"
        return course

    def _run_chain(self) -> None:
        at: int | None = 0
        for _ in range(VISITS_MAX):
            if at is None:
                return
            ways = self._visit(at)
            at = ways[0] if ways else None
        raise AssertionError("this playbook does not end")

    def _run_graph(self) -> None:
        """Go through the steps in their order: all tokens that can come have come then."""
        arrived: Counter[int] = Counter({0: 1})
        for number, step in enumerate(self._playbook.steps):
            if not arrived[number]:
                continue
            if self._is_blocked(number) and not _is_early(step, arrived[number]):
                continue
            for to in self._visit(number):
                arrived[to] += 1

    def _is_blocked(self, number: int) -> bool:
        """A step does not run on what is missing: behind one that failed and was not caught."""
        return any(self._reaches(failed, number) for failed in self._course.failed)

    def _reaches(self, one: int, other: int) -> bool:
        ways = [arc.to for arc in self._playbook.steps[one].arcs]
        return any(to == other or self._reaches(to, other) for to in ways)

    # -- a step -----------------------------------------------------------------------

    def _visit(self, number: int) -> list[int]:
        """Run a step, or pass over it; return where it leads."""
        step = self._playbook.steps[number]
        if not (self._holds(step.when) and self._holds(step.admit)):
            return self._leave(number, step, None)
        self._course.ran.append(number)
        outcome = self._performed(number, step)
        self._course.results[number] = outcome
        if step.sets and outcome.ok:
            self._set(number, step, outcome)
        return self._leave(number, step, outcome)

    def _set(self, number: int, step: Step, outcome: Outcome) -> None:
        data = outcome.data if isinstance(outcome.data, dict) else {}
        value = (
            data.get("stats", {}).get("total", -1) if step.items is not None else data.get("n", -1)
        )
        self._course.ctx[f"v{number}"] = value

    def _leave(self, number: int, step: Step, outcome: Outcome | None) -> list[int]:
        """Return the steps that a step goes on to; note its failure if nothing catches it."""
        ways: list[int] = []
        for at, arc in enumerate(step.arcs):
            if not self._fires(number, at, outcome):
                continue
            if arc.times:
                self._arc_counts[number, at] += 1
                self._course.ctx[f"c{number}_{at}"] = self._arc_counts[number, at]
            ways.append(arc.to)
            if not step.inclusive:
                break
        is_wrong = outcome is not None and not outcome.ok
        # What is passed over does not run, and so it does not fail either.
        no_match = outcome is not None and bool(step.arcs) and step.no_match_fails
        if not ways and (is_wrong or no_match):
            self._course.failed.append(number)
        return ways

    def _fires(self, number: int, at: int, outcome: Outcome | None) -> bool:
        arc = self._playbook.steps[number].arcs[at]
        failed = outcome is not None and not outcome.ok
        if arc.times:
            return not failed and self._arc_counts[number, at] < arc.times
        says_ok = outcome is None or (outcome.ok and outcome.says_ok)
        if arc.guard == "went wrong":
            return failed
        if arc.guard == "failed":
            return not says_ok
        if arc.guard == "went well":
            return says_ok
        if failed:
            return False
        if arc.guard == "many":
            data = outcome.data if outcome is not None else None
            return isinstance(data, dict) and data.get("n", 0) > 2
        return self._holds(arc.guard)

    def _holds(self, guard: str) -> bool:
        known = {"always": True, "never": False, "flag": self._playbook.flag}
        return not self._playbook.flag if guard == "not flag" else known[guard]

    # -- tasks ------------------------------------------------------------------------

    def _performed(self, number: int, step: Step) -> Outcome:
        if step.items is None:
            return self._pipeline(number, step.tasks, -1)
        done: list[Outcome] = []
        for item in step.items:
            done.append(self._pipeline(number, step.tasks, item))
            if not done[-1].ok and not step.goes_on:
                break
        failed = sum(not one.ok for one in done)
        stats = {"total": len(step.items), "success": len(done) - failed, "failed": failed}
        return Outcome(ok=step.goes_on or not failed, data={"stats": stats})

    def _pipeline(self, number: int, tasks: list[Task], item: int) -> Outcome:
        at, jumps = 0, Counter[int]()
        outcome = Outcome(ok=True)
        while at < len(tasks):
            task = tasks[at]
            outcome = self._tried(number, at, task, item)
            if outcome.ok:
                if task.jumps and outcome.data["n"] > 2 and jumps[at] < task.jumps:
                    jumps[at] += 1
                    at = 0
                    continue
            elif task.on_error == "break":
                return Outcome(ok=True, says_ok=False)
            elif task.on_error != "continue":
                return Outcome(ok=False)
            at += 1
        return outcome if outcome.ok else Outcome(ok=True, says_ok=False)

    def _tried(self, number: int, at: int, task: Task, item: int) -> Outcome:
        attempts = task.attempts if task.on_error in ("retry", "short") else 1
        for _ in range(attempts):
            outcome = self._world.call(number, at, item)
            if outcome.ok:
                break
        return outcome


def _is_early(step: Step, arrived: int) -> bool:
    """Whether so many arrivals start a step, whatever else may come."""
    if step.join == "any":
        return arrived >= 1
    return isinstance(step.join, int) and arrived >= step.join
