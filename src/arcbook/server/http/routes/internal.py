"""What the server's own playbooks may do, by a token that no user has."""

from __future__ import annotations

import hmac
from typing import Final

from arcbook.server.cleanup import Cleanup
from arcbook.server.http.errors import ApiError, invalid
from arcbook.server.http.route import Call, Route
from arcbook.server.http.wire.common import moment
from arcbook.server.http.wire.internal import PurgeAnswer, PurgeRequest

DAY_US: Final = 86_400_000_000


async def purge(call: Call) -> PurgeAnswer:
    """Forget executions that ended long ago."""
    _require_token(call)
    wanted: PurgeRequest = call.body
    kept_days = call.context.settings.retention_days
    days = kept_days if wanted.older_than_days is None else wanted.older_than_days
    if days < kept_days:
        raise invalid(f"older_than_days is at least {kept_days:g}, the server's retention")
    server = call.context.server
    before_us = max(0, server.clock.now_us() - int(days * DAY_US))
    cleanup = Cleanup(server.store, server.blobs)
    purged = await cleanup.purge(before_us, wanted.limit, dry_run=wanted.dry_run)
    return PurgeAnswer(dry_run=wanted.dry_run, before=moment(before_us), **purged._asdict())


def _require_token(call: Call) -> None:
    """Check the internal token.

    Raises:
        ApiError: 503 if the server has none, 403 if the caller's is another.
    """
    known = call.context.settings.internal_token
    if not known:
        told = "this server has no internal token: set ARCBOOK_INTERNAL_TOKEN"
        raise ApiError(503, told, "no_internal_token")
    scheme, _, token = call.header("authorization").partition(" ")
    is_right = hmac.compare_digest(token.strip().encode(), known.encode())
    if scheme.lower() != "bearer" or not is_right:
        raise ApiError(403, "this is for the server's own playbooks: the token is wrong")


ROUTES: Final = [
    Route(
        method="POST",
        path="/api/internal/cleanup/purge",
        handler=purge,
        tag="internal",
        summary="Forget old executions",
        description="Those that ended before the retention; first as a dry run. It takes the "
        "internal token as a bearer token, and is what `system/scheduled_cleanup` calls.",
        body=PurgeRequest,
        body_example={"dry_run": True, "limit": 10000},
        answer=PurgeAnswer,
        answer_example={
            "dry_run": True,
            "before": "2026-01-05T10:00:00Z",
            "executions": 12,
            "workers": 0,
            "more": False,
        },
        scope="open",
        refusals=(400, 403, 413, 422),
    ),
]
