"""NoETL's web page: the rights of a token."""

from __future__ import annotations

from typing import Final

from arcbook.secrets.tokens import SCOPES
from arcbook.server.http.access import SESSION_PATH, counted, remote_of
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.noetl_gui.sessions import Session, SessionRequest, SessionUser


async def validate_session(call: Call) -> Session:
    """Return whether a token is valid, and its scopes."""
    request: SessionRequest = call.body
    access = call.context.access
    caller = await access.bearer(request.session_token.strip())
    if caller is None:
        # A wrong token counts against its address here too.
        remote = counted(remote_of(call.request.scope))
        if request.session_token and not access.failed(remote):
            raise ApiError(429, "too many wrong tokens from this address; try again later")
        return Session(valid=False)
    if caller.scope not in SCOPES:
        return Session(valid=False)
    name = caller.name.partition(" ")[2] or caller.name
    roles = list(SCOPES[: SCOPES.index(caller.scope) + 1])
    return Session(valid=True, user=SessionUser(email=name, display_name=name, roles=roles))


ROUTES: Final = [
    Route(
        method="POST",
        path=SESSION_PATH,
        handler=validate_session,
        tag="gui",
        summary="The rights of a token",
        description=(
            "The roles are the token's scopes; `admin` includes all. On an open server, which "
            "listens on loopback only, everyone has them all. Wrong tokens are counted as on other "
            "routes."
        ),
        body=SessionRequest,
        body_example={"session_token": "..."},
        body_optional=True,
        answer=Session,
        answer_example={
            "valid": True,
            "user": {"email": "ops", "display_name": "ops", "roles": ["viewer", "operator"]},
        },
        scope="open",
        refusals=(400, 413, 422, 429),
    ),
]
