"""Older and shorter spellings, rewritten to the one normal form.

This is the only module that knows them. It works on nodes, so every place survives.
A spelling with an obvious meaning is rewritten (with a warning where authors should
change it); one that the reference removed is an error that names its successor.
"""

from __future__ import annotations

from typing import Final

from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kind, Kinds
from arcbook.dsl.source import ListNode, MapNode, Node, Position

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

_POLICY_KEYS: Final = frozenset({"policy", "timeout", "redelivery", "pool"})
_TASK_KEYS: Final = frozenset(
    ["name", "desc", "description", "kind", "input", "auth", "set", "timeout", "retry", "redelivery", "sink", "output", "spec", "assert"]
)  # fmt: skip
_PLAIN_ARGS: Final = frozenset({"container"})
_SEQUENCE: Final = "task_sequence"
_SEQUENCE_KEYS: Final = frozenset({"kind", "tasks", "name", "desc", "description", "input", "args"})


class Upgrade:
    """Rewrites one playbook."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        self.workbook: dict[str, MapNode] = {}

    def playbook(self, root: MapNode) -> MapNode:
        """Return the playbook in normal form, as far as its shape allows."""
        if root.get("vars"):
            self._removed("vars", root, "write the values under 'workload'")
        workbook = root.get("workbook")
        if isinstance(workbook, ListNode):
            self._read_workbook(workbook)
        steps = root.get("workflow")
        if not isinstance(steps, ListNode):
            return root
        upgraded: list[Node] = [self._step(s) if isinstance(s, MapNode) else s for s in steps.value]
        _add_implicit_end(upgraded)
        return root.having("workflow", ListNode(upgraded, steps.position))

    def _removed(self, key: str, node: MapNode, instead: str) -> None:
        self.report.error(
            "ARC501", f"'{key}' is no longer part of the language", node.key_position(key), instead
        )

    def _old(self, message: str, position: Position, hint: str) -> None:
        self.report.warning("ARC502", message, position, hint)

    # -- workbook ---------------------------------------------------------------------

    def _read_workbook(self, workbook: ListNode) -> None:
        for entry in workbook.value:
            name = entry.get("name") if isinstance(entry, MapNode) else None
            tool = entry.get("tool") if isinstance(entry, MapNode) else None
            if name is None or not isinstance(name.value, str):
                self.report.error("ARC120", "a workbook entry needs a name", entry.position)
            elif not isinstance(tool, MapNode):
                self.report.error(
                    "ARC121", f"workbook entry {name.value!r} needs a tool", entry.position
                )
            else:
                self.workbook[name.value] = tool

    def _from_workbook(self, task: MapNode, label: Node | None) -> MapNode:
        wanted = task.get("task") or task.get("action") or task.get("name")
        name = wanted.value if wanted else None
        if not isinstance(name, str):
            self.report.error(
                "ARC122", "a workbook task needs the 'name' of an entry", task.position
            )
            return task
        found = self.workbook.get(name)
        if found is None:
            hint = did_you_mean(name, self.workbook) or "the playbook's workbook has no entries"
            place = wanted.position if wanted else task.position
            self.report.error("ARC123", f"the workbook has no entry {name!r}", place, hint)
            return task
        merged = MapNode(dict(found.value), task.position, found.key_positions)
        own_input = _renamed(task, "args", "input").get("input")
        base_input = _renamed(found, "args", "input").get("input")
        merged = merged.without("args", "name")
        if isinstance(own_input, MapNode):
            base = base_input.value if isinstance(base_input, MapNode) else {}
            both = MapNode({**base, **own_input.value}, own_input.position, own_input.key_positions)
            merged = merged.having("input", both)
        for key in ("set", "spec", "auth", "timeout", "redelivery", "output"):
            node = task.get(key)
            if node is not None:
                merged = merged.having(key, node)
        return merged if label is None else merged.having("name", label)

    # -- steps ------------------------------------------------------------------------

    def _step(self, step: MapNode) -> MapNode:
        for key, instead in REMOVED_STEP_KEYS.items():
            if step.get(key) is not None:
                self._removed(key, step, instead)
                step = step.without(key)
        step = _renamed(step, "args", "input")
        step = _renamed(step, "description", "desc")
        step = self._step_output(step)
        step = self._router(step)
        step = self._loop(step)
        name = step.get("step")
        return self._tools(step, str(name.value) if name else "step")

    def _step_output(self, step: MapNode) -> MapNode:
        output = step.get("output")
        return step.having("output", _output(output)) if isinstance(output, MapNode) else step

    def _router(self, step: MapNode) -> MapNode:
        node = step.get("next")
        if node is None or node.value is None:
            return step.without("next")
        spec = step.get("spec")
        if isinstance(node, MapNode) and "arcs" not in node.value and "step" in node.value:
            node = ListNode([node], node.position)
        if isinstance(node.value, str) or isinstance(node, ListNode):
            self._old("'next' is written in its short form", node.position, "write 'next.arcs'")
            return step.having("next", _short_router(node, spec))
        if isinstance(node, MapNode):
            arcs = node.get("arcs")
            if isinstance(arcs, ListNode):
                kept = [self._arc(a) for a in arcs.value]
                node = node.having("arcs", ListNode(kept, arcs.position))
            if isinstance(spec, MapNode) and spec.get("next_mode"):
                mode = spec.value["next_mode"]
                old = node.get("spec")
                made = old if isinstance(old, MapNode) else MapNode({}, mode.position, {})
                if not made.get("mode"):
                    node = node.having("spec", made.having("mode", mode))
                step = step.having("spec", spec.without("next_mode"))
            return step.having("next", node)
        return step

    def _arc(self, arc: Node) -> Node:
        if not isinstance(arc, MapNode):
            return arc
        if arc.get("args") is not None:
            self._old("an arc's 'args' is now 'set'", arc.key_position("args"), "write 'set'")
            arc = _renamed(arc, "args", "set")
        if arc.get("cond") is not None and arc.get("when") is None:
            self._old("an arc's 'cond' is now 'when'", arc.key_position("cond"), "write 'when'")
            arc = _renamed(arc, "cond", "when")
        return arc

    def _loop(self, step: MapNode) -> MapNode:
        loop = step.get("loop")
        if not isinstance(loop, MapNode):
            return step
        spec = loop.get("spec")
        made = spec if isinstance(spec, MapNode) else MapNode({}, loop.position, {})
        for key in ("mode", "max_in_flight", "on_error", "frame"):
            node = loop.get(key)
            if node is not None:
                place = loop.key_position(key)
                self._old(f"'loop.{key}' is now 'loop.spec.{key}'", place, "move it below 'spec'")
                made = made.having(key, node, place)
                loop = loop.without(key)
        policy = made.get("policy")
        on_error = policy.get("on_error") if isinstance(policy, MapNode) else None
        if on_error is not None and not made.get("on_error"):
            made = made.having("on_error", on_error)
        return step.having("loop", loop.having("spec", made) if made.value else loop)

    # -- tasks ------------------------------------------------------------------------

    def _tools(self, step: MapNode, name: str) -> MapNode:
        step = self._sequence(step)
        tool = step.get("tool")
        if isinstance(tool, MapNode):
            task = self._task(tool, f"{name}_task")
            return step.having("tool", ListNode([task], tool.position))
        if isinstance(tool, ListNode):
            tasks = [
                self._task(t, f"task_{i}") if isinstance(t, MapNode) else t
                for i, t in enumerate(tool.value)
            ]
            step = step.having("tool", ListNode(tasks, tool.position))
            return step.having("pipeline", Node(value=True, position=tool.position))
        return step

    def _sequence(self, step: MapNode) -> MapNode:
        """Put the tasks of a ``task_sequence`` in its place, if it is the step's only tool."""
        tool = step.get("tool")
        only = tool.value[0] if isinstance(tool, ListNode) and len(tool.value) == 1 else tool
        if not isinstance(only, MapNode):
            return step
        sequence = self._lifted(_unnested(only))
        kind, tasks = sequence.get("kind"), sequence.get("tasks")
        if kind is None or kind.value != _SEQUENCE or not isinstance(tasks, ListNode):
            return step
        for key, node in sequence.items():
            if key not in _SEQUENCE_KEYS and not (key == "spec" and not node.value):
                message = f"{key!r} of a 'task_sequence' has no task that it could belong to"
                place = sequence.key_position(key)
                self.report.error("ARC124", message, place, "write it on one of its 'tasks'")
        step = _merged_input(step, _renamed(sequence, "args", "input").get("input"))
        return step.having("tool", tasks)

    def _task(self, task: MapNode, label: str) -> MapNode:
        task = _unnested(task)
        if task.get("type") is not None and task.get("kind") is None:
            self._old("a task's 'type' is now 'kind'", task.key_position("type"), "write 'kind'")
            task = _renamed(task, "type", "kind")
        kind_node = task.get("kind")
        if kind_node is not None and kind_node.value == "workbook":
            own = task.get("name") if label.startswith("task_") else None
            task = self._from_workbook(task, own)
            kind_node = task.get("kind")
        if kind_node is not None and kind_node.value == _SEQUENCE:
            message = "a 'task_sequence' must be the only tool of its step"
            hint = "write its tasks in the step's list of tasks"
            self.report.error("ARC124", message, kind_node.position, hint)
        if task.get("eval") is not None:
            self._removed("eval", task, "write 'spec.policy.rules'")
            task = task.without("eval")
        if task.get("name") is None:
            task = task.having("name", Node(label, task.position))
        kind = self.kinds.kind(str(kind_node.value)) if kind_node else None
        task = self._lifted(task)
        task = self._task_names(task, kind, str(kind_node.value) if kind_node else "")
        task = self._sink(task)
        return self._policy(task)

    def _lifted(self, task: MapNode) -> MapNode:
        """Move what documents write below ``spec`` to the task itself."""
        spec = task.get("spec")
        if not isinstance(spec, MapNode):
            return task
        for key, node in spec.items():
            if key in _POLICY_KEYS:
                continue
            if task.get(key) is None:
                task = task.having(key, node, spec.key_position(key))
            spec = spec.without(key)
        for key in ("timeout", "redelivery"):
            written = spec.get(key)
            if written is not None:
                spec = spec.without(key)
                if task.get(key) is None:
                    task = task.having(key, written)
        return task.having("spec", spec)

    def _task_names(self, task: MapNode, kind: Kind | None, name: str) -> MapNode:
        if name not in _PLAIN_ARGS and not (kind and kind.param("args")):
            task = _renamed(task, "args", "input")
        task = _renamed(task, "description", "desc")
        if not (kind and kind.param("timeout_seconds")):
            task = _renamed(task, "timeout_seconds", "timeout")
        if kind is not None:
            if kind.takes_auth and task.get("auth") is None:
                task = _renamed(task, "credential", "auth")
            for param in kind.params:
                for alias in param.aliases:
                    if alias not in _TASK_KEYS:
                        task = _renamed(task, alias, param.name)
        return _task_output(task, kind)

    def _sink(self, task: MapNode) -> MapNode:
        sink = task.get("sink")
        if sink is None:
            return task
        if sink.value is True and task.get("redelivery") is None:
            task = task.having("redelivery", Node("never", sink.position))
        elif not isinstance(sink.value, bool):
            self._old(
                "a 'sink' block is no longer part of the language",
                task.key_position("sink"),
                "write a task that saves, after this one",
            )
        return task.without("sink")

    # -- policy -----------------------------------------------------------------------

    def _policy(self, task: MapNode) -> MapNode:
        spec = task.get("spec")
        policy = spec.get("policy") if isinstance(spec, MapNode) else None
        rules = policy.get("rules") if isinstance(policy, MapNode) else None
        made: list[Node] = []
        if isinstance(policy, ListNode):
            rules = policy
        if isinstance(rules, ListNode):
            made = [self._rule(r) if isinstance(r, MapNode) else r for r in rules.value]
        retry = task.get("retry")
        if retry is not None:
            made += self._retry(retry)
            task = task.without("retry")
        if not made:
            return task
        place = rules.position if rules is not None else made[0].position
        base = policy if isinstance(policy, MapNode) else MapNode({}, place, {})
        upgraded = base.having("rules", ListNode(made, place))
        held = spec if isinstance(spec, MapNode) else MapNode({}, place, {})
        return task.having("spec", held.having("policy", upgraded))

    def _rule(self, rule: MapNode) -> MapNode:
        if rule.get("expr") is not None:
            self._old("a rule's 'expr' is now 'when'", rule.key_position("expr"), "write 'when'")
            rule = _renamed(rule, "expr", "when")
        if "else" in rule.value:
            other = rule.value["else"]
            then = rule.get("then")
            if isinstance(other, MapNode):
                then = other.get("then") or (other if other.value else then)
            place = rule.key_position("else")
            rule = MapNode({}, rule.position, rule.key_positions)
            return rule.having("then", self._then(then) if then else MapNode({}, place, {}))
        then = rule.get("then")
        if then is None and rule.get("do") is not None:
            kept = {k: v for k, v in rule.items() if k != "when"}
            then = MapNode(kept, rule.position, rule.key_positions)
            rule = rule.without(*kept)
        return rule if then is None else rule.having("then", self._then(then))

    def _then(self, then: Node) -> Node:
        if isinstance(then.value, str):
            return MapNode({"do": then}, then.position, {})
        if not isinstance(then, MapNode):
            return then
        writes = then.get("set")
        for old, lifetime in (("set_ctx", "ctx"), ("set_iter", "iter"), ("set_vars", "ctx")):
            node = then.get(old)
            if isinstance(node, MapNode):
                self._old(
                    f"'{old}' is now 'set'", then.key_position(old), f"write '{lifetime}.' keys"
                )
                base = writes if isinstance(writes, MapNode) else MapNode({}, node.position, {})
                for key, value in node.items():
                    base = base.having(f"{lifetime}.{key}", value)
                writes = base
                then = then.without(old)
        return then if writes is None else then.having("set", writes)

    def _retry(self, retry: Node) -> list[Node]:
        """Return the rules that a ``retry`` block stands for."""
        place = retry.position
        if retry.value is True:
            return [_retry_rule("{{ output.status == 'error' }}", {}, place)]
        if isinstance(retry.value, int) and retry.value is not False:
            return [_retry_rule("{{ output.status == 'error' }}", {"attempts": retry}, place)]
        if isinstance(retry, ListNode):
            return [self._rule(_retry_entry(r)) for r in retry.value if isinstance(r, MapNode)]
        if not isinstance(retry, MapNode):
            return []
        names = {
            "attempts": "attempts", "max_attempts": "attempts", "max_retries": "attempts",
            "backoff": "backoff", "backoff_seconds": "delay", "delay": "delay",
            "initial_delay": "delay", "max_delay": "max_delay",
        }  # fmt: skip
        then = {names[k]: v for k, v in retry.items() if k in names}
        multiplier = retry.get("backoff_multiplier")
        if multiplier is not None and multiplier.value not in (1, 1.0) and "backoff" not in then:
            then["backoff"] = Node("exponential", multiplier.position)
        if isinstance(then.get("backoff"), Node) and isinstance(
            then["backoff"].value, (int, float)
        ):
            then["delay"] = then.pop("backoff")
        return [_retry_rule(_retry_guard(retry), then, place)]


def _retry_entry(entry: MapNode) -> MapNode:
    then = entry.get("then")
    if not isinstance(then, MapNode):
        return entry
    then = _renamed(then, "max_attempts", "attempts")
    then = _renamed(then, "initial_delay", "delay")
    then = then.without("jitter", "backoff_multiplier", "next_call", "collect")
    if then.get("do") is None:
        then = then.having("do", Node("retry", then.position))
    return entry.having("then", then)


def _retry_guard(retry: MapNode) -> str:
    statuses = retry.get("retry_on_status")
    if isinstance(statuses, ListNode):
        return f"{{{{ output.status == 'error' and output.http.status in {statuses.plain()} }}}}"
    kinds = retry.get("retry_on")
    if isinstance(kinds, ListNode) and kinds.value:
        return (
            "{{ output.status == 'error' and (output.error.kind in "
            f"{[str(k) for k in kinds.plain()]} or output.error.http_status in {kinds.plain()}) }}}}"
        )
    return "{{ output.status == 'error' }}"


def _retry_rule(when: str, then: dict[str, Node], place: Position) -> MapNode:
    directive = MapNode({"do": Node("retry", place), **then}, place, {})
    return MapNode({"when": Node(when, place), "then": directive}, place, {})


def _renamed(node: MapNode, old: str, new: str) -> MapNode:
    """Return ``node`` with ``old`` called ``new``; one that is written already wins."""
    value = node.get(old)
    if value is None:
        return node
    place = node.key_position(old)
    if node.get(new) is not None:
        return node
    entries = {(new if k == old else k): v for k, v in node.items()}
    positions = {**node.key_positions, new: place}
    return MapNode(entries, node.position, positions)


def _merged_input(step: MapNode, given: Node | None) -> MapNode:
    """Return a step whose ``input`` has further entries; they win."""
    if not isinstance(given, MapNode):
        return step
    own = step.get("input")
    base = own if isinstance(own, MapNode) else MapNode({}, given.position, {})
    for key, node in given.items():
        base = base.having(key, node, given.key_position(key))
    return step.having("input", base)


def _unnested(task: MapNode) -> MapNode:
    """Return ``{label: {kind: ...}}`` as ``{name: label, kind: ...}``."""
    if len(task.value) != 1 or "kind" in task.value or "type" in task.value:
        return task
    ((label, inner),) = task.items()
    if not isinstance(inner, MapNode) or not ("kind" in inner.value or "type" in inner.value):
        return task
    return inner.having("name", Node(label, task.key_position(label)))


def _task_output(task: MapNode, kind: Kind | None) -> MapNode:
    """Return a task whose ways of saying how its result is kept are one ``output``."""
    output = task.get("output")
    made = _output(output) if isinstance(output, MapNode) else None
    select = task.get("output_select")
    if select is not None and not (kind and kind.param("output_select")):
        place = task.key_position("output_select")
        base = _output(MapNode({"output_select": select}, place, {}))
        made = base if made is None else MapNode({**base.value, **made.value}, made.position, {})
        task = task.without("output_select")
    inline = task.get("inline_max_bytes")
    if inline is not None:
        made = (made or MapNode({}, inline.position, {})).having("inline_max_bytes", inline)
        task = task.without("inline_max_bytes")
    return task if made is None else task.having("output", made)


def _output(node: MapNode) -> MapNode:
    """Return an ``output`` block in normal form: ``select`` is a list of names."""
    select = node.get("select") or node.get("output_select")
    node = node.without("output_select")
    if isinstance(select, MapNode):
        inner = select.get("select") or select.get("fields")
        select = inner if inner is not None else ListNode([], select.position)
    if isinstance(select, ListNode):
        names: list[Node] = []
        for entry in select.value:
            path = entry.get("path") if isinstance(entry, MapNode) else entry
            if path is not None:
                names.append(path)
        node = node.having("select", ListNode(names, select.position))
    return node


def _short_router(node: Node, spec: Node | None) -> MapNode:
    place = node.position
    mode = spec.get("next_mode") if isinstance(spec, MapNode) else None
    if isinstance(node.value, str):
        arcs: list[Node] = [MapNode({"step": node}, place, {})]
    else:
        entries: list[Node] = node.value
        arcs = [
            MapNode({"step": e}, e.position, {}) if isinstance(e.value, str)
            else _renamed(e, "args", "set") if isinstance(e, MapNode) else e
            for e in entries
        ]  # fmt: skip
        if mode is None and all(isinstance(e.value, str) for e in entries) and len(entries) > 1:
            mode = Node("inclusive", place)
    router = MapNode({"arcs": ListNode(arcs, place)}, place, {})
    if mode is not None:
        router = router.having("spec", MapNode({"mode": mode}, place, {}))
    return router


def _add_implicit_end(steps: list[Node]) -> None:
    """Route steps without ``next`` to an ``end`` step that nothing else routes to."""
    maps = [s for s in steps if isinstance(s, MapNode)]
    names = {_name(s): s for s in maps}
    end = names.get("end")
    if end is None or len(maps) < len(steps) or any("end" in _targets(s) for s in maps):
        return
    for i, step in enumerate(steps):
        if isinstance(step, MapNode) and step is not end and step.get("next") is None:
            arc = MapNode({"step": Node("end", step.position)}, step.position, {})
            router = MapNode({"arcs": ListNode([arc], step.position)}, step.position, {})
            steps[i] = step.having("next", router)


def _name(step: MapNode) -> str | None:
    node = step.get("step")
    return node.value if node is not None and isinstance(node.value, str) else None


def _targets(step: MapNode) -> set[str]:
    router = step.get("next")
    arcs = router.get("arcs") if isinstance(router, MapNode) else None
    found: set[str] = set()
    if isinstance(arcs, ListNode):
        for arc in arcs.value:
            target = arc.get("step") if isinstance(arc, MapNode) else None
            if target is not None:
                found.add(str(target.value))
    return found
