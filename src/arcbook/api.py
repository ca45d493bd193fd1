"""Running playbooks from Python: notebooks, scripts, tests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from arcbook.compose.embedded import Embedded
from arcbook.engine.state import State
from arcbook.events.types import Recorded
from arcbook.executions import Execution, Progress
from arcbook.given import check_inputs, input_data
from arcbook.settings import load_settings


def run(
    playbook: str | Path | dict[str, Any],
    workload: dict[str, Any] | None = None,
    *,
    home: str | Path | None = None,
    strict: bool = False,
) -> Execution:
    """Run a playbook to its end.

    Works in a notebook, too, where an event loop is already running::

        execution = arcbook.run("playbook.yaml", {"city": "Paris"})
        print(execution.status, execution.result)

    Args:
        playbook: a file, the text of a document, or a document as a mapping.
        workload: values in place of the playbook's own.
        home: the folder that keeps state; the user's data directory by default.
        strict: a name without a value is an error, not a warning of the execution.

    Returns:
        The finished execution: true if it completed.

    Raises:
        arcbook.InvalidPlaybookError: the document has errors.
        arcbook.UnknownInputError: a value is for a name that the playbook, which declares
            its workload, neither has there nor mentions.
        arcbook.InvalidInputError: a value has no form in JSON.
    """
    work = run_async(playbook, workload, home=home, strict=strict)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def run_async(
    playbook: str | Path | dict[str, Any],
    workload: dict[str, Any] | None = None,
    *,
    home: str | Path | None = None,
    strict: bool = False,
) -> Execution:
    """Run a playbook to its end, in the running event loop; see :func:`run`.

    Several may run at once::

        runs = [arcbook.run_async("playbook.yaml", {"city": city}) for city in cities]
        executions = await asyncio.gather(*runs)
    """
    values = {} if workload is None else input_data(workload)
    content, name, folder = _document(playbook)
    settings = load_settings(home=None if home is None else Path(home))
    async with Embedded(settings) as embedded:
        planned = await embedded.register(content, name, folder)
        await embedded.register_siblings(planned)
        registered, document = planned.plan.playbook, planned.entry.content
        paths = [(key,) for key in values]
        unknown = check_inputs(registered, document, paths, strict=strict)
        watched = _Watch()
        state = await embedded.run(
            planned,
            values,
            started=watched.begin,
            listener=watched.listen,
            strict=strict,
        )
        data = {step: await embedded.reader.step_data(state, step) for step in state.results}
        return Execution(
            execution_id=state.execution_id,
            path=state.path,
            status=state.status,
            result=await embedded.reader.result(state),
            error=state.error,
            steps=watched.progress.steps,
            warnings=[*unknown, *watched.progress.all_warnings()],
            events=watched.events,
            data=data,
        )


class _Watch:
    """Collects the events of one execution, not those of its children."""

    def __init__(self) -> None:
        self.execution_id = 0
        self.events: list[Recorded] = []
        self.progress = Progress()

    def begin(self, execution_id: int) -> None:
        self.execution_id = execution_id

    def listen(self, execution_id: int, events: list[Recorded], state: State) -> None:
        if execution_id == self.execution_id:
            self.events += events
            self.progress.add(events)


def _document(playbook: str | Path | dict[str, Any]) -> tuple[str | bytes, str, str]:
    """Return a document's content, a name for it, and the folder of its file."""
    if isinstance(playbook, dict):
        return msgspec.json.encode(playbook).decode(), "the document", ""
    if isinstance(playbook, str) and "\n" in playbook:
        return playbook, "the document", ""
    path = Path(playbook)
    with contextlib.suppress(OSError):
        return path.read_bytes(), str(path), str(path.resolve().parent)
    raise FileNotFoundError(f"there is no file {playbook}")
