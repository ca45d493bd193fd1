"""What attackers on the bus have: its address, what they recorded, a token or none."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from arcbook.bus.api import Bus, BusError
from arcbook.engine.inputs import Report
from arcbook.outcome import ErrorInfo, ErrorKind, Outcome, ok
from arcbook.secrets.sessions import WorkerToken
from arcbook.testing.cluster import ENTRY_TEXT
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import (
    Claimed,
    ClaimRequest,
    CommandNotice,
    Reported,
    ReportRequest,
    owner_subject,
)
from arcbook.worker.control import Control
from arcbook.worker.sealed import SealedBus

SECRET = "s3cret-of-the-warehouse"

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {{name: {0}, path: {1}}}\n"


def playbook(name: str, workflow: str, *, folder: str = "tests") -> str:
    return HEAD.format(name, f"{folder}/{name}") + workflow


GATED = playbook(
    "gated",
    """\
workflow:
  - step: one
    tool: {kind: gate}
    next: {arcs: [{step: end}]}
  - step: end
    tool: {kind: python, code: "result = {'by': 'the engine'}"}
""",
)


class Tap:
    """A connection to the bus that hears everything its owner sends and is answered."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.sent: list[tuple[str, bytes]] = []
        self.answers: list[bytes] = []
        #: What an attacker in the middle makes of an answer.
        self.forge: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        self.sent.append((subject, body))
        answer = await self.bus.request(subject, body, seconds)
        self.answers.append(answer)
        return answer if self.forge is None else self.forge(answer)


def sealed(
    bus: Any, name: str, text: str = ENTRY_TEXT, pools: tuple[str, ...] = ("shared",)
) -> SealedBus:
    """Return a bus on which a worker speaks that has a token."""
    return SealedBus(bus, lambda: WorkerToken(text), name, list(pools))


class Gate:
    """A tool that goes on when it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.calls = 0

    async def run(self, _call: Any, _context: Any) -> Outcome:
        self.calls += 1
        self.entered.set()
        await self.open.wait()
        return ok({"by": "the holder"})

    async def close(self) -> None:
        return None


def with_gate(gate: Gate) -> Registry:
    registry = Registry()
    registry.add("gate", gate)
    return registry


class Held:
    """A command that a worker of the test holds, and what an attacker could know of it."""

    def __init__(self, execution_id: int, server: Any) -> None:
        self.execution_id = execution_id
        self.server = server

    @property
    def row(self) -> Any:
        (out,) = self.server.owner.outstanding[self.execution_id].values()
        return out.row

    @property
    def notice(self) -> CommandNotice:
        row = self.row
        return CommandNotice(
            execution_id=self.execution_id,
            command_id=row.command_id,
            generation=row.generation,
            attempt=row.attempt,
            server=self.server.server_id,
        )

    def report(self, **changes: Any) -> Report:
        row = self.row
        given = Report(
            command_id=row.command_id,
            generation=row.generation,
            attempt=row.attempt,
            fatal=ErrorInfo(kind=ErrorKind.UNKNOWN, message="the attacker says so"),
        )
        return msgspec.structs.replace(given, **changes)


async def reported(bus: Any, held: Held, given: Any, worker: str) -> list[bool | None]:
    """Report as a worker; return what was accepted."""
    request = ReportRequest(worker=worker, reports=[(held.execution_id, given)])
    subject = owner_subject(held.server.server_id)
    answer = await Control(bus, worker).once(subject, request, Reported)
    return answer.accepted


async def claimed(bus: Any, held: Held, worker: str, **changes: Any) -> Claimed:
    """Claim a command as a worker."""
    from arcbook.wire.protocol import PROTOCOL

    notice = msgspec.structs.replace(held.notice, **changes)
    request = ClaimRequest(worker=worker, commands=[notice], protocol=PROTOCOL)
    subject = owner_subject(held.server.server_id)
    (answer,) = await Control(bus, worker).once(subject, request, list[Claimed])
    return answer


@contextlib.asynccontextmanager
async def refused():
    """Expect that something is refused."""
    from arcbook.worker.control import ControlError

    try:
        yield
    except (BusError, ControlError):
        return
    raise AssertionError("it was not refused")
