"""The services for performing commands: tools, results, credentials and a clock."""

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
"""A generator that yields awaitables and receives their results."""


class CredentialPort(Protocol):
    """A source of credentials."""

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential.

        Raises:
            CredentialError: It does not exist or cannot be decrypted.
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
        #: Whether calls with effects are skipped.
        self.is_dry = is_dry
        #: The skipped calls, without secrets; at most ``LEFT_OUT_MAX``.
        self.left_out: list[dict[str, Any]] = []
        self.secrets = Secrets()
        redact(self.secrets)
        self.keychain = Keychain(credentials, clock, self.confinement.egress)
        #: Whether executions may hold marks of secrets that another process has used.
        self.may_meet_marks = False


async def drive(steps: Awaits) -> Any:
    """Run a generator of awaitables to its end."""
    try:
        awaited = next(steps)
    except StopIteration as stop:
        return stop.value
    return await drive_on(steps, awaited)


async def drive_on(steps: Awaits, awaited: Awaitable[Any]) -> Any:
    """Run a generator of awaitables to its end, from an awaitable that it has yielded."""
    try:
        while True:
            try:
                answer = await awaited
            except BaseException as error:  # noqa: BLE001  # passed on to the generator
                awaited = steps.throw(error)
            else:
                awaited = steps.send(answer)
    except StopIteration as stop:
        return stop.value
