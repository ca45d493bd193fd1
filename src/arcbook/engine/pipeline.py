"""A step's tasks as one resumable generator, which yields requests and receives answers.

Workers and the command line drive the same generator. It does no I/O: it requests a tool
call, a pause, data stored by reference, or a checkpoint. At each request
:meth:`Pipeline.snapshot` returns its whole state, from which another process can continue.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from arcbook.dsl.model import Backoff, Do, Lifetime, Redelivery
from arcbook.engine.fold import write
from arcbook.engine.keychain import Opened, SecretNeededError, SecretUnavailableError
from arcbook.engine.numbers import count, duration, time_limit
from arcbook.engine.plan import PlanRule, PlanSet, PlanStep, PlanTask
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.engine.views import (
    Loaded,
    NeedsData,
    StepView,
    labelled,
    outcome_view,
    result_view,
    step_output,
    value_view,
)
from arcbook.events.types import ResultRef, StepResult, Try, Value, Write
from arcbook.outcome import ERROR, OK, ErrorInfo, ErrorKind, Outcome, failed
from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError
from arcbook.template.limits import TASK_UNITS_MAX
from arcbook.template.render import Template

TASK_RUNS_MAX: Final = 1_000_000
"""Maximum tool calls in one run of a pipeline; bounds loops made with ``jump``."""

DELAY_SECONDS_MAX: Final = 24 * 3600.0
"""Longest pause between two tries."""

ATTEMPTS_MAX: Final = 10_000
"""Maximum tries of one task."""

PRINTED_CHARACTERS_MAX: Final = 4096
"""Characters of a visit's printed output that its event keeps, from the end."""

TRIES_KEPT_MAX: Final = 20
"""Tries of one pipeline that are recorded; further ones are only counted."""


class Call(NamedTuple):
    """Request: call a tool. The answer is an :class:`Outcome`."""

    task: PlanTask
    config: dict[str, Any]
    input: dict[str, Any]
    auth: Any
    timeout_seconds: float | None
    #: Stable over deliveries and retries; differs each time the task is reached.
    idempotency_key: str
    attempt: int
    scope: ExecutionScope
    #: The job that an earlier call started, and what a callback reported of its end.
    job: str = ""
    reported: Outcome | None = None


class Pause(NamedTuple):
    """Request: wait for some seconds. The answer is ``None``."""

    seconds: float


class Load(NamedTuple):
    """Request: fetch the data of a reference into ``loaded``. The answer is ``None``."""

    ref: ResultRef


class Unlock(NamedTuple):
    """Request: fetch a secret, or why it is unavailable, into ``keychain``. Answered by ``None``."""

    name: str


class Checkpoint(NamedTuple):
    """Request: record :meth:`Pipeline.snapshot` durably. The answer is ``None``."""


Request = Call | Pause | Load | Unlock | Checkpoint


class Saved(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The saved state of a pipeline, from which another process can continue."""

    #: Position of the current task.
    cursor: int = 0
    #: Tries of the current task so far.
    tries: int = 0
    #: Number of the try that produced the current outcome.
    attempt: int = 0
    #: Tool calls so far.
    runs: int = 0
    #: How often each task was reached, by label.
    passes: dict[str, int] = {}
    #: A call of a task that must not run twice is about to start.
    entered: bool = False
    #: A call was made and its outcome is pending.
    awaiting: bool = False
    #: The job that the current task waits for.
    job: str = ""
    results: StepResult = StepResult()
    iter: dict[str, Any] = {}
    local: dict[str, Any] = {}
    step: dict[str, Any] = {}
    writes: list[Write] = []
    #: The end of what the tasks printed.
    printed: str = ""
    #: Number of retries, and the first failed tries.
    retries: int = 0
    before: list[Try] = []
    #: The last outcome, whose data is in ``results``.
    outcome: Outcome | None = None


class IterationResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a run of a pipeline ended."""

    result: StepResult
    #: ``ok``, or ``error`` if the step or iteration failed.
    status: str = OK
    error: ErrorInfo | None = None
    writes: list[Write] = []
    locals: dict[str, Any] = {}
    warnings: list[str] = []
    #: The end of what the tasks printed.
    printed: str = ""
    #: Number of retries.
    retries: int = 0
    #: The first tries that were followed by a retry.
    tries: list[Try] = []


class _Stop(Exception):  # noqa: N818  # control flow, not an error
    def __init__(self, status: str, error: ErrorInfo | None = None) -> None:
        self.status = status
        self.error = error


class Pipeline:
    """One run of a step's tasks."""

    def __init__(  # noqa: PLR0913  # the dependencies of a run
        self,
        step: PlanStep,
        context: Context,
        *,
        key: str,
        data: dict[str, Any],
        now: Callable[[], int],
        loaded: Loaded,
        iteration: dict[str, Any] | None = None,
        saved: Saved | None = None,
        resumed_with: Outcome | None = None,
        env: dict[str, str] | None = None,
        keychain: Opened | None = None,
    ) -> None:
        self.step = step
        self.context = context
        self.key = key
        self.saved = saved or Saved()
        self.loaded = loaded
        self._resumed_with = resumed_with
        self._warnings: list[str] = []
        self._is_iteration = iteration is not None
        #: The last outcome, without its data.
        self._outcome = self.saved.outcome
        # Layers of names, updated in place.
        self._task_input: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._own: dict[str, Any] = {}
        self._step_input: dict[str, Any] = {}
        self.scope = ExecutionScope(
            context,
            data=data,
            now=now,
            loaded=loaded,
            layers=(
                iteration or {},
                self._task_input,
                self.saved.local,
                self._values,
                self._own,
                self._step_input,
                self.saved.step,
                context.locals,
            ),
            env=env,
            keychain={} if keychain is None else keychain,
            budget=Budget(TASK_UNITS_MAX),
        )
        self.scope.inputs = (self._step_input, self._task_input)
        if iteration is not None and step.loop is not None:
            base = {"item": iteration[step.loop.iterator], "index": iteration["loop_index"]}
            self.saved.iter = {**base, **iteration, **self.saved.iter}
        if self.saved.writes:
            context.ctx = dict(context.ctx)
            write(context.ctx, self.saved.writes)

    def snapshot(self) -> Saved:
        """Return the state from which another process can continue."""
        saved = self.saved
        if self._outcome is not None:
            saved.outcome = msgspec.structs.replace(self._outcome, data=None, meta={})
        return saved

    # -- the run ----------------------------------------------------------------------

    def run(self) -> Generator[Request, Any, IterationResult]:
        """Run the tasks, yielding requests; return how the run ended."""
        try:
            yield from self._ready()
            yield from self._tasks()
            status, error = OK, None
        except _Stop as stop:
            status, error = stop.status, stop.error
        saved = self.saved
        results = saved.results
        if status == ERROR and self._is_iteration:
            results = msgspec.structs.replace(results, failed=True, error=error or results.error)
        return IterationResult(
            result=results,
            status=status,
            error=error,
            writes=saved.writes,
            locals=saved.step,
            warnings=self._warnings,
            printed=saved.printed,
            retries=saved.retries,
            tries=saved.before,
        )

    def _tasks(self) -> Generator[Request, Any, None]:
        saved, tasks = self.saved, self.step.tasks
        while saved.cursor < len(tasks):
            task = tasks[saved.cursor]
            if saved.job:
                outcome = yield from self._look(task)
            elif saved.awaiting:
                outcome = self._resumed_with or _lost()
                saved.awaiting = saved.entered = False
            elif saved.entered:
                outcome = _lost()
                saved.entered = False
            else:
                outcome = yield from self._call(task)
            self._record(task, outcome)
            yield from self._write(task.set, task.where)
            yield from self._follow(task, outcome)

    def _call(self, task: PlanTask) -> Generator[Request, Any, Outcome]:
        saved = self.saved
        if saved.runs >= TASK_RUNS_MAX:
            message = f"the pipeline did not end within {TASK_RUNS_MAX:,} tool calls"
            return failed(ErrorKind.LIMIT, message, where=task.where)
        saved.runs += 1
        saved.tries += 1
        if saved.tries == 1:
            saved.passes[task.label] = saved.passes.get(task.label, 0) + 1
        try:
            call = yield from self._loading(lambda: self._prepare(task))
        except TemplateError as error:
            return template_failure(error, task.where)
        if task.redelivery is Redelivery.NEVER:
            saved.entered = True
            yield Checkpoint()
        saved.awaiting = True
        outcome: Outcome = yield call
        saved.awaiting = saved.entered = False
        return outcome

    def _look(self, task: PlanTask) -> Generator[Request, Any, Outcome]:
        """Call a task's tool once more, about the job that it started."""
        saved = self.saved
        try:
            call: Call = yield from self._loading(lambda: self._prepare(task))
        except TemplateError as error:
            saved.job, saved.awaiting, saved.entered = "", False, False
            return template_failure(error, task.where)
        outcome: Outcome = yield call._replace(job=saved.job, reported=self._resumed_with)
        saved.job, saved.awaiting, saved.entered = "", False, False
        self._resumed_with = None
        return outcome

    def _prepare(self, task: PlanTask) -> Call:
        scope, task_input, saved = self.scope, self._task_input, self.saved
        key = f"{self.key}:{task.label}:{saved.passes[task.label]}"
        scope.budget.left = TASK_UNITS_MAX
        scope.top["_idempotency_key"] = key
        task_input.clear()
        task_input.update(task.input.render(scope))
        config = task.config.render(scope)
        auth = None if task.auth is None else _auth(task.auth, scope, task.where)
        timeout = None if task.timeout is None else time_limit(task.timeout, scope)
        self._note_missing(task.where)
        return Call(
            task=task,
            config=config,
            input={**self._step_input, **task_input},
            auth=auth,
            timeout_seconds=timeout,
            idempotency_key=key,
            attempt=saved.tries,
            scope=scope,
        )

    def _record(self, task: PlanTask, outcome: Outcome) -> None:
        """Store an outcome as its label's result and as the current ``output``."""
        saved, scope, label, data = self.saved, self.scope, task.label, outcome.data
        tasks = dict(saved.results.tasks)
        tasks.pop(label, None)
        tasks[label] = Value(data)
        view = outcome_view(outcome, data, self._meta(outcome))
        saved.results = results = StepResult(
            tasks=tasks,
            last=label,
            status=outcome.status,
            error=outcome.error,
            helpers=view.helpers,
            body_key=outcome.body_key,
            attempt=saved.tries,
        )
        self._outcome = outcome
        scope.budget.left = TASK_UNITS_MAX
        printed = outcome.meta.get("stdout")
        if printed:
            saved.printed = (saved.printed + printed)[-PRINTED_CHARACTERS_MAX:]
        self._task_input.clear()
        self._values[label] = labelled(data)
        self._own[self.step.name] = StepView(results, self.loaded)
        top = scope.top
        top["output"] = view
        top["result"] = top["_prev"] = data
        top["results"] = self._values
        top["_attempt"] = saved.attempt = saved.tries
        top["_task"] = label

    def _meta(self, outcome: Outcome) -> dict[str, Any]:
        return {**outcome.meta, "attempt": self.saved.tries}

    # -- policy -----------------------------------------------------------------------

    def _follow(self, task: PlanTask, outcome: Outcome) -> Generator[Request, Any, None]:
        """Follow the first matching policy rule."""
        rule = yield from self._rule(task)
        if rule is not None:
            yield from self._write(rule.set, task.where)
        do = rule.do if rule is not None else None
        if do is None:
            do = Do.CONTINUE if outcome.is_ok else Do.FAIL
        if do is Do.FAIL:
            raise _Stop(ERROR, outcome.error or _failed_by_rule(task))
        if do is Do.BREAK:
            raise _Stop(OK)
        if do is Do.RETRY:
            assert rule is not None
            yield from self._retry(task, rule, outcome)
            return
        self.saved.tries = 0
        self.saved.cursor = rule.to if do is Do.JUMP and rule else self.saved.cursor + 1

    def _rule(self, task: PlanTask) -> Generator[Request, Any, PlanRule | None]:
        for rule in task.rules:
            if rule.when is None:
                return rule
            test = partial(rule.when.test, self.scope)
            if (yield from self._render(test, task.where)):
                return rule
            self._note_missing(task.where)
        return None

    def _retry(
        self, task: PlanTask, rule: PlanRule, outcome: Outcome
    ) -> Generator[Request, Any, None]:
        scope = self.scope
        tries = self.saved.tries
        attempts = yield from self._render(lambda: count(rule.attempts, scope, 3), task.where)
        if tries >= min(attempts, ATTEMPTS_MAX):
            raise _Stop(ERROR, outcome.error or _attempts_exhausted(task, tries))
        base = yield from self._render(lambda: duration(rule.delay, scope, 1.0), task.where)
        longest = DELAY_SECONDS_MAX
        if rule.delay_max is not None:
            limit = rule.delay_max
            longest = yield from self._render(lambda: duration(limit, scope, longest), task.where)
        seconds = min(delay_of(rule.backoff, base, tries), longest)
        if outcome.error is not None and outcome.error.retry_after:
            seconds = min(max(seconds, outcome.error.retry_after), DELAY_SECONDS_MAX)
        self._note_try(task, outcome, seconds)
        if seconds > 0:
            yield Pause(seconds)

    def _note_try(self, task: PlanTask, outcome: Outcome, seconds: float) -> None:
        saved, error = self.saved, outcome.error
        saved.retries += 1
        if len(saved.before) >= TRIES_KEPT_MAX:
            return
        if error is not None:
            error = msgspec.structs.replace(error, traceback=None, details=None)
        attempt = Try(
            task=task.label,
            number=saved.tries,
            status=outcome.status,
            error=error,
            pause=seconds,
        )
        saved.before = [*saved.before, attempt]

    # -- names and writes -------------------------------------------------------------

    def _ready(self) -> Generator[Request, Any, None]:
        """Set up the names, also after a resume."""
        scope, saved = self.scope, self.saved
        scope.top["iter"] = saved.iter
        came_from = self.context.steps.get(self.context.came_from)
        if saved.outcome is not None and saved.results.last:
            last = value_view(saved.results.tasks[saved.results.last], self.loaded)
            scope.top["output"] = outcome_view(saved.outcome, last, self._meta(saved.outcome))
            scope.top["result"] = scope.top["_prev"] = last
        elif came_from is not None:
            scope.top["output"] = step_output(came_from, self.loaded)
            scope.top["result"] = scope.top["_prev"] = result_view(came_from, self.loaded)
        if saved.results.last:
            for label, value in saved.results.tasks.items():
                self._values[label] = labelled(value_view(value, self.loaded))
            self._own[self.step.name] = StepView(saved.results, self.loaded)
            scope.top["results"] = self._values
            scope.top["_attempt"] = saved.attempt
            scope.top["_task"] = saved.results.last
        step_input = self.step.input
        if not (step_input.is_literal and not step_input.render(scope)):
            where = f"steps.{self.step.name}.input"
            values = yield from self._render(lambda: step_input.render(scope), where)
            self._step_input.update(values)
            self._note_missing(where)

    def _write(self, sets: tuple[PlanSet, ...], where: str) -> Generator[Request, Any, None]:
        """Render and apply the writes of a ``set``, in order."""
        saved = self.saved
        for entry in sets:
            render = partial(entry.value.render, self.scope)
            rendered = yield from self._render(render, where)
            path = list(entry.path)
            if entry.lifetime is Lifetime.CTX:
                if not saved.writes:
                    self.context.ctx = dict(self.context.ctx)
                saved.writes.append((path, rendered))
                write(self.context.ctx, [(path, rendered)])
            elif entry.lifetime is Lifetime.ITER:
                write(saved.iter, [(path, rendered)])
            elif entry.lifetime is Lifetime.STEP:
                write(saved.step, [(path, rendered)])
            else:
                write(saved.local, [(path, rendered)])
        if sets:
            self._note_missing(where)

    def _render(self, evaluate: Callable[[], Any], where: str) -> Generator[Request, Any, Any]:
        """Evaluate a template whose failure fails the pipeline."""
        try:
            return (yield from self._loading(evaluate))
        except TemplateError as error:
            raise _Stop(ERROR, template_failure(error, where).error) from None

    def _loading(self, evaluate: Callable[[], Any]) -> Generator[Request, Any, Any]:
        """Evaluate, requesting the data and secrets that turn out to be needed."""
        while True:
            try:
                return evaluate()
            except NeedsData as need:
                if need.ref.ref in self.loaded:
                    raise
                yield Load(need.ref)
            except SecretNeededError as need:
                yield Unlock(need.name)

    def _note_missing(self, where: str) -> None:
        missing = self.scope.missing
        if missing is not None:
            self.scope.missing = None
            if self.context.strict:
                error = TemplateError(f"{missing[0]!r} has no value, and the run is strict")
                raise _Stop(ERROR, template_failure(error, where).error)
            for name in missing:
                warning = f"{where}: {name!r} has no value"
                if warning not in self._warnings:
                    self._warnings.append(warning)


def delay_of(backoff: Backoff, base: float, tries: int) -> float:
    """Return the pause after the ``tries``-th try, in seconds."""
    if backoff is Backoff.NONE:
        return 0.0
    if backoff is Backoff.LINEAR:
        return base * tries
    if backoff is Backoff.EXPONENTIAL:
        return float(min(base * 2.0 ** min(tries - 1, 64), DELAY_SECONDS_MAX))
    return base


def template_failure(error: TemplateError, where: str) -> Outcome:
    """Return the outcome of a task whose template cannot be rendered."""
    if isinstance(error, SecretUnavailableError):
        return failed(
            ErrorKind.AUTH,
            error.reason,
            code="CREDENTIAL",
            where=error.where or where,
            retryable=error.retryable,
        )
    return failed(
        ErrorKind.TEMPLATE,
        f"{error.reason}: {error.template}" if error.template else error.reason,
        code="TEMPLATE",
        where=error.where or where,
    )


def _lost() -> Outcome:
    return failed(
        ErrorKind.WORKER_LOST,
        "the call was interrupted and may or may not have taken effect; it is not repeated, "
        "because its task sets 'redelivery: never'",
        code="WORKER_LOST",
    )


def _failed_by_rule(task: PlanTask) -> ErrorInfo:
    message = f"a policy rule failed task {task.label!r}"
    return ErrorInfo(kind=ErrorKind.UNKNOWN, message=message, code="POLICY_FAIL", where=task.where)


def _attempts_exhausted(task: PlanTask, tries: int) -> ErrorInfo:
    message = f"task {task.label!r} used up its {tries} attempts, and its rule still asks to retry"
    return ErrorInfo(
        kind=ErrorKind.LIMIT, message=message, code="ATTEMPTS_USED_UP", where=task.where
    )


def _auth(template: Template, scope: ExecutionScope, where: str) -> Any:
    """Return the value of ``auth``. A call is never made without the credential it asks for.

    Raises:
        TemplateError: If the value is missing; only an explicit null means no credential.
    """
    value = template.evaluate(scope)
    if value is MISSING:
        message = "'auth' has no value: set the name that it reads, or use null for no credential"
        raise TemplateError(message, where=where)
    return template.render(scope)
