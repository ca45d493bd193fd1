"""What a command held is gone when it has ended, without a collection of garbage."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from arcbook.blobs.filesystem import FilesystemBlobs
from arcbook.engine.pipeline import Pipeline
from arcbook.engine.state import Status
from arcbook.outcome import ErrorKind, failed
from arcbook.performer.performance import Performance
from arcbook.testing.local import Bench, FakeCredentials, bench, play
from arcbook.tools.api import Credential, ToolCall

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: p, path: p}\n"

DOCUMENTS = {
    "a step": """
workflow:
- step: start
  tool: {kind: act, input: {n: 1}}
""",
    "a large result that the next step reads": """
workflow:
- step: start
  tool: {kind: large}
  next: {arcs: [{step: read}]}
- step: read
  tool: {kind: act, input: {rows: "{{ start.rows }}"}}
""",
    "a large result in a loop": """
workflow:
- step: start
  tool: {kind: large}
  next: {arcs: [{step: read}]}
- step: read
  loop: {in: "{{ start.rows }}", iterator: row}
  tool: {kind: act, input: {row: "{{ row.id }}", all: "{{ start.rows | length }}"}}
""",
    "a task that fails and is tried again": """
workflow:
- step: start
  tool:
    kind: shaky
    spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 3, delay: 0}}]}}
""",
    "a step that fails": """
workflow:
- step: start
  tool: {kind: broken}
""",
    "a template that fails": """
workflow:
- step: start
  tool: {kind: act, input: {n: "{{ 1 // 0 }}"}}
""",
    "a credential and an entry of the keychain": """
keychain:
- {name: token, kind: static, map: {key: "{{ workload.key }}"}}
workload: {key: a-key-nobody-guesses}
workflow:
- step: start
  tool: {kind: act, auth: someone, input: {key: "{{ keychain.token.key }}"}}
""",
    "a pause that a timer ends": """
workflow:
- step: start
  tool:
  - one: {kind: large}
  - two: {kind: shaky, spec: {policy: {rules: [{when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 3, delay: 5}}]}}}
""",
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.blocks("ten megabytes are made and encoded at once")
@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_command_is_forgotten_when_it_ends(case, uncollected, monkeypatch):
    seen: list[weakref.ref[Any]] = []
    for kind in (Performance, Pipeline):
        _remember(monkeypatch, kind, seen)

    def act(call: ToolCall) -> Any:
        return {"n": 1}

    def large(call: ToolCall) -> Any:
        return {"rows": [{"id": i, "text": "x" * 100} for i in range(3_000)]}

    def shaky(call: ToolCall) -> Any:
        return failed(ErrorKind.SERVER_ERROR, "no") if call.attempt == 1 else {"n": 1}

    def broken(call: ToolCall) -> Any:
        return failed(ErrorKind.CLIENT_ERROR, "no")

    token = Credential(name="someone", type="bearer", data={"token": "nobody-knows-it"})
    play(
        HEAD + DOCUMENTS[case],
        {"act": act, "large": large, "shaky": shaky, "broken": broken},
        credentials=FakeCredentials({"someone": token}),
    )

    assert seen
    assert [one for one in seen if one() is not None] == []


def _remember(monkeypatch: Any, kind: type[Any], seen: list[weakref.ref[Any]]) -> None:
    make = kind.__init__

    def made(self: Any, *args: Any, **facts: Any) -> None:
        make(self, *args, **facts)
        seen.append(weakref.ref(self))

    monkeypatch.setattr(kind, "__init__", made)


PASSED = """
workflow:
- step: start
  tool: {kind: large}
  next: {arcs: [{step: read}]}
- step: read
  tool: {kind: act, input: {rows: "{{ start.rows }}"}}
"""


@pytest.mark.slow
@pytest.mark.blocks("fifty megabytes are encoded at once")
async def test_passing_fifty_megabytes_costs_a_few_times_as_much_and_only_while_it_lasts(
    uncollected, tmp_path
):
    size = 50_000_000

    def large(call: ToolCall) -> Any:
        return {"rows": [{"id": i, "text": f"{i:05}" * 200} for i in range(size // 1_025)]}

    blobs = FilesystemBlobs(tmp_path)
    async with bench({"large": large, "act": lambda _: {"n": 1}}, blobs=blobs) as made:
        plan = await made.register(HEAD + PASSED)
        await made.runtime.run(plan, {})
        _forget(made)
        tracemalloc.start()
        try:
            state = await made.runtime.run(plan, {})
            _forget(made)
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert state.status is Status.COMPLETED
    assert peak < 5 * size
    assert after < size / 100


def _forget(made: Bench) -> None:
    """Forget what only the bench remembers of a run."""
    made.events.clear()
    for tool in made.tools.values():
        tool.calls.clear()
