"""What a sender may request: a worker only for itself, a server for those who asked it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.engine.inputs import Report
from arcbook.errors import AccessError
from arcbook.results.refs import InvalidRefError, parse_ref
from arcbook.secrets.sessions import BUILT_IN, Ticket
from arcbook.store.api import WorkerRow
from arcbook.wire.protocol import (
    WIRE,
    BlobGet,
    BlobPut,
    ClaimRequest,
    CredentialRequest,
    GiveBackRequest,
    HeartbeatRequest,
    InputRequest,
    LoopRequest,
    RegisterRequest,
    ReportRequest,
)

_NAMED: Final = (
    HeartbeatRequest,
    ClaimRequest,
    CredentialRequest,
    GiveBackRequest,
    ReportRequest,
)


class ForbiddenError(AccessError):
    """The sender may not make this request."""

    code = "operation_forbidden"


def permitted(request: Any, asker: Ticket) -> Any:
    """Return a request limited to the pools and the tenant of its sender.

    Raises:
        ForbiddenError: it is made in another's name, or reserved for servers.
    """
    if asker.is_server:
        return request
    if isinstance(request, InputRequest):
        raise ForbiddenError(f"worker {asker.name} sends inputs, which only servers may do")
    if isinstance(request, RegisterRequest):
        _check_row(request.row, asker)
    elif isinstance(request, _NAMED):
        _check_name(request, asker)
    if isinstance(request, ClaimRequest):
        return msgspec.structs.replace(request, pools=asker.pools, tenant=asker.tenant)
    if isinstance(request, CredentialRequest):
        is_own = asker.token_id in ("", BUILT_IN)
        return msgspec.structs.replace(request, who=asker.name, is_own=is_own)
    if isinstance(request, ReportRequest):
        pools = [pool for pool in request.pools if pool in asker.pools]
        return msgspec.structs.replace(request, pools=pools, tenant=asker.tenant)
    return request


def execution_of(request: Any) -> int | None:
    """Return the execution whose data a request touches, apart from commands; 0 if unclear.

    A request stored as a blob because of its size has a name that only its sender knows.
    """
    if isinstance(request, (BlobGet, BlobPut)):
        if request.key.startswith(WIRE):
            return None
        first = request.key.partition("/")[0]
        return int(first) if first.isascii() and first.isdigit() and len(first) < 20 else 0
    if isinstance(request, LoopRequest):
        try:
            return parse_ref(request.ref).execution_id
        except InvalidRefError:
            return 0
    return None


def _check_name(request: Any, asker: Ticket) -> None:
    """Refuse requests of a worker in another's name, or with the flags of a server."""
    if request.worker != asker.name:
        raise ForbiddenError(f"worker {asker.name} asks as {request.worker[:200]!r}")
    if request.forwarded:
        raise ForbiddenError(f"worker {asker.name} forwards a request, which only servers may do")
    for _, reported in getattr(request, "reports", ()):
        if isinstance(reported, Report) and reported.worker not in ("", asker.name):
            raise ForbiddenError(f"worker {asker.name} reports as {reported.worker[:200]!r}")


def _check_row(row: WorkerRow, asker: Ticket) -> None:
    """Refuse to register a worker under another name or for other pools than it entered with."""
    if row.worker_id != asker.name:
        raise ForbiddenError(f"worker {asker.name} registers as {row.worker_id[:200]!r}")
    if not set(row.pools) <= set(asker.pools):
        raise ForbiddenError(f"worker {asker.name} registers for pools it did not enter with")
