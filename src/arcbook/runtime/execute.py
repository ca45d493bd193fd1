"""Performing commands: the one place where pipelines meet tools.

Workers and the command line use the same performer. It is a generator that yields
awaitables: a command whose tools answer at once is performed without touching the event
loop, any other continues as a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol

import msgspec

from arcbook.clock import Clock
from arcbook.dsl.model import LoopMode, OnError, OutputSpec
from arcbook.engine.inputs import Report, Suspension
from arcbook.engine.pipeline import (
    Call,
    Checkpoint,
    IterationResult,
    Load,
    Pause,
    Pipeline,
    Saved,
    template_failure,
)
from arcbook.engine.plan import Plan, PlanLoop, PlanStep
from arcbook.engine.scope import Context, ExecutionScope, everything
from arcbook.engine.views import Loaded, NeedsData, step_data
from arcbook.events.types import ResultRef, StepResult
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind, Outcome, failed
from arcbook.results.kept import Kept, ResultMissingError, ResultTooLargeError, size_of
from arcbook.results.refs import InvalidRefError
from arcbook.runtime.work import Work
from arcbook.secrets.taint import Secrets, marked, secret_fields
from arcbook.template.errors import TemplateError
from arcbook.tools.api import Credential, CredentialError, Deferred, Tool, ToolCall
from arcbook.tools.registry import Registry, UnknownKindError

PARK_SECONDS: Final = 1.0
"""A pause longer than this leaves the worker and becomes a timer."""

FRAME_US_MAX: Final = 1_000_000
"""How long a frame may go on before it reports what it has; the rest comes back."""

FRAME_INLINE_BYTES_MAX: Final = 100 * 1024
"""Size of a frame's results up to which they stand in its event."""

TIMEOUT_GRACE_SECONDS: Final = 3.0
"""Time beyond its own limit after which a tool is stopped from outside."""

CLAIM_ATTEMPTS: Final = 4
"""Tries of a cursor's claim when its failure may pass."""

Steps = Generator[Awaitable[Any], Any, Any]


class AbandonedError(RuntimeError):
    """The command is no longer this worker's: stop, and report nothing."""


class CredentialPort(Protocol):
    """Where credentials come from."""

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """


class Performer:
    """Performs commands with a set of tools."""

    def __init__(  # noqa: PLR0913  # the services of a worker
        self,
        tools: Registry,
        kept: Kept,
        credentials: CredentialPort,
        clock: Clock,
        *,
        worker: str,
        workspace: Callable[[int], str],
        env: dict[str, str] | None = None,
    ) -> None:
        self.tools = tools
        self.kept = kept
        self.credentials = credentials
        self.clock = clock
        self.worker = worker
        self.workspace = workspace
        self.env = env or {}
        self.secrets = Secrets()

    def perform(
        self,
        work: Work,
        plan: Plan,
        *,
        folder: str,
        checkpoint: Callable[[Any], Awaitable[bool]],
    ) -> Steps:
        """Perform a command.

        Args:
            work: the command.
            plan: the playbook that it belongs to.
            folder: the folder of the playbook's file.
            checkpoint: records a pipeline's state durably; false if the command is not
                this worker's any more.

        Yields:
            Awaitables, whose results are sent back.

        Returns:
            The report.

        Raises:
            AbandonedError: the command is no longer this worker's.
        """
        return _Performance(self, work, plan, folder, checkpoint).run()


class _Performance:
    """One command being performed."""

    def __init__(
        self,
        performer: Performer,
        work: Work,
        plan: Plan,
        folder: str,
        checkpoint: Callable[[Any], Awaitable[bool]],
    ) -> None:
        self.performer = performer
        self.work = work
        self.plan = plan
        self.step: PlanStep = plan.by_name[work.step]
        self.folder = folder
        self.checkpoint = checkpoint
        self.loaded: Loaded = {}
        self.kept: list[ResultRef] = []
        self.specs: dict[str, OutputSpec] = {
            t.label: t.output for t in self.step.tasks if t.output is not None
        }
        self.began_at = performer.clock.now_us()
        self.began = performer.clock.monotonic_us()

    def run(self) -> Steps:
        if self.plan.uses_secrets:
            yield from self._reveal_context()
        work = self.work
        if work.loop is None:
            result = yield from self._pipeline(work.context, None, work.saved, -1)
            if isinstance(result, Suspension):
                return self._report(suspended=result)
            return self._report(done=[result])
        if work.count == 0:
            return (yield from self._cursor_frame())
        return (yield from self._frame())

    def _report(self, **facts: Any) -> Report:
        work, clock = self.work, self.performer.clock
        return Report(
            command_id=work.command_id,
            generation=work.generation,
            kept=self.kept,
            duration_us=clock.monotonic_us() - self.began,
            started_at=self.began_at,
            worker=self.performer.worker,
            attempt=work.attempt,
            **facts,
        )

    # -- pipelines --------------------------------------------------------------------

    def _pipeline(
        self, context: Context, iteration: dict[str, Any] | None, saved: Any, index: int
    ) -> Steps:
        """Run a pipeline to its end, or to where it waits."""
        work = self.work
        suffix = "" if index < 0 else f":i{index}"
        pipeline = Pipeline(
            self.step,
            context,
            key=f"{work.context.execution_id}:{work.step}:{work.visit}{suffix}",
            data=self.plan.playbook.data,
            now=self.performer.clock.now_us,
            loaded=self.loaded,
            iteration=iteration,
            saved=msgspec.convert(saved, Saved) if saved is not None else None,
            resumed_with=work.resumed_with,
            env=self.performer.env,
        )
        running = pipeline.run()
        answer: Any = None
        try:
            while True:
                request = running.send(answer)
                answer = None
                if isinstance(request, Call):
                    answer = yield from self._call(request)
                    if isinstance(answer, Deferred):
                        return (yield from self._deferred(pipeline, answer, index))
                elif isinstance(request, Pause):
                    if request.seconds > PARK_SECONDS:
                        return (yield from self._parked(pipeline, request.seconds, index))
                    yield asyncio.sleep(request.seconds)
                elif isinstance(request, Load):
                    yield from self._load(running, request.ref)
                elif isinstance(request, Checkpoint):
                    yield from self._checkpoint(pipeline)
        except StopIteration as stop:
            return (yield from self._shrunk(stop.value, index))

    def _load(self, running: Any, ref: ResultRef) -> Steps:
        try:
            self.loaded[ref.ref] = yield from self._fetch(ref)
        except (ResultMissingError, InvalidRefError) as error:
            self.loaded[ref.ref] = None
            running.throw(TemplateError(str(error)))

    def _checkpoint(self, pipeline: Pipeline) -> Steps:
        state = yield from self._saved(pipeline)
        if not (yield self.checkpoint(state)):
            raise AbandonedError(self.work.command_id)

    def _saved(self, pipeline: Pipeline) -> Steps:
        """Return a pipeline's state as plain data, its large values put away."""
        saved = self._hidden(pipeline.saved)
        results = yield from self._put_away(saved.results, f"saved{saved.runs}")
        return msgspec.to_builtins(msgspec.structs.replace(saved, results=results))

    def _parked(self, pipeline: Pipeline, seconds: float, index: int) -> Steps:
        state = yield from self._saved(pipeline)
        return Suspension(kind="timer", state=state, index=index, seconds=seconds)

    def _deferred(self, pipeline: Pipeline, deferred: Deferred, index: int) -> Steps:
        state = yield from self._saved(pipeline)
        return Suspension(
            kind=deferred.kind,
            state=state,
            index=index,
            seconds=deferred.timeout_seconds,
            path=deferred.path,
            version=deferred.version,
            catalog_id=deferred.catalog_id,
            payload=self._hidden(deferred.payload),
            detached=deferred.detached,
            key=deferred.key,
        )

    def _shrunk(self, done: IterationResult, index: int) -> Steps:
        """Return what a pipeline yielded: secrets hidden, large values put away."""
        done = self._hidden(done)
        name = "" if index < 0 else f"i{index}"
        try:
            result = yield from self._put_away(done.result, name)
        except ResultTooLargeError as error:
            fault = ErrorInfo(kind=ErrorKind.LIMIT, message=str(error), code="RESULT_TOO_LARGE")
            empty = StepResult(status=ERROR, error=fault)
            return msgspec.structs.replace(done, result=empty, status=ERROR, error=fault)
        return done if result is done.result else msgspec.structs.replace(done, result=result)

    def _put_away(self, result: StepResult, name: str) -> Steps:
        kept = self.performer.kept
        if not kept.oversize(result, self.specs):
            return result
        work = self.work
        tag = f"{work.visit}-{name}" if name else str(work.visit)
        shrunk: StepResult = yield kept.shrink(
            result, work.context.execution_id, f"{work.step}:{tag}", self.specs
        )
        self.kept += [v.ref for v in shrunk.tasks.values() if v.ref is not None]
        return shrunk

    def _fetch(self, ref: ResultRef) -> Steps:
        value = yield self.performer.kept.load(ref)
        return self.performer.secrets.reveal(value) if self.plan.uses_secrets else value

    # -- secrets ----------------------------------------------------------------------

    def _reveal_context(self) -> Steps:
        """Put the secrets back that marks in the command's names stand for."""
        text = msgspec.json.encode(self.work).decode()
        names = marked(text)
        if not names:
            return
        for alias in {name.partition(".")[0] for name in names}:
            try:
                yield self._open(alias)
            except CredentialError:
                continue  # its mark stays, which a tool cannot take for the secret
        plain = self.performer.secrets.reveal(msgspec.to_builtins(self.work))
        self.work = msgspec.convert(plain, Work)

    async def _open(self, alias: str) -> Credential:
        performer = self.performer
        execution_id = self.work.context.execution_id
        credential = await performer.credentials.credential(alias, execution_id)
        performer.secrets.add(secret_fields(alias, credential.data))
        return credential

    def _hidden(self, value: Any) -> Any:
        """Return what may leave the worker: marks in the place of secrets."""
        secrets = self.performer.secrets
        if not secrets or not self.plan.uses_secrets:
            return value
        plain = msgspec.to_builtins(value)
        hidden = secrets.hide(plain)
        return value if hidden is plain else msgspec.convert(hidden, type(value))

    # -- calls ------------------------------------------------------------------------

    def _call(self, request: Call) -> Steps:
        """Call a tool; whatever it does becomes an outcome."""
        performer = self.performer
        began = performer.clock.monotonic_us()
        task = request.task
        call = ToolCall(
            kind=task.kind,
            config=request.config,
            input=request.input,
            auth=request.auth,
            timeout_seconds=request.timeout_seconds,
            idempotency_key=request.idempotency_key,
            attempt=request.attempt,
            execution_id=self.work.context.execution_id,
            step=self.work.step,
            label=task.label,
        )
        context = CallContext(performer, call, request.scope, self.folder, self.loaded)
        try:
            tool = performer.tools.tool(task.kind)
            if request.auth is not None:
                call = yield _with_credential(call, context)
            answer = yield from self._run(tool, call, context)
        except UnknownKindError as error:
            return failed(ErrorKind.CONFIG, str(error), code="UNKNOWN_KIND")
        except CredentialError as error:
            return failed(ErrorKind.AUTH, str(error), code="CREDENTIAL", where=task.where)
        except TemplateError as error:
            return template_failure(error, task.where)
        except ImportError as error:
            return failed(ErrorKind.CONFIG, str(error), code="MISSING_EXTRA")
        except Exception as error:  # noqa: BLE001  # the boundary to tools, third parties' too
            message = f"tool {task.kind!r} failed unexpectedly: {type(error).__name__}: {error}"
            return failed(ErrorKind.UNKNOWN, message, code="TOOL_FAULT")
        if isinstance(answer, Deferred):
            return answer
        took_ms = (performer.clock.monotonic_us() - began) / 1000
        meta = {**answer.meta, "duration_ms": round(took_ms, 3)}
        return msgspec.structs.replace(answer, meta=meta)

    def _run(self, tool: Tool, call: ToolCall, context: CallContext) -> Steps:
        """Run a tool; one that asks for all names may need values to be fetched first."""
        while True:
            try:
                answer = tool.run(call, context)
                if not isinstance(answer, (Outcome, Deferred)):
                    answer = yield _limited(answer, call)
            except NeedsData as need:
                if need.ref.ref in self.loaded:
                    raise
                self.loaded[need.ref.ref] = yield from self._fetch(need.ref)
            else:
                return answer

    # -- loops ------------------------------------------------------------------------

    def _frame(self) -> Steps:
        """Run some iterations of a loop, one after the other."""
        work, loop = self.work, self.step.loop
        assert loop is not None
        items = yield from self._items()
        done: list[IterationResult] = []
        for offset, item in enumerate(items):
            index = work.first + offset
            context = work.context
            if loop.mode is LoopMode.PARALLEL:
                context = msgspec.structs.replace(context)
            saved = work.saved if offset == 0 else None
            names = iteration_names(loop, item, index, work.loop.total if work.loop else -1)
            result = yield from self._pipeline(context, names, saved, index)
            if isinstance(result, Suspension):
                return (yield from self._framed(done, suspended=result))
            done.append(result)
            if result.status == ERROR and loop.on_error is OnError.FAIL:
                break
            if self.performer.clock.monotonic_us() - self.began > FRAME_US_MAX:
                break
        return (yield from self._framed(done))

    def _items(self) -> Steps:
        work = self.work
        start, first, count = work.loop, work.first, work.count
        assert start is not None
        if start.items is not None:
            return start.items[first : first + count]
        if start.range is not None:
            return range(*start.range)[first : first + count]
        assert start.ref is not None
        return (yield self.performer.kept.items(start.ref, first, count))

    def _framed(self, done: list[IterationResult], **facts: Any) -> Steps:
        """Return the report of a frame; large results together become one value."""
        size = sum(size_of(v.data) for d in done for v in d.result.tasks.values() if v.ref is None)
        ref = None
        has_refs = any(v.ref for d in done for v in d.result.tasks.values())
        if size > FRAME_INLINE_BYTES_MAX and not has_refs:
            data = [step_data(d.result, {}) for d in done]
            work = self.work
            frame = work.command_id.rpartition(":")[2]
            ref = yield self.performer.kept.keep(
                work.context.execution_id,
                work.step,
                f"{work.visit}-{frame}-{work.attempt}-{work.generation}",
                msgspec.json.encode(data),
                data,
                OutputSpec(),
            )
            self.kept.append(ref)
        return self._report(done=done, ref=ref, bytes=size, first=self.work.first, **facts)

    # -- cursors ----------------------------------------------------------------------

    def _cursor_frame(self) -> Steps:
        """Claim rows, record the claim, and run the body for them."""
        work, loop = self.work, self.step.loop
        assert loop is not None
        saved = work.saved or {}
        rows = saved.get("rows")
        if rows is None:
            outcome = yield from self._claim(loop)
            if not outcome.is_ok:
                return self._report(fatal=outcome.error)
            rows = _rows_of(outcome.data)
            if not rows:
                return self._report(rows=0)
            if not (yield self.checkpoint(self._hidden({"rows": rows}))):
                raise AbandonedError(work.command_id)
        if loop.process == "frame":
            return (yield from self._rows([rows], rows, saved.get("saved")))
        return (yield from self._rows(rows, rows, saved.get("saved")))

    def _claim(self, loop: PlanLoop) -> Steps:
        work = self.work
        assert loop.claim is not None
        assert work.loop is not None
        scope = ExecutionScope(
            work.context,
            data=self.plan.playbook.data,
            now=self.performer.clock.now_us,
            loaded=self.loaded,
            top={"__frame_max_rows": work.loop.rows_max},
            env=self.performer.env,
        )
        task = loop.claim
        try:
            config = task.config.render(scope)
            auth = None if task.auth is None else task.auth.render(scope)
        except TemplateError as error:
            return template_failure(error, task.where)
        outcome: Outcome = failed(ErrorKind.UNKNOWN, "the claim was not tried")
        for attempt in range(1, CLAIM_ATTEMPTS + 1):
            key = f"{work.command_id}:claim:{attempt}"
            call = Call(task, config, {}, auth, None, key, attempt, scope)
            outcome = yield from self._call(call)
            if outcome.is_ok or not (outcome.error and outcome.error.retryable):
                break
            yield asyncio.sleep(0.1 * 2**attempt)
        return outcome

    def _rows(self, bodies: list[Any], rows: list[Any], saved: Any) -> Steps:
        loop = self.step.loop
        assert loop is not None
        assert self.work.loop is not None
        width = self.work.loop.row_concurrency
        if width > 1 and len(bodies) > 1 and not self._may_wait():
            done = yield self._together(bodies, width)
            return (yield from self._framed(done, rows=len(rows)))
        done = []
        for offset, body in enumerate(bodies):
            result = yield from self._row(body, offset, saved if offset == 0 else None)
            if isinstance(result, Suspension):
                state = {"rows": [body] if loop.process == "row" else body, "saved": result.state}
                waits = msgspec.structs.replace(result, state=state, index=-1)
                rest = bodies[offset + 1 :]
                return (yield from self._framed(done, rows=len(rows), suspended=waits, rest=rest))
            done.append(result)
            if result.status == ERROR and loop.on_error is OnError.FAIL:
                break
        return (yield from self._framed(done, rows=len(rows)))

    def _may_wait(self) -> bool:
        kinds = [self.performer.tools.kind(task.kind) for task in self.step.tasks]
        return any(kind is not None and kind.waits for kind in kinds)

    def _row(self, body: Any, offset: int, saved: Any) -> Steps:
        loop = self.step.loop
        assert loop is not None
        frame = self.work.first
        names = iteration_names(loop, body, offset, -1)
        context = msgspec.structs.replace(self.work.context)
        return (yield from self._pipeline(context, names, saved, frame * 10_000 + offset))

    async def _together(self, bodies: list[Any], width: int) -> list[IterationResult]:
        slots = asyncio.Semaphore(width)

        async def one(offset: int, body: Any) -> IterationResult:
            async with slots:
                found = await drive(self._row(body, offset, None))
                assert isinstance(found, IterationResult)
                return found

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(i, body)) for i, body in enumerate(bodies)]
        return [task.result() for task in tasks]


class CallContext:
    """The services of one tool call."""

    __slots__ = ("_call", "_loaded", "_performer", "_scope", "folder")

    def __init__(
        self,
        performer: Performer,
        call: ToolCall,
        scope: ExecutionScope,
        folder: str,
        loaded: Loaded,
    ) -> None:
        self._performer = performer
        self._call = call
        self._scope = scope
        self._loaded = loaded
        self.folder = folder

    @property
    def results(self) -> Kept:
        return self._performer.kept

    @property
    def workspace(self) -> str:
        return self._performer.workspace(self._call.execution_id)

    def names(self) -> dict[str, Any]:
        return everything(self._scope)

    async def credential(self, alias: str) -> Credential:
        performer = self._performer
        found = await performer.credentials.credential(alias, self._call.execution_id)
        performer.secrets.add(secret_fields(alias, found.data))
        return found


async def _with_credential(call: ToolCall, context: CallContext) -> ToolCall:
    """Return a call whose ``auth`` is the credential that it names."""
    auth = call.auth
    if isinstance(auth, str) and auth:
        credential = await context.credential(auth)
        return msgspec.structs.replace(call, auth=credential, alias=auth)
    if isinstance(auth, dict) and isinstance(auth.get("credential"), str):
        credential = await context.credential(auth["credential"])
        merged = {**credential.data, **{k: v for k, v in auth.items() if k != "credential"}}
        kind = str(auth.get("type") or credential.type)
        made = Credential(name=credential.name, type=kind, data=merged)
        return msgspec.structs.replace(call, auth=made, alias=credential.name)
    return call


async def _limited(answer: Awaitable[Any], call: ToolCall) -> Any:
    if call.timeout_seconds is None:
        return await answer
    try:
        async with asyncio.timeout(call.timeout_seconds + TIMEOUT_GRACE_SECONDS):
            return await answer
    except TimeoutError:
        message = f"the call did not end within {call.timeout_seconds:g} seconds"
        return failed(ErrorKind.TIMEOUT, message, code="TIMEOUT", retryable=True)


async def drive(steps: Steps) -> Any:
    """Run a generator of awaitables to its end."""
    try:
        awaited = next(steps)
        while True:
            try:
                answer = await awaited
            except BaseException as error:  # noqa: BLE001  # handed on to whoever asked
                awaited = steps.throw(error)
            else:
                awaited = steps.send(answer)
    except StopIteration as stop:
        return stop.value


def iteration_names(loop: PlanLoop, item: Any, index: int, total: int) -> dict[str, Any]:
    """Return the names of one iteration."""
    around: dict[str, Any] = {"index": index, "index0": index, "first": index == 0}
    names: dict[str, Any] = {"loop_index": index, "_index": index, "_first": index == 0}
    if total >= 0:
        around |= {"length": total, "last": index == total - 1}
        names |= {"_total": total, "_last": index == total - 1}
    return {**names, "loop": around, loop.iterator: item}


def _rows_of(data: Any) -> list[Any]:
    """Return the rows that a claim yielded."""
    if isinstance(data, dict):
        data = data.get("rows")
    return data if isinstance(data, list) else []
