"""Parse the steps of the workflow: admission, join and routing."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.dsl import grammar
from arcbook.dsl.model import AdmitRule, Arc, Lifetime, NoMatch, Router, RouterMode, Step
from arcbook.dsl.parse.loops import parse_loop
from arcbook.dsl.parse.reader import Reader, shown
from arcbook.dsl.parse.tasks import check_beside, parse_output, parse_tasks
from arcbook.dsl.parse.values import parse_assignments, parse_inputs
from arcbook.dsl.source import ListNode, MapNode, Node


def parse_steps(read: Reader, root: MapNode) -> tuple[Step, ...]:
    """Return the steps; none if the workflow is unusable."""
    node = root.get("workflow")
    if node is None or not isinstance(node, ListNode) or not node.value:
        place = root.key_position("workflow")
        hint = "write 'workflow:' and below it '- step: start'"
        read.error("ARC105", "'workflow' must be a list with at least one step", place, hint)
        return ()
    steps: list[Step] = []
    for child in node.value:
        if isinstance(child, MapNode):
            steps.append(_step(read, child))
        else:
            read.error(
                "ARC103",
                f"a step must be a mapping, not {child.kind}",
                child.position,
                "write 'step: <name>'",
            )
    return tuple(steps)


def _step(read: Reader, node: MapNode) -> Step:
    written = read.text(node, "step", required=True)
    if written is not None and not written.strip():
        read.error("ARC110", "'step' has no name", node.value["step"].position, "write a name")
    name = written or "?"
    read.step_name = name
    read.known_keys(node, "step", also=check_beside(read, node))
    spec = read.map(node, "spec")
    if spec is not None:
        read.known_keys(spec, "step_spec")
    step = Step(
        position=node.position,
        name=name,
        description=str(read.scalar(node, "desc") or ""),
        tasks=parse_tasks(read, node, name),
        is_pipeline=isinstance(node.get("tool"), ListNode),
        routes_only=(tool := node.get("tool")) is None or tool.value is None,
        input=parse_inputs(read, node),
        loop=parse_loop(read, node),
        when=_step_guard(read, node),
        admit=_admission(read, spec),
        set=parse_assignments(read, node.get("set"), Lifetime.CTX),
        router=_router(read, node),
        join=_join(read, spec),
        timeout=read.time_limit(spec, "timeout") if spec else None,
        pool=read.text(spec, "pool") if spec else None,
    )
    output = parse_output(read, node)
    if output is not None:
        last = step.tasks[-1]
        if last.output is None:
            tasks = (*step.tasks[:-1], msgspec.structs.replace(last, output=output))
            step = msgspec.structs.replace(step, tasks=tasks)
    read.step_name = ""
    return step


def _step_guard(read: Reader, node: MapNode) -> Any:
    when = node.get("when")
    if when is None:
        return None
    read.guard(when)
    return when.plain()


def _admission(read: Reader, spec: MapNode | None) -> tuple[AdmitRule, ...]:
    policy = read.map(spec, "policy") if spec else None
    if policy is not None:
        read.known_keys(policy, "step_policy")
    admit = read.map(policy, "admit") if policy else None
    if admit is not None:
        read.known_keys(admit, "admit")
    read.known_value(admit, "mode", grammar.ADMIT_MODES)
    listed = admit.get("rules") if admit else None
    if not isinstance(listed, ListNode):
        return ()
    return tuple(_admit_rule(read, r) for r in listed.value if isinstance(r, MapNode))


def _admit_rule(read: Reader, node: MapNode) -> AdmitRule:
    read.known_keys(node, "admit_rule")
    when: Any = True
    body: Node | None = node.get("then")
    guard = node.get("when")
    if guard is not None:
        read.guard(guard)
        when = guard.plain()
    elif "else" in node.value:
        other = node.value["else"]
        if isinstance(other, MapNode):
            body = other.get("then") or other
    elif body is not None:
        message = "an admission rule has no 'when', so it always applies"
        read.report.tightened(
            "ARC110", message, node.position, "write 'when', or 'else'", read.step_name
        )
    allow = body.get("allow") if isinstance(body, MapNode) else None
    if allow is None or not isinstance(allow.value, bool):
        message = "an admission rule does not say whether it allows"
        read.error("ARC130", message, node.position, "write 'then: {allow: true}', or false")
    allowed = bool(allow.value) if allow is not None else True
    return AdmitRule(position=node.position, when=when, allow=allowed)


def _join(read: Reader, spec: MapNode | None) -> int:
    node = spec.get("join") if spec else None
    if node is None or node.value in (None, "all"):
        return 0
    if node.value == "any":
        return 1
    if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 1:
        return node.value
    message = f"'join' must be all, any or a number, not {shown(node)}"
    read.error("ARC131", message, node.position, "write 'all', 'any', or how many arrivals")
    return 0


def _router(read: Reader, step: MapNode) -> Router:
    node = read.map(step, "next")
    if node is None:
        return Router(position=step.position)
    read.known_keys(node, "next")
    spec = read.map(node, "spec")
    if spec is not None:
        read.known_keys(spec, "next_spec")
    arcs = node.get("arcs")
    found: list[Arc] = []
    if not isinstance(arcs, ListNode):
        hint = "write 'arcs:' and below it '- step: <name>'"
        read.error("ARC109", "'next' needs 'arcs': a list", node.position, hint)
    else:
        found = [_arc(read, a) for a in read.maps(arcs, "an arc")]
    return Router(
        position=node.position,
        mode=read.choice(spec, "mode", RouterMode, RouterMode.EXCLUSIVE),
        on_no_match=read.choice(spec, "on_no_match", NoMatch, NoMatch.COMPLETE),
        arcs=tuple(found),
    )


def _arc(read: Reader, node: MapNode) -> Arc:
    read.known_keys(node, "arc")
    when = node.get("when")
    if when is not None:
        read.guard(when)
    return Arc(
        position=node.position,
        to=read.text(node, "step", required=True) or "?",
        when=when.plain() if when is not None else None,
        set=parse_assignments(read, node.get("set"), Lifetime.CTX),
    )
