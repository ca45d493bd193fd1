"""Call a single tool, with services that a test controls."""

from __future__ import annotations

import inspect
from typing import Any

from arcbook.outcome import Outcome
from arcbook.tools.api import Credential, CredentialError, Deferred, Tool, ToolCall
from arcbook.tools.confinement import Confinement
from arcbook.tools.registry import Registry


class FakeResults:
    """Values by reference, stored in a mapping."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self.values = values or {}

    async def load_ref(self, ref: str) -> Any:
        return self.values[ref]


class FakeContext:
    """The services of a tool call, with fixed values."""

    def __init__(
        self,
        *,
        credentials: dict[str, Credential] | None = None,
        results: dict[str, Any] | None = None,
        names: dict[str, Any] | None = None,
        folder: str = "",
        workspace: str = "",
        confinement: Confinement | None = None,
    ) -> None:
        self.results = FakeResults(results)
        self.folder = folder
        self.workspace = workspace
        self.confinement = confinement or Confinement()
        self._credentials = credentials or {}
        self._names = names or {}

    def names(self) -> dict[str, Any]:
        return self._names

    async def credential(self, alias: str) -> Credential:
        try:
            return self._credentials[alias]
        except KeyError:
            raise CredentialError(alias, "is not known") from None

    async def token(self, credential: Credential) -> Credential:
        return Credential(name=credential.name, type="bearer", data={"token": "minted"})


async def call_tool(  # the parts of a call that tests choose
    tool: Tool,
    kind: str,
    config: dict[str, Any],
    *,
    context: FakeContext | None = None,
    input: dict[str, Any] | None = None,  # noqa: A002  # the name that playbooks use
    auth: Any = None,
    timeout_seconds: float | None = None,
    idempotency_key: str = "1:step:1:task:1",
    execution_id: int = 1,
) -> Outcome | Deferred:
    """Call a tool once and return its outcome.

    Raises:
        AssertionError: the result has a field that the kind does not declare.
    """
    call = ToolCall(
        kind=kind,
        config=config,
        input=input or {},
        auth=auth,
        timeout_seconds=timeout_seconds,
        idempotency_key=idempotency_key,
        execution_id=execution_id,
        step="step",
        label="task",
    )
    answer = tool.run(call, context or FakeContext())
    outcome = await answer if inspect.isawaitable(answer) else answer
    _check_fields(kind, config, outcome)
    return outcome


def _check_fields(name: str, config: dict[str, Any], outcome: Outcome | Deferred) -> None:
    """Assert that the kind declares every field of a result."""
    kind = Registry().kind(name)
    if kind is None or not isinstance(outcome, Outcome) or not outcome.is_ok:
        return
    declared = kind.results.get(str(config.get(kind.result_by))) or kind.result
    if declared is not None and not declared.is_open and isinstance(outcome.data, dict):
        undeclared = [field for field in outcome.data if declared.field(field) is None]
        assert not undeclared, f"kind {name!r} does not declare {', '.join(undeclared)}"
