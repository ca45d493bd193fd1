"""Routes of the bus gateway, for workers that cannot reach the bus; they need a worker token."""

from __future__ import annotations

from typing import Final

from arcbook.bus.api import NobodyError
from arcbook.server.bus_gateway import GatewayFullError
from arcbook.server.http.access import INTERNAL
from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.wire.protocol import (
    GATEWAY_MESSAGES,
    GATEWAY_NOTICES,
    GATEWAY_REQUESTS,
    NOBODY,
    GatewayAnswer,
    GatewayListen,
    GatewayMessages,
    GatewayNotices,
    GatewayPull,
    GatewayRequest,
)


async def worker_request(call: Call) -> GatewayAnswer:
    """Answer a request of a worker."""
    request: GatewayRequest = call.body
    try:
        return GatewayAnswer(
            body=await call.context.bus_gateway.request(request.subject, request.body)
        )
    except NobodyError:
        raise ApiError(404, f"no server serves {request.subject!r}", NOBODY) from None


async def worker_messages(call: Call) -> GatewayMessages:
    """Return messages of some pools."""
    gateway = call.context.bus_gateway
    try:
        deliveries = await gateway.pull(call.body)
    except GatewayFullError as error:
        raise ApiError(429, str(error)) from None
    await gateway.end(deliveries, arrived=not await call.request.is_disconnected())
    return GatewayMessages(messages=[delivery.body for delivery in deliveries])


async def worker_notices(call: Call) -> GatewayNotices:
    """Return notices to a worker."""
    try:
        return GatewayNotices(notices=await call.context.bus_gateway.notices(call.body))
    except GatewayFullError as error:
        raise ApiError(429, str(error)) from None


ABOUT: Final = "Replaces the bus for a worker that runs with `--server`. "

ROUTES: Final = [
    Route(
        method="POST",
        path=GATEWAY_REQUESTS,
        handler=worker_request,
        tag="internal",
        summary="Answer a worker's request: claims, reports, heartbeats, credentials, blobs",
        description=ABOUT + "Request and answer are encoded as on the bus.",
        body=GatewayRequest,
        body_example={"subject": "server", "body": "PXt9"},
        answer=GatewayAnswer,
        answer_example={"body": "PXt9"},
        scope=INTERNAL,
        for_workers=True,
        limit="result_bytes_max",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="POST",
        path=GATEWAY_MESSAGES,
        handler=worker_messages,
        tag="internal",
        summary="Wait for commands of some pools",
        description=ABOUT
        + "A message announces a command to claim. It is delivered once; an unclaimed "
        "command is announced again.",
        body=GatewayPull,
        body_example={"pools": ["shared"], "limit": 16, "seconds": 0},
        answer=GatewayMessages,
        answer_example={"messages": ["e30="]},
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 413, 422, 429),
    ),
    Route(
        method="POST",
        path=GATEWAY_NOTICES,
        handler=worker_notices,
        tag="internal",
        summary="Wait for notices to stop commands",
        description=ABOUT
        + "A notice sent while no call waits is lost; the answer to the next heartbeat "
        "makes up for it.",
        body=GatewayListen,
        body_example={"worker_id": "worker-1", "seconds": 0},
        answer=GatewayNotices,
        answer_example={"notices": []},
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 413, 422, 429),
    ),
]
