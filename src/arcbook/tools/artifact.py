"""``artifact``: reads and writes values by their address: results, objects, files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from msgspec import Meta
from msgspec.structs import replace

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.confinement import OutsideError
from arcbook.tools.object import ObjectTool
from arcbook.tools.result_fetch import FETCHED, fetch
from arcbook.tools.spec import ToolSpec

OBJECTS: Final = frozenset(["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss"])
"""Schemes of objects."""


class ArtifactParams(Params, frozen=True, kw_only=True):
    """Parameters of ``artifact``."""

    action: Annotated[str, Meta(description="What to do: `get` or `put`.")] = "get"
    result_ref: Annotated[
        Any,
        Meta(
            description="Where the value is: a reference, `{{ step._ref }}`, which may also stand in "
            "'input'; `s3://...`, `gs://...`, `az://...`; or `file://...`."
        ),
    ] = None
    data: Annotated[Any, Meta(description="What to put.")] = None
    encoding: Annotated[
        str, Meta(description="How bytes stand in text: `auto`, `json`, `text` or `base64`.")
    ] = "auto"
    content_type: Annotated[str | None, Meta(description="Type of an object.")] = None
    metadata: Annotated[dict[str, Any] | None, Meta(description="Metadata of an object.")] = None
    endpoint: Annotated[str | None, Meta(description="Address of the object's service.")] = None
    region: Annotated[str | None, Meta(description="Region of the bucket.")] = None


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a call does."""
    return Effects.IDEMPOTENT if str(config.get("action")).lower() == "put" else Effects.NONE


def summary(config: Mapping[str, Any]) -> str:
    """Say what a call does with which value."""
    return f"{config.get('action') or 'get'} {config.get('result_ref')}"


KIND = declare(
    "artifact",
    ArtifactParams,
    "Reads and writes values by their address: results, objects, files.",
    aliases={"result_ref": ["ref", "uri", "url"], "data": ["content", "value"]},
    choices={"action": ["get", "put"]},
    takes_auth=True,
    result={
        **FETCHED,
        "uri": "The object or file.",
        "size": "Its size in bytes.",
        "etag": "The object's version.",
        "last_modified": "When the object was last written.",
        "content_type": "The object's type.",
        "metadata": "The object's metadata.",
        "encoding": "`base64`, where the content is neither JSON nor text.",
    },
    effects=[Effects.NONE, Effects.IDEMPOTENT],
    effects_of=effects_of,
    summary=summary,
    example="""
    tool:
      kind: artifact
      result_ref: "{{ report._ref }}"
    """,
)


class Artifact:
    """Reads and writes values."""

    def __init__(self) -> None:
        self._objects = ObjectTool()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(ArtifactParams, call)
        if isinstance(params, Outcome):
            return params
        action = params.action.lower()
        if action not in ("get", "put"):
            return _config(f"there is no action {params.action!r}: write 'get' or 'put'")
        uri = params.result_ref if isinstance(params.result_ref, str) else ""
        scheme = urlsplit(uri).scheme.lower()
        if scheme in OBJECTS:
            return await self._object(params, action, uri, call, context)
        if scheme == "file":
            return await _file(params, action, uri, context)
        if action == "get":
            return await fetch(params.result_ref, call, context)
        return _config(
            "'action: put' needs a 'uri': s3://..., gs://..., az://... or file://...; "
            "a step's result is kept by itself"
        )

    async def _object(
        self, params: ArtifactParams, action: str, uri: str, call: ToolCall, context: ToolContext
    ) -> Outcome:
        names = ("data", "encoding", "content_type", "metadata", "endpoint", "region")
        config = {name: getattr(params, name) for name in names}
        config = {name: value for name, value in config.items() if value is not None}
        sent = replace(call, kind="object", config={**config, "operation": action, "url": uri})
        outcome = await self._objects.run(sent, context)
        if not outcome.is_ok:
            return outcome
        hidden = ("operation", "url", "bucket", "key")
        data = {name: value for name, value in outcome.data.items() if name not in hidden}
        return replace(outcome, data={**data, "uri": uri})

    async def close(self) -> None:
        await self._objects.close()


async def _file(params: ArtifactParams, action: str, uri: str, context: ToolContext) -> Outcome:
    """Read or write a file that the call may reach."""
    from arcbook.tools.values import (  # only for files
        CONTENT_BYTES_MAX,
        ContentError,
        bytes_of,
        content_of,
    )

    try:
        path = Path(context.confinement.resolve(uri.removeprefix("file://"), context.workspace))
        if action == "put":
            content = bytes_of(params.data, params.encoding)
            await asyncio.to_thread(_written, path, content)
            return ok({"status": "success", "uri": uri, "size": len(content)})
        size = path.stat().st_size
        if size > CONTENT_BYTES_MAX:
            message = f"{uri} has {size:,} bytes; the limit is {CONTENT_BYTES_MAX:,}"
            return failed(ErrorKind.LIMIT, message, code="FILE_TOO_LARGE")
        content = await asyncio.to_thread(path.read_bytes)
        described = content_of(content, params.encoding)
    except (OutsideError, ContentError) as error:
        return _config(str(error))
    except FileNotFoundError:
        return failed(ErrorKind.NOT_FOUND, f"there is no file {uri}", code="FILE_NOT_FOUND")
    except OSError as error:
        return failed(ErrorKind.STORAGE_ACCESS, f"{uri}: {error.strerror}", code="FILE")
    return ok({"status": "success", "uri": uri, "size": len(content), **described})


def _written(path: Path, content: bytes) -> None:
    """Write a file, which appears when it is complete."""
    part = path.with_name(f"{path.name}.arcbook-part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _config(message: str) -> Outcome:
    return failed(ErrorKind.CONFIG, f"artifact: {message}", code="CONFIG")


SPEC = ToolSpec(kind=KIND, factory=Artifact)
