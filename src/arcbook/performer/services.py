"""What performing a command needs around it: tools, results, credentials, a clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

from arcbook.clock import Clock
from arcbook.results.store import ResultStore
from arcbook.secrets.keychain import Keychain
from arcbook.secrets.logs import redact
from arcbook.secrets.taint import Secrets
from arcbook.tools.api import Credential
from arcbook.tools.confinement import Confinement
from arcbook.tools.registry import Registry

Awaits = Generator[Awaitable[Any], Any, Any]
"""A computation that yields awaitables and is sent their results."""


class CredentialPort(Protocol):
    """Where credentials come from."""

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """


class Services:
    """The services of a worker."""

    def __init__(  # the services of a worker
        self,
        tools: Registry,
        results: ResultStore,
        credentials: CredentialPort,
        clock: Clock,
        *,
        worker: str,
        workspace: Callable[[int], str],
        env: dict[str, str] | None = None,
        confinement: Confinement | None = None,
        is_dry: bool = False,
    ) -> None:
        self.tools = tools
        self.results = results
        self.credentials = credentials
        self.clock = clock
        self.worker = worker
        self.workspace = workspace
        self.env = env or {}
        self.confinement = confinement or Confinement()
        #: Whether calls that have effects are left out.
        self.is_dry = is_dry
        #: Those calls, without secrets; at most ``LEFT_OUT_MAX``.
        self.left_out: list[dict[str, Any]] = []
        self.secrets = Secrets()
        redact(self.secrets)
        self.keychain = Keychain(credentials, clock, self.confinement.egress)
        #: An execution goes on that may have used secrets before this process did.
        self.may_meet_marks = False


async def drive(steps: Awaits) -> Any:
    """Run a generator of awaitables to its end."""
    try:
        awaited = next(steps)
        while True:
            try:
                answer = await awaited
            except BaseException as error:  # noqa: BLE001  # handed on to whoever asked
                awaited = steps.throw(error)
            else:
                awaited = steps.send(answer)
    except StopIteration as stop:
        return stop.value
