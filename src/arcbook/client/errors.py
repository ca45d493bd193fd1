"""What can go wrong between a client and a server.

ClientError
 ├─ ServerAwayError   nothing answers there
 └─ RefusedError      the server answered that it cannot be
     └─ FaultedError  for reasons of its own
"""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.errors import ArcbookError
from arcbook.wire.http.problems import Problem


class ClientError(ArcbookError):
    """A request was not answered as asked."""

    code = "client"


class ServerAwayError(ClientError):
    """Nothing answers at the server's address, or it broke off."""

    code = "server_unavailable"


class RefusedError(ClientError):
    """The server refused a request.

    Attributes:
        status: the status code.
        code: a word for programs.
        problems: what is wrong with a document, where that is why.
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
    """The server cannot do it at present, whatever is asked."""

    code = "server_failed"


def _problems(found: Any) -> list[Problem]:
    try:
        return msgspec.convert(found or [], list[Problem])
    except msgspec.ValidationError:
        return []
