"""``object``: its parameters, and what repeating a call does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from arcbook.outcome import Outcome
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse, require
from arcbook.tools.spec import ToolSpec


class ObjectParams(Params, frozen=True, kw_only=True):
    """Parameters of ``object``."""

    operation: Annotated[
        Literal["get", "put", "list", "delete", "info", "sign"] | None,
        Meta(description="What to do; `put` where there is something to put, else `get`."),
    ] = None
    url: Annotated[
        str | None, Meta(description="The object: `s3://BUCKET/KEY`, `gs://...` or `az://...`.")
    ] = None
    provider: Annotated[
        Literal["s3", "gcs", "azure"] | None,
        Meta(description="Who keeps it, where neither the URL nor the credential says it."),
    ] = None
    bucket: Annotated[str | None, Meta(description="Bucket or container.")] = None
    key: Annotated[str | None, Meta(description="Key of the object.")] = None
    data: Annotated[
        Any, Meta(description="What to put: text, or a mapping or list, which becomes JSON.")
    ] = None
    file: Annotated[str | None, Meta(description="File to put, or to write what is got into.")] = (
        None
    )
    encoding: Annotated[
        Literal["auto", "json", "text", "base64"],
        Meta(description="What is got: by itself JSON, text or Base64, as far as it is that."),
    ] = "auto"
    content_type: Annotated[str | None, Meta(description="Type of what is put.")] = None
    metadata: Annotated[dict[str, Any] | None, Meta(description="Metadata of what is put.")] = None
    if_absent: Annotated[
        bool, Meta(description="Whether to put only where there is no object yet.")
    ] = False
    prefix: Annotated[str | None, Meta(description="Only keys that begin like this.")] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)], Meta(description="Keys that a list has.")
    ] = 1000
    method: Annotated[
        Literal["GET", "PUT", "HEAD", "DELETE"], Meta(description="What a signed URL is for.")
    ] = "GET"
    expires: Annotated[
        float | str, Meta(description="How long a signed URL is good: at most 7 days.")
    ] = 3600
    region: Annotated[str | None, Meta(description="Region of the bucket.")] = None
    endpoint: Annotated[
        str | None, Meta(description="Address of a service that speaks like S3, GCS or Azure.")
    ] = None


def operation_of(config: Mapping[str, Any]) -> str:
    """Return what a call does."""
    written = config.get("operation")
    if written:
        return str(written)
    if config.get("data") is not None or config.get("file") is not None:
        return "put"
    return "get" if config.get("url") or config.get("key") else "list"


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating an operation does."""
    writes = operation_of(config) in ("put", "delete")
    writes = writes or config.get("file") is not None
    return Effects.IDEMPOTENT if writes else Effects.NONE


def summary(config: Mapping[str, Any]) -> str:
    """Say what a call does with which object."""
    named = "/".join(str(config[name]) for name in ("bucket", "key") if config.get(name))
    return f"{operation_of(config)} {config.get('url') or named}"


KIND = declare(
    "object",
    ObjectParams,
    "Gets, puts, lists, deletes and signs objects of S3, Google Cloud Storage and Azure.",
    aliases={
        "operation": ["action"],
        "url": ["uri", "destination"],
        "data": ["content", "value", "body"],
        "file": ["source"],
        "bucket": ["container"],
    },
    any_of=[("url", "bucket")],
    takes_auth=True,
    names=["gcs", "s3", "azure"],
    effects=[Effects.NONE, Effects.IDEMPOTENT],
    effects_of=effects_of,
    summary=summary,
    result={
        "status": "`success`.",
        "operation": "What was done.",
        "url": "The object.",
        "bucket": "The bucket.",
        "key": "Its key.",
        "size": "Its size in bytes.",
        "etag": "Its version, as the service names it.",
        "last_modified": "When it was last written.",
        "content_type": "Its type.",
        "metadata": "Its metadata.",
        "data": "Its content.",
        "encoding": "`base64`, where the content is neither JSON nor text.",
        "file": "The file that was written or put.",
        "objects": "The objects of a list: `key`, `size`, `etag`, `last_modified`.",
        "count": "How many there are in it.",
        "truncated": "Whether there are more.",
        "deleted": "Whether it was deleted.",
        "signed_url": "An address that needs no credential for a while.",
        "expires_in": "For how many seconds.",
    },
    example="""
    tool:
      kind: object
      auth: archive
      url: s3://reports/{{ execution_id }}.json
      data: {sold: 7}
    """,
)


class ObjectTool:
    """Works with objects; each call connects anew."""

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(ObjectParams, call)
        if isinstance(params, Outcome):
            return params
        require("obstore", KIND.name)
        from arcbook.tools.object.work import perform  # needs the extra

        return await perform(params, operation_of(call.config), call, context)

    async def close(self) -> None:
        return None


SPEC = ToolSpec(kind=KIND, factory=ObjectTool)
