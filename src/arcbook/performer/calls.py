"""Calling a tool: its credential, its time limit, its failures, the services it may use."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from arcbook.dsl.kinds import Effects
from arcbook.engine.pipeline import Call, template_failure
from arcbook.engine.plan import PlanTask
from arcbook.engine.scope import ExecutionScope, everything
from arcbook.engine.views import Loaded, NeedsData
from arcbook.events.types import ResultRef
from arcbook.jsons import TooDeepError
from arcbook.nesting import NESTING_MAX, is_nested_too_deeply
from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.performer.keychain import CommandKeychain
from arcbook.performer.services import Awaits, Services
from arcbook.plugins import PluginError
from arcbook.results.store import ResultStore
from arcbook.secrets.types import type_of
from arcbook.template.errors import TemplateError
from arcbook.tools.api import (
    UNSURE_CODES,
    Credential,
    CredentialError,
    Deferred,
    Tool,
    ToolCall,
)
from arcbook.tools.confinement import Confinement
from arcbook.tools.credentials import resolved
from arcbook.tools.registry import Registry, UnknownKindError
from arcbook.wire.payload import CommandPayload

TIMEOUT_GRACE_SECONDS: Final = 3.0
"""Time beyond its own limit after which a tool is stopped from outside."""

Fetch = Callable[[ResultRef], Awaits]
"""Fetches the value of a reference."""


def call_tool(  # what a call depends on
    services: Services,
    work: CommandPayload,
    request: Call,
    folder: str,
    loaded: Loaded,
    fetch: Fetch,
    keychain: CommandKeychain,
) -> Awaits:
    """Call a tool; whatever it does becomes an outcome."""
    began = services.clock.monotonic_us()
    task = request.task
    call = ToolCall(
        kind=task.kind,
        config=request.config,
        input=request.input,
        auth=request.auth,
        timeout_seconds=request.timeout_seconds,
        idempotency_key=request.idempotency_key,
        attempt=request.attempt,
        execution_id=work.context.execution_id,
        catalog_id=work.context.catalog_id,
        step=work.step,
        label=task.label,
        is_dry=services.is_dry,
    )
    context = CallContext(services, call, request.scope, folder, loaded, keychain)
    try:
        tool = services.tools.tool(task.kind)
        if request.auth is not None:
            call = yield _with_credential(call, context)
            _check_type(call, services.tools)
        answer = yield from _run(tool, call, context, fetch)
    except TemplateError as error:
        return template_failure(error, task.where)
    except Exception as error:  # noqa: BLE001  # the boundary to tools, third parties' too
        return _failure_of(error, task)
    if isinstance(answer, Deferred):
        return answer
    if not isinstance(answer, Outcome):
        message = f"tool {task.kind!r} must return an Outcome, not {type(answer).__name__}"
        return failed(ErrorKind.UNKNOWN, message, code="TOOL_FAULT")
    answer = _not_sure(services, call, answer)
    return _finished(answer, task, services.clock.monotonic_us() - began)


def _failure_of(error: Exception, task: PlanTask) -> Outcome:
    """Return what a call that raised comes to."""
    if isinstance(error, UnknownKindError):
        return failed(ErrorKind.CONFIG, str(error), code="UNKNOWN_KIND")
    if isinstance(error, PluginError):
        return failed(ErrorKind.CONFIG, f"{error}; {error.advice}", code="BROKEN_PLUGIN")
    if isinstance(error, CredentialError):
        return failed(
            ErrorKind.AUTH,
            str(error),
            code="CREDENTIAL",
            where=task.where,
            retryable=error.retryable,
        )
    if isinstance(error, TooDeepError):
        message = f"what tool {task.kind!r} is given: {error}; data nests {NESTING_MAX} levels"
        return failed(ErrorKind.CONFIG, message, code="TOO_DEEP", where=task.where)
    if isinstance(error, ImportError):
        return failed(ErrorKind.CONFIG, str(error), code="MISSING_EXTRA")
    message = f"tool {task.kind!r} failed unexpectedly: {type(error).__name__}: {error}"
    return failed(ErrorKind.UNKNOWN, message, code="TOOL_FAULT")


def _not_sure(services: Services, call: ToolCall, answer: Outcome) -> Outcome:
    """Return a failure after which the call may have had its effect as one not to be retried."""
    cause = answer.error
    if cause is None or not cause.retryable or cause.code not in UNSURE_CODES:
        return answer
    kind = services.tools.kind(call.kind)
    if kind is None or kind.effects_for(call.config, call.idempotency_key) is not Effects.ONCE:
        return answer
    message = f"{cause.message}; the call may have had its effect"
    cause = msgspec.structs.replace(cause, message=message, retryable=False)
    return msgspec.structs.replace(answer, error=cause)


def _finished(answer: Outcome, task: PlanTask, took_us: int) -> Outcome:
    """Return what a tool answered with the place and the time of its call."""
    if is_nested_too_deeply(answer.data):
        message = f"the answer of tool {task.kind!r} nests deeper than {NESTING_MAX} levels"
        return failed(ErrorKind.CONFIG, message, code="TOO_DEEP", where=task.where)
    meta = {**answer.meta, "duration_ms": round(took_us / 1000, 3)}
    cause = answer.error
    if cause is not None and not cause.where:
        cause = msgspec.structs.replace(cause, where=task.where)
    return msgspec.structs.replace(answer, meta=meta, error=cause)


def _run(tool: Tool, call: ToolCall, context: CallContext, fetch: Fetch) -> Awaits:
    """Run a tool; one that asks for all names may need values to be fetched first."""
    while True:
        try:
            answer = tool.run(call, context)
            if not isinstance(answer, (Outcome, Deferred)) and inspect.isawaitable(answer):
                answer = yield from _awaited(answer, call)
        except NeedsData as need:
            if need.ref.ref in context.loaded:
                raise
            context.loaded[need.ref.ref] = yield from fetch(need.ref)
        else:
            return answer


def _awaited(running: Awaitable[Any], call: ToolCall) -> Awaits:
    """Wait for a tool; one that was stopped before it began is let go."""
    try:
        return (yield _limited(running, call))
    finally:
        if inspect.iscoroutine(running) and inspect.getcoroutinestate(running) == "CORO_CREATED":
            running.close()


class CallContext:
    """The services of one tool call."""

    __slots__ = ("_call", "_keychain", "_scope", "_services", "folder", "loaded")

    def __init__(
        self,
        services: Services,
        call: ToolCall,
        scope: ExecutionScope,
        folder: str,
        loaded: Loaded,
        keychain: CommandKeychain,
    ) -> None:
        self._keychain = keychain
        self._services = services
        self._call = call
        self._scope = scope
        self.loaded = loaded
        self.folder = folder

    @property
    def results(self) -> ResultStore:
        return self._services.results

    @property
    def workspace(self) -> str:
        return self._services.workspace(self._call.execution_id)

    @property
    def confinement(self) -> Confinement:
        return self._services.confinement

    def names(self) -> dict[str, Any]:
        return everything(self._scope)

    async def credential(self, alias: str) -> Credential:
        return await self._keychain.credential(alias)

    async def token(self, credential: Credential) -> Credential:
        return await self._keychain.token(credential)


async def _with_credential(call: ToolCall, context: CallContext) -> ToolCall:
    """Return a call whose ``auth`` is the credential that it names."""
    found = await resolved(call.auth, context)
    if found is call.auth:
        return call
    return msgspec.structs.replace(call, auth=found, alias=found.name)


def _check_type(call: ToolCall, tools: Registry) -> None:
    """Refuse a credential of a type that the tool's declaration does not list.

    Raises:
        CredentialError: it is of another type.
    """
    spec = tools.spec(call.kind)
    allowed = spec.credential_types if spec is not None else ()
    if allowed and isinstance(call.auth, Credential) and type_of(call.auth.type) not in allowed:
        why = f"is of type {call.auth.type!r}; tool {call.kind!r} takes {', '.join(allowed)}"
        raise CredentialError(call.auth.name, why)


async def _limited(answer: Awaitable[Any], call: ToolCall) -> Any:
    if call.timeout_seconds is None:
        return await answer
    try:
        async with asyncio.timeout(call.timeout_seconds + TIMEOUT_GRACE_SECONDS):
            return await answer
    except TimeoutError:
        message = f"the call did not end within {call.timeout_seconds:g} seconds"
        return failed(ErrorKind.TIMEOUT, message, code="TIMEOUT", retryable=True)
