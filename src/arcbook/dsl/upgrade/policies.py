"""Upgrade policies: rules, and the short forms `retry` and `eval`."""

from __future__ import annotations

import re
from typing import Final

from arcbook.dsl.parse.reader import unknown_key
from arcbook.dsl.source import ListNode, MapNode, Mark, Node
from arcbook.dsl.upgrade.context import UpgradeContext
from arcbook.template.render import is_template

_FAILED: Final = "{{ output.status == 'error' }}"
_RETRY_NAMES: Final = {
    "attempts": "attempts", "max_attempts": "attempts", "max_retries": "attempts",
    "backoff": "backoff", "backoff_seconds": "delay", "delay": "delay",
    "initial_delay": "delay", "max_delay": "max_delay",
}  # fmt: skip
_RETRY_GUARDS: Final = frozenset({"retry_on", "retry_on_status"})
_RETRY_WHEN: Final = frozenset({"retry_when", "stop_when", "when"})
_RETRY_REST: Final = frozenset({"backoff_multiplier", "jitter"})
_RETRY_THEN: Final = frozenset(
    {"do", "to", "set", "next_call", "collect", *_RETRY_NAMES, *_RETRY_REST}
)
#: Older names in guards of a `retry` for fields of `output`.
_OUTCOME: Final = {
    "attempt": "_attempt",
    "error": "output.error",
    "page": "output.data",
    "result": "output",
    "status_code": "output.http.status",
    "success": "(output.status == 'ok')",
}
_OUTCOME_NAME: Final = re.compile(
    rf"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\.\s*\w+|\b(?P<name>{'|'.join(_OUTCOME)})\b"
)
_EVAL_NAMES: Final = {"expr": "when", "target": "to"}


def upgrade_policy(context: UpgradeContext, task: MapNode) -> MapNode:
    """Move all rules of a task below ``spec.policy.rules``."""
    task = _moved_policy(context, task)
    spec = task.get("spec")
    policy = spec.get("policy") if isinstance(spec, MapNode) else None
    rules = policy.get("rules") if isinstance(policy, MapNode) else None
    made: list[Node] = []
    if isinstance(policy, ListNode):
        rules = policy
    if isinstance(rules, ListNode):
        made = [_rule(context, r) if isinstance(r, MapNode) else r for r in rules.value]
    older = task.get("eval")
    if older is not None:
        made += _evaluated(context, older, task)
        task = task.without("eval")
    retry = task.get("retry")
    if retry is not None:
        made += _retry(context, retry)
        task = task.without("retry")
    if not made or (_is_malformed(spec, policy, rules) and not context.report.is_stored):
        return task
    place = rules.mark if rules is not None else made[0].mark
    base = policy if isinstance(policy, MapNode) else MapNode({}, place, {})
    upgraded = base.having("rules", ListNode(made, place))
    held = spec if isinstance(spec, MapNode) else MapNode({}, place, {})
    return task.having("spec", held.having("policy", upgraded))


def _is_malformed(spec: Node | None, policy: Node | None, rules: Node | None) -> bool:
    """Return whether rules have no place where they could be added; the parser reports it."""
    parts = ((spec, MapNode), (policy, (MapNode, ListNode)), (rules, ListNode))
    return any(
        node is not None and node.value is not None and not isinstance(node, kind)
        for node, kind in parts
    )


def _moved_policy(context: UpgradeContext, task: MapNode) -> MapNode:
    """Move a policy from beside the task's ``spec`` into it."""
    policy, spec = task.get("policy"), task.get("spec")
    made = spec if isinstance(spec, MapNode) else MapNode({}, task.mark, {})
    is_policy = isinstance(policy, ListNode) or (
        isinstance(policy, MapNode) and isinstance(policy.get("rules"), ListNode)
    )
    if policy is None or not is_policy or made.get("policy") is not None:
        return task
    place = task.key_position("policy")
    context.old("the policy of a task is in its 'spec'", place, "write 'spec: {policy: ...}'")
    return task.without("policy").having("spec", made.having("policy", policy, place))


def _rule(context: UpgradeContext, rule: MapNode) -> MapNode:
    if rule.get("expr") is not None:
        context.old("a rule's 'expr' is now 'when'", rule.key_position("expr"), "write 'when'")
        rule = rule.renamed("expr", "when")
    if "else" in rule.value:
        other = rule.value["else"]
        then = rule.get("then")
        if isinstance(other, MapNode):
            then = other.get("then") or (other if other.value else then)
        elif other.value is not None:
            then = other
        place = rule.key_position("else")
        rule = MapNode({}, rule.mark, rule.key_marks)
        return rule.having("then", _then(context, then) if then else MapNode({}, place, {}))
    rule = context.guarded(rule)
    then = rule.get("then")
    if then is None and rule.get("do") is not None:
        kept = {k: v for k, v in rule.items() if k != "when"}
        then = MapNode(kept, rule.mark, rule.key_marks)
        rule = rule.without(*kept)
    return rule if then is None else rule.having("then", _then(context, then))


def _then(context: UpgradeContext, then: Node) -> Node:
    if isinstance(then.value, str):
        return MapNode({"do": then}, then.mark, {})
    if not isinstance(then, MapNode):
        return then
    writes = then.get("set")
    for old, lifetime in (("set_ctx", "ctx"), ("set_iter", "iter"), ("set_vars", "ctx")):
        node = then.get(old)
        if isinstance(node, MapNode):
            context.old(
                f"'{old}' is now 'set'",
                then.key_position(old),
                f"write 'set: {{{', '.join(f'{lifetime}.{name}: ...' for name in node.value)}}}'",
            )
            base = writes if isinstance(writes, MapNode) else MapNode({}, node.mark, {})
            for key, value in node.items():
                base = base.having(f"{lifetime}.{key}", value)
            writes = base
            then = then.without(old)
    return then if writes is None else then.having("set", writes)


def _evaluated(context: UpgradeContext, older: Node, task: MapNode) -> list[Node]:
    """Convert an ``eval`` to rules."""
    place = task.key_position("eval")
    context.old(
        "'eval' is now 'spec.policy.rules'", place, "write 'spec: {policy: {rules: [...]}}'"
    )
    entries = older.value if isinstance(older, ListNode) else [older]
    found: list[Node] = []
    for entry in entries:
        if not isinstance(entry, MapNode):
            found.append(entry)
            continue
        rule, other = _now_named(entry), entry.get("else")
        if isinstance(other, MapNode):
            rule = rule.having("else", _now_named(other))
        found.append(_rule(context, rule))
    return found


def _now_named(entry: MapNode) -> MapNode:
    for key, now in _EVAL_NAMES.items():
        entry = entry.renamed(key, now)
    return entry


def _retry(context: UpgradeContext, retry: Node) -> list[Node]:
    """Convert a ``retry`` block to rules."""
    place, value = retry.mark, retry.value
    if value is None or value is False:
        return []
    if value is True:
        return [_retry_rule(_FAILED, {}, place)]
    if isinstance(value, int) or (isinstance(value, str) and is_template(value)):
        return [_retry_rule(_FAILED, {"attempts": retry}, place)]
    if isinstance(retry, ListNode):
        return [
            _rule(context, _retry_entry(context, r)) for r in retry.value if isinstance(r, MapNode)
        ]
    if not isinstance(retry, MapNode):
        message = f"'retry' must be a number, a boolean or a mapping, not {retry.kind}"
        context.report.error("ARC103", message, retry.position, "write 'retry: {attempts: 3}'")
        return []
    known = {*_RETRY_NAMES, *_RETRY_GUARDS, *_RETRY_REST, *_RETRY_WHEN}
    for key in retry.value:
        if key not in known:
            unknown_key(context.report, key, retry, "then", known)
    return [_retry_rule(_retry_guard(retry), tries(retry), place)]


def tries(retry: MapNode) -> dict[str, Node]:
    """Return the attempts and delays of a ``retry``."""
    then = {_RETRY_NAMES[k]: v for k, v in retry.items() if k in _RETRY_NAMES}
    multiplier = retry.get("backoff_multiplier")
    if multiplier is not None and multiplier.value not in (1, 1.0) and "backoff" not in then:
        then["backoff"] = Node("exponential", multiplier.mark)
    if isinstance(then.get("backoff"), Node) and isinstance(then["backoff"].value, (int, float)):
        then["delay"] = then.pop("backoff")
    return then


def _retry_entry(context: UpgradeContext, entry: MapNode) -> MapNode:
    when = entry.get("when")
    if when is not None and isinstance(when.value, str):
        entry = entry.having("when", Node(of_outcome(when.value), when.mark))
    then = entry.get("then")
    if not isinstance(then, MapNode):
        return entry
    for key in ("next_call", "collect"):
        if then.get(key) is not None:
            context.removed(key, then, PAGES_INSTEAD, where=" of 'retry'")
    for key in then.value:
        if key not in _RETRY_THEN:
            unknown_key(context.report, key, then, "then", _RETRY_THEN)
    kept = {k: n for k, n in then.items() if k in ("do", "to", "set")}
    made = MapNode({**kept, **tries(then)}, then.mark, then.key_marks)
    if made.get("do") is None:
        made = made.having("do", Node("retry", then.mark))
    return entry.having("then", made)


def of_outcome(guard: str) -> str:
    """Return a guard of a ``retry`` with the names that rules use."""

    def renamed(match: re.Match[str]) -> str:
        return _OUTCOME.get(match["name"], match[0])

    return _OUTCOME_NAME.sub(renamed, guard)


def _retry_guard(retry: MapNode) -> str:
    written = [_condition(retry, "retry_when", "when"), _condition(retry, "stop_when")]
    if any(written):
        on, until = written
        parts = [f"({on})"] if on else ["output.status == 'error'"]
        parts += [f"not ({until})"] if until else []
        return "{{ " + " and ".join(parts) + " }}"
    statuses = retry.get("retry_on_status")
    if isinstance(statuses, ListNode):
        return f"{{{{ output.status == 'error' and output.http.status in {statuses.plain()} }}}}"
    kinds = retry.get("retry_on")
    if isinstance(kinds, ListNode) and kinds.value:
        return (
            "{{ output.status == 'error' and (output.error.kind in "
            f"{[str(k) for k in kinds.plain()]} or output.error.http_status in {kinds.plain()}) }}}}"
        )
    return _FAILED


def _condition(retry: MapNode, *keys: str) -> str:
    """Return the expression of a guard below ``retry``, or an empty string."""
    node = next((found for key in keys if (found := retry.get(key)) is not None), None)
    if node is None or node.value is None:
        return ""
    text = of_outcome(str(node.value)).strip()
    is_whole = text.startswith("{{") and text.endswith("}}")
    return text[2:-2].strip("-").strip() if is_whole else text


PAGES_INSTEAD: Final = (
    "write a rule that jumps back to the task, with the next page in 'set': "
    "'then: {do: jump, to: <label>, set: {...}}'"
)
"""Hint for fetching pages."""


def _retry_rule(when: str, then: dict[str, Node], place: Mark) -> MapNode:
    directive = MapNode({"do": Node("retry", place), **then}, place, {})
    return MapNode({"when": Node(when, place), "then": directive}, place, {})
