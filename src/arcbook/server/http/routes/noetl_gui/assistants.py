"""Routes for NoETL's AI assistants; this server has no model and refuses them."""

from __future__ import annotations

from typing import Final, NoReturn

from arcbook.server.http.errors import ApiError
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.common import ErrorBody

NO_MODEL: Final = "this server has no AI model configured"

INSTEAD_OF_ANALYSIS: Final = (
    f"{NO_MODEL}; POST /api/executions/<id>/analyze summarizes it without one"
)
INSTEAD_OF_EXPLAINING: Final = (
    f"{NO_MODEL}; POST /api/catalog/playbooks/validate lists the problems of a playbook"
)
INSTEAD_OF_WRITING: Final = f"{NO_MODEL}; write the playbook, then register it"


async def analyze_by_model(call: Call) -> NoReturn:
    """Refuse to analyze an execution with a model."""
    raise ApiError(422, INSTEAD_OF_ANALYSIS, "no_model")


async def explain_by_model(call: Call) -> NoReturn:
    """Refuse to explain a playbook with a model."""
    raise ApiError(422, INSTEAD_OF_EXPLAINING, "no_model")


async def generate_by_model(call: Call) -> NoReturn:
    """Refuse to write a playbook with a model."""
    raise ApiError(422, INSTEAD_OF_WRITING, "no_model")


def _refused(detail: str) -> dict[str, object]:
    return {"error": detail, "status": 422, "code": "no_model", "detail": detail}


ROUTES: Final = [
    Route(
        method="POST",
        path="/api/executions/{execution_id}/analyze/ai",
        handler=analyze_by_model,
        tag="gui",
        summary="Refused: this server has no AI model",
        answer=ErrorBody,
        answer_example=_refused(INSTEAD_OF_ANALYSIS),
        status=422,
    ),
    Route(
        method="POST",
        path="/api/catalog/playbooks/explain/ai",
        handler=explain_by_model,
        tag="gui",
        summary="Refused: this server has no AI model",
        answer=ErrorBody,
        answer_example=_refused(INSTEAD_OF_EXPLAINING),
        status=422,
    ),
    Route(
        method="POST",
        path="/api/catalog/playbooks/generate/ai",
        handler=generate_by_model,
        tag="gui",
        summary="Refused: this server has no AI model",
        answer=ErrorBody,
        answer_example=_refused(INSTEAD_OF_WRITING),
        status=422,
    ),
]
