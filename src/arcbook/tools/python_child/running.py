"""Running code once."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, Final

from arcbook.tools.python_child.prepare import FILENAME, Prepared
from arcbook.tools.python_child.values import encodable, with_rowsets

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""What code may print; the rest is dropped."""

TRACEBACK_LINES_MAX: Final = 60
"""Lines of a traceback that are reported."""


class _Output(io.TextIOBase):
    """Standard output and error of a call: kept up to a limit, then dropped."""

    encoding = "utf-8"

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.room = OUTPUT_BYTES_MAX

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "replace")
        if self.room > 0:
            with contextlib.suppress(OSError):
                self.room -= os.write(self.fd, data[: self.room])
        return len(text)

    def fileno(self) -> int:
        return self.fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False


def run(request: dict[str, Any], prepared: Prepared, output_fd: int) -> dict[str, Any]:
    """Run code once; return the answer for the parent."""
    namespace: dict[str, Any] = {
        "__name__": "__main__",
        "__builtins__": builtins,
        "__file__": FILENAME,
    }
    inputs = {name: with_rowsets(value) for name, value in request["input"].items()}
    stream = _Output(output_fd)
    sys.stdout = sys.stderr = stream
    sys.stdin = io.StringIO("")
    try:
        _add_modules(namespace, request.get("libs"), prepared.given)
        namespace.setdefault("execution_id", request.get("execution_id"))
        for name in ("args", "input_data"):
            namespace[name] = inputs
        for name in ("context", "workload"):
            if request.get(name) is not None:
                namespace[name] = request[name]
        namespace.update(inputs)
        returned = _execute(prepared, namespace)
        value = _result(returned, namespace, inputs)
        return {"ok": True, "data": encodable(value), "empty": value is None}
    except SystemExit as stop:
        if stop.code in (None, 0):
            value = namespace.get("result")
            return {"ok": True, "data": encodable(value), "empty": value is None}
        return _failure(stop, f"the code called sys.exit({stop.code!r})")
    except MissingLibraryError as error:
        return {"ok": False, "kind": "config", "message": str(error), "exception": "ImportError"}
    except BaseException as error:  # noqa: BLE001  # the boundary to other people's code
        return _failure(error, str(error) or type(error).__name__)


class MissingLibraryError(ImportError):
    """A module that the task lists in ``libs`` is not installed."""


def _add_modules(namespace: dict[str, Any], libs: Any, given: Iterable[str]) -> None:
    for name in given:
        namespace[name] = importlib.import_module(name)
    if isinstance(libs, list):
        for requirement in libs:
            name = str(requirement).partition("=")[0].partition("[")[0].strip().replace("-", "_")
            with contextlib.suppress(ImportError):
                namespace[name] = importlib.import_module(name)
    if isinstance(libs, dict):
        for alias, target in libs.items():
            namespace[alias] = _library(alias, target)


def _library(alias: str, target: Any) -> Any:
    """Return what ``libs`` names: a module, or with ``from`` and ``import`` a part of one."""
    fields = target if isinstance(target, dict) else {"from": target}
    try:
        found = importlib.import_module(str(fields.get("from") or alias))
        return getattr(found, str(fields["import"])) if fields.get("import") else found
    except (ImportError, AttributeError) as error:
        reason = f"'libs' names {alias!r}, which cannot be imported: {error}"
        raise MissingLibraryError(reason) from None


def _execute(prepared: Prepared, namespace: dict[str, Any]) -> Any:
    exec(prepared.code, namespace)  # noqa: S102  # the purpose of this process
    if prepared.returns:
        return namespace.pop("_playbook_body_")()
    return None


def _result(returned: Any, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
    if returned is not None:
        return returned
    value = namespace.get("result")
    main = namespace.get("main")
    untouched = "result" in inputs and value is inputs.get("result")
    if (value is None or untouched) and callable(main) and not isinstance(main, type):
        value = main(**_arguments(main, inputs))
        if inspect.iscoroutine(value):
            import asyncio  # only for code that is asynchronous

            value = asyncio.run(value)
    return value


def _arguments(main: Callable[..., Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs that ``main`` takes."""
    parameters = inspect.signature(main).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(inputs)
    # ``input_data`` is all of them, as it is for code outside of a function.
    known = {"input_data": inputs, **inputs}
    return {p.name: known[p.name] for p in parameters if p.name in known}


def _failure(error: BaseException, message: str) -> dict[str, Any]:
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename == __file__:
        at = at.tb_next
    lines = "".join(traceback.format_exception(type(error), error, at)).splitlines()
    return {
        "ok": False,
        "exception": type(error).__name__,
        "bases": [c.__name__ for c in type(error).__mro__],
        "message": message,
        "traceback": "\n".join(lines[-TRACEBACK_LINES_MAX:]),
    }
