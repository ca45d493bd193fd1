"""Requests and answers about documents of the catalog."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Id
from arcbook.wire.http.problems import Problem


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A document to register."""

    content: Annotated[str, Meta(description="The document as YAML, plain or as Base64.")]
    resource_type: str = "Playbook"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a registration created, or that existed already."""

    status: str
    message: str
    path: str
    version: int
    catalog_id: str
    kind: str
    #: The warnings of the lint.
    warnings: list[Problem] = []


class RegisterBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Documents to register together."""

    items: Annotated[list[RegisterRequest], Meta(min_length=1, max_length=1000)]


class BatchEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one document of a batch."""

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
    """The result of a batch. An invalid document does not affect the others."""

    #: ``success``, or ``partial`` if a document was rejected.
    status: str
    count: int
    registered: int
    failed: int
    skipped: int
    results: list[BatchEntry]


class ListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list of documents."""

    resource_type: str | None = None
    tenant: Annotated[str, Meta(description="Only documents of this tenant.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""
    after: Annotated[str | None, Meta(description="The last path of the previous page.")] = None
    limit: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="All by default.")
    ] = None
    include_content: Annotated[
        bool, Meta(description="Whether to include the documents' texts.")
    ] = True


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document."""

    catalog_id: str
    path: str
    kind: str
    version: int
    #: Empty in a list requested without content.
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
    #: The value of ``after`` for the next page.
    next_after: str | None = None


class ResourceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document: by its id, or by path and version."""

    catalog_id: Id | None = None
    path: str | None = None
    version: Annotated[Id | None, Meta(description="A number, or 'latest'.")] = None


class ArchiveRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of a document to archive or restore: one, or all."""

    path: Annotated[str, Meta(min_length=1)]
    version: Annotated[Id | None, Meta(description="A number; all versions by default.")] = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a document."""

    catalog_id: str
    version: int


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that were archived."""

    status: str
    message: str
    path: str
    deleted: list[Version]
    count: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that were restored."""

    status: str
    message: str
    path: str
    restored: list[Version]
    count: int


class VersionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The version of a document."""

    version: Annotated[str, Meta(description="A number, or `latest`.")] = "latest"


class UiField(msgspec.Struct, frozen=True, kw_only=True):
    """A workload value as a form field."""

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
    """A form for starting a playbook, derived from its workload and the comments there."""

    path: str
    version: int
    kind: str
    title: str
    description_markdown: str | None = None
    exposed_in_ui: bool = True
    fields: list[UiField] = []
    generated_at: str | None = None
