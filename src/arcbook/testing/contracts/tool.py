"""The contract suite of tools. A subclass names the tool's declaration and a valid call.

::

    class TestSign(ToolContract):
        spec = SPEC
        config = {"payload": "x"}
        auth = Credential(name="webhooks", type="signing_key", data={"key": "k"})

If a call needs a server or a folder, the subclass overrides the fixtures ``good`` (the
parameters), ``credential`` and ``context``.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import pytest
import yaml

from arcbook.dsl.load import load_playbook
from arcbook.nesting import is_nested_too_deeply
from arcbook.outcome import ErrorKind, Outcome
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.api import Credential, Deferred, Effects, Tool
from arcbook.tools.registry import Registry
from arcbook.tools.spec import ToolSpec

SECONDS_MAX: Final = 30.0
"""Time limit for a call, and for the end of a cancelled call."""

_WRONG: Final[dict[str, Any]] = {
    "array": {"of": "another type"},
    "boolean": ["of another type"],
    "integer": ["of another type"],
    "number": ["of another type"],
    "object": ["of another type"],
    "string": ["of another type"],
}
"""A value of another type, for each type of parameter."""


class Failure(NamedTuple):
    """A call that must fail."""

    #: Its parameters.
    config: dict[str, Any]
    #: The kind of its error.
    kind: str
    #: The code of its error; empty: any.
    code: str = ""


class ToolContract:
    """The contract suite."""

    #: The declaration that the entry point of the package names.
    spec: ClassVar[ToolSpec]
    #: Parameters of a call that succeeds.
    config: ClassVar[dict[str, Any]] = {}
    #: The credential of the valid call.
    auth: ClassVar[Credential | None] = None
    #: Calls that fail, by a label that says what is wrong.
    failures: ClassVar[dict[str, Failure]] = {}
    #: Parameters of a call that is slow enough to be cancelled.
    slow: ClassVar[dict[str, Any] | None] = None

    @pytest.fixture(name="good")
    def _good(self) -> dict[str, Any]:
        """Parameters of a call that succeeds; a subclass may override this to create them."""
        return copy.deepcopy(self.config)

    @pytest.fixture(name="credential")
    def _credential(self) -> Credential | None:
        """Return the credential of that call."""
        return self.auth

    @pytest.fixture(name="context")
    def _context(self, tmp_path: Any) -> FakeContext:
        """Return the services of the calls."""
        return FakeContext(workspace=str(tmp_path), folder=str(tmp_path))

    @pytest.fixture(name="tool")
    async def _tool(self) -> AsyncIterator[Tool]:
        """Create a tool, and close it twice."""
        tool = self.spec.factory()
        yield tool
        await tool.close()
        await tool.close()

    async def _call(
        self, tool: Tool, config: dict[str, Any], auth: Any, context: FakeContext
    ) -> Outcome | Deferred:
        async with asyncio.timeout(SECONDS_MAX):
            return await call_tool(tool, self.spec.kind.name, config, auth=auth, context=context)

    def test_the_kind_and_each_parameter_is_described(self) -> None:
        kind = self.spec.kind
        bare = [param.name for param in kind.params if not param.description.strip()]

        assert kind.name
        assert kind.description.strip()
        assert bare == []
        assert kind.effects

    def test_its_example_is_a_task_without_a_problem(self) -> None:
        registry = Registry()
        registry.add_spec(self.spec)
        task = yaml.safe_load(self.spec.kind.example)
        task = task.get("tool", task) if isinstance(task, dict) else task
        loaded = load_playbook(_playbook(task), registry)

        assert [d.message for d in loaded.errors] == []

    async def test_a_tool_that_nobody_called_closes(self, tool: Tool) -> None:
        assert callable(tool.run)

    async def test_a_good_call_has_an_outcome_that_is_plain_data(
        self,
        tool: Tool,
        good: dict[str, Any],
        credential: Credential | None,
        context: FakeContext,
    ) -> None:
        before = copy.deepcopy(good)
        outcome = await self._call(tool, good, credential, context)

        assert good == before
        assert isinstance(outcome, (Outcome, Deferred))
        if isinstance(outcome, Outcome):
            assert outcome.is_ok, outcome.error
            assert not is_nested_too_deeply(outcome.data)
            msgspec.json.encode(outcome)

    async def test_calls_at_once_do_not_disturb_each_other(
        self,
        tool: Tool,
        good: dict[str, Any],
        credential: Credential | None,
        context: FakeContext,
    ) -> None:
        calls = (self._call(tool, copy.deepcopy(good), credential, context) for _ in range(4))
        outcomes = await asyncio.gather(*calls)
        errors = [o.error for o in outcomes if isinstance(o, Outcome) and o.error is not None]

        assert errors == []

    async def test_a_parameter_that_is_missing_or_of_another_type_is_an_outcome_that_names_it(
        self,
        tool: Tool,
        good: dict[str, Any],
        credential: Credential | None,
        context: FakeContext,
    ) -> None:
        for name, config in _mistaken(self.spec, good):
            outcome = await self._call(tool, config, credential, context)

            assert isinstance(outcome, Outcome), name
            assert outcome.error is not None, name
            assert outcome.error.kind is ErrorKind.CONFIG, (name, outcome.error)
            assert name in outcome.error.message, (name, outcome.error.message)

    async def test_what_must_fail_fails_with_its_kind_and_says_why(
        self, tool: Tool, credential: Credential | None, context: FakeContext
    ) -> None:
        for label, failure in self.failures.items():
            outcome = await self._call(tool, dict(failure.config), credential, context)

            assert isinstance(outcome, Outcome), label
            assert outcome.error is not None, label
            assert outcome.error.kind == failure.kind, (label, outcome.error)
            assert outcome.error.message.strip(), label
            assert failure.code in ("", outcome.error.code), (label, outcome.error)

    async def test_no_outcome_tells_a_secret_of_the_credential(
        self, tool: Tool, good: dict[str, Any], context: FakeContext
    ) -> None:
        if self.auth is None:
            return
        planted = {
            name: f"{value}-planted-4711" if isinstance(value, str) else value
            for name, value in self.auth.data.items()
        }
        auth = Credential(name=self.auth.name, type=self.auth.type, data=planted)
        for config in (good, *(dict(failure.config) for failure in self.failures.values())):
            outcome = await self._call(tool, config, auth, context)

            assert "planted-4711" not in repr(outcome)

    async def test_a_call_that_is_cancelled_ends(
        self, tool: Tool, credential: Credential | None, context: FakeContext
    ) -> None:
        if self.slow is None:
            return
        answer = self._call(tool, dict(self.slow), credential, context)
        running = asyncio.ensure_future(answer)
        await asyncio.wait([running], timeout=0.2)
        assert not running.done()
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=SECONDS_MAX)

        assert done

    def test_effects_are_among_those_that_are_declared(self, good: dict[str, Any]) -> None:
        kind = self.spec.kind

        assert kind.effects_for(good) in {*kind.effects, Effects.KEYED}

    def test_a_tool_is_made_without_a_loop_and_without_arguments(self) -> None:
        parameters = inspect.signature(self.spec.factory).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and p.kind < p.VAR_POSITIONAL]

        assert needed == []


def _playbook(task: Any) -> str:
    document = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": "example"},
        "workflow": [{"step": "start", "tool": task}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def _mistaken(spec: ToolSpec, good: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return calls with one parameter that is missing or has the wrong type."""
    mistakes = []
    for param in spec.kind.params:
        if param.required and param.name in good:
            mistakes.append((param.name, {k: v for k, v in good.items() if k != param.name}))
        kinds = param.schema.get("type")
        if isinstance(kinds, str) and kinds in _WRONG:
            mistakes.append((param.name, {**good, param.name: _WRONG[kinds]}))
    return mistakes
