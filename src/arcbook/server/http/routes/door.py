"""Routes for workers that cannot reach the bus, behind a token of theirs."""

from __future__ import annotations

from typing import Final

from arcbook.bus.api import NobodyError
from arcbook.server.bus_gateway import GatewayFullError
from arcbook.server.http.access import INTERNAL
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.wire.protocol import (
    DOOR_MESSAGES,
    DOOR_NOTICES,
    DOOR_REQUESTS,
    NOBODY,
    DoorAnswer,
    DoorListen,
    DoorMessages,
    DoorNotices,
    DoorPull,
    DoorRequest,
)


async def worker_request(call: Call) -> DoorAnswer:
    """Answer what a worker asks."""
    asked: DoorRequest = call.body
    try:
        return DoorAnswer(body=await call.context.door.request(asked.subject, asked.body))
    except NobodyError:
        raise ApiError(404, f"nobody serves {asked.subject!r}", NOBODY) from None


async def worker_messages(call: Call) -> DoorMessages:
    """Return messages of some pools."""
    door = call.context.door
    try:
        found = await door.pull(call.body)
    except GatewayFullError as error:
        raise ApiError(429, str(error)) from None
    await door.end(found, arrived=not await call.request.is_disconnected())
    return DoorMessages(messages=[delivery.body for delivery in found])


async def worker_notices(call: Call) -> DoorNotices:
    """Return what a worker is told."""
    try:
        return DoorNotices(notices=await call.context.door.notices(call.body))
    except GatewayFullError as error:
        raise ApiError(429, str(error)) from None


ABOUT: Final = "For a worker that runs with `--server`, in place of the bus. "

ROUTES: Final = [
    Route(
        method="POST",
        path=DOOR_REQUESTS,
        handler=worker_request,
        tag="internal",
        summary="Ask what workers ask: claims, reports, heartbeats, credentials, blobs",
        description=ABOUT + "Request and answer are packed as on the bus.",
        body=DoorRequest,
        body_example={"subject": "server", "body": "PXt9"},
        answer=DoorAnswer,
        answer_example={"body": "PXt9"},
        scope=INTERNAL,
        for_workers=True,
        limit="result_bytes_max",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path=DOOR_MESSAGES,
        handler=worker_messages,
        tag="internal",
        summary="Wait for commands of some pools",
        description=ABOUT + "A message says that there is a command to claim. It comes once; a "
        "command that nobody claims is told again.",
        body=DoorPull,
        body_example={"pools": ["shared"], "limit": 16, "seconds": 0},
        answer=DoorMessages,
        answer_example={"messages": ["e30="]},
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 413, 422, 429),
    ),
    Route(
        method="POST",
        path=DOOR_NOTICES,
        handler=worker_notices,
        tag="internal",
        summary="Wait for what a worker is told to stop",
        description=ABOUT + "What is told while nobody waits is lost here, and comes with the "
        "answer to a heartbeat.",
        body=DoorListen,
        body_example={"worker_id": "worker-1", "seconds": 0},
        answer=DoorNotices,
        answer_example={"notices": []},
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 413, 422, 429),
    ),
]
