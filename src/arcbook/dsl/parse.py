"""Nodes in normal form to the typed model, noting every problem on the way.

Parsing never stops at the first problem. Where a part is unusable, a harmless stand-in
takes its place, so that the rest of the document is still checked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, TypeVar

from arcbook.dsl import grammar
from arcbook.dsl.diagnostics import Report, did_you_mean
from arcbook.dsl.kinds import Kind, Kinds, Treatment
from arcbook.dsl.model import (
    AdmitRule,
    Arc,
    Assignment,
    Backoff,
    Cursor,
    Do,
    Frame,
    KeychainEntry,
    Lifetime,
    Loop,
    LoopMode,
    NoMatch,
    OnError,
    OutputSpec,
    Playbook,
    Redelivery,
    Router,
    RouterMode,
    Rule,
    Step,
    Task,
)
from arcbook.dsl.source import ListNode, MapNode, Node, Position
from arcbook.template.code import compile_code
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_condition, compile_value, is_template

E = TypeVar("E", bound=StrEnum)

ATTEMPTS_MAX: Final = 10_000
"""Tries of one task that a rule may ask for."""

_COMMON: Final = frozenset(grammar.TASK)
_LIFETIMES: Final = {"ctx": Lifetime.CTX, "iter": Lifetime.ITER, "step": Lifetime.STEP}


class Parser:
    """Parses one playbook in normal form."""

    def __init__(self, report: Report, kinds: Kinds) -> None:
        self.report = report
        self.kinds = kinds
        self.step_name = ""

    # -- the document -----------------------------------------------------------------

    def playbook(self, root: MapNode) -> Playbook | None:
        """Return the playbook, or ``None`` if it has no usable shape."""
        self._header(root)
        metadata = self._map(root, "metadata", required=True)
        name = self._text(metadata, "name") if metadata else None
        path = self._text(metadata, "path") if metadata else None
        if metadata is not None and not (name or path):
            self.error("ARC104", "metadata needs a 'name' or a 'path'", metadata.position)
        steps = self._steps(root)
        executor = self._executor(root)
        known = {s.name for s in steps}
        entry = executor.get("entry_step") or ("start" if "start" in known else None)
        labels = metadata.get("labels") if metadata else None
        if not steps:
            return None
        self._workload_templates(root.get("workload"))
        return Playbook(
            position=root.position,
            name=name or path or "playbook",
            path=(path or name or "playbook").strip("/"),
            version=str(self._scalar(metadata, "version") or ""),
            description=self._text(metadata, "description") or "" if metadata else "",
            labels=labels.plain() if isinstance(labels, MapNode) else {},
            workload=self._plain_map(root, "workload"),
            data=_root_data(root),
            keychain=self._keychain(root),
            steps=steps,
            entry=entry or steps[0].name,
            final=executor.get("final_step"),
            no_next_is_error=bool(executor.get("no_next_is_error")),
            output=self._templated(root.get("output")),
            timeout=executor.get("timeout"),
        )

    def _header(self, root: MapNode) -> None:
        version = root.get("apiVersion")
        if version is None:
            self.error("ARC101", "the document needs 'apiVersion: noetl.io/v2'", root.position)
        elif version.value not in grammar.API_VERSIONS:
            message = f"apiVersion {version.value!r} is not known"
            self.error("ARC101", message, version.position, "write 'noetl.io/v2'")
        kind = root.get("kind")
        if kind is None:
            self.error("ARC102", "the document needs 'kind: Playbook'", root.position)
        elif kind.value not in ("Playbook", "Agent"):
            message = f"kind {kind.value!r} is not a playbook"
            self.error("ARC102", message, kind.position, "write 'Playbook'")
        for key in root.value:
            if key not in grammar.PLAYBOOK and not isinstance(root.value[key], MapNode):
                self._unknown_key(key, root, grammar.PLAYBOOK)

    def _executor(self, root: MapNode) -> dict[str, Any]:
        node = self._map(root, "executor")
        if node is None:
            return {}
        self._known_keys(node, "executor")
        spec = self._map(node, "spec")
        if spec is None:
            return {}
        self._known_keys(spec, "executor_spec")
        found: dict[str, Any] = {
            "entry_step": self._text(spec, "entry_step"),
            "final_step": self._text(spec, "final_step"),
            "no_next_is_error": self._bool(spec, "no_next_is_error"),
            "timeout": self._number(spec, "timeout"),
        }
        return found

    def _keychain(self, root: MapNode) -> tuple[KeychainEntry, ...]:
        node = root.get("keychain")
        if node is None or node.value is None:
            return ()
        if not isinstance(node, ListNode):
            self.error("ARC103", f"'keychain' must be a list, not {node.kind}", node.position)
            return ()
        entries: list[KeychainEntry] = []
        for child in node.value:
            if not isinstance(child, MapNode):
                self.error(
                    "ARC103",
                    f"a keychain entry must be a mapping, not {child.kind}",
                    child.position,
                )
                continue
            name = self._text(child, "name", required=True)
            kind = self._text(child, "kind") or _keychain_kind(child)
            self._templated(child)
            if name:
                config = {k: v for k, v in child.plain().items() if k not in ("name", "kind")}
                entries.append(
                    KeychainEntry(position=child.position, name=name, kind=kind, config=config)
                )
        return tuple(entries)

    def _workload_templates(self, node: Node | None) -> None:
        if node is None or node.value is None:
            return
        if not isinstance(node, MapNode):
            self.error("ARC103", f"'workload' must be a mapping, not {node.kind}", node.position)
            return
        self._templated(node)

    # -- steps ------------------------------------------------------------------------

    def _steps(self, root: MapNode) -> tuple[Step, ...]:
        node = root.get("workflow")
        if node is None or not isinstance(node, ListNode) or not node.value:
            place = root.key_position("workflow")
            self.error("ARC105", "'workflow' must be a list with at least one step", place)
            return ()
        steps: list[Step] = []
        for child in node.value:
            if isinstance(child, MapNode):
                steps.append(self._step(child))
            else:
                self.error("ARC103", f"a step must be a mapping, not {child.kind}", child.position)
        return tuple(steps)

    def _step(self, node: MapNode) -> Step:
        name = self._text(node, "step", required=True) or "?"
        self.step_name = name
        self._known_keys(node, "step", also=frozenset({"pipeline"}))
        spec = self._map(node, "spec")
        if spec is not None:
            self._known_keys(spec, "step_spec")
        step = Step(
            position=node.position,
            name=name,
            description=str(self._scalar(node, "desc") or ""),
            tasks=self._tasks(node, name),
            is_pipeline=node.get("pipeline") is not None,
            input=self._input(node),
            loop=self._loop(node),
            when=self._step_guard(node),
            admit=self._admission(spec),
            set=self._assignments(node.get("set"), Lifetime.CTX),
            router=self._router(node),
            join=self._join(spec),
            timeout=self._number(spec, "timeout") if spec else None,
            pool=self._text(spec, "pool") if spec else None,
        )
        output = self._output(node)
        if output is not None:
            last = step.tasks[-1]
            if last.output is None:
                tasks = (*step.tasks[:-1], _replace(last, output=output))
                step = _replace(step, tasks=tasks)
        self.step_name = ""
        return step

    def _step_guard(self, node: MapNode) -> Any:
        when = node.get("when")
        if when is None:
            return None
        self._guard(when)
        return when.plain()

    def _admission(self, spec: MapNode | None) -> tuple[AdmitRule, ...]:
        policy = self._map(spec, "policy") if spec else None
        admit = self._map(policy, "admit") if policy else None
        listed = admit.get("rules") if admit else None
        if not isinstance(listed, ListNode):
            return ()
        return tuple(self._admit_rule(r) for r in listed.value if isinstance(r, MapNode))

    def _admit_rule(self, node: MapNode) -> AdmitRule:
        when: Any = True
        body: Node | None = node.get("then")
        guard = node.get("when")
        if guard is not None:
            self._guard(guard)
            when = guard.plain()
        elif "else" in node.value:
            other = node.value["else"]
            if isinstance(other, MapNode):
                body = other.get("then") or other
        allow = body.get("allow") if isinstance(body, MapNode) else None
        if allow is None or not isinstance(allow.value, bool):
            self.error(
                "ARC130", "an admission rule needs 'then: {allow: true|false}'", node.position
            )
        allowed = bool(allow.value) if allow is not None else True
        return AdmitRule(position=node.position, when=when, allow=allowed)

    def _join(self, spec: MapNode | None) -> int:
        node = spec.get("join") if spec else None
        if node is None or node.value in (None, "all"):
            return 0
        if node.value == "any":
            return 1
        if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value >= 1:
            return node.value
        self.error(
            "ARC131", f"'join' must be all, any or a number, not {node.value!r}", node.position
        )
        return 0

    # -- loops ------------------------------------------------------------------------

    def _loop(self, step: MapNode) -> Loop | None:
        node = self._map(step, "loop")
        if node is None:
            return None
        self._known_keys(node, "loop")
        spec = self._map(node, "spec")
        if spec is not None:
            self._known_keys(spec, "loop_spec")
        iterator = self._text(node, "iterator") or ""
        if not iterator.isidentifier():
            place = node.key_position("iterator")
            self.error("ARC140", "a loop needs 'iterator': the name of one item", place)
            iterator = "item"
        cursor = self._cursor(node)
        default = LoopMode.CURSOR if cursor else LoopMode.SEQUENTIAL
        mode = self._choice(spec, "mode", LoopMode, default)
        items = node.get("in")
        self._loop_source(node, mode, items, cursor)
        return Loop(
            position=node.position,
            iterator=iterator,
            mode=mode,
            items=self._templated(items),
            cursor=cursor,
            max_in_flight=self._number(spec, "max_in_flight", least=1) if spec else None,
            on_error=self._choice(spec, "on_error", OnError, OnError.FAIL),
            frame=self._frame(spec),
        )

    def _loop_source(
        self, node: MapNode, mode: LoopMode, items: Node | None, cursor: Cursor | None
    ) -> None:
        if mode is LoopMode.CURSOR:
            if cursor is None or not cursor.claim:
                self.error("ARC141", "a cursor loop needs 'cursor' with a 'claim'", node.position)
        elif items is None or items.value in (None, ""):
            hint = "write 'in: \"{{ name_of_a_list }}\"'"
            self.error("ARC142", f"a {mode} loop needs 'in': the items", node.position, hint)
        if items is not None and cursor is not None:
            self.error("ARC143", "a loop has either 'in' or 'cursor', not both", node.position)

    def _cursor(self, loop: MapNode) -> Cursor | None:
        node = self._map(loop, "cursor")
        if node is None:
            return None
        self._known_keys(node, "cursor")
        claim = self._text(node, "claim") or self._text(node, "query") or ""
        self._templated(node)
        return Cursor(
            position=node.position,
            kind=self._text(node, "kind") or "postgres",
            auth=self._value(node, "auth"),
            claim=claim,
            options=self._plain_map(node, "options"),
        )

    def _frame(self, spec: MapNode | None) -> Frame:
        node = self._map(spec, "frame") if spec else None
        if node is None:
            return Frame()
        self._known_keys(node, "frame")
        process = self._text(node, "process") or "row"
        if process not in ("row", "frame"):
            place = node.key_position("process")
            self.error("ARC144", f"'process' must be row or frame, not {process!r}", place)
        return Frame(
            position=node.position,
            rows_max=self._number(node, "max_rows", least=1) or 1,
            row_concurrency=self._number(node, "row_concurrency", least=1) or 1,
            process=process,
            lease_seconds=self._number(node, "lease_seconds"),
            heartbeat_seconds=self._number(node, "heartbeat_seconds"),
            attempts_max=self._number(node, "max_attempts", least=1),
        )

    # -- tasks ------------------------------------------------------------------------

    def _tasks(self, step: MapNode, name: str) -> tuple[Task, ...]:
        node = step.get("tool")
        nothing = Task(position=step.position, label=f"{name}_task", kind="noop")
        if node is None or node.value is None:
            hint = "write 'tool: {kind: noop}' for a step that only routes"
            if step.get("command") or step.get("query") or step.get("code"):
                hint = "the step's own keys belong below 'tool'"
            self.error(
                "ARC106", f"step {name!r} has no tool: 'tool' is required", step.position, hint
            )
            return (nothing,)
        if not isinstance(node, ListNode):
            self.error(
                "ARC103", f"'tool' must be a mapping or a list, not {node.kind}", node.position
            )
            return (nothing,)
        if not node.value:
            self.error("ARC107", "a pipeline needs at least one task", node.position)
            return (nothing,)
        tasks: list[Task] = []
        for child in node.value:
            if isinstance(child, MapNode):
                tasks.append(self._task(child))
            else:
                self.error("ARC103", f"a task must be a mapping, not {child.kind}", child.position)
        return tuple(tasks) or (nothing,)

    def _task(self, node: MapNode) -> Task:
        label = str(self._scalar(node, "name") or "task")
        kind_name = self._text(node, "kind")
        if kind_name is None:
            self.error("ARC108", f"task {label!r} needs a 'kind': which tool it is", node.position)
            kind_name = "noop"
        kind = self.kinds.kind(kind_name)
        if kind is None:
            hint = did_you_mean(kind_name, self.kinds.names())
            place = node.value["kind"].position
            self.error("ARC401", f"there is no tool kind {kind_name!r}", place, hint)
        config, places = self._config(node, kind)
        return Task(
            position=node.position,
            label=label,
            kind=kind.name if kind else kind_name,
            config=config,
            input=self._input(node),
            auth=self._templated(node.get("auth")),
            set=self._assignments(node.get("set"), Lifetime.LOCAL),
            rules=self._rules(node),
            timeout=self._number(node, "timeout"),
            redelivery=self._choice(node, "redelivery", Redelivery, Redelivery.ALLOWED),
            output=self._output(node),
            places=places,
        )

    def _config(
        self, node: MapNode, kind: Kind | None
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
                self._unknown_param(key, node, kind)
            if param is not None and param.treatment is Treatment.CODE:
                self._code(value)
            elif param is None or param.treatment is Treatment.RENDER:
                self._templated(value)
            if param is not None:
                self._param_type(param.schema, value, key)
        if kind is not None:
            self._required(node, kind, config)
        return config, places

    def _unknown_param(self, key: str, node: MapNode, kind: Kind) -> None:
        known = [p.name for p in kind.params] + list(_COMMON)
        message = f"tool kind {kind.name!r} has no parameter {key!r}; it is ignored"
        self.warning("ARC403", message, node.key_position(key), did_you_mean(key, known))

    def _required(self, node: MapNode, kind: Kind, config: dict[str, Any]) -> None:
        for param in kind.params:
            if param.required and config.get(param.name) is None:
                message = f"tool kind {kind.name!r} requires {param.name!r}"
                self.error("ARC402", message, node.position)
        for group in kind.any_of:
            if not any(config.get(name) is not None for name in group):
                names = " or ".join(repr(name) for name in group)
                what = (
                    "no SQL command provided: " if "command" in group and "query" in group else ""
                )
                message = f"{what}tool kind {kind.name!r} requires {names}"
                self.error("ARC402", message, node.position)

    def _param_type(self, schema: dict[str, Any], node: Node, key: str) -> None:
        wanted = schema.get("type")
        if wanted is None or node.value is None:
            return
        if isinstance(node.value, str) and is_template(node.value):
            return
        types = {wanted} if isinstance(wanted, str) else set(wanted)
        if not (_json_types(node) & types):
            what = " or ".join(sorted(types))
            self.error("ARC404", f"{key!r} must be {what}, not {node.kind}", node.position)
        choices = schema.get("enum")
        if choices and node.value not in choices and str(node.value).upper() not in choices:
            hint = did_you_mean(str(node.value), [str(c) for c in choices])
            self.error(
                "ARC405",
                f"{key!r} must be one of {choices}, not {node.value!r}",
                node.position,
                hint,
            )

    def _output(self, node: MapNode) -> OutputSpec | None:
        found = node.get("output")
        if not isinstance(found, MapNode):
            return None
        self._known_keys(found, "output")
        select = found.get("select")
        names = select.plain() if isinstance(select, ListNode) else []
        store = found.get("store")
        kind = store.get("kind") if isinstance(store, MapNode) else store
        inline = self._number(found, "inline_max_bytes", least=0)
        return OutputSpec(
            position=found.position,
            select=tuple(str(n) for n in names),
            inline_bytes_max=inline if isinstance(inline, int) else None,
            store=str(kind.value) if kind is not None else "auto",
        )

    # -- policy rules -----------------------------------------------------------------

    def _rules(self, task: MapNode) -> tuple[Rule, ...]:
        spec = self._map(task, "spec")
        if spec is not None:
            self._known_keys(spec, "task_spec")
        policy = self._map(spec, "policy") if spec else None
        if policy is None:
            return ()
        self._known_keys(policy, "policy", also=frozenset({"admit"}))
        rules = policy.get("rules")
        if not isinstance(rules, ListNode):
            self.error("ARC150", "'policy' needs 'rules': a list", policy.position)
            return ()
        return tuple(self._rule(r) for r in rules.value if self._is_map(r, "a rule"))  # type: ignore[arg-type]

    def _rule(self, node: MapNode) -> Rule:
        self._known_keys(node, "rule")
        when: Any = True
        guard = node.get("when")
        if guard is not None:
            self._guard(guard)
            when = guard.plain()
        then = node.get("then")
        if not isinstance(then, MapNode):
            if then is not None or guard is not None:
                self.error("ARC151", "a rule needs 'then': what to do", node.position)
            then = MapNode({}, node.position, {})
        self._known_keys(then, "then")
        do = self._choice(then, "do", Do, Do.CONTINUE) if then.value else None
        if do is Do.JUMP and self._text(then, "to") is None:
            self.error("ARC152", "'do: jump' needs 'to': the label of a task", then.position)
        return Rule(
            position=node.position,
            when=when,
            do=do,
            attempts=self._number(then, "attempts", least=1) or 3,
            backoff=self._choice(then, "backoff", Backoff, _backoff_unwritten(then)),
            delay=1.0 if (delay := self._number(then, "delay", least=0)) is None else delay,
            delay_max=self._number(then, "max_delay", least=0),
            to=self._text(then, "to"),
            set=self._assignments(then.get("set"), Lifetime.LOCAL),
        )

    # -- routing ----------------------------------------------------------------------

    def _router(self, step: MapNode) -> Router:
        node = self._map(step, "next")
        if node is None:
            return Router(position=step.position)
        self._known_keys(node, "next")
        spec = self._map(node, "spec")
        if spec is not None:
            self._known_keys(spec, "next_spec")
        arcs = node.get("arcs")
        found: list[Arc] = []
        if not isinstance(arcs, ListNode):
            self.error("ARC109", "'next' needs 'arcs': a list", node.position)
        else:
            found = [self._arc(a) for a in arcs.value if self._is_map(a, "an arc")]  # type: ignore[arg-type]
        return Router(
            position=node.position,
            mode=self._choice(spec, "mode", RouterMode, RouterMode.EXCLUSIVE),
            on_no_match=self._choice(spec, "on_no_match", NoMatch, NoMatch.COMPLETE),
            arcs=tuple(found),
        )

    def _arc(self, node: MapNode) -> Arc:
        self._known_keys(node, "arc")
        when = node.get("when")
        if when is not None:
            self._guard(when)
        return Arc(
            position=node.position,
            to=self._text(node, "step", required=True) or "?",
            when=when.plain() if when is not None else None,
            set=self._assignments(node.get("set"), Lifetime.CTX),
        )

    def _assignments(self, node: Node | None, bare: Lifetime) -> tuple[Assignment, ...]:
        if node is None or node.value is None:
            return ()
        if not isinstance(node, MapNode):
            self.error("ARC103", f"'set' must be a mapping, not {node.kind}", node.position)
            return ()
        found: list[Assignment] = []
        for key, value in node.items():
            self._templated(value)
            head, _, rest = key.partition(".")
            lifetime = _LIFETIMES.get(head) if rest else None
            path = tuple((rest if lifetime else key).split("."))
            if not all(path):
                self.error("ARC160", f"'set' key {key!r} has an empty part", node.key_position(key))
                continue
            place = node.key_position(key)
            found.append(
                Assignment(
                    position=place, lifetime=lifetime or bare, path=path, value=value.plain()
                )
            )
        return tuple(found)

    # -- values -----------------------------------------------------------------------

    def _input(self, node: MapNode) -> dict[str, Any]:
        found = node.get("input")
        if found is None or found.value is None:
            return {}
        if not isinstance(found, MapNode):
            self.error("ARC103", f"'input' must be a mapping, not {found.kind}", found.position)
            return {}
        self._templated(found)
        return found.plain()

    def _templated(self, node: Node | None) -> Any:
        """Check every template in a value, and return the value."""
        if node is None:
            return None
        if isinstance(node, MapNode):
            for child in node.value.values():
                self._templated(child)
        elif isinstance(node, ListNode):
            for child in node.value:
                self._templated(child)
        elif isinstance(node.value, str) and is_template(node.value):
            try:
                compile_value(node.value)
            except TemplateError as error:
                self._template_error(node, error)
        return node.plain()

    def _code(self, node: Node) -> None:
        if isinstance(node.value, str) and is_template(node.value):
            template = compile_code(node.value)
            if not template.is_literal and template.names:
                hint = "hand values to code by 'input'; they arrive as variables"
                self.warning("ARC304", "code has templates in it", node.position, hint)

    def _guard(self, node: Node) -> None:
        if isinstance(node.value, (bool, int)):
            return
        if not isinstance(node.value, str):
            self.error(
                "ARC302", f"a guard must be text or a boolean, not {node.kind}", node.position
            )
            return
        text = node.value
        if not text.strip() or (
            "{" in text and "{{" not in text and "{%" not in text and ":" not in text
        ):
            hint = "write \"{{ name == 'value' }}\""
            self.error("ARC302", f"the guard {text!r} is not an expression", node.position, hint)
            return
        try:
            compile_condition(text)
        except TemplateError as error:
            self._template_error(node, error)

    def _template_error(self, node: Node, error: TemplateError) -> None:
        line = node.position.line + max(error.line - 1, 0)
        column = node.position.column if error.line <= 1 else 1
        self.error("ARC301", f"{error.reason}: {error.template}", Position(line, column))

    def _map(self, node: MapNode | None, key: str, *, required: bool = False) -> MapNode | None:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position)
            return None
        if not isinstance(found, MapNode):
            self.error("ARC103", f"{key!r} must be a mapping, not {found.kind}", found.position)
            return None
        return found

    def _is_map(self, node: Node, what: str) -> bool:
        if isinstance(node, MapNode):
            return True
        self.error("ARC103", f"{what} must be a mapping, not {node.kind}", node.position)
        return False

    def _plain_map(self, node: MapNode, key: str) -> dict[str, Any]:
        found = node.get(key)
        return found.plain() if isinstance(found, MapNode) else {}

    def _value(self, node: MapNode | None, key: str) -> Any:
        found = node.get(key) if node is not None else None
        return found.plain() if found is not None else None

    def _scalar(self, node: MapNode | None, key: str) -> Any:
        found = node.get(key) if node is not None else None
        return None if found is None or isinstance(found, (MapNode, ListNode)) else found.value

    def _text(self, node: MapNode | None, key: str, *, required: bool = False) -> str | None:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            if required and node is not None:
                self.error("ARC110", f"{key!r} is required", node.position)
            return None
        if isinstance(found.value, str):
            return found.value
        if isinstance(found.value, (int, float)) and not isinstance(found.value, bool):
            return str(found.value)
        self.error("ARC103", f"{key!r} must be text, not {found.kind}", found.position)
        return None

    def _bool(self, node: MapNode, key: str) -> bool | None:
        value = self._scalar(node, key)
        if value is None or isinstance(value, bool):
            return value
        self.error("ARC103", f"{key!r} must be true or false", node.value[key].position)
        return None

    def _number(self, node: MapNode | None, key: str, *, least: float | None = None) -> Any:
        """Return a number or a template that will yield one."""
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            return None
        value = found.value
        if isinstance(value, str) and is_template(value):
            return self._templated(found)
        number = _as_number(value)
        if number is None:
            self.error("ARC103", f"{key!r} must be a number, not {value!r}", found.position)
        elif least is not None and number < least:
            self.error(
                "ARC111", f"{key!r} must be at least {least:g}, not {value!r}", found.position
            )
        return number

    def _choice(self, node: MapNode | None, key: str, choices: type[E], default: E) -> E:
        found = node.get(key) if node is not None else None
        if found is None or found.value is None:
            return default
        text = str(found.value).lower()
        for choice in choices:
            if choice.value == text:
                return choice
        names = [c.value for c in choices]
        hint = did_you_mean(text, names)
        message = f"{key!r} must be one of {', '.join(names)}, not {found.value!r}"
        self.error("ARC112", message, found.position, hint)
        return default

    # -- diagnostics ------------------------------------------------------------------

    def error(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Note an error at a place of the present step."""
        self.report.error(code, message, position, hint, self.step_name)

    def warning(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """Note a warning at a place of the present step."""
        self.report.warning(code, message, position, hint, self.step_name)

    def _known_keys(self, node: MapNode, table: str, also: frozenset[str] = frozenset()) -> None:
        known = grammar.TABLES[table]
        for key in node.value:
            if key not in known and key not in also:
                self._unknown_key(key, node, known)

    def _unknown_key(self, key: str, node: MapNode, known: grammar.Keys) -> None:
        message = f"key {key!r} is not known here; it is ignored"
        self.warning("ARC113", message, node.key_position(key), did_you_mean(key, known))


def _backoff_unwritten(then: MapNode) -> Backoff:
    """Return the backoff of a rule that writes none: a written delay is meant."""
    return Backoff.NONE if then.get("delay") is None else Backoff.FIXED


def _replace(part: Any, **changes: Any) -> Any:
    fields = {name: getattr(part, name) for name in part.__struct_fields__}
    return type(part)(**{**fields, **changes})


def _root_data(root: MapNode) -> dict[str, Any]:
    """Return mappings at the root that are not of the language: data for templates."""
    return {
        key: node.plain()
        for key, node in root.items()
        if key not in grammar.PLAYBOOK and isinstance(node, MapNode)
    }


def _keychain_kind(node: MapNode) -> str:
    if node.get("provider") is not None:
        return "secrets"
    if node.get("credential") is not None or node.get("ref") is not None:
        return "credential"
    kind = node.get("type")
    return str(kind.value) if kind is not None else "credential"


def _as_number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        text = str(value).strip()
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return None


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
        number = _as_number(value)
        if number is not None:
            found |= {"number", "integer"} if isinstance(number, int) else {"number"}
        return found | ({"boolean"} if value.lower() in ("true", "false") else set())
    return {"null"}
