"""Executions as a release writes them: what they run, and how their logs are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from arcbook.outcome import ErrorKind, failed
from arcbook.owner.slots import encode_state
from arcbook.store.api import CatalogEntry, EventRow
from arcbook.testing.local import Bench, bench, run_on
from arcbook.tools.api import ToolCall

LOGS: Final = Path(__file__).parent / "logs"

HEAD: Final = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {{name: {name}, path: earlier/{name}}}
workload: {{city: Paris, numbers: [1, 2, 3, 4, 5]}}
workflow:
"""

BODIES: Final = {
    "chain": """
- step: start
  tool: {kind: work, say: "{{ workload.city }}"}
  set: {ctx.told: "{{ start.say }}"}
  next: {arcs: [{step: skipped, when: "{{ ctx.told == 'Rome' }}"}, {step: last}]}
- step: skipped
  tool: {kind: work}
- step: last
  spec: {timeout: 60}
  tool: {kind: work, say: "{{ ctx.told }}!"}
""",
    "branches": """
- step: start
  next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}]}
- step: a
  tool: {kind: work, say: a}
  next: {arcs: [{step: both}]}
- step: b
  tool: {kind: work, say: b, retry: {attempts: 2, delay: 5}, fail: true}
  next: {arcs: [{step: both, when: "{{ output.status == 'error' }}"}]}
- step: both
  tool: {kind: work, say: "{{ a.say }}"}
""",
    "loops": """
- step: start
  loop: {in: "{{ workload.numbers }}", iterator: n, spec: {mode: parallel, max_in_flight: 2, on_error: continue}}
  tool: {kind: work, say: "{{ n }}", fail: "{{ n == 3 }}"}
  next: {arcs: [{step: after}]}
- step: after
  loop: {in: "{{ workload.numbers }}", iterator: n, spec: {on_error: fail}}
  tool: {kind: work, say: "{{ n }}", fail: "{{ n == 4 }}"}
  next: {arcs: [{step: last, when: "{{ output.status in ['ok', 'error'] }}"}]}
- step: last
  tool: {kind: work, say: "{{ start.stats.failed }}"}
""",
    "parent": """
- step: start
  tool: {kind: playbook, path: earlier/chain, input: {city: Oslo}}
  next: {arcs: [{step: last}]}
- step: last
  tool: {kind: work, say: done}
""",
}


class Log(msgspec.Struct, kw_only=True):
    """An execution that ended: its events as they are stored, and what became of it."""

    execution_id: int
    catalog_id: int
    path: str
    content: str
    events: list[tuple[int, int, str, str, msgspec.Raw]]
    #: The saved state after the last event.
    saved: msgspec.Raw
    status: str
    results: dict[str, Any]

    def rows(self) -> list[EventRow]:
        """Return the events as a store has them."""
        return [
            EventRow(seq, at, kind, step, bytes(body)) for seq, at, kind, step, body in self.events
        ]

    def entry(self) -> CatalogEntry:
        """Return the document as the catalog has it."""
        return CatalogEntry(
            catalog_id=self.catalog_id,
            path=self.path,
            version=1,
            kind="playbook",
            content=self.content,
            sha256=self.path,
        )


def work(call: ToolCall) -> Any:
    """Do what a step says."""
    if call.config.get("fail"):
        return failed(ErrorKind.PROCESS, "as it is told", code="TOLD")
    return {"say": call.config.get("say")}


def results_of(state: Any) -> dict[str, Any]:
    """Return the steps' results without what tells one run from another."""
    found: dict[str, Any] = {}
    for name, result in state.results.items():
        found[name] = plain = msgspec.json.decode(msgspec.json.encode(result))
        for value in plain.get("tasks", {}).values():
            if isinstance(value.get("data"), dict):
                value["data"].pop("execution_id", None)
    return found


async def recorded() -> list[Log]:
    """Run each playbook to its end, and return the logs."""
    logs: list[Log] = []
    async with bench({"work": work}) as made:
        for name, body in BODIES.items():
            text = HEAD.format(name=name) + body
            ran = await run_on(made, text)
            logs.append(await _log(made, ran.state, text))
    return logs


async def _log(made: Bench, state: Any, text: str) -> Log:
    rows = await made.store.events(state.execution_id)
    return Log(
        execution_id=state.execution_id,
        catalog_id=state.catalog_id,
        path=state.path,
        content=text,
        events=[(row.seq, row.at, row.type, row.step, msgspec.Raw(row.body)) for row in rows],
        saved=msgspec.Raw(encode_state(state)),
        status=str(state.status),
        results=results_of(state),
    )
