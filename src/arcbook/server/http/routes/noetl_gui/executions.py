"""NoETL's web page: stop an execution."""

from __future__ import annotations

from typing import Final

from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.control import CANCELLED, cancelled
from arcbook.wire.http.executions import Cancelled, CancelRequest


async def stop(call: Call) -> Cancelled:
    """Cancel an execution and all its descendants."""
    return await cancelled(call, CancelRequest(reason="stopped through the API", cascade=True))


ROUTES: Final = [
    Route(
        method="POST",
        path="/api/executions/{execution_id}/stop",
        handler=stop,
        change="execution.cancel",
        tag="gui",
        summary="Cancel an execution and all its descendants",
        description="The same as cancelling it with `cascade`. It takes no body.",
        answer=Cancelled,
        answer_example=CANCELLED,
        scope="operator",
        refusals=(400, 404),
    ),
]
