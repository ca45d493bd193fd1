"""Playbooks as NoETL's web page edits them, on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.problems import Problem


class PlaybookQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which playbook is meant."""

    playbook_id: Annotated[
        str, Meta(min_length=1, max_length=2000, description="Its path, or the id of a version.")
    ]


class PlaybookContent(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook's text."""

    content: str
    path: str
    version: int
    catalog_id: str
    kind: str


class ContentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook to be saved or checked."""

    content: Annotated[str, Meta(description="The document as YAML, plain or as Base64.")]


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a playbook may be registered."""

    valid: bool
    #: One text for each error, with its place.
    errors: list[str]
    warnings: list[str]
    #: The same with all that is known of each.
    diagnostics: list[Problem]
    #: Diagnostics beyond as many as are told.
    left_out: int


class AgentsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which agents a list holds."""

    capabilities: Annotated[
        Annotated[list[str], Meta(max_length=100)] | None,
        Meta(description="What they must be capable of, all of it."),
    ] = None
    include_content: Annotated[bool, Meta(description="Whether entries have their text.")] = True


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of a playbook, as the page keeps them; nothing here runs them."""

    suite_id: str
    file_path: str
    playbook_path: str
    tests: list[Any]
    metadata: Any
    updated_at: str | None


class PutSuite(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of a playbook, in place of those that are kept."""

    playbook_path: Annotated[str, Meta(max_length=2000, description="The path by default.")] = ""
    tests: Annotated[list[Any], Meta(max_length=1000)] = []
    metadata: dict[str, Any] | None = None
