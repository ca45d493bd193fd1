"""What a run left, as far as it must be the same wherever it ran."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from corpus.ran import Ran

TIMES: Final = {"date", "elapsed", "duration_ms", "timestamp"}
"""Names of values that tell when or for how long, and so differ from run to run."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A run: how it ended, what its steps yielded, in which order they went."""

    status: str
    #: Values of all results by their paths.
    leaves: dict[str, Any]
    #: Types of events on the level of steps, with step and visit.
    sequence: list[tuple[str, str, int]]


def trace_of(ran: Ran) -> Trace:
    """Return the trace of an execution that has ended."""
    return Trace(
        status=ran.status,
        leaves=leaves({**ran.steps, "": ran.result}),
        sequence=ran.sequence,
    )


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return the values in the depth of a value, by their paths, but for times."""
    if isinstance(value, dict):
        return {
            k: v
            for key, inner in value.items()
            if str(key).lower() not in TIMES
            for k, v in leaves(inner, f"{path}/{key}").items()
        }
    if isinstance(value, list):
        return {
            k: v for i, inner in enumerate(value) for k, v in leaves(inner, f"{path}/{i}").items()
        }
    return {path: value}


def differences(here: list[Trace], there: Trace, *, varies: bool = False) -> list[str]:
    """Return how a run elsewhere differs from what is the same in all runs here.

    Args:
        here: runs of the same document here.
        there: the run elsewhere.
        varies: whether values may differ, and only the end and the steps must not.
    """
    first = here[0]
    wrong: list[str] = []
    if first.status != there.status:
        wrong.append(f"status {there.status}, not {first.status}")
    for path, value in first.leaves.items():
        is_stable = all(path in t.leaves and t.leaves[path] == value for t in here)
        if is_stable and not varies and there.leaves.get(path, _ABSENT) != value:
            wrong.append(f"{path} is {there.leaves.get(path)!r}, not {value!r}"[:200])
    # Branches that run side by side may pass each other, here as there.
    if sorted(first.sequence) != sorted(there.sequence):
        missing = [e for e in first.sequence if e not in there.sequence]
        added = [e for e in there.sequence if e not in first.sequence]
        wrong.append(f"events: missing {missing[:5]}, added {added[:5]}")
    return wrong


_ABSENT: Final = object()
