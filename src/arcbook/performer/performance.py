"""One command in progress: its pipelines, waits and report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from arcbook.engine.inputs import Report, Suspension
from arcbook.engine.pipeline import (
    Call,
    Checkpoint,
    IterationResult,
    Load,
    Pause,
    Pipeline,
    Saved,
    Unlock,
)
from arcbook.engine.plan import Plan, PlanStep
from arcbook.engine.scope import Context
from arcbook.engine.views import Loaded, MissingResult
from arcbook.events.types import ResultRef, StepResult, WaitKind
from arcbook.outcome import ERROR, ErrorInfo, ErrorKind
from arcbook.performer.calls import call_tool
from arcbook.performer.dry import skipped_outcome
from arcbook.performer.keychain import MINTED, CommandKeychain
from arcbook.performer.services import Awaits, Services
from arcbook.results.refs import InvalidRefError
from arcbook.results.store import ResultMissingError, ResultTooLargeError
from arcbook.secrets.fields import secret_fields
from arcbook.secrets.taint import MARK_BYTES, marked
from arcbook.tools.api import Credential, CredentialError, Deferred
from arcbook.wire.payload import CommandPayload

PARK_SECONDS: Final = 1.0
"""Longest pause that is spent on the worker; a longer one becomes a timer."""

ALIASES_MAX: Final = 100
"""Maximum number of credentials requested because marks in a command's data name them."""


class AbandonedError(RuntimeError):
    """This worker no longer holds the command: stop without a report."""


class Performance:
    """One command in progress."""

    def __init__(
        self,
        services: Services,
        work: CommandPayload,
        plan: Plan,
        folder: str,
        checkpoint: Callable[[Any], Awaitable[bool]],
    ) -> None:
        self.services = services
        self.work = work
        self.plan = plan
        self.step: PlanStep = plan.by_name[work.step]
        self.folder = folder
        self.checkpoint = checkpoint
        self.loaded: Loaded = {}
        self.keychain = CommandKeychain(services, plan, work.context)
        self.refs: list[ResultRef] = []
        self.began_at = services.clock.now_us()
        self.began = services.clock.monotonic_us()

    def run_step(self) -> Awaits:
        """Perform a step without a loop."""
        work = self.work
        result = yield from self.pipeline(work.context, None, work.saved, -1)
        if isinstance(result, Suspension):
            return self.report(suspended=result)
        return self.report(done=[result])

    def call(self, request: Call) -> Awaits:
        """Call a tool and return its outcome."""
        services = self.services
        calling = call_tool(
            services, self.work, request, self.folder, self.loaded, self.fetch, self.keychain
        )
        return self._unless_skipped(request, calling) if services.is_dry else calling

    def _unless_skipped(self, request: Call, calling: Awaits) -> Awaits:
        """Make the call of a dry run if it has no effects."""
        skipped = skipped_outcome(self.services, self.work, request)
        return (yield from calling) if skipped is None else skipped

    def report(self, *, fatal: ErrorInfo | None = None, **facts: Any) -> Report:
        work, clock = self.work, self.services.clock
        return Report(
            command_id=work.command_id,
            generation=work.generation,
            kept=self.refs,
            duration_us=clock.monotonic_us() - self.began,
            started_at=self.began_at,
            worker=self.services.worker,
            attempt=work.attempt,
            fatal=self.hidden(fatal),
            **facts,
        )

    # -- pipelines --------------------------------------------------------------------

    def pipeline(  # one branch for each kind of request
        self,
        context: Context,
        iteration: dict[str, Any] | None,
        saved: Any,
        index: int,
        command_state: Callable[[Any], Any] = lambda state: state,
    ) -> Awaits:
        """Run a pipeline until it ends or waits.

        ``command_state`` wraps the pipeline's state in that of the whole command.
        """
        work = self.work
        suffix = "" if index < 0 else f":i{index}"
        pipeline = Pipeline(
            self.step,
            context,
            key=f"{work.context.execution_id}:{work.step}:{work.visit}{suffix}",
            data=self.plan.playbook.data,
            now=self.services.clock.now_us,
            loaded=self.loaded,
            iteration=iteration,
            saved=msgspec.convert(saved, Saved) if saved is not None else None,
            resumed_with=work.resumed_with,
            env=self.services.env,
            keychain=self.keychain.opened,
        )
        running = pipeline.run()
        try:
            request = next(running)
            while True:
                answer = None
                if isinstance(request, Call):
                    answer = yield from self.call(request)
                    if isinstance(answer, Deferred):
                        return (yield from self._defer(pipeline, answer, index))
                elif isinstance(request, Pause):
                    if request.seconds > PARK_SECONDS:
                        return (yield from self._park(pipeline, request.seconds, index))
                    yield asyncio.sleep(request.seconds)
                else:
                    yield from self._serve(pipeline, request, command_state)
                request = running.send(answer)
        except StopIteration as stop:
            done: IterationResult = stop.value
        done = self.hidden(done)
        if not self.services.results.oversize(done.result, self.step.outputs):
            return done
        return (yield from self._with_offloaded_results(done, index))

    def _serve(
        self,
        pipeline: Pipeline,
        request: Load | Unlock | Checkpoint,
        command_state: Callable[[Any], Any],
    ) -> Awaits:
        """Serve a pipeline's requests other than calls and pauses."""
        if isinstance(request, Load):
            yield from self._load(request.ref)
        elif isinstance(request, Unlock):
            yield self.keychain.unlock(request.name)
        else:
            yield from self._checkpoint(pipeline, command_state)

    def _load(self, ref: ResultRef) -> Awaits:
        try:
            self.loaded[ref.ref] = yield from self.fetch(ref)
        except (ResultMissingError, InvalidRefError) as error:
            self.loaded[ref.ref] = MissingResult(str(error))

    def _checkpoint(self, pipeline: Pipeline, command_state: Callable[[Any], Any]) -> Awaits:
        state = yield from self._saved_state(pipeline)
        if not (yield self.checkpoint(command_state(state))):
            raise AbandonedError(self.work.command_id)

    def _saved_state(self, pipeline: Pipeline) -> Awaits:
        """Return a pipeline's state as plain data, with large values stored by reference."""
        saved = self.hidden(pipeline.snapshot())
        results = yield from self._offload(saved.results, f"saved{saved.runs}")
        return msgspec.to_builtins(msgspec.structs.replace(saved, results=results))

    def _park(self, pipeline: Pipeline, seconds: float, index: int) -> Awaits:
        state = yield from self._saved_state(pipeline)
        return Suspension(kind=WaitKind.TIMER, state=state, index=index, seconds=seconds)

    def _defer(self, pipeline: Pipeline, deferred: Deferred, index: int) -> Awaits:
        if deferred.kind is WaitKind.JOB:
            pipeline.saved.job = deferred.key
        state = yield from self._saved_state(pipeline)
        return Suspension(
            kind=WaitKind(deferred.kind),
            state=state,
            index=index,
            seconds=deferred.timeout_seconds,
            path=deferred.path,
            version=deferred.version,
            catalog_id=deferred.catalog_id,
            payload=self.hidden(deferred.payload),
            detached=deferred.detached,
            key=deferred.key,
        )

    def _with_offloaded_results(self, done: IterationResult, index: int) -> Awaits:
        """Return a pipeline's result with large values stored by reference."""
        name = "" if index < 0 else f"i{index}"
        try:
            result = yield from self._offload(done.result, name)
        except ResultTooLargeError as error:
            fault = ErrorInfo(kind=ErrorKind.LIMIT, message=str(error), code="RESULT_TOO_LARGE")
            empty = StepResult(status=ERROR, error=fault)
            return msgspec.structs.replace(done, result=empty, status=ERROR, error=fault)
        return msgspec.structs.replace(done, result=result)

    def _offload(self, result: StepResult, name: str) -> Awaits:
        results, outputs = self.services.results, self.step.outputs
        if not results.oversize(result, outputs):
            return result
        work = self.work
        tag = f"{work.visit}-{name}" if name else str(work.visit)
        shrunk: StepResult = yield results.shrink(
            result, work.context.execution_id, f"{work.step}:{tag}", outputs
        )
        self.refs += [v.ref for v in shrunk.tasks.values() if v.ref is not None]
        return shrunk

    def fetch(self, ref: ResultRef) -> Awaits:
        value = yield self.services.results.load(ref)
        return self.services.secrets.reveal(value) if self.services.secrets else value

    # -- secrets ----------------------------------------------------------------------

    def reveal_context(self) -> Awaits:
        """Replace marks in the command's data with the secrets they stand for."""
        data = msgspec.json.encode(self.work)
        if MARK_BYTES not in data:
            return
        names = marked(data.decode())
        yield self.keychain.reveal(names)
        # Forged marks must not keep a worker busy, so the number of aliases is limited.
        aliases = sorted({alias for name in names for alias in _aliases(name)})
        for alias in aliases[:ALIASES_MAX]:
            try:
                credential = yield self._open(alias)
                if any(name.startswith(f"{alias}{MINTED}.") for name in names):
                    yield self.keychain.token(credential)
            except CredentialError:
                continue  # keep the mark, which no tool mistakes for the secret
        plain = self.services.secrets.reveal(msgspec.to_builtins(self.work))
        self.work = msgspec.convert(plain, CommandPayload)
        self.keychain.context = self.work.context

    async def _open(self, alias: str) -> Credential:
        services = self.services
        execution_id = self.work.context.execution_id
        credential = await services.credentials.credential(alias, execution_id)
        services.secrets.add(secret_fields(alias, credential.data))
        return credential

    def hidden(self, value: Any) -> Any:
        """Replace secrets with marks in a value that leaves the worker."""
        secrets = self.services.secrets
        if not secrets:
            return value
        plain = msgspec.to_builtins(value)
        hidden = secrets.hide(plain)
        if hidden is plain:
            return value
        try:
            return msgspec.convert(hidden, type(value))
        except msgspec.ValidationError:
            # A numeric secret may equal one of our own counts by chance.
            return msgspec.convert(secrets.hide(plain, numbers=False), type(value))


def _aliases(name: str) -> list[str]:
    """Return the aliases that a secret's name may start with; both may contain dots."""
    parts = name.split(".", ALIASES_MAX)
    return [".".join(parts[:end]) for end in range(1, len(parts))]
