"""Credentials on the wire: what is in them comes in, and does not go out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.secrets.delivery import Delivery


class PutCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential to be sealed and kept, in place of one of the same name."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    type: str
    data: dict[str, Any]
    meta: Any = None
    tags: list[str] | None = None
    description: str | None = None


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """A credential, without what is in it."""

    id: str
    name: str
    type: str
    meta: Any
    tags: list[str]
    description: str | None
    tenant: str | None
    organization: str | None
    created_at: str | None
    updated_at: str | None
    data: dict[str, Any] | None = None


class CredentialsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which credentials a list holds."""

    type: Annotated[str, Meta(description="Of which type.")] = ""
    q: Annotated[str, Meta(description="Part of the name or description.")] = ""
    tenant: Annotated[str, Meta(description="Whose credentials.")] = ""
    organization: Annotated[str, Meta(description="The organization within it.")] = ""


class CredentialQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What of a credential is wanted."""

    include_data: Annotated[
        bool, Meta(description="Its fields, for a known caller of the scope admin.")
    ] = False
    execution_id: Annotated[
        str, Meta(description="Not looked at; clients of the older server send it.")
    ] = ""
    parent_execution_id: Annotated[
        str, Meta(description="Not looked at; clients of the older server send it.")
    ] = ""


class SealedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a credential is sealed, and what for."""

    public_key: Annotated[
        str,
        Meta(min_length=1, max_length=100, description="An X25519 key of the asker's, as Base64."),
    ]
    worker_id: Annotated[
        str, Meta(min_length=1, max_length=200, description="Who asks, for the audit.")
    ]
    execution_id: Annotated[str, Meta(description="What it is for.")] = ""


class SealedCredential(Delivery, frozen=True, kw_only=True):
    """A credential that only the asker can read."""

    #: What the answer is to; it opens with this alone.
    bound: str


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials by name."""

    items: list[CredentialView]
    filter: dict[str, str | None]


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Something was deleted."""

    message: str
    id: str
