"""Values by reference, and variables, on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class ResolveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which value is wanted."""

    ref: Annotated[str, Meta(description="A reference: `noetl://execution/...`.")]


class PutResult(msgspec.Struct, frozen=True, kw_only=True):
    """A value to be kept for an execution."""

    name: str
    data: Any
    scope: str = "execution"
    source_step: str | None = None
    store: str | None = None
    ttl: Any = None
    correlation: Any = None
    compress: bool = False


class KeptResult(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value is kept."""

    ref: str
    store: str
    scope: str
    bytes: int
    sha256: str
    expires_at: str | None = None


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable of an execution, as its playbook set it."""

    var_name: str
    #: ``user_defined`` for what ``set`` wrote.
    var_type: str
    var_value: Any
    source_step: str | None = None
    created_at: str | None = None
    accessed_at: str | None = None
    access_count: int = 0
