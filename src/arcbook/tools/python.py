"""``python``: runs Python code in a warm process of its own, never in the engine's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from arcbook.outcome import TRACEBACK_CHARACTERS_MAX, ErrorKind, Outcome, failed, ok, shortened
from arcbook.template.code import uses_name
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.confinement import OutsideError
from arcbook.tools.python_child.prepare import Prepared
from arcbook.tools.python_env.api import EnvironmentFailedError, EnvironmentRequest
from arcbook.tools.python_env.distributions import advice_for
from arcbook.tools.python_pool import Child, ChildLostError, Owner, PythonPool, Zygote
from arcbook.tools.python_start import Spawned
from arcbook.tools.scripts import SCRIPT_KEYS, SCRIPT_SOURCES, ScriptError, load_script
from arcbook.tools.spec import ToolSpec

if TYPE_CHECKING:
    from arcbook.tools.python_env.pools import EnvironmentPools

OUTPUT_SHOWN_MAX: Final = 1024 * 1024
"""What code may print; a child drops the rest."""

TIMEOUT_SECONDS: Final = 3600.0
"""How long a call may take where the task says nothing."""


class PythonParams(Params, frozen=True, kw_only=True):
    """Parameters of ``python``."""

    code: Annotated[
        str | None,
        Meta(
            description="The code. Its result is `result`, what `main()` returns, or what a "
            "top-level `return` yields. Inputs are variables, and `input_data` holds all of them."
        ),
    ] = None
    script: Annotated[
        dict[str, Any] | str | None,
        Meta(description="Where the code is, instead: a file or a URL."),
    ] = None
    libs: Annotated[
        dict[str, Any] | list[str] | None,
        Meta(
            description="Modules to import: `{alias: module}`, `{name: {from, import}}` or names."
        ),
    ] = None
    dependencies: Annotated[
        list[str] | None,
        Meta(
            description="Packages that the code imports, as `name>=version`. They are installed in "
            "an environment of their own, which all tasks with the same list share."
        ),
    ] = None
    python: Annotated[
        str | None, Meta(description="Version of Python, as `'3.12'`; by default the worker's.")
    ] = None
    env: Annotated[dict[str, Any] | None, Meta(description="Environment variables.")] = None
    cwd: Annotated[str | None, Meta(description="Folder to run in.")] = None


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a call does: nothing, where its code only computes."""
    code = config.get("code")
    if not isinstance(code, str) or config.get("libs"):
        return Effects.KEYED
    try:
        pure = Prepared.from_source(code, []).pure
    except (SyntaxError, ValueError):
        return Effects.NONE  # it fails before it does anything
    return Effects.NONE if pure else Effects.KEYED


def summary(config: Mapping[str, Any]) -> str:
    """Say how much code a call runs."""
    code = config.get("code")
    if not isinstance(code, str):
        return "run the code of a script"
    lines = code.strip().splitlines()
    packages = config.get("dependencies")
    with_ = f" with {', '.join(map(str, packages))}" if isinstance(packages, list) else ""
    return f"run Python code of {len(lines)} line{'' if len(lines) == 1 else 's'}{with_}"


KIND = declare(
    "python",
    PythonParams,
    "Runs Python code in a process of its own.",
    code=["code"],
    any_of=[("code", "script")],
    choices={"script.source.type": SCRIPT_SOURCES},
    keys={"script": SCRIPT_KEYS, "script.source": SCRIPT_KEYS},
    takes_auth=True,
    effects=[Effects.NONE, Effects.KEYED],
    effects_of=effects_of,
    summary=summary,
    open_=False,
    example="""
    tool:
      kind: python
      input: {numbers: [1, 2, 3]}
      code: |
        result = {"mean": sum(numbers) / len(numbers)}
    """,
)


class Python:
    """Runs code in warm processes."""

    def __init__(self, spawned: Spawned | None = None) -> None:
        self._pool: PythonPool | None = None
        self._environments: EnvironmentPools | None = None
        self._spawned = spawned
        self._slots = asyncio.Semaphore(max(2, 2 * (os.cpu_count() or 1)))

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(PythonParams, call)
        if isinstance(params, Outcome):
            return params
        try:
            source = (
                params.code
                if params.code is not None
                else await load_script(params.script, context)
            )
        except ScriptError as error:
            return failed(error.kind, str(error), code="SCRIPT", retryable=error.retryable)
        if params.dependencies is None and params.python is None:
            pool = self._pool = self._pool or PythonPool(context.confinement, self._spawned)
            return await self._run_in(pool, call, params, context, source)
        return await self._run_in_environment(call, params, context, source)

    async def _run_in_environment(
        self, call: ToolCall, params: PythonParams, context: ToolContext, source: str
    ) -> Outcome:
        from arcbook.tools.python_env.pools import EnvironmentPools  # only where packages are named

        began = time.monotonic()
        try:
            request = EnvironmentRequest.of(params.dependencies, params.python)
            pools = self._environments = self._environments or EnvironmentPools(context.confinement)
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(call.timeout_seconds):
                    pool = await stack.enter_async_context(pools.use(request))
                if call.timeout_seconds is not None:
                    seconds = call.timeout_seconds - (time.monotonic() - began)
                    call = msgspec.structs.replace(call, timeout_seconds=max(seconds, 0.0))
                return await self._run_in(pool, call, params, context, source)
        except EnvironmentFailedError as error:
            return failed(ErrorKind.CONFIG, str(error), code=error.code, retryable=error.retryable)
        except TimeoutError:
            message = f"the environment was not made within {call.timeout_seconds:g} seconds"
            return failed(ErrorKind.TIMEOUT, message, code="PY_TIMEOUT", retryable=True)

    async def _run_in(
        self,
        pool: PythonPool,
        call: ToolCall,
        params: PythonParams,
        context: ToolContext,
        source: str,
    ) -> Outcome:
        digest = hashlib.blake2b(f"{params.libs!r}\0{source}".encode(), digest_size=16).digest()
        prepared = pool.prepared(digest)
        try:
            request = _request(call, params, context, source, digest, prepared)
        except OutsideError as error:
            return failed(ErrorKind.CONFIG, f"'cwd': {error}", code="OUTSIDE")
        modules = frozenset(prepared["imports"]) if prepared else frozenset[str]()
        zygote = pool.zygote(modules)
        owner = (call.execution_id, call.catalog_id)
        timeout = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        async with self._slots:
            return await self._call(pool, zygote, request, owner, timeout)

    async def _call(
        self,
        pool: PythonPool,
        zygote: Zygote,
        request: dict[str, Any],
        owner: Owner,
        seconds: float,
    ) -> Outcome:
        try:
            child = await zygote.take(owner)
        except ChildLostError as error:
            return failed(ErrorKind.PROCESS, str(error), code="PY_LOST", retryable=True)
        serves_again = False
        try:
            async with asyncio.timeout(seconds):
                answer = await _answer(pool, child, request)
            serves_again = answer.get("again") is True
            printed = child.printed(answer.get("printed"))
        except TimeoutError:
            message = f"the code did not end within {seconds:g} seconds"
            return failed(
                ErrorKind.TIMEOUT,
                message,
                code="PY_TIMEOUT",
                retryable=True,
                data=_streams(child.printed()),
            )
        except ChildLostError as error:
            message = f"the process that ran the code ended: {error} (out of memory, or a crash)"
            return failed(ErrorKind.PROCESS, message, code="PY_LOST")
        finally:
            zygote.give_back(child, serves_again=serves_again)
        return _outcome(answer, printed)

    async def close(self) -> None:
        if self._environments is not None:
            self._environments.close()
        if self._pool is not None:
            self._pool.close()
        elif self._spawned is not None:
            self._spawned.control.close()
            self._spawned.process.wait()


async def _answer(pool: PythonPool, child: Child, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a child; keep how it prepared the code if nobody's code could say so.

    What a child prepares serves other executions. So it counts only from one that has
    run nothing, and that tells it before it runs the code.
    """
    is_clean, child.is_clean = child.is_clean, False
    request["tells"] = is_clean and "source" in request
    answer = await child.ask(request)
    if request["tells"] and "prepared" in answer:
        pool.remember(bytes.fromhex(request["digest"]), answer["prepared"])
        answer = await child.answer()
    return answer


def _request(  # what a request is made of
    call: ToolCall,
    params: PythonParams,
    context: ToolContext,
    source: str,
    digest: bytes,
    prepared: dict[str, Any] | None,
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "digest": digest.hex(),
        "input": call.input,
        "libs": params.libs,
        "execution_id": str(call.execution_id),
        "lines": source.splitlines(keepends=True),
        "env": params.env,
        "cwd": str(Path(_folder(params.cwd, context)).absolute()) if params.cwd else None,
    }
    request["memory_bytes"] = context.confinement.memory_bytes
    if not context.confinement.is_open:
        request["workspace"] = context.workspace
        request["uid"] = context.confinement.uid(call.execution_id)
    if prepared is None:
        request["source"] = source
    else:
        request["prepared"] = prepared
    if "context" not in call.input and uses_name(source, "context"):
        request["context"] = context.names()
    if "workload" not in call.input and uses_name(source, "workload"):
        request["workload"] = context.names()["workload"]
    return request


def _folder(written: str, context: ToolContext) -> str:
    return context.confinement.resolve(written, context.workspace)


CODES: Final = {"too_deep": "TOO_DEEP", "no_form": "NO_FORM"}
"""Codes of failures that are not exceptions of the code's own."""


def _streams(printed: str) -> dict[str, Any]:
    return {"stdout": printed, "stderr": ""}


def _outcome(answer: dict[str, Any], printed: str) -> Outcome:
    meta: dict[str, Any] = {"stdout": printed} if printed else {}
    if len(printed) >= OUTPUT_SHOWN_MAX:
        meta["truncated"] = True
    if answer.get("ok") is True:
        data = _streams(printed) if answer.get("empty") else answer.get("data")
        return ok(data, meta=meta)
    kind, retryable = classify(answer)
    code = CODES.get(str(answer.get("kind")), "")
    exception = shortened(str(answer.get("exception")), 200)
    traceback = shortened(str(answer.get("traceback", "")), TRACEBACK_CHARACTERS_MAX)
    facts = {"exception": exception, "traceback": traceback}
    message = str(answer.get("message")) if code else f"{exception}: {answer.get('message')}"
    advice = advice_for(answer["module"]) if answer.get("module") else ""
    outcome = failed(
        kind,
        f"{message}; {advice}" if advice else message,
        code=code or f"PY_{exception}",
        retryable=retryable,
        **facts,
    )
    return Outcome(status=outcome.status, error=outcome.error, py=facts, meta=meta)


def classify(answer: dict[str, Any]) -> tuple[ErrorKind, bool]:
    """Return the error kind of an exception, and whether another try may help."""
    named = answer.get("bases")
    bases = {str(name) for name in named} if isinstance(named, list) else set[str]()
    if answer.get("kind") in ("config", "too_deep"):
        return ErrorKind.CONFIG, False
    if answer.get("kind") == "no_form":
        return ErrorKind.SCHEMA, False
    if bases & {"JSONDecodeError", "SyntaxError", "UnicodeDecodeError"}:
        return ErrorKind.PARSE, False
    if bases & {"TimeoutError"}:
        return ErrorKind.TIMEOUT, True
    if bases & {"ConnectionError", "URLError"}:
        return ErrorKind.CONNECTION, True
    if bases & {"KeyError", "TypeError", "AttributeError", "IndexError", "NameError"}:
        return ErrorKind.SCHEMA, False
    if "MemoryError" in bases:
        return ErrorKind.LIMIT, False
    if bases & {"ModuleNotFoundError", "ImportError"}:
        return ErrorKind.CONFIG, False
    if "SystemExit" in bases:
        return ErrorKind.PROCESS, False
    return ErrorKind.UNKNOWN, False


SPEC = ToolSpec(kind=KIND, factory=Python)
