"""Errors between a client and a server.

ClientError
 ├─ ServerAwayError   the server does not answer
 └─ RefusedError      the server refused the request
     └─ FaultedError  because of an internal error
"""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.errors import ArcbookError
from arcbook.wire.http.problems import Problem


class ClientError(ArcbookError):
    """A request failed, or its answer cannot be used."""

    code = "client"


class ServerAwayError(ClientError):
    """The server does not answer, or the connection broke."""

    code = "server_unavailable"


class RefusedError(ClientError):
    """The server refused a request.

    Attributes:
        status: the status code.
        code: a stable code for programs.
        problems: the problems of a document, if it was refused for them.
        url: the server.
    """

    code = "refused"

    def __init__(self, status: int, body: Any, url: str = "") -> None:
        self.url = url
        facts = body if isinstance(body, dict) else {}
        self.status = status
        self.code = str(facts.get("code", ""))
        self.problems = _problems(facts.get("diagnostics"))
        super().__init__(str(facts.get("error") or f"the server answered {status}"))


class FaultedError(RefusedError):
    """The server cannot serve the request right now."""

    code = "server_failed"


def _problems(diagnostics: Any) -> list[Problem]:
    try:
        return msgspec.convert(diagnostics or [], list[Problem])
    except msgspec.ValidationError:
        return []
