"""Documents of the catalog on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Id
from arcbook.wire.http.problems import Problem


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A document to be registered."""

    content: Annotated[str, Meta(description="The document as YAML, plain or as Base64.")]
    resource_type: str = "Playbook"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a registration made, or found to be there already."""

    status: str
    message: str
    path: str
    version: int
    catalog_id: str
    kind: str
    #: What is probably not meant.
    warnings: list[Problem] = []


class RegisterBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Documents to be registered together."""

    items: Annotated[list[RegisterRequest], Meta(min_length=1, max_length=1000)]


class BatchEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document of a batch."""

    index: int
    #: ``registered`` or ``error``.
    status: str
    path: str | None = None
    version: int | None = None
    catalog_id: str | None = None
    kind: str | None = None
    error: str | None = None
    diagnostics: list[Problem] = []


class BatchRegistered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch. One bad document does not stop the others."""

    #: ``success``, or ``partial`` where a document was refused.
    status: str
    count: int
    registered: int
    failed: int
    skipped: int
    results: list[BatchEntry]


class ListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which documents a list holds."""

    resource_type: str | None = None
    tenant: Annotated[str, Meta(description="Whose documents.")] = ""
    organization: Annotated[str, Meta(description="The organization within it.")] = ""
    after: Annotated[str | None, Meta(description="The last path of the page before.")] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="All by default.")
    ] = None
    include_content: Annotated[bool, Meta(description="Whether entries have their text.")] = True


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document."""

    catalog_id: str
    path: str
    kind: str
    version: int
    #: Empty in a list that was asked for without it.
    content: str
    #: ``workflow``, as written.
    layout: Any = None
    #: ``workload``, as written; in a list the whole document, with the workload's names in it.
    payload: Any = None
    #: ``metadata``, as written; in a list also ``registered_at``.
    meta: Any = None
    created_at: str | None = None
    tenant: str | None = None
    organization: str | None = None


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """The latest version of each document."""

    entries: list[Entry]
    #: What to ask with as ``after`` for the next page.
    next_after: str | None = None


class ResourceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of a document is meant: one by its id, or one of a path."""

    catalog_id: Id | None = None
    path: str | None = None
    version: Annotated[Id | None, Meta(description="A number, or 'latest'.")] = None


class ArchiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of a document are meant: one, or all."""

    path: Annotated[str, Meta(min_length=1)]
    version: Annotated[Id | None, Meta(description="A number; all versions by default.")] = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document, by name."""

    catalog_id: str
    version: int


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that were taken out of use."""

    status: str
    message: str
    path: str
    deleted: list[Version]
    count: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that were brought back."""

    status: str
    message: str
    path: str
    restored: list[Version]
    count: int


class VersionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of a path is meant."""

    version: Annotated[str, Meta(description="A number, or `latest`.")] = "latest"


class UiField(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the workload, as a form shows it."""

    name: str
    #: ``string``, ``integer``, ``number``, ``boolean``, ``object``, ``array``, ``null``, ``enum``.
    kind: str
    default: Any = None
    description: str | None = None
    secret: bool = False
    credential_glob: str | None = None
    options: list[Any] | None = None
    children: list[UiField] | None = None


class UiSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A form for starting a playbook, guessed from its workload and the comments there."""

    path: str
    version: int
    kind: str
    title: str
    description_markdown: str | None = None
    exposed_in_ui: bool = True
    fields: list[UiField] = []
    generated_at: str | None = None
