"""The final output of a run, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Any

import click

from arcbook.cli.errors import Exit
from arcbook.cli.everywhere import print_if_read, same_place
from arcbook.cli.places import Source
from arcbook.cli.text import coloured, duration, on_terminal, value
from arcbook.cli.warnings import tell_lacking
from arcbook.engine.state import State, Status
from arcbook.outcome import ErrorInfo
from arcbook.secrets.taint import shown


def outcome_code(state: State) -> int:
    """Return the exit code for the final status of an execution."""
    codes = {Status.COMPLETED: Exit.OK, Status.CANCELLED: Exit.CANCELLED}
    return int(codes.get(state.status, Exit.FAILED))


def finish(
    state: State,
    data: Any,
    *,
    as_json: bool,
    quiet: bool,
    warnings: Sequence[str] = (),
    source: Source | None = None,
    cut_off: Sequence[str] = (),
    left_out: list[dict[str, Any]] | None = None,
) -> None:
    """Print the outcome of an execution, and the calls that a dry run skipped."""
    if as_json:
        dry = {} if left_out is None else {"dry_run": True, "left_out": left_out}
        print_if_read(value({**outcome_of(state, data, warnings, source), **dry}))
        return
    if state.status is Status.COMPLETED:
        if data is not None:
            command = f"arcbook result {state.execution_id}{same_place()}"
            print_if_read(on_terminal(value(data), command))
    elif state.error is not None:
        first = next((f.error for f in state.failures if not f.recovered), state.error)
        print_if_read(
            cause_of(state.error, "" if source is None else source.excerpt_at(first)), err=True
        )
    if not quiet:
        elapsed = duration(state.ended_at - state.started_at)
        line = f"{coloured(str(state.status))}  execution {state.execution_id}  {elapsed}"
        tell_lacking(warnings)
        if left_out is not None:
            line = f"{coloured(str(state.status))}  dry run  {elapsed}: nothing was stored"
            _tell_left_out(left_out)
        print_if_read(line, err=True)
        if state.status is Status.CANCELLED:
            _tell_cancelled(state, cut_off)


def _tell_left_out(calls: list[dict[str, Any]]) -> None:
    """List the calls that a dry run skipped."""
    print_if_read(f"{len(calls)} calls with effects were skipped:", err=True)
    for call in calls:
        print_if_read(f"  {call['step']}: would {call['would']} ({call['effects']})", err=True)


def _tell_cancelled(state: State, cut_off: Sequence[str]) -> None:
    """Print why an execution was cancelled, what was interrupted, and how to continue."""
    print_if_read(f"  reason: {shown(state.cancel_reason or 'none')}", err=True)
    if cut_off:
        print_if_read(f"  stopped in {', '.join(cut_off)}; to run it again from there:", err=True)
        command = f"arcbook retry-from {state.execution_id} {quote(cut_off[0])}{same_place()}"
        print_if_read(f"    {command}", err=True)


def cause_of(error: ErrorInfo, place: str = "") -> str:
    """Format an error for the terminal: message, location and kind."""
    lines = [click.style(f"Error: {shown(error.message)}", fg="red")]
    if place:
        lines.append(place)
    if error.where:
        lines.append(f"  in {error.where}")
    if error.kind:
        code = f" ({error.code})" if error.code else ""
        lines.append(f"  kind {error.kind}{code}")
    return "\n".join(lines)


def outcome_of(
    state: State, data: Any, warnings: Sequence[str], source: Source | None
) -> dict[str, Any]:
    """Return the outcome of an execution as plain data."""
    error: dict[str, Any] | None = None
    if state.error is not None:
        error = {"kind": str(state.error.kind), "message": state.error.message}
        error |= {"code": state.error.code, "where": state.error.where}
        place = None if source is None else source.place(state.error)
        if source is not None and place is not None:
            error |= {"file": source.name, "line": place.line, "column": place.column}
    return {
        "execution_id": str(state.execution_id),
        "path": state.path,
        "status": str(state.status),
        "result": data,
        "error": error,
        "cancel_reason": state.cancel_reason,
        "failed_steps": list(dict.fromkeys(f.step for f in state.failures if not f.recovered)),
        "warnings": [shown(warning) for warning in warnings],
        "duration_ms": round((state.ended_at - state.started_at) / 1000, 3),
    }
