"""Older keys by the grammar table that they belong to, for the JSON Schema.

Editors accept them and mark them as deprecated.
"""

from __future__ import annotations

from typing import Any, Final


def _instead(successor: str, **schema: Any) -> dict[str, Any]:
    return {"description": f"Write {successor}.", "deprecated": True, **schema}


OLDER: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "arc": {
        **{key: _instead("`set`", type="object") for key in ("args", "data", "input", "with")},
        "cond": _instead("`when`"),
    },
    "loop": {
        **{
            key: _instead(f"`spec.{key}`") for key in ("mode", "max_in_flight", "on_error", "frame")
        },
        "pagination": _instead("a rule that jumps back to the task"),
    },
    "output": {"output_select": _instead("`select`")},
    "rule": {
        "expr": _instead("`when`"),
        **{
            key: _instead(f"`then.{key}`")
            for key in ("do", "attempts", "backoff", "delay", "max_delay", "to", "set")
        },
    },
    "step": {
        "args": _instead("`input`", type="object"),
        "case": _instead("`next.arcs`, each with its `when`"),
        "description": _instead("`desc`"),
        "retry": _instead("`retry` on the task"),
        "save": _instead("a task that saves"),
        "set_ctx": _instead("`set` with keys that begin with `ctx.`", type="object"),
        "set_iter": _instead("`set` with keys that begin with `iter.`", type="object"),
        "sink": _instead("a task that saves"),
        "vars": _instead("`set` with keys that begin with `ctx.`", type="object"),
    },
    "task": {"eval": _instead("`spec.policy.rules`", type="array")},
    "step_spec": {"next_mode": _instead("`next.spec.mode`", type="string")},
    "then": {
        "set_ctx": _instead("`set` with keys that begin with `ctx.`", type="object"),
        "set_iter": _instead("`set` with keys that begin with `iter.`", type="object"),
        "set_vars": _instead("`set` with keys that begin with `ctx.`", type="object"),
    },
}
"""Keys that the upgrade rewrites."""

SHORTER: Final[dict[tuple[str, str], tuple[dict[str, Any], ...]]] = {
    ("step", "next"): (
        {"type": ["string", "array", "null"]},
        *({"type": "object", "required": [key]} for key in ("step", "then", "else", "case")),
    ),
    ("rule", "then"): ({"type": "string"},),
    ("task_spec", "policy"): ({"type": "array"},),
    ("output", "select"): ({"type": "object"},),
    ("task", "retry"): ({"type": ["array", "string", "null"]},),
}
"""Shapes of a key's value that the upgrade accepts besides the normal one."""
