"""Convert `retry` and `fail` in a step's `case`, which concern its own tool, to rules."""

from __future__ import annotations

import re
from typing import Final

from arcbook.dsl.source import ListNode, MapNode, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.dsl.upgrade.policies import of_outcome, tries

_ACTIONS: Final = frozenset({"retry", "fail"})
_EVENT: Final = re.compile(r"\bevent\.name\s*==\s*(['\"])([\w.]+)\1")
_FAILED: Final = frozenset({"call.error", "step.failed", "command.failed"})
_DONE: Final = frozenset({"call.done", "step.done", "step.exit", "command.completed"})


def take_reactions(context: UpgradeContext, step: MapNode) -> MapNode:
    """Move retries and failures of a step's task from ``case`` to rules."""
    case, tool = step.get("case"), step.get("tool")
    if not isinstance(case, ListNode) or not isinstance(tool, MapNode):
        return step
    rules: list[Node] = []
    rest: list[Node] = []
    for entry in case.value:
        rule = _rule(entry)
        if rule is None:
            rest.append(entry)
            continue
        rules.append(rule)
        message = "what a task does when it failed is now a rule of the task"
        hint = "write it in 'spec: {policy: {rules: [{when: ..., then: {do: ...}}]}}'"
        context.old(message, entry.position, hint)
    if not rules:
        return step
    step = step.having("case", ListNode(rest, case.mark)) if rest else step.without("case")
    return step.having("tool", with_rules(tool, rules))


def with_rules(task: MapNode, rules: list[Node]) -> MapNode:
    """Return a task with further rules, before its own."""
    spec = task.get("spec")
    held = spec if isinstance(spec, MapNode) else MapNode({}, task.mark, {})
    policy = held.get("policy")
    base = policy if isinstance(policy, MapNode) else MapNode({}, task.mark, {})
    own = policy if isinstance(policy, ListNode) else base.get("rules")
    kept = own.value if isinstance(own, ListNode) else []
    made = base.having("rules", ListNode([*rules, *kept], task.mark))
    return task.having("spec", held.having("policy", made))


def _rule(entry: Node) -> Node | None:
    """Convert an entry to a rule, if it concerns only the task."""
    if not isinstance(entry, MapNode) or not entry.value.keys() <= {"when", "then"}:
        return None
    then, when = entry.get("then"), entry.get("when")
    actions = then.value if isinstance(then, ListNode) else [then]
    if len(actions) != 1 or when is None or not isinstance(when.value, str):
        return None
    action = actions[0]
    if not isinstance(action, MapNode) or len(action.value) != 1:
        return None
    ((name, said),) = action.items()
    guard = _EVENT.sub(_status, of_outcome(when.value))
    if name not in _ACTIONS or re.search(r"\bevent\b", guard):
        return None
    body: dict[str, Node] = {"do": Node(name, said.mark)}
    if name == "retry" and isinstance(said, MapNode):
        body |= tries(said)
    made = MapNode(body, said.mark, {})
    return MapNode({"when": Node(guard, when.mark), "then": made}, entry.mark, entry.key_marks)


def _status(match: re.Match[str]) -> str:
    if match[2] in _FAILED:
        return "output.status == 'error'"
    return "output.status == 'ok'" if match[2] in _DONE else match[0]
