"""A step: its keys, its loop, and the tools it runs."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import Context
from arcbook.dsl.upgrade.routers import upgrade_router
from arcbook.dsl.upgrade.tasks import SEQUENCE, lifted, normal_output, unnested, upgrade_task

#: Keys of a step that the reference removed, and what to write instead.
REMOVED_STEP_KEYS: Final = {
    "case": "write guards on 'next.arcs[].when', and 'spec.policy.rules' on the task",
    "retry": "write a 'retry' rule in 'spec.policy.rules' of the task",
    "save": "write a task that saves, after the one that yields the data",
    "set_ctx": "write 'set' with keys that begin with 'ctx.'",
    "set_iter": "write 'set' with keys that begin with 'iter.'",
    "sink": "write 'sink: true' on the task",
    "vars": "write 'set' with keys that begin with 'ctx.'",
}

_SEQUENCE_KEYS: Final = frozenset({"kind", "tasks", "name", "desc", "description", "input", "args"})


def upgrade_step(context: Context, step: MapNode) -> MapNode:
    """Return a step in normal form."""
    for key, instead in REMOVED_STEP_KEYS.items():
        if step.get(key) is not None:
            context.removed(key, step, instead)
            step = step.without(key)
    step = step.renamed("args", "input")
    step = step.renamed("description", "desc")
    output = step.get("output")
    if isinstance(output, MapNode):
        step = step.having("output", normal_output(output))
    step = upgrade_router(context, step)
    step = _loop(context, step)
    name = step.get("step")
    return _tools(context, step, str(name.value) if name else "step")


def _loop(context: Context, step: MapNode) -> MapNode:
    loop = step.get("loop")
    if not isinstance(loop, MapNode):
        return step
    spec = loop.get("spec")
    made = spec if isinstance(spec, MapNode) else MapNode({}, loop.mark, {})
    for key in ("mode", "max_in_flight", "on_error", "frame"):
        node = loop.get(key)
        if node is not None:
            place = loop.key_position(key)
            context.old(f"'loop.{key}' is now 'loop.spec.{key}'", place, "move it below 'spec'")
            made = made.having(key, node, place)
            loop = loop.without(key)
    policy = made.get("policy")
    on_error = policy.get("on_error") if isinstance(policy, MapNode) else None
    if on_error is not None and not made.get("on_error"):
        made = made.having("on_error", on_error)
    return step.having("loop", loop.having("spec", made) if made.value else loop)


def _tools(context: Context, step: MapNode, name: str) -> MapNode:
    step = _sequence(context, step)
    tool = step.get("tool")
    if isinstance(tool, MapNode):
        return step.having("tool", upgrade_task(context, tool, f"{name}_task"))
    if isinstance(tool, ListNode):
        tasks = [
            upgrade_task(context, t, f"task_{i}", is_listed=True) if isinstance(t, MapNode) else t
            for i, t in enumerate(tool.value)
        ]
        return step.having("tool", ListNode(tasks, tool.mark))
    return step


def _sequence(context: Context, step: MapNode) -> MapNode:
    """Put the tasks of a ``task_sequence`` in its place, if it is the step's only tool."""
    tool = step.get("tool")
    only = tool.value[0] if isinstance(tool, ListNode) and len(tool.value) == 1 else tool
    if not isinstance(only, MapNode):
        return step
    sequence = lifted(unnested(only))
    kind, tasks = sequence.get("kind"), sequence.get("tasks")
    if kind is None or kind.value != SEQUENCE or not isinstance(tasks, ListNode):
        return step
    for key, node in sequence.items():
        if key not in _SEQUENCE_KEYS and not (key == "spec" and not node.value):
            message = f"{key!r} of a 'task_sequence' has no task that it could belong to"
            place = sequence.key_position(key)
            context.report.error("ARC124", message, place, "write it on one of its 'tasks'")
    step = _merged_input(step, sequence.renamed("args", "input").get("input"))
    return step.having("tool", tasks)


def _merged_input(step: MapNode, given: Node | None) -> MapNode:
    """Return a step whose ``input`` has further entries; they win."""
    if not isinstance(given, MapNode):
        return step
    own = step.get("input")
    base = own if isinstance(own, MapNode) else MapNode({}, given.mark, {})
    for key, node in given.items():
        base = base.having(key, node, given.key_position(key))
    return step.having("input", base)
