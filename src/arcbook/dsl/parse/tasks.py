"""Parse a step's tasks: their tools' parameters, rules and outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from arcbook.dsl import grammar
from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.kinds import Absence, Effects, Kind, Treatment
from arcbook.dsl.mistaken import repair_of
from arcbook.dsl.model import Backoff, Do, Lifetime, OutputSpec, Redelivery, Rule, Task
from arcbook.dsl.parse.reader import Reader, as_number, shown
from arcbook.dsl.parse.values import parse_assignments, parse_inputs
from arcbook.dsl.source import ListNode, MapNode, Node, Position
from arcbook.template.render import is_template

_COMMON: Final = frozenset(grammar.TASK)

#: Keys that are certainly a tool's parameters, even in a step without a tool.
_TELLING: Final = frozenset(
    ["cmd", "cmds", "code", "command", "commands", "endpoint", "method", "query", "script", "sql", "url"]
)  # fmt: skip


def parse_tasks(read: Reader, step: MapNode, name: str) -> tuple[Task, ...]:
    """Return a step's tasks, at least one."""
    node = step.get("tool")
    noop = Task(position=step.position, label=f"{name}_task", kind="noop")
    if node is None or node.value is None:
        message = f"step {name!r} has no tool: it only routes"
        hint = "write 'tool: {kind: noop}' if that is meant"
        if step.key_marks or step.get("step") is None:  # otherwise the step is not in the document
            read.warning("ARC106", message, step.position, hint)
        return (noop,)
    if not isinstance(node, (MapNode, ListNode)):
        message = f"'tool' must be a mapping or a list, not {node.kind}"
        read.error("ARC103", message, node.position, "write 'tool: {kind: <kind>}'")
        return (noop,)
    if not node.value:
        read.error(
            "ARC107", "a pipeline needs at least one task", node.position, "write '- kind: <kind>'"
        )
        return (noop,)
    tasks: list[Task] = []
    for child in node.value if isinstance(node, ListNode) else [node]:
        if isinstance(child, MapNode):
            tasks.append(_task(read, child))
        else:
            read.error(
                "ARC103",
                f"a task must be a mapping, not {child.kind}",
                child.position,
                "write 'kind'",
            )
    return tuple(tasks) or (noop,)


def check_beside(read: Reader, step: MapNode) -> frozenset[str]:
    """Report parameters of a tool that are written beside ``tool``, and return their names."""
    if grammar.STEP.keys() >= step.value.keys():
        return frozenset()
    others = [key for key in step.value if key not in grammar.STEP]
    tool = step.get("tool")
    tasks = tool.value if isinstance(tool, ListNode) else [tool]
    kinds = [read.kinds.kind(k) for t in tasks if (k := _kind_name(t))]
    misplaced: list[str] = []
    for key in others:
        kind = next((k for k in kinds if k is not None and _takes(k, key)), None)
        if kind is None and (kinds or key not in _TELLING):
            continue
        misplaced.append(key)
        if kind is None:
            message = f"{key!r} is a tool's parameter, and the step has no tool"
            hint = f"write 'tool: {{kind: <kind>}}', and move {key!r} under 'tool'"
        else:
            message = f"{key!r} is a parameter of the tool {kind.name!r}, but is written beside it"
            hint = f"move it under 'tool': indent it as far as 'kind: {kind.name}'"
        read.error("ARC114", message, step.key_position(key), hint)
    return frozenset(misplaced)


def _kind_name(task: Node | None) -> str:
    kind = task.get("kind") if isinstance(task, MapNode) else None
    return str(kind.value) if kind is not None else ""


def _takes(kind: Kind, key: str) -> bool:
    return any(key == param.name or key in param.aliases for param in kind.params)


def _task(read: Reader, node: MapNode) -> Task:
    label = str(read.scalar(node, "name") or "task")
    kind_name = read.text(node, "kind")
    if kind_name is None:
        hint = f"write 'kind', one of {', '.join(sorted(read.kinds.names()))}"
        read.error("ARC108", f"task {label!r} has no 'kind': which tool it is", node.position, hint)
        kind_name = "noop"
    kind = read.kinds.kind(kind_name)
    if kind is None and kind_name != "workbook":  # of that the workbook's own error tells
        names = read.kinds.names()
        hint = did_you_mean(kind_name, names) or f"there are {', '.join(sorted(names))}"
        place = node.value["kind"].position
        read.error("ARC401", f"there is no tool kind {kind_name!r}", place, hint)
    if kind is not None and kind.absence is not None:
        _warn_of_absence(read, kind_name, kind.absence, node.value["kind"].position)
    config, places = _config(read, node, kind)
    if kind is not None:
        _check_choices(read, node, kind)
    auth = node.get("auth")
    if isinstance(auth, MapNode) and not any(isinstance(n, MapNode) for n in auth.value.values()):
        read.spelled(auth, grammar.AUTH_KEYS)
    effects = _effects(kind, config)
    rules = _rules(read, node)
    if effects is Effects.ONCE:
        _check_retries(read, kind_name, rules)
    unwritten = Redelivery.NEVER if effects is Effects.ONCE else Redelivery.ALLOWED
    return Task(
        position=node.position,
        label=label,
        kind=kind.name if kind else kind_name,
        config=config,
        input=parse_inputs(read, node),
        auth=read.templated(node.get("auth")),
        set=parse_assignments(read, node.get("set"), Lifetime.LOCAL),
        rules=rules,
        timeout=read.time_limit(node, "timeout"),
        redelivery=read.choice(node, "redelivery", Redelivery, unwritten),
        output=parse_output(read, node),
        places=places,
    )


def _effects(kind: Kind | None, config: dict[str, Any]) -> Effects:
    """Return the effects of repeating a task's call, as far as they matter to the checks."""
    if kind is None or Effects.ONCE not in kind.effects:
        return Effects.KEYED
    return kind.effects_for(config)


def _check_retries(read: Reader, kind_name: str, rules: tuple[Rule, ...]) -> None:
    """Warn about rules that retry a call which may already have taken effect."""
    for rule in rules:
        if rule.do is Do.RETRY and "retryable" not in str(rule.when):
            message = (
                f"repeating this call of {kind_name!r} repeats its effect, and the rule retries it "
                "even if the first try may have taken effect"
            )
            hint = "write 'when: \"{{ output.error.retryable }}\"', or give it `_idempotency_key`"
            read.warning("ARC407", message, rule.position, hint)


def _warn_of_absence(read: Reader, kind: str, absence: Absence, place: Position) -> None:
    """Warn about a kind whose tool is missing in this installation, but may exist in another."""
    message = f"tool kind {kind!r} {absence.reason}: a task of it fails"
    code = "ARC410" if absence.is_fault else "ARC406"
    read.warning(code, message, place, absence.advice)


def _config(
    read: Reader, node: MapNode, kind: Kind | None
) -> tuple[dict[str, Any], dict[str, Position]]:
    """Return the tool's own parameters, checked against its kind."""
    config: dict[str, Any] = {}
    places: dict[str, Position] = {}
    for key, value in node.items():
        param = kind.param(key) if kind else None
        if key in _COMMON and param is None:
            continue
        places[key] = node.key_position(key)
        config[key] = value.plain()
        if param is None and kind is not None and not kind.open:
            _unknown_param(read, key, node, kind)
        if param is not None and param.treatment is Treatment.CODE:
            read.code(value)
        elif param is not None and param.treatment is Treatment.SCRIPT:
            read.script(value)
        elif param is None or param.treatment is Treatment.RENDER:
            read.templated(value)
        if param is not None:
            _param_type(read, param.schema, value, key)
    if kind is not None:
        _required(read, node, kind, config)
    return config, places


def _check_choices(read: Reader, node: MapNode, kind: Kind) -> None:
    """Check keys and values nested in a task's parameters."""
    for path, values in kind.choices.items():
        *parents, key = path.split(".")
        place = _inside(node, parents)
        if place is not None:
            read.known_value(place, key, values, code="ARC405")
    for path, keys in kind.keys.items():
        place = _inside(node, path.split("."))
        if place is not None:
            read.spelled(place, keys)
            _check_nesting(read, place, path, keys, kind)


def _check_nesting(
    read: Reader, place: MapNode, path: str, keys: Iterable[str], kind: Kind
) -> None:
    """Report parameters of the tool that are written inside of one of its parameters."""
    for key in place.value:
        if key not in keys and _takes(kind, key) and not read.report.allows(key):
            message = (
                f"{key!r} is a parameter of the tool {kind.name!r}, but is written in {path!r}"
            )
            hint = f"move it out of {path!r}, beside 'kind: {kind.name}'"
            read.report.tightened("ARC114", message, place.key_position(key), hint, read.step_name)


def _inside(node: MapNode, path: list[str]) -> MapNode | None:
    place: Node | None = node
    for name in path:
        place = place.get(name) if isinstance(place, MapNode) else None
    return place if isinstance(place, MapNode) else None


def _unknown_param(read: Reader, key: str, node: MapNode, kind: Kind) -> None:
    known = [name for p in kind.params for name in (p.name, *p.aliases)] + list(_COMMON)
    place, repair = node.key_position(key), repair_of(key, "task", known)
    if repair and not read.report.allows(key):
        message = f"tool kind {kind.name!r} has no parameter {key!r}, which would be ignored"
        read.report.tightened("ARC117", message, place, repair, read.step_name)
        return
    message = f"tool kind {kind.name!r} has no parameter {key!r}; it is ignored"
    read.warning("ARC403", message, place, repair or did_you_mean(key, known) or "remove it")


def _required(read: Reader, node: MapNode, kind: Kind, config: dict[str, Any]) -> None:
    for param in kind.params:
        if param.required and _is_blank(read, config.get(param.name)):
            message = f"tool kind {kind.name!r} requires {param.name!r}"
            hint = f"write {param.name!r}: {param.description}" if param.description else ""
            read.error("ARC402", message, node.position, hint or f"write {param.name!r}")
    for group in kind.any_of:
        if all(_is_blank(read, config.get(name)) for name in group):
            names = " or ".join(repr(name) for name in group)
            what = "no SQL command provided: " if "command" in group and "query" in group else ""
            message = f"{what}tool kind {kind.name!r} requires {names}"
            read.error("ARC402", message, node.position, f"write {names}")


def _is_blank(read: Reader, value: Any) -> bool:
    """Return whether a parameter is missing, or a text without anything in it."""
    is_empty = isinstance(value, str) and not value.strip()
    return value is None or (is_empty and not read.report.is_stored)


def _param_type(read: Reader, schema: dict[str, Any], node: Node, key: str) -> None:
    if node.value is None or (isinstance(node.value, str) and is_template(node.value)):
        return
    types = _types_of(schema)
    if types and not (_json_types(node) & types):
        what = " or ".join(sorted(types))
        hint = f"write a value of type {what}, or a template that yields one"
        read.error("ARC404", f"{key!r} must be {what}, not {node.kind}", node.position, hint)
    choices = schema.get("enum")
    if choices and node.value not in choices and str(node.value).upper() not in choices:
        names = [str(c) for c in choices]
        hint = did_you_mean(str(node.value), names) or f"write one of {', '.join(names)}"
        message = f"{key!r} must be one of {', '.join(names)}, not {shown(node)}"
        read.error("ARC405", message, node.position, hint)


def _types_of(schema: dict[str, Any]) -> set[str]:
    """Return the types that a schema accepts; none if it accepts any."""
    if "anyOf" in schema:
        parts = [_types_of(part) for part in schema["anyOf"]]
        return set().union(*parts) - {"null"} if all(parts) else set()
    wanted = schema.get("type") or []
    return {wanted} if isinstance(wanted, str) else set(wanted)


def parse_output(read: Reader, node: MapNode) -> OutputSpec | None:
    """Return how a task's result is stored."""
    found = node.get("output")
    if not isinstance(found, MapNode):
        return None
    read.known_keys(found, "output")
    select = found.get("select")
    names = [_path_of(n) for n in select.value] if isinstance(select, ListNode) else []
    store = found.get("store")
    kind = store.get("kind") if isinstance(store, MapNode) else store
    if isinstance(store, MapNode):
        read.spelled(store, grammar.STORE_KEYS)
        read.one_of(store, "kind", grammar.STORES)
    else:
        read.one_of(found, "store", grammar.STORES)
    read.one_of(found, "scope", grammar.SCOPES)
    if read.scalar(found, "ttl") != "forever":
        read.seconds(found, "ttl", least=0)
    inline = read.number(found, "inline_max_bytes", least=0)
    return OutputSpec(
        position=found.position,
        select=tuple(names),
        inline_bytes_max=inline if isinstance(inline, int) else None,
        store=str(kind.value) if kind is not None else "auto",
    )


def _path_of(node: Node) -> str:
    """Return a field of ``select``, written as text or as ``{path: ...}``."""
    path = node.get("path") if isinstance(node, MapNode) else node
    return str(path.value) if path is not None else ""


def _rules(read: Reader, task: MapNode) -> tuple[Rule, ...]:
    spec = read.map(task, "spec")
    if spec is not None:
        read.known_keys(spec, "task_spec")
    policy = read.map(spec, "policy") if spec else None
    if policy is None:
        return ()
    read.known_keys(policy, "policy", also=frozenset({"admit"}))
    rules = policy.get("rules")
    if not isinstance(rules, ListNode):
        hint = "write 'rules:' and below it '- when: ...' with 'then'"
        read.error("ARC150", "'policy' needs 'rules': a list", policy.position, hint)
        return ()
    return tuple(_rule(read, r) for r in read.maps(rules, "a rule"))


def _rule(read: Reader, node: MapNode) -> Rule:
    read.known_keys(node, "rule")
    when: Any = True
    guard = node.get("when")
    if guard is not None:
        read.guard(guard)
        when = guard.plain()
    then = node.get("then")
    if not isinstance(then, MapNode):
        if then is not None or guard is not None:
            hint = "write 'then: {do: continue}', or retry, jump, break, fail"
            read.error("ARC151", "a rule needs 'then': what to do", node.position, hint)
        then = MapNode({}, node.position, {})
    read.known_keys(then, "then")
    do = read.choice(then, "do", Do, Do.CONTINUE) if then.value else None
    if do is Do.JUMP and read.text(then, "to") is None:
        message = "'do: jump' needs 'to': the label of a task"
        read.error("ARC152", message, then.position, "write 'to: <label>'")
    _check_delay(read, then)
    return Rule(
        position=node.position,
        when=when,
        do=do,
        attempts=read.whole(then, "attempts", least=1) or 3,
        backoff=read.choice(then, "backoff", Backoff, _backoff_unwritten(then)),
        delay=1.0 if (delay := read.seconds(then, "delay", least=0)) is None else delay,
        delay_max=read.seconds(then, "max_delay", least=0),
        to=read.text(then, "to"),
        set=parse_assignments(read, then.get("set"), Lifetime.LOCAL),
    )


def _check_delay(read: Reader, then: MapNode) -> None:
    """Warn about a delay that has no effect; the reference ignores it as well."""
    backoff, delay = then.get("backoff"), then.get("delay")
    if backoff is not None and backoff.value == Backoff.NONE and delay is not None and delay.value:
        message = "'backoff: none' means no delay, so 'delay' is ignored"
        read.warning("ARC153", message, delay.position, "write 'backoff: fixed', or no 'delay'")


def _backoff_unwritten(then: MapNode) -> Backoff:
    """Return the default backoff of a rule, which is fixed if it has a delay."""
    return Backoff.NONE if then.get("delay") is None else Backoff.FIXED


def _json_types(node: Node) -> set[str]:
    value = node.value
    if isinstance(node, MapNode):
        return {"object"}
    if isinstance(node, ListNode):
        return {"array"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    if isinstance(value, float):
        return {"number"}
    if isinstance(value, str):
        found = {"string"}
        number = as_number(value)
        if number is not None:
            found |= {"number", "integer"} if isinstance(number, int) else {"number"}
        return found | ({"boolean"} if value.lower() in ("true", "false") else set())
    return {"null"}
