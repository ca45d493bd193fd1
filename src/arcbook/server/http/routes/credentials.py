"""Credentials: stored encrypted, listed without their data."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from arcbook.secrets.api import CredentialError
from arcbook.secrets.credentials import Labels
from arcbook.secrets.delivery import deliver
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import WORKER
from arcbook.secrets.types import CredentialInvalidError
from arcbook.server.http.access import INTERNAL, a_worker
from arcbook.server.http.errors import ApiError, invalid, not_found
from arcbook.server.http.route import Call, Route, an_id
from arcbook.store.api import CredentialRow
from arcbook.wire.http.common import moment
from arcbook.wire.http.credentials import (
    CredentialQuery,
    Credentials,
    CredentialsQuery,
    CredentialView,
    Deleted,
    PutCredential,
    SealedCredential,
    SealedQuery,
)
from arcbook.wire.protocol import CredentialAnswer, CredentialRequest

NOTED_CHARACTERS_MAX: Final = 200
"""Characters of a refused requester's name that the audit keeps."""


async def put(call: Call) -> CredentialView:
    """Encrypt and store a credential."""
    request: PutCredential = call.body
    call.subject = request.name
    if "/" in request.name:
        raise invalid("the name of a credential must not contain '/'")
    try:
        row = await call.context.credentials.add(
            request.name,
            request.type,
            request.data,
            description=request.description or "",
            tags=request.tags,
            requester=call.caller.name,
            labels=_labels(call),
        )
    except CredentialInvalidError as error:
        raise invalid(str(error), code="invalid_credential", problems=error.problems) from None
    return _view(row)


async def list_credentials(call: Call) -> Credentials:
    """List credentials."""
    query: CredentialsQuery = call.query
    part = query.q.lower()
    rows = [
        row
        for row in await call.context.credentials.rows()
        if query.type in ("", row.type)
        and query.tenant in ("", row.tenant)
        and query.organization in ("", row.organization)
        and (part in row.name.lower() or part in row.description.lower())
    ]
    filters = {"type": query.type or None, "q": query.q or None}
    return Credentials(items=[_view(row) for row in rows], filter=filters)


async def get(call: Call) -> CredentialView:
    """Return a credential; its data only to callers with the scope ``admin``."""
    query: CredentialQuery = call.query
    if not query.include_data:
        return _view(await _row(call))
    book, name, requester = call.context.credentials, call.param("name"), call.caller.name
    try:
        call.context.access.require(call.caller, "admin")
    except ApiError:
        await book.refused(name[:NOTED_CHARACTERS_MAX], requester=requester, labels=_labels(call))
        raise
    try:
        opened = await book.credential(
            name, 0, requester=requester, action="read", labels=_labels(call)
        )
    except CredentialError as error:
        await _row(call)
        raise ApiError(503, str(error), "no_key") from None
    return _view(await _row(call), opened.data)


async def sealed(call: Call) -> SealedCredential:
    """Return a credential encrypted for the caller."""
    query: SealedQuery = call.query
    worker = a_worker(call.caller, query.worker_id)
    request = CredentialRequest(
        alias=call.param("name"),
        execution_id=an_id(query.execution_id, "execution_id") if query.execution_id else 0,
        worker=worker,
        public=_public_key(query.public_key),
        who=worker if call.caller.scope == WORKER else call.caller.name,
        is_own=call.caller.scope == INTERNAL,
    )
    answer = await call.context.server.requests.credential(request)
    sealed_data = answer.sealed
    if sealed_data is None:
        raise await _kept_back(call, answer)
    return SealedCredential(
        eph_pub=sealed_data.eph_pub, ciphertext=sealed_data.ciphertext, bound=request.bound
    )


async def _kept_back(call: Call, answer: CredentialAnswer) -> ApiError:
    """Return the error for a credential that is withheld."""
    if answer.is_refused:
        return ApiError(403, f"credential {call.param('name')[:100]!r} {answer.error}", "refused")
    await _row(call)
    return ApiError(503, f"credential {call.param('name')[:100]!r} {answer.error}", "no_key")


def _public_key(text: str) -> bytes:
    try:
        # In a query, an unquoted plus sign arrives as a space.
        public = base64.b64decode(text.replace(" ", "+"), validate=True)
        deliver(b"", public, "")
    except (binascii.Error, ValueError):
        raise invalid("public_key is not valid Base64", code="invalid_public_key") from None
    except SealError as error:
        raise invalid(str(error), code="invalid_public_key") from None
    return public


async def delete(call: Call) -> Deleted:
    """Delete a credential."""
    row = await _row(call)
    requester, labels = call.caller.name, _labels(call)
    if not await call.context.credentials.remove(row.name, requester=requester, labels=labels):
        raise not_found(f"credential {row.name!r}")
    return Deleted(message=f"credential {row.name!r} is deleted", id=row.name)


def _labels(call: Call) -> Labels:
    return Labels(call.caller.tenant, call.caller.organization)


async def _row(call: Call) -> CredentialRow:
    name = call.param("name")
    row = await call.context.store.credential(name)
    if row is None:
        raise not_found(f"credential {name[:100]!r}")
    return row


def _view(row: CredentialRow, data: dict[str, Any] | None = None) -> CredentialView:
    return CredentialView(
        id=row.name,
        name=row.name,
        type=row.type,
        meta={},
        tags=row.tags,
        description=row.description or None,
        tenant=row.tenant or None,
        organization=row.organization or None,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
        data=data,
    )


CREDENTIAL: Final[dict[str, Any]] = {
    "id": "warehouse",
    "name": "warehouse",
    "type": "postgres",
    "meta": {},
    "tags": ["sales"],
    "description": "the sales database",
    "tenant": "sales",
    "organization": None,
    "created_at": "2026-01-05T10:00:00Z",
    "updated_at": "2026-01-05T10:00:00Z",
    "data": None,
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/credentials",
        handler=put,
        change="credential.put",
        tag="credentials",
        summary="Store a credential",
        description="Replaces the credential of the same name. It is encrypted before it is "
        "stored. Missing fields that its type requires are refused, with all `problems` at once.",
        body=PutCredential,
        body_example={
            "name": "warehouse",
            "type": "postgres",
            "data": {"db_host": "db", "db_user": "me", "db_password": "..."},
            "description": "the sales database",
            "tags": ["sales"],
        },
        answer=CredentialView,
        answer_example=CREDENTIAL,
        scope="editor",
        refusals=(400, 413, 422),
    ),
    Route(
        method="GET",
        path="/api/credentials",
        handler=list_credentials,
        tag="credentials",
        summary="List credentials, without their data",
        query=CredentialsQuery,
        answer=Credentials,
        answer_example={"items": [CREDENTIAL], "filter": {"type": None, "q": None}},
        refusals=(422,),
    ),
    Route(
        method="GET",
        path="/api/credentials/{name}",
        handler=get,
        tag="credentials",
        summary="A credential",
        description="With `include_data`, also its data; this needs the scope `admin`.",
        query=CredentialQuery,
        answer=CredentialView,
        answer_example=CREDENTIAL,
        refusals=(404, 422),
    ),
    Route(
        method="GET",
        path="/api/credentials/{name}/sealed",
        handler=sealed,
        tag="credentials",
        summary="A credential encrypted for the caller",
        description="The whole credential as JSON, sealed by X25519, HKDF-SHA256 (info "
        "`noetl-sealed-v1`, salt: both public keys, the server's first; 32 bytes of key, 12 of "
        "nonce) and ChaCha20-Poly1305 with the associated data `alg|v|bound`. Requires the "
        "internal token as bearer token; each request is recorded in the audit.",
        query=SealedQuery,
        answer=SealedCredential,
        answer_example={
            "alg": "x25519-hkdf-sha256-chacha20-poly1305",
            "v": 1,
            "eph_pub": "Wp0mS0mR0nE8Q2hJ7m1T0J0e0zv9VxYkq1mT2dJr3Hc=",
            "ciphertext": "c2VhbGVk",
            "bound": "383401759197892608|warehouse",
        },
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 404, 422),
    ),
    Route(
        method="DELETE",
        path="/api/credentials/{name}",
        handler=delete,
        change="credential.delete",
        tag="credentials",
        summary="Delete a credential",
        answer=Deleted,
        answer_example={"message": "credential 'warehouse' is deleted", "id": "warehouse"},
        scope="editor",
        refusals=(404,),
    ),
]
