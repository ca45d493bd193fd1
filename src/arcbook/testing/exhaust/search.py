"""Search all states of the model, breadth first, and check each state and each step."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from arcbook.testing.exhaust.known import GOES_ON, Bounds, Key, Known, Label, Row, Rules
from arcbook.testing.exhaust.model import Model

KNOWN_MAX: Final = 2_000_000
"""Maximum number of states; more means that the bounds are too wide."""

_ENDED: Final = frozenset({"done", "failed", "stopped"})


class Violated(NamedTuple):
    """A violated rule, and the steps before it."""

    rule: str
    message: str
    way: tuple[Label, ...]

    def __str__(self) -> str:
        done = " ".join(
            f"{label.verb}({label.command}.{label.generation}.{label.attempt})"
            for label in self.way
        )
        return f"{self.rule}: {self.message}, after {done}"


class Checked(NamedTuple):
    """The size of a model, and its first violation, if any."""

    states: int
    steps: int
    violated: Violated | None = None


def check(bounds: Bounds, rules: Rules | None = None) -> Checked:
    """Check all states within bounds."""
    return _Search(Model(bounds, rules)).run()


class _Search:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._came: dict[Known, tuple[Known, Label] | None] = {}
        self._before: dict[Known, list[Known]] = {}
        self._steps = 0

    def run(self) -> Checked:
        first = self._model.first()
        self._came[first] = None
        remaining = deque([first])
        while remaining:
            known = remaining.popleft()
            for label, after in self._model.steps(known):
                self._steps += 1
                wrong = _wrong_step(known, label, after)
                if after not in self._came:
                    self._came[after] = (known, label)
                    wrong = wrong or self._wrong(after)
                    remaining.append(after)
                if wrong:
                    return self._broken(*wrong, known, label)
                self._before.setdefault(after, []).append(known)
            if len(self._came) > KNOWN_MAX:
                raise RuntimeError(f"there are more than {KNOWN_MAX} states")
        return self._come_to_rest()

    def _come_to_rest(self) -> Checked:
        """From everywhere there is a way to an end with nothing in hand."""
        remaining = [known for known in self._came if _rests(known)]
        resting = set(remaining)
        while remaining:
            for before in self._before.get(remaining.pop(), ()):
                if before not in resting:
                    resting.add(before)
                    remaining.append(before)
        for known, origin in self._came.items():
            if known not in resting and origin is not None:
                return self._broken("stuck", f"no end can be reached from {known}", *origin)
        return Checked(len(self._came), self._steps)

    def _broken(self, rule: str, message: str, known: Known, label: Label) -> Checked:
        way = [label]
        origin = self._came[known]
        while origin is not None:
            known, label = origin
            way.append(label)
            origin = self._came[known]
        return Checked(len(self._came), self._steps, Violated(rule, message, tuple(way[::-1])))

    def _wrong(self, known: Known) -> tuple[str, str] | None:
        """Return what does not hold in a state."""
        claimed: set[Key] = set()
        for hands in known.workers:
            mine = {one.key for one in hands or ()}
            if mine & claimed:
                return "holders", f"{mine & claimed} is held by two workers"
            claimed |= mine
        if any(row.applied > 1 for row in known.stored.rows):
            return "once", "an outcome was applied twice"
        if self._model.bounds.never and max(known.performed) > 1:
            return "never", "what must not run twice did"
        return _untrue(known)


def _untrue(known: Known) -> tuple[str, str] | None:
    """Return what somebody is told that is not stored."""
    for message in known.way:
        row = known.stored.rows[message.key[0]]
        if message.kind == "claimed" and not _is_given(row, message.key, message.worker):
            return "told", f"{message.key} is given to {message.worker}, which is not stored"
        if message.brings is not None:
            handed = known.stored.rows[message.brings[0]]
            if not _is_given(handed, message.brings, message.worker):
                return "told", f"{message.brings} is handed over, which is not stored"
        if message.detail in ("accepted", "recorded"):
            since = row.status in _ENDED or row.generation > message.key[1]
            if not (since or (message.detail == "recorded" and row.began)):
                return "acknowledged", f"the report of {message.key} is acknowledged and lost"
    return None


def _is_given(row: Row, key: Key, worker: int) -> bool:
    """Return whether a command was stored as given to a worker, and perhaps taken back since."""
    at = (row.generation, row.attempt)
    return at > key[1:] or row.status in _ENDED or (at == key[1:] and row.worker == worker)


def _wrong_step(known: Known, label: Label, after: Known) -> tuple[str, str] | None:
    """Return what must not be done."""
    was_cancelled = known.stored.cancelled
    if was_cancelled and label.verb in ("claim", "done", "wait", "lose", "resume", "record"):
        return "cancel", f"{label} after a cancellation"
    for before, row in zip(known.stored.rows, after.stored.rows, strict=True):
        if before.status in _ENDED and row != before:
            return "once", f"{before} had ended, and is {row}"
        if (row.generation, row.attempt) < (before.generation, before.attempt):
            return "once", f"{before} goes back to {row}"
    if label.verb in ("done", "wait", "record"):
        row = known.stored.rows[label.command]
        if not row.is_for((label.command, label.generation, label.attempt)):
            return "once", f"{label} is of another delivery than {row}"
    return None


def _rests(known: Known) -> bool:
    in_hand = any(commands for commands in known.workers)
    return not in_hand and not any(row.status in GOES_ON for row in known.stored.rows)


__all__ = ["Checked", "Violated", "check"]
