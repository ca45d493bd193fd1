"""Tool calls: credentials, time limits, error handling, and the services a tool may use."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
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
    job_of,
)
from arcbook.tools.confinement import Confinement
from arcbook.tools.credentials import resolved
from arcbook.tools.registry import Registry, UnknownKindError
from arcbook.wire.payload import CommandPayload

TIMEOUT_GRACE_SECONDS: Final = 3.0
"""Extra time after a tool's own timeout before the call is cancelled from outside."""

Fetch = Callable[[ResultRef], Awaits]
"""Fetches the value behind a reference."""


def call_tool(  # everything a call depends on
    services: Services,
    work: CommandPayload,
    request: Call,
    folder: str,
    loaded: Loaded,
    fetch: Fetch,
    keychain: CommandKeychain,
) -> Awaits:
    """Call a tool and convert whatever it returns or raises into an outcome."""
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
        job=job_of(request.job)[1] if request.job else "",
        reported=request.reported,
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
    except Exception as error:  # noqa: BLE001  # the boundary to tools, including third-party ones
        return _failure_of(error, task)
    if isinstance(answer, Deferred):
        return answer
    if not isinstance(answer, Outcome):
        message = f"tool {task.kind!r} must return an Outcome, not {type(answer).__name__}"
        return failed(ErrorKind.UNKNOWN, message, code="TOOL_FAULT")
    answer = _without_unsafe_retry(services, call, answer)
    return _with_call_details(answer, task, services.clock.monotonic_us() - began)


def _failure_of(error: Exception, task: PlanTask) -> Outcome:
    """Convert an exception raised by a call into a failed outcome."""
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
        message = f"input of tool {task.kind!r}: {error}; the limit is {NESTING_MAX} levels"
        return failed(ErrorKind.CONFIG, message, code="TOO_DEEP", where=task.where)
    if isinstance(error, ImportError):
        return failed(ErrorKind.CONFIG, str(error), code="MISSING_EXTRA")
    message = f"tool {task.kind!r} failed unexpectedly: {type(error).__name__}: {error}"
    return failed(ErrorKind.UNKNOWN, message, code="TOOL_FAULT")


def _without_unsafe_retry(services: Services, call: ToolCall, answer: Outcome) -> Outcome:
    """Mark a failure as not retryable if the call may already have had its effect."""
    error_info = answer.error
    if error_info is None or not error_info.retryable or error_info.code not in UNSURE_CODES:
        return answer
    kind = services.tools.kind(call.kind)
    if kind is None or kind.effects_for(call.config, call.idempotency_key) is not Effects.ONCE:
        return answer
    message = f"{error_info.message}; the call may have had its effect"
    error_info = msgspec.structs.replace(error_info, message=message, retryable=False)
    return msgspec.structs.replace(answer, error=error_info)


def _with_call_details(answer: Outcome, task: PlanTask, took_us: int) -> Outcome:
    """Add the task's location and the call's duration to an outcome."""
    if is_nested_too_deeply(answer.data):
        message = f"the answer of tool {task.kind!r} nests deeper than {NESTING_MAX} levels"
        return failed(ErrorKind.CONFIG, message, code="TOO_DEEP", where=task.where)
    meta = {**answer.meta, "duration_ms": round(took_us / 1000, 3)}
    error_info = answer.error
    if error_info is not None and not error_info.where:
        error_info = msgspec.structs.replace(error_info, where=task.where)
    return msgspec.structs.replace(answer, meta=meta, error=error_info)


def _run(tool: Tool, call: ToolCall, context: CallContext, fetch: Fetch) -> Awaits:
    """Run a tool, fetching values first if it reads all names of the scope."""
    while True:
        try:
            answer = tool.run(call, context)
            if not isinstance(answer, (Outcome, Deferred)) and inspect.isawaitable(answer):
                answer = yield from _await_tool(answer, call)
        except NeedsData as need:
            if need.ref.ref in context.loaded:
                raise
            context.loaded[need.ref.ref] = yield from fetch(need.ref)
        else:
            return answer


def _await_tool(running: Awaitable[Any], call: ToolCall) -> Awaits:
    """Await a tool; close what was cancelled before it started."""
    limited = _with_timeout(running, call)
    try:
        return (yield limited)
    finally:
        for waiting in (limited, running):
            if isinstance(waiting, Coroutine):
                waiting.close()


class CallContext:
    """The services available to one tool call."""

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
    """Return the call with ``auth`` resolved to a credential."""
    credential = await resolved(call.auth, context)
    if credential is call.auth:
        return call
    return msgspec.structs.replace(call, auth=credential, alias=credential.name)


def _check_type(call: ToolCall, tools: Registry) -> None:
    """Refuse a credential of a type that the tool's declaration does not list.

    Raises:
        CredentialError: The credential is of another type.
    """
    spec = tools.spec(call.kind)
    allowed = spec.credential_types if spec is not None else ()
    if allowed and isinstance(call.auth, Credential) and type_of(call.auth.type) not in allowed:
        reason = f"is of type {call.auth.type!r}; tool {call.kind!r} takes {', '.join(allowed)}"
        raise CredentialError(call.auth.name, reason)


async def _with_timeout(answer: Awaitable[Any], call: ToolCall) -> Any:
    if call.timeout_seconds is None:
        return await answer
    try:
        async with asyncio.timeout(call.timeout_seconds + TIMEOUT_GRACE_SECONDS):
            return await answer
    except TimeoutError:
        message = f"the call did not end within {call.timeout_seconds:g} seconds"
        return failed(ErrorKind.TIMEOUT, message, code="TIMEOUT", retryable=True)
