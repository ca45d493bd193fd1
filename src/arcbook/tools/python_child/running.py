"""Running code once."""

from __future__ import annotations

import builtins
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Final

from arcbook.tools.python_child.output import Streams
from arcbook.tools.python_child.prepare import FILENAME, Prepared
from arcbook.tools.python_child.values import (
    DepthError,
    NoFormError,
    encodable,
    place_of,
    with_rowsets,
)

TRACEBACK_LINES_MAX: Final = 60
"""Lines of a traceback that are reported."""

TEXT_CHARACTERS_MAX: Final = 16 * 1024
"""What of an exception's text, and of a line of its traceback, is reported."""


STREAMS: Final = Streams()

NO_TEXT: Final = "<exception str() failed>"
"""What Python says of an exception whose text cannot be made."""

KINDS: Final = {DepthError: "too_deep", NoFormError: "no_form"}
"""What the parent is told of results that it cannot have."""


def run(request: dict[str, Any], prepared: Prepared) -> dict[str, Any]:
    """Run code once; return the answer for the parent."""
    # Pickles, and processes that are forked, find the code's functions and classes by it.
    module = sys.modules["__main__"] = ModuleType("__main__")
    namespace = module.__dict__
    namespace.update(__builtins__=builtins, __file__=FILENAME)
    inputs = {name: with_rowsets(value) for name, value in request["input"].items()}
    STREAMS.give()
    missing: set[str] = set()
    try:
        missing = _add_modules(namespace, request.get("libs"), prepared.given)
        namespace.setdefault("execution_id", request.get("execution_id"))
        for name in ("args", "input_data"):
            namespace[name] = inputs
        for name in ("context", "workload"):
            if request.get(name) is not None:
                namespace[name] = request[name]
        namespace.update(inputs)
        value = _value(prepared, namespace, inputs)
        return {"ok": True, "data": _encoded(value), "empty": value is None}
    except MissingLibraryError as error:
        return {
            "ok": False,
            "kind": "config",
            "message": str(error),
            "exception": "ImportError",
            "module": error.name,
        }
    except BaseException as error:  # noqa: BLE001  # the boundary to other people's code
        return {**_failure(error), "module": _missing_module(error, missing)}


def _value(prepared: Prepared, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """Run code, and return what it leaves; ``sys.exit()`` ends it well."""
    try:
        return _result(_execute(prepared, namespace), namespace, inputs)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            raise
        return namespace.get("result")


def _encoded(value: Any) -> Any:
    """Return a result as JSON has it.

    Raises:
        NoFormError: something in it has no such form.
        DepthError: it nests too deeply.
    """
    try:
        return encodable(value)
    except NoFormError as error:
        raise NoFormError(f"{place_of(value)}: {error}") from None


class MissingLibraryError(ImportError):
    """A module that the task lists in ``libs`` is not installed."""


def _missing_module(error: BaseException, missing: set[str]) -> str | None:
    """Return the module that code lacks, if that is what is wrong."""
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) or (isinstance(error, NameError) and name in missing):
        return str(name)
    return None


def _add_modules(namespace: dict[str, Any], libs: Any, given: Iterable[str]) -> set[str]:
    """Give code its modules; return those of a list that are not there, which it may not use."""
    missing: set[str] = set()
    for name in given:
        namespace[name] = importlib.import_module(name)
    if isinstance(libs, list):
        for requirement in libs:
            name = str(requirement).partition("=")[0].partition("[")[0].strip().replace("-", "_")
            try:
                namespace[name] = importlib.import_module(name)
            except ImportError:
                missing.add(name)
    if isinstance(libs, dict):
        for alias, target in libs.items():
            namespace[alias] = _library(alias, target)
    return missing


def _library(alias: str, target: Any) -> Any:
    """Return what ``libs`` names: a module, or with ``from`` and ``import`` a part of one."""
    fields = target if isinstance(target, dict) else {"from": target}
    try:
        found = importlib.import_module(str(fields.get("from") or alias))
        return getattr(found, str(fields["import"])) if fields.get("import") else found
    except (ImportError, AttributeError) as error:
        reason = f"'libs' names {alias!r}, which cannot be imported: {error}"
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        raise MissingLibraryError(reason, name=name) from None


def _execute(prepared: Prepared, namespace: dict[str, Any]) -> Any:
    exec(prepared.code, namespace)  # noqa: S102  # the purpose of this process
    if prepared.returns:
        return namespace.pop("_playbook_body_")()
    return None


def _result(returned: Any, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
    value = _chosen(returned, namespace, inputs)
    if inspect.iscoroutine(value):
        import asyncio  # only for code that is asynchronous

        value = asyncio.run(value)
    return value


def _chosen(returned: Any, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
    if returned is not None:
        return returned
    value = namespace.get("result")
    main = namespace.get("main")
    untouched = "result" in inputs and value is inputs.get("result")
    if (value is None or untouched) and callable(main) and not isinstance(main, type):
        positional, named = _arguments(main, inputs)
        value = main(*positional, **named)
    return value


def _arguments(
    main: Callable[..., Any], inputs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the inputs that ``main`` takes, by position and by name."""
    parameters = inspect.signature(main).parameters.values()
    # ``input_data`` is all of them, as it is for code outside of a function.
    known = {"input_data": inputs, **inputs}
    taken = [p for p in parameters if p.name in known]
    by_position = [p.name for p in taken if p.kind is p.POSITIONAL_ONLY]
    named = {p.name: known[p.name] for p in taken if p.name not in by_position}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named = {name: value for name, value in inputs.items() if name not in by_position}
    return [known[name] for name in by_position], named


def _failure(error: BaseException) -> dict[str, Any]:
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename == __file__:
        at = at.tb_next
    # The text of an exception is made by its own code, which may fail as well.
    described = traceback.TracebackException(type(error), error, at)
    lines = "".join(described.format()).splitlines()
    return {
        "ok": False,
        "kind": next((k for c, k in KINDS.items() if isinstance(error, c)), ""),
        "exception": type(error).__name__,
        "bases": [c.__name__ for c in type(error).__mro__],
        "message": _message(error, str(described)),
        "traceback": "\n".join(_shortened(line) for line in lines[-TRACEBACK_LINES_MAX:]),
    }


def _message(error: BaseException, text: str) -> str:
    if text == NO_TEXT:
        text = "it cannot say what went wrong: making its text fails"
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({_shortened(text)})"
    return _shortened(text) or type(error).__name__


def _shortened(text: str) -> str:
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    half = TEXT_CHARACTERS_MAX // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters left out) ... {text[-half:]}"
