"""Requests and answers about credentials; answers never contain their data in clear."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.secrets.delivery import Delivery


class PutCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential to store, replacing one with the same name."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    type: str
    data: dict[str, Any]
    meta: Any = None
    tags: list[str] | None = None
    description: str | None = None


class CredentialView(msgspec.Struct, frozen=True, kw_only=True):
    """A credential, without its data."""

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
    """Filters of a list of credentials."""

    type: Annotated[str, Meta(description="Only credentials of this type.")] = ""
    q: Annotated[str, Meta(description="Text that the name or description must contain.")] = ""
    tenant: Annotated[str, Meta(description="Only credentials of this tenant.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""


class CredentialQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a credential to return."""

    include_data: Annotated[
        bool, Meta(description="Include its fields; only for callers with the scope admin.")
    ] = False
    execution_id: Annotated[
        str, Meta(description="Not looked at; clients of the older server send it.")
    ] = ""
    parent_execution_id: Annotated[
        str, Meta(description="Not looked at; clients of the older server send it.")
    ] = ""


class SealedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver for whom a credential is sealed, and the purpose."""

    public_key: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            description="The requester's X25519 public key, as Base64.",
        ),
    ]
    worker_id: Annotated[
        str, Meta(min_length=1, max_length=200, description="The requester, for the audit log.")
    ]
    execution_id: Annotated[str, Meta(description="The execution that needs it.")] = ""


class SealedCredential(Delivery, frozen=True, kw_only=True):
    """A credential that only the requester can decrypt."""

    #: Identifies the request; needed to decrypt the answer.
    bound: str


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A list of credentials, ordered by name."""

    items: list[CredentialView]
    filter: dict[str, str | None]


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The confirmation of a deletion."""

    message: str
    id: str
