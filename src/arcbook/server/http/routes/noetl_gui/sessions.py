"""What a token is good for: NoETL's web page asks before it shows anything."""

from __future__ import annotations

from typing import Final

from arcbook.secrets.tokens import SCOPES
from arcbook.server.http.access import SESSION_PATH, counted, remote_of
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.noetl_gui.sessions import Session, SessionRequest, SessionUser


async def validate_session(call: Call) -> Session:
    """Say whether a token opens the API, and which scopes it has."""
    asked: SessionRequest = call.body
    access = call.context.access
    caller = await access.bearer(asked.session_token.strip())
    if caller is None:
        # It is a try like any other: whoever guesses waits.
        remote = counted(remote_of(call.request.scope))
        if asked.session_token and not access.failed(remote):
            raise ApiError(429, "too many wrong tokens came from this address")
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
        summary="What a token is good for",
        description=(
            "The roles are the scopes that it has; `admin` has them all. On an open server, which "
            "listens on loopback only, everybody has. Wrong tokens count as they do everywhere."
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
