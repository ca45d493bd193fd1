"""API tokens: add, rotate, remove, and list without their texts."""

from __future__ import annotations

from typing import Any, Final

from arcbook.secrets.tokens import TokenError, new_token, rotated
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.store.access import TokenRow
from arcbook.wire.http.access import NewToken, Rotation, TokenList, TokenTold, TokenView
from arcbook.wire.http.common import moment
from arcbook.wire.http.credentials import Deleted


async def add_token(call: Call) -> TokenTold:
    """Create a token; its text is returned only once."""
    request: NewToken = call.body
    call.subject = request.name
    try:
        text, row = new_token(
            request.name,
            request.scope,
            call.context.server.clock.now_us(),
            seconds=request.expires_in_seconds,
            tenant=request.tenant,
            organization=request.organization,
            workers=call.context.bus.worker_token,
        )
    except TokenError as error:
        raise invalid(str(error)) from None
    call.subject = f"{row.token_id} {row.name}"
    await _put(call, row)
    return TokenTold(**_fields(row), token=text)


async def list_tokens(call: Call) -> TokenList:
    """List tokens."""
    return TokenList(tokens=[TokenView(**_fields(r)) for r in await call.context.store.tokens()])


async def rotate_token(call: Call) -> TokenTold:
    """Give a token a new text."""
    request: Rotation = call.body
    row = await call.context.store.token(call.param("token_id"))
    if row is None:
        raise _missing(call)
    text, row = rotated(
        row,
        call.context.server.clock.now_us(),
        request.grace_seconds,
        workers=call.context.bus.worker_token,
    )
    await _put(call, row)
    return TokenTold(**_fields(row), token=text)


async def delete_token(call: Call) -> Deleted:
    """Remove a token; all servers refuse it within seconds."""
    token_id = call.param("token_id")
    if not await call.context.store.delete_token(token_id):
        raise _missing(call)
    call.context.access.tokens.forget(token_id)
    return Deleted(message=f"token {token_id!r} is removed", id=token_id)


async def _put(call: Call, row: TokenRow) -> None:
    await call.context.store.put_token(row)
    call.context.access.tokens.forget(row.token_id)


def _missing(call: Call) -> Exception:
    return not_found(f"token {call.param('token_id')[:100]!r}")


def _fields(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.token_id,
        "name": row.name,
        "scope": row.scope,
        "tenant": row.tenant or None,
        "organization": row.organization or None,
        "created_at": moment(row.created_at),
        "rotated_at": moment(row.rotated_at),
        "expires_at": moment(row.expires_at),
    }


TOKEN: Final[dict[str, Any]] = {
    "id": "9f2c41d07ab3",
    "name": "ci",
    "scope": "editor",
    "tenant": "sales",
    "organization": None,
    "created_at": "2026-01-05T10:00:00Z",
    "rotated_at": None,
    "expires_at": "2026-04-05T10:00:00Z",
}
TOLD: Final = TOKEN | {"token": "arcbook_9f2c41d07ab3_..."}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/tokens",
        handler=list_tokens,
        tag="access",
        summary="List API tokens, without their texts",
        answer=TokenList,
        answer_example={"tokens": [TOKEN]},
        scope="admin",
    ),
    Route(
        method="POST",
        path="/api/tokens",
        handler=add_token,
        change="token.add",
        tag="access",
        summary="Create an API token",
        description="Its text is returned only once; the server keeps only a digest.",
        body=NewToken,
        body_example={"name": "ci", "scope": "editor", "expires_in_seconds": 7776000},
        answer=TokenTold,
        answer_example=TOLD,
        scope="admin",
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/tokens/{token_id}/rotate",
        handler=rotate_token,
        change="token.rotate",
        tag="access",
        summary="Give an API token a new text",
        body=Rotation,
        body_example={"grace_seconds": 3600},
        body_optional=True,
        answer=TokenTold,
        answer_example=TOLD,
        scope="admin",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="DELETE",
        path="/api/tokens/{token_id}",
        handler=delete_token,
        change="token.rm",
        tag="access",
        summary="Remove an API token",
        description="Other servers refuse it within seconds.",
        answer=Deleted,
        answer_example={"message": "token '9f2c41d07ab3' is removed", "id": "9f2c41d07ab3"},
        scope="admin",
        refusals=(404,),
    ),
]
