"""Requests and answers about values by reference and variables."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class ResolveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The value to return."""

    ref: Annotated[str, Meta(description="A reference: `noetl://execution/...`.")]


class PutResult(msgspec.Struct, frozen=True, kw_only=True):
    """A value to store for an execution."""

    name: str
    data: Any
    scope: str = "execution"
    source_step: str | None = None
    store: str | None = None
    ttl: Any = None
    correlation: Any = None
    compress: bool = False


class KeptResult(msgspec.Struct, frozen=True, kw_only=True):
    """The reference of a stored value."""

    ref: str
    store: str
    scope: str
    bytes: int
    sha256: str
    expires_at: str | None = None


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable that a playbook set."""

    var_name: str
    #: ``user_defined`` for variables written by ``set``.
    var_type: str
    var_value: Any
    source_step: str | None = None
    created_at: str | None = None
    accessed_at: str | None = None
    access_count: int = 0
