"""Playbooks as NoETL's GUI edits them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.problems import Problem


class PlaybookQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The playbook to return."""

    playbook_id: Annotated[
        str, Meta(min_length=1, max_length=2000, description="Its path, or the id of a version.")
    ]


class PlaybookContent(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a playbook."""

    content: str
    path: str
    version: int
    catalog_id: str
    kind: str


class ContentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook to save or check."""

    content: Annotated[str, Meta(description="The document as YAML, plain or as Base64.")]


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a playbook is valid."""

    valid: bool
    #: One message for each error, with its location.
    errors: list[str]
    warnings: list[str]
    #: The complete diagnostics.
    diagnostics: list[Problem]
    #: Number of diagnostics beyond the limit.
    left_out: int


class AgentsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list of agents."""

    capabilities: Annotated[
        Annotated[list[str], Meta(max_length=100)] | None,
        Meta(description="Capabilities that an agent must all have."),
    ] = None
    include_content: Annotated[
        bool, Meta(description="Whether to include the documents' texts.")
    ] = True


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """The tests of a playbook that the GUI stores; the server does not run them."""

    suite_id: str
    file_path: str
    playbook_path: str
    tests: list[Any]
    metadata: Any
    updated_at: str | None


class PutSuite(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of a playbook, replacing the stored ones."""

    playbook_path: Annotated[str, Meta(max_length=2000, description="The path by default.")] = ""
    tests: Annotated[list[Any], Meta(max_length=1000)] = []
    metadata: dict[str, Any] | None = None
