"""Parse ``set`` and ``input``, which steps, tasks, rules and arcs share."""

from __future__ import annotations

from typing import Any, Final

from arcbook.dsl.mistaken import misspelt
from arcbook.dsl.model import Assignment, Lifetime
from arcbook.dsl.parse.reader import Reader
from arcbook.dsl.source import MapNode, Node

_LIFETIMES: Final = {"ctx": Lifetime.CTX, "iter": Lifetime.ITER, "step": Lifetime.STEP}

_FIXED_WHOLE: Final = frozenset(["env", "keychain", "steps", "workload"])
_FIXED: Final = _FIXED_WHOLE | {"error", "event", "job", "output", "payload"}
"""Read-only names of templates: a value written below them would be lost."""


def parse_assignments(read: Reader, node: Node | None, bare: Lifetime) -> tuple[Assignment, ...]:
    """Return the assignments of a ``set``; keys without a lifetime get ``bare``."""
    if node is None or node.value is None:
        return ()
    if not isinstance(node, MapNode):
        read.error(
            "ARC103",
            f"'set' must be a mapping, not {node.kind}",
            node.position,
            "write 'ctx.name: value'",
        )
        return ()
    assignments: list[Assignment] = []
    for key, value in node.items():
        read.templated(value)
        head, _, rest = key.partition(".")
        lifetime = _LIFETIMES.get(head) if rest else None
        path = tuple((rest if lifetime else key).split("."))
        if not all(path):
            place, hint = node.key_position(key), "write a name between the dots"
            read.error("ARC160", f"'set' key {key!r} has an empty part", place, hint)
            continue
        place = node.key_position(key)
        if head in _FIXED and (rest or head in _FIXED_WHOLE):
            message = f"'set' cannot write {key!r}: {head!r} is read-only"
            read.error("ARC160", message, place, f"write 'ctx.{rest or head}'")
            continue
        if rest and lifetime is None and (near := misspelt(head, _LIFETIMES)):
            message = f"'set' writes a variable {head!r}, of which {rest!r} is a part"
            read.warning("ARC160", message, place, f"did you mean '{near}.{rest}'?")
        assignments.append(
            Assignment(position=place, lifetime=lifetime or bare, path=path, value=value.plain())
        )
    return tuple(assignments)


def parse_inputs(read: Reader, node: MapNode) -> dict[str, Any]:
    """Return the ``input`` of a step or task."""
    inputs = node.get("input")
    if inputs is None or inputs.value is None:
        return {}
    if not isinstance(inputs, MapNode):
        read.error(
            "ARC103",
            f"'input' must be a mapping, not {inputs.kind}",
            inputs.position,
            "write 'name: value'",
        )
        return {}
    read.templated(inputs)
    return inputs.plain()
