"""Finding out how far apart this machine lets code of users run: by trying it."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from arcbook.logs import events as logged
from arcbook.outcome import Outcome
from arcbook.tools.api import Tool, ToolCall
from arcbook.tools.confinement import Confinement, Isolation, program
from arcbook.tools.python import Python
from arcbook.tools.shell import Shell

TRY_SECONDS: Final = 20.0
"""How long trying one may take."""

NEEDED: Final[dict[Isolation, tuple[str, ...]]] = {
    Isolation.PROCESS: (),
    Isolation.USER: ("env", "setpriv", "prlimit"),
    Isolation.SANDBOX: ("env", "setpriv", "prlimit", "bwrap"),
}
"""Programs of the system that each takes."""

log = logging.getLogger(__name__)


class IsolationError(RuntimeError):
    """Code cannot be run as far apart as the settings want it; the message says why."""


class Found(NamedTuple):
    """One way to run code apart, and why it cannot be had; empty if it can."""

    confinement: Confinement
    why_not: str


async def look(make: Callable[[Isolation], Confinement]) -> list[Found]:
    """Return what can be had and what cannot, the strongest first."""
    confinements = [make(isolation) for isolation in reversed(Isolation)]
    return [Found(one, await why_not(one)) for one in confinements]


async def choose(requested: str, make: Callable[[Isolation], Confinement]) -> Confinement:
    """Return the confinement that is wanted; the strongest that can be had for ``auto``.

    Raises:
        IsolationError: it cannot be had, or there is no such one.
    """
    if requested == "auto":
        for isolation in reversed(Isolation):
            confinement = make(isolation)
            reason = await why_not(confinement)
            if not reason:
                _say(confinement)
                return confinement
            log.warning(logged.ISOLATION_ABSENT, {"isolation": isolation, "reason": reason})
    if requested not in tuple(Isolation):
        names = ", ".join(Isolation)
        raise IsolationError(f"ARCBOOK_ISOLATION must be auto, {names}; not {requested!r}")
    confinement = make(Isolation(requested))
    reason = await why_not(confinement)
    if reason:
        raise IsolationError(f"isolation '{requested}' cannot be had: {reason}")
    _say(confinement)
    return confinement


def _say(confinement: Confinement) -> None:
    if confinement.isolation is Isolation.PROCESS:
        log.warning(logged.ISOLATION_WEAK)
    else:
        log.info(logged.ISOLATION_CHOSEN, {"isolation": confinement.isolation})


async def why_not(confinement: Confinement) -> str:
    """Return why code cannot be run like this; nothing if it can."""
    isolation = confinement.isolation
    try:
        for name in NEEDED[isolation]:
            program(name)
    except FileNotFoundError as error:
        return str(error)
    if isolation is Isolation.USER and os.geteuid() != 0:
        return "only root may run code as other users"
    context = _Trial(confinement)
    tools: dict[str, Tool] = {"shell": Shell(), "python": Python()}
    config = {
        "shell": {"command": "true"},
        "python": {"code": "import csv, os\nresult = os.getcwd()"},
    }
    try:
        for kind, tool in tools.items():
            call = ToolCall(kind=kind, config=config[kind], timeout_seconds=TRY_SECONDS)
            answer = tool.run(call, context)
            outcome = await answer if inspect.isawaitable(answer) else answer
            if isinstance(outcome, Outcome) and outcome.error is not None:
                return f"{kind} does not run: {outcome.error.message}"
    finally:
        for tool in tools.values():
            await tool.close()
    return ""


class _Trial:
    """The services of a call that tries."""

    folder = ""

    def __init__(self, confinement: Confinement) -> None:
        self.confinement = confinement
        self.workspace = confinement.make_workspace(0)

    @property
    def results(self) -> Any:
        raise LookupError("a trial has no results")

    def names(self) -> dict[str, Any]:
        return {}

    async def credential(self, alias: str) -> Any:
        raise LookupError(alias)

    async def token(self, credential: Any) -> Any:
        raise LookupError(credential)
