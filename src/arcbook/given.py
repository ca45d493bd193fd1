"""Values that a run is given, against what its playbook can take."""

from __future__ import annotations

import re
from collections.abc import Iterable

from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.mistaken import misspelt
from arcbook.dsl.model import Playbook


class UnknownInputError(ValueError):
    """A run was given a value for a name that its playbook neither declares nor mentions."""


def unknown_inputs(playbook: Playbook, content: str, paths: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a sentence for each value that nothing in a playbook can read.

    Args:
        playbook: the playbook.
        content: its document: a name that stands anywhere in it may be read.
        paths: where the values go, below the workload.
    """
    found: list[str] = []
    for path in paths:
        known: object = playbook.workload
        for depth, key in enumerate(path):
            if not isinstance(known, dict) or (depth and not known):
                break
            if key not in known:
                # Deeper down a mapping may be data, which takes any key but a misspelt one.
                is_odd = not depth or misspelt(key, known)
                if is_odd and not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", content):
                    found.append(_sentence(".".join(path[: depth + 1]), key, known))
                break
            known = known[key]
    return found


def _sentence(name: str, key: str, known: dict[str, object]) -> str:
    near = did_you_mean(key, known)
    has = f"it has {', '.join(sorted(map(str, known)))}" if known else "it declares none"
    return f"the workload has no {name!r}: {near or has}"
