"""Code that a task names instead of writing it: inline, from a file, or by HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from arcbook.egress import Egress, EgressError
from arcbook.http_client import BodyTooLargeError, read_body, reason_of
from arcbook.outcome import ErrorKind
from arcbook.tools.api import ToolContext
from arcbook.tools.confinement import OutsideError

SCRIPT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size of a script."""

FETCH_TIMEOUT_SECONDS: Final = 30.0
"""How long fetching a script may take where the task says nothing."""


class ScriptError(RuntimeError):
    """A script cannot be had; the message says which and why."""

    def __init__(self, message: str, kind: ErrorKind, *, retryable: bool = False) -> None:
        self.kind = kind
        self.retryable = retryable
        super().__init__(message)


SCRIPT_KEYS: Final = (
    "uri", "source", "type", "path", "code", "content", "endpoint", "url", "method", "headers",
    "timeout", "auth", "encoding",
)  # fmt: skip
"""Keys of what says where a script is, and of its source."""

SCRIPT_SOURCES: Final = ("inline", "file", "http")
"""Where the text of a script can be."""


async def load_script(script: dict[str, Any] | str | None, context: ToolContext) -> str:
    """Return the code that ``script`` names.

    Raises:
        ScriptError: it cannot be had.
    """
    if isinstance(script, str):
        script = {"uri": script, "source": {"type": "file"}}
    script = script or {}
    source = script.get("source") or {}
    if isinstance(source, str):
        source = {"type": source}
    uri = str(script.get("uri") or source.get("uri") or source.get("path") or "")
    unwritten = "file" if uri else "inline"
    kind = str(source.get("type") or script.get("type") or unwritten).lower()
    if kind == "inline":
        code = source.get("code") or script.get("code") or script.get("content")
        if code is None:
            raise ScriptError("an inline script needs 'source.code'", ErrorKind.CONFIG)
        return str(code)
    if kind in ("file", "local"):
        return await asyncio.to_thread(_read, uri, context)
    if kind in ("http", "https"):
        url = str(source.get("endpoint") or source.get("url") or uri)
        return await _fetch(url, source, context.confinement.egress)
    raise ScriptError(
        f"script source {kind!r} is not supported: use inline, file or http", ErrorKind.CONFIG
    )


def _read(uri: str, context: ToolContext) -> str:
    """Read a file, relative to the playbook's folder, one above it, or the working folder.

    On a worker it must lie in the execution's folder or in one of the settings.
    """
    name, folder = uri.removeprefix("file://"), context.folder
    confinement = context.confinement
    workspace = "" if confinement.is_open else context.workspace
    bases = [Path(folder), *Path(folder).parents] if folder else []
    bases += [Path(workspace), *map(Path, confinement.folders or ())] if workspace else [Path()]
    outside: OutsideError | None = None
    for path in [Path(name)] if Path(name).is_absolute() else [base / name for base in bases]:
        try:
            if not Path(confinement.resolve(path, workspace)).is_file():
                continue
            with confinement.open(path, workspace) as file:
                data = file.read(SCRIPT_BYTES_MAX + 1)
            if len(data) > SCRIPT_BYTES_MAX:
                raise ScriptError(
                    f"script {uri!r} passes {SCRIPT_BYTES_MAX:,} bytes", ErrorKind.LIMIT
                )
            return data.decode("utf-8")
        except OutsideError as error:
            outside = outside or error
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(f"script {uri!r} cannot be read: {error}", ErrorKind.CONFIG) from None
    if outside is not None:
        raise ScriptError(f"script {uri!r} cannot be read: {outside}", ErrorKind.CONFIG)
    where = folder or "the working folder"
    raise ScriptError(
        f"there is no script {uri!r} (looked from {where} upwards)", ErrorKind.NOT_FOUND
    )


async def _fetch(url: str, source: dict[str, Any], egress: Egress) -> str:
    import aiohttp  # heavy; only for scripts that are fetched

    timeout = aiohttp.ClientTimeout(total=float(source.get("timeout") or FETCH_TIMEOUT_SECONDS))
    method = str(source.get("method") or "GET").upper()
    headers = {str(k): str(v) for k, v in (source.get("headers") or {}).items()}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=egress.connector()) as session,
            session.request(method, url, headers=headers) as response,
        ):
            if response.status >= 400:
                raise ScriptError(
                    f"fetching script {url!r} answered HTTP {response.status}",
                    ErrorKind.NOT_FOUND if response.status == 404 else ErrorKind.SERVER_ERROR,
                    retryable=response.status >= 500,
                )
            data = await read_body(response, SCRIPT_BYTES_MAX)
    except BodyTooLargeError as error:
        raise ScriptError(f"script {url!r} cannot be used: {error}", ErrorKind.LIMIT) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        refused = isinstance(getattr(error, "os_error", None), EgressError)
        raise ScriptError(
            f"script {url!r} cannot be fetched: {reason_of(error)}",
            ErrorKind.CONFIG if refused else ErrorKind.CONNECTION,
            retryable=not refused,
        ) from None
    return data.decode("utf-8", "replace")
