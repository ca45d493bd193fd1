"""Upgrade a step: its keys, its loop and its tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Mark, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.pages import paged
from arcbook.dsl.upgrade.placement import placed
from arcbook.dsl.upgrade.reactions import take_reactions
from arcbook.dsl.upgrade.renames import status_codes
from arcbook.dsl.upgrade.routers import upgrade_router
from arcbook.dsl.upgrade.sinks import result_again, take_sinks
from arcbook.dsl.upgrade.tasks import (
    SEQUENCE,
    lifted,
    normal_output,
    unnested,
    upgrade_task,
    upgrade_writes,
)

_SEQUENCE_KEYS: Final = frozenset({"kind", "tasks", "name", "desc", "description", "input", "args"})
#: Keys of a loop that are now below its ``spec``.
_LOOP_SPEC: Final = ("mode", "max_in_flight", "on_error", "frame")
_LOOP_NAMES: Final = {"collection": "in", "element": "iterator"}


def upgrade_step(context: UpgradeContext, step: MapNode) -> MapNode:
    """Return a step in normal form."""
    step = placed(context, step)
    step = take_reactions(context, step)
    if context.mentions_status and _calls_http(context, step):
        step = status_codes(context, step)
    step = upgrade_writes(context, step)
    step = step.renamed("args", "input")
    step = step.renamed("description", "desc")
    output = step.get("output")
    if isinstance(output, MapNode):
        step = step.having("output", normal_output(output))
    step = context.guarded(step)
    step = _task_policy(context, _admission(context, step))
    step = upgrade_router(context, step)
    name = step.get("step")
    step = _tools(context, step, str(name.value) if name else "step")
    return _loop(context, step)


def _calls_http(context: UpgradeContext, step: MapNode) -> bool:
    """Return whether a step's only tool is ``http``, directly or by the workbook."""
    tool = step.get("tool")
    kind = tool.get("kind") if isinstance(tool, MapNode) else None
    if kind is not None and kind.value == "workbook" and isinstance(tool, MapNode):
        kind = context.kind_of_entry(tool)
    return kind is not None and kind.value == "http"


def _admission(context: UpgradeContext, step: MapNode) -> MapNode:
    """Move comparisons in a step's admission rules inside the braces."""
    rules: Node | None = step
    for key in ("spec", "policy", "admit", "rules"):
        rules = rules.get(key) if isinstance(rules, MapNode) else None
    if not isinstance(rules, ListNode):
        return step
    guarded_rules: list[Node] = [
        context.guarded(r) if isinstance(r, MapNode) else r for r in rules.value
    ]
    return _put(step, ("spec", "policy", "admit", "rules"), ListNode(guarded_rules, rules.mark))


def _task_policy(context: UpgradeContext, step: MapNode) -> MapNode:
    """Move rules that follow the only task from the step's policy to the task's."""
    spec, tool = step.get("spec"), step.get("tool")
    policy = spec.get("policy") if isinstance(spec, MapNode) else None
    rules = policy.get("rules") if isinstance(policy, MapNode) else None
    if not isinstance(rules, ListNode) or not isinstance(tool, MapNode):
        return step
    if tool.get("spec") is not None or tool.get("policy") is not None:
        return step  # the lint reports where they belong
    assert isinstance(spec, MapNode)
    assert isinstance(policy, MapNode)
    place = policy.key_position("rules")
    context.old("rules follow a task", place, "move them to 'spec.policy.rules' of the tool")
    moved = MapNode({"policy": MapNode({"rules": rules}, place, {})}, place, {})
    rest = policy.without("rules")
    spec = spec.having("policy", rest) if rest.value else spec.without("policy")
    return step.having("tool", tool.having("spec", moved, place)).having("spec", spec)


def _put(node: MapNode, path: tuple[str, ...], value: Node) -> MapNode:
    head, *rest = path
    inner = node.value[head]
    assert isinstance(inner, MapNode) or not rest
    return node.having(head, _put(inner, tuple(rest), value) if rest else value)  # type: ignore[arg-type]


def _loop(context: UpgradeContext, step: MapNode) -> MapNode:
    loop = step.get("loop")
    if not isinstance(loop, MapNode):
        return step
    spec = loop.get("spec")
    made = spec if isinstance(spec, MapNode) else MapNode({}, loop.mark, {})
    for old, now in _LOOP_NAMES.items():
        if loop.get(old) is not None and loop.get(now) is None:
            place = loop.key_position(old)
            context.old(f"'loop.{old}' is now 'loop.{now}'", place, f"write '{now}'")
            loop = loop.renamed(old, now)
    for key in _LOOP_SPEC:
        node = loop.get(key)
        if node is not None:
            place = loop.key_position(key)
            context.old(f"'loop.{key}' is now 'loop.spec.{key}'", place, "move it below 'spec'")
            made = made.having(key, node, place)
            loop = loop.without(key)
    mode = made.get("mode")
    if mode is not None:
        made = made.having("mode", _loop_mode(context, mode))
    policy = made.get("policy")
    on_error = policy.get("on_error") if isinstance(policy, MapNode) else None
    if on_error is not None and not made.get("on_error"):
        made = made.having("on_error", on_error)
    return step.having("loop", loop.having("spec", made) if made.value else loop)


def _loop_mode(context: UpgradeContext, mode: Node) -> Node:
    if mode.value != "async":
        return mode
    context.old("the mode 'async' is now 'parallel'", mode.position, "write 'mode: parallel'")
    return Node("parallel", mode.mark)


def _tools(context: UpgradeContext, step: MapNode, name: str) -> MapNode:
    step = _sequence(context, step)
    step = _retried(context, step)
    step = _final(context, step)
    tool = step.get("tool")
    step, saving = take_sinks(context, step, _label(tool, f"{name}_task"))
    step, pagination = _pagination(step)
    if isinstance(tool, MapNode):
        tasks = _expanded(context, tool, f"{name}_task", pagination)
        if saving:
            tasks = _with_saving(tasks, saving, f"{name}_task")
        if len(tasks) == 1:
            return step.having("tool", upgrade_task(context, tasks[0], f"{name}_task"))
        return step.having("tool", _pipeline(context, tasks, tool.mark))
    if isinstance(tool, ListNode):
        found: list[Node] = []
        for i, task in enumerate(tool.value):
            if isinstance(task, MapNode):
                found += _expanded(context, task, f"task_{i}", None)
            else:
                found.append(task)
        return step.having("tool", _pipeline(context, [*found, *saving], tool.mark))
    if saving:
        return step.having("tool", _pipeline(context, saving, step.mark))
    return step


def _pipeline(context: UpgradeContext, tasks: Sequence[Node], mark: Mark) -> ListNode:
    upgraded: list[Node] = [
        upgrade_task(context, t, f"task_{i}", is_listed=True) if isinstance(t, MapNode) else t
        for i, t in enumerate(tasks)
    ]
    return ListNode(upgraded, mark)


def _expanded(
    context: UpgradeContext, task: MapNode, label: str, pagination: MapNode | None
) -> list[MapNode]:
    """Return a task, or the tasks that replace one with older blocks."""
    label = _label(task, label)
    task, saving = take_sinks(context, task, label)
    task, block = _next_calls(task)
    block = pagination or block
    tasks = [task] if block is None else paged(context, task, block, label)
    return _with_saving(tasks, saving, label) if saving else tasks


def _with_saving(tasks: list[MapNode], saving: list[MapNode], label: str) -> list[MapNode]:
    """Return tasks, those that save the last result, and one that returns it again."""
    last = tasks[-1]
    if last.get("name") is None:
        last = last.having("name", Node(label, last.mark))
    again = result_again(str(last.value["name"].value), last.mark)
    return [*tasks[:-1], last, *saving, again]


def _label(tool: Node | None, label: str) -> str:
    name = tool.get("name") if isinstance(tool, MapNode) else None
    return str(name.value) if name is not None and isinstance(name.value, str) else label


def _pagination(step: MapNode) -> tuple[MapNode, MapNode | None]:
    """Return a step without the pagination of its loop, and the pagination."""
    loop = step.get("loop")
    block = loop.get("pagination") if isinstance(loop, MapNode) else None
    if not isinstance(loop, MapNode) or not isinstance(block, MapNode):
        return step, None
    rest = loop.without("pagination")
    return (step.having("loop", rest) if rest.value else step.without("loop")), block


def _next_calls(task: MapNode) -> tuple[MapNode, MapNode | None]:
    """Return a task without the pagination of its ``retry``, and the pagination."""
    retry = task.get("retry")
    entries = retry.value if isinstance(retry, ListNode) else []
    for at, entry in enumerate(entries):
        then = entry.get("then") if isinstance(entry, MapNode) else None
        if isinstance(entry, MapNode) and isinstance(then, MapNode) and then.get("next_call"):
            rest = [e for i, e in enumerate(entries) if i != at]
            return task.having("retry", ListNode(rest, task.mark)), entry
    return task, None


def _final(context: UpgradeContext, step: MapNode) -> MapNode:
    """Move a step's ``sink: true`` to its only task."""
    sink, tool = step.get("sink"), step.get("tool")
    if sink is None or not isinstance(sink.value, bool) or not isinstance(tool, MapNode):
        return step
    place = step.key_position("sink")
    context.old("a step's 'sink' is now its task's", place, "move 'sink' below 'tool'")
    return step.without("sink").having("tool", tool.having("sink", sink, place))


def _retried(context: UpgradeContext, step: MapNode) -> MapNode:
    """Move a step's ``retry`` to its only task."""
    retry, tool = step.get("retry"), step.get("tool")
    if retry is None:
        return step
    if not isinstance(tool, MapNode):
        context.removed("retry", step, "write 'retry' on the task that is to be tried again")
        return step.without("retry")
    place = step.key_position("retry")
    context.old("a step's 'retry' is now its task's", place, "move 'retry' below 'tool'")
    step = step.without("retry")
    return step if tool.get("retry") else step.having("tool", tool.having("retry", retry, place))


def _sequence(context: UpgradeContext, step: MapNode) -> MapNode:
    """Replace a ``task_sequence`` by its tasks, if it is the step's only tool."""
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
    """Return a step whose ``input`` is overlaid by further entries."""
    if not isinstance(given, MapNode):
        return step
    own = step.get("input")
    base = own if isinstance(own, MapNode) else MapNode({}, given.mark, {})
    for key, node in given.items():
        base = base.having(key, node, given.key_position(key))
    return step.having("input", base)
