"""A playbook prepared to run: its graph and compiled templates, built once and shared.

Everything that does not depend on an execution is computed here, so that deciding only
looks up and renders.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Any, Final, NamedTuple

from arcbook.dsl.graph import Graph, build
from arcbook.dsl.kinds import Kind, Kinds, Treatment
from arcbook.dsl.model import (
    Assignment,
    Backoff,
    Do,
    Lifetime,
    Loop,
    LoopMode,
    NoMatch,
    OnError,
    OutputSpec,
    Playbook,
    Redelivery,
    RouterMode,
    Rule,
    Step,
    Task,
)
from arcbook.dsl.names import KnownNames, names_everywhere
from arcbook.template.code import compile_code, uses_name
from arcbook.template.names import NO_NAMES, Names, merge
from arcbook.template.render import Literal, Template, compile_condition, compile_value
from arcbook.template.script import compile_script


class PlanSet(NamedTuple):
    """A compiled ``set`` entry."""

    lifetime: Lifetime
    path: tuple[str, ...]
    value: Template


class PlanRule(NamedTuple):
    """A compiled policy rule."""

    when: Template | None
    do: Do | None
    attempts: Template
    backoff: Backoff
    delay: Template
    delay_max: Template | None
    #: Position of the task to jump to.
    to: int
    set: tuple[PlanSet, ...]


class PlanTask(NamedTuple):
    """A compiled task."""

    label: str
    kind: str
    config: Template
    input: Template
    auth: Template | None
    set: tuple[PlanSet, ...]
    rules: tuple[PlanRule, ...]
    timeout: Template | None
    redelivery: Redelivery
    output: OutputSpec | None
    where: str


class PlanArc(NamedTuple):
    """A compiled arc."""

    order: int
    to: str
    when: Template | None
    set: tuple[PlanSet, ...]
    #: Whether its guard mentions the error, so that it may catch a failure.
    catches: bool


class PlanLoop(NamedTuple):
    """A compiled loop."""

    iterator: str
    mode: LoopMode
    items: Template | None
    claim: PlanTask | None
    in_flight_max: Template | None
    on_error: OnError
    rows_max: Template
    row_concurrency: Template
    process: str


class PlanSecret(NamedTuple):
    """A compiled entry of the keychain."""

    name: str
    kind: str
    config: Template


class PlanStep(NamedTuple):
    """A compiled step."""

    order: int
    name: str
    tasks: tuple[PlanTask, ...]
    is_pipeline: bool
    routes_only: bool
    input: Template
    loop: PlanLoop | None
    when: Template | None
    admit: tuple[tuple[Template, bool], ...]
    set: tuple[PlanSet, ...]
    arcs: tuple[PlanArc, ...]
    inclusive: bool
    on_no_match: NoMatch
    join: int
    timeout: Template | None
    pool: str | None
    #: Names that its tasks may read; a command carries no others.
    reads: tuple[str, ...]
    #: Whether it may read names beyond those, for example by passing on all of ``ctx``.
    reads_everything: bool
    reads_workload: bool
    reads_payload: bool
    #: Whether it reads the previous step's result as ``result`` or ``output``.
    reads_previous: bool
    #: How much of a task's data is kept inline, by label, where specified.
    outputs: dict[str, OutputSpec]
    #: Whether a task of it must not run twice.
    has_never: bool
    #: Whether it is entered, and left, without evaluating a template.
    enters_plainly: bool
    leaves_plainly: bool


class Plan:
    """A playbook ready to run."""

    __slots__ = (
        "by_name",
        "graph",
        "keychain",
        "output",
        "playbook",
        "steps",
        "timeout",
        "uses_secrets",
    )

    def __init__(self, playbook: Playbook, kinds: Kinds) -> None:
        self.playbook = playbook
        self.graph: Graph = build(
            [s.name for s in playbook.steps],
            [[a.to for a in s.router.arcs] for s in playbook.steps],
        )
        self.keychain = {
            entry.name: PlanSecret(entry.name, entry.kind, compile_value(entry.config))
            for entry in playbook.keychain
        }
        # A step may need a secret if it receives data from a step that used it.
        names = merge(secret.config.names for secret in self.keychain.values())
        known_names = _KnownNames(playbook)
        self.steps = tuple(
            _with_names(_step(i, s, kinds, known_names), names)
            for i, s in enumerate(playbook.steps)
        )
        self.by_name = {s.name: s for s in self.steps}
        self.output = None if playbook.output is None else compile_value(playbook.output)
        self.timeout = _optional(playbook.timeout)
        self.uses_secrets = bool(playbook.keychain) or any(
            task.auth is not None or "keychain" in step.reads
            for step in self.steps
            for task in (*step.tasks, *([step.loop.claim] if step.loop and step.loop.claim else ()))
        )


class _KnownNames:
    """The names that a step's templates may read, computed on first use."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        self._everywhere: frozenset[str] | None = None

    def of(self, step: Step) -> KnownNames:
        if self._everywhere is None:
            self._everywhere = names_everywhere(self._playbook)
        return KnownNames(self._everywhere, step)


def _step(order: int, step: Step, kinds: Kinds, known_names: _KnownNames) -> PlanStep:
    labels = {task.label: i for i, task in enumerate(step.tasks)}
    tasks = tuple(
        _task(task, i, labels, kinds, f"steps.{step.name}.tool", partial(known_names.of, step))
        for i, task in enumerate(step.tasks)
    )
    loop = _loop(step, kinds) if step.loop else None
    input_ = compile_value(step.input)
    names = merge([input_.names, *(_task_names(task) for task in tasks)])
    if loop and loop.claim:
        names |= _task_names(loop.claim)
    return PlanStep(
        order=order,
        name=step.name,
        tasks=tasks,
        is_pipeline=step.is_pipeline,
        routes_only=step.routes_only,
        input=input_,
        loop=loop,
        when=None if step.when is None else compile_condition(step.when),
        admit=tuple((compile_condition(rule.when), rule.allow) for rule in step.admit),
        set=_sets(step.set),
        arcs=tuple(_arc(i, arc, step.name) for i, arc in enumerate(step.router.arcs)),
        inclusive=step.router.mode is RouterMode.INCLUSIVE,
        on_no_match=step.router.on_no_match,
        join=step.join,
        timeout=_optional(step.timeout),
        pool=step.pool,
        reads=tuple(sorted({_root_read(name) for name in names})),
        # Python's `context` holds every name.
        reads_everything=any(_code_uses("context", t, kinds) for t in step.tasks)
        or ("ctx",) in names
        or ("steps",) in names,
        reads_workload=("workload",) in names
        or any(_code_uses("workload", t, kinds) for t in step.tasks),
        reads_payload=any(name[0] in ("payload", "input") for name in names),
        reads_previous=any(name[0] in ("result", "output", "_prev") for name in names),
        outputs={t.label: t.output for t in step.tasks if t.output is not None},
        has_never=any(t.redelivery is Redelivery.NEVER for t in step.tasks),
        enters_plainly=not (step.when is not None or step.admit or step.loop or step.timeout),
        leaves_plainly=not step.set
        and all(arc.when is None and not arc.set for arc in step.router.arcs),
    )


def _with_names(step: PlanStep, names: Names) -> PlanStep:
    """Return the step with further names for its commands to carry."""
    if not names:
        return step
    return step._replace(
        reads=tuple(sorted({*step.reads, *(_root_read(name) for name in names)})),
        reads_workload=step.reads_workload or ("workload",) in names,
        reads_payload=step.reads_payload or any(n[0] in ("payload", "input") for n in names),
    )


def _task(
    task: Task,
    at: int,
    labels: dict[str, int],
    kinds: Kinds,
    where: str,
    known_names: Callable[[], Container[str]],
) -> PlanTask:
    kind = kinds.kind(task.kind)
    return PlanTask(
        label=task.label,
        kind=task.kind,
        config=_config(task.config, kind, known_names),
        input=compile_value(task.input),
        auth=_optional(task.auth),
        set=_sets(task.set),
        rules=tuple(_rule(rule, at, labels) for rule in task.rules),
        timeout=_optional(task.timeout),
        redelivery=task.redelivery,
        output=task.output,
        where=f"{where}.{task.label}",
    )


def _config(
    config: dict[str, Any], kind: Kind | None, known_names: Callable[[], Container[str]]
) -> Template:
    """Compile a tool's parameters, each as its kind declares."""
    literal: dict[str, Any] = {}
    compiled: dict[str, Template] = {}
    for key, value in config.items():
        param = kind.param(key) if kind else None
        treatment = param.treatment if param else Treatment.RENDER
        if treatment is Treatment.RAW:
            template: Template = Literal(value)
        elif treatment is Treatment.CODE:
            template = compile_code(value)
        elif treatment is Treatment.SCRIPT:
            template = compile_script(value, known_names())
        else:
            template = compile_value(value)
        if template.is_literal:
            literal[key] = value
        compiled[key] = template
    return Literal(config) if len(literal) == len(config) else Fields(compiled)


class Fields(Template):
    """A mapping with literal keys and compiled values."""

    __slots__ = ("fields", "names")

    def __init__(self, fields: dict[str, Template]) -> None:
        self.fields = tuple(fields.items())
        self.names = merge(t.names for t in fields.values())

    def render(self, scope: Any) -> dict[str, Any]:
        return {key: template.render(scope) for key, template in self.fields}

    evaluate = render


def _rule(rule: Rule, at: int, labels: dict[str, int]) -> PlanRule:
    always = rule.when is True
    return PlanRule(
        when=None if always else compile_condition(rule.when),
        do=rule.do,
        attempts=compile_value(rule.attempts),
        backoff=rule.backoff,
        delay=compile_value(rule.delay),
        delay_max=_optional(rule.delay_max),
        to=labels.get(rule.to, max(at - 1, 0)) if rule.to else at,
        set=_sets(rule.set),
    )


def _loop(step: Step, kinds: Kinds) -> PlanLoop:
    loop = step.loop
    assert loop is not None
    return PlanLoop(
        iterator=loop.iterator,
        mode=loop.mode,
        items=_optional(loop.items),
        claim=_claim(step, loop, kinds) if loop.cursor else None,
        in_flight_max=_optional(loop.max_in_flight),
        on_error=loop.on_error,
        rows_max=compile_value(loop.frame.rows_max),
        row_concurrency=compile_value(loop.frame.row_concurrency),
        process=loop.frame.process,
    )


def _claim(step: Step, loop: Loop, kinds: Kinds) -> PlanTask:
    """Return a cursor's claim as a task."""
    cursor = loop.cursor
    assert cursor is not None
    kind = kinds.kind(cursor.kind)
    statement = "query" if kind and kind.param("query") else "command"
    task = Task(
        label="claim",
        kind=cursor.kind,
        config={**cursor.options, statement: cursor.claim},
        auth=cursor.auth,
    )
    return _task(task, 0, {}, kinds, f"steps.{step.name}.loop", frozenset)


def _arc(order: int, arc: Any, step: str) -> PlanArc:
    when = None if arc.when is None else compile_condition(arc.when)
    return PlanArc(
        order=order,
        to=arc.to,
        when=when,
        set=_sets(arc.set),
        catches=when is not None and _mentions_error(when.names, step),
    )


_EXITS: Final = frozenset({"exit_code", "returncode", "status_code"})
"""Result fields that report how a call ended."""


def _mentions_error(names: Names, step: str) -> bool:
    """Return whether a guard reads how its step ended, and so may fire after a failure."""
    return any(name[0] in ("event", "error") or _asks_how_it_ended(name, step) for name in names)


def _asks_how_it_ended(name: tuple[str, ...], step: str) -> bool:
    path = name[1:] if name[0] in ("steps", "ctx") else name
    if path[:1] not in (("output",), ("result",), (step,)):
        return False
    below = path[2:3] if path[1:2] in (("data",), ("result",)) else path[1:2]
    if path[0] == "result":
        return below in {(field,) for field in _EXITS}
    return path[1:2] in (("status",), ("error",), ("http",)) or bool(_EXITS.intersection(below))


def _sets(assignments: tuple[Assignment, ...]) -> tuple[PlanSet, ...]:
    return tuple(PlanSet(a.lifetime, a.path, compile_value(a.value)) for a in assignments)


def _optional(value: Any) -> Template | None:
    return None if value is None else compile_value(value)


def _task_names(task: PlanTask) -> Names:
    parts = [task.config.names, task.input.names]
    parts += [t.names for t in (task.auth, task.timeout) if t is not None]
    parts += [s.value.names for s in task.set]
    for rule in task.rules:
        parts += [rule.attempts.names, rule.delay.names]
        parts += [t.names for t in (rule.when, rule.delay_max) if t is not None]
        parts += [s.value.names for s in rule.set]
    return merge(parts) if parts else NO_NAMES


def _root_read(name: tuple[str, ...]) -> str:
    """Return the name that a path reads: the part after ``ctx``, ``steps`` or ``workload``."""
    return name[1] if len(name) > 1 and name[0] in _ROOTS else name[0]


_ROOTS: Final = frozenset({"ctx", "steps", "workload"})


def _code_uses(name: str, task: Task, kinds: Kinds) -> bool:
    """Return whether a task's code reads a name that is passed only on request."""
    kind = kinds.kind(task.kind)
    if kind is None:
        return False
    return any(
        param.treatment is Treatment.CODE and uses_name(str(task.config.get(param.name, "")), name)
        for param in kind.params
    )
