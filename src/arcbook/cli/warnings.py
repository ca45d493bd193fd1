"""Print the warnings of the lint when a playbook runs or is registered: a few of each code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from arcbook.cli.context import WorkloadValues
from arcbook.cli.errors import UserError
from arcbook.cli.text import count
from arcbook.dsl.diagnostics import Diagnostic, Severity, did_you_mean
from arcbook.dsl.load import Loaded
from arcbook.dsl.model import Playbook
from arcbook.given import UnknownInputError, check_inputs
from arcbook.secrets.taint import shown

LACKING_SHOWN_MAX: Final = 20
"""Most warnings that are shown at the end of a run."""

WARNINGS_SHOWN_MAX: Final = 3
"""Most warnings of one code that are shown; the lint shows all."""


def warnings_of(name: str, diagnostics: Sequence[Diagnostic]) -> str:
    """Format the warnings of a document, grouped by code; empty if there are none."""
    warnings = [d for d in diagnostics if d.severity is Severity.WARNING]
    if not warnings:
        return ""
    by_code: dict[str, list[Diagnostic]] = {}
    for diagnostic in warnings:
        by_code.setdefault(diagnostic.code, []).append(diagnostic)
    head = f"{name}: {count(len(warnings), 'warning')}"
    lines = [click.style(head, fg="yellow", bold=True)]
    for code in sorted(by_code):
        group = by_code[code]
        for d in group[:WARNINGS_SHOWN_MAX]:
            lines.append(f"  {code} {d.line}:{d.column}: {d.message}")
            if d.hint:
                lines.append(click.style(f"      = {d.hint}", fg="cyan"))
        more = len(group) - WARNINGS_SHOWN_MAX
        if more > 0:
            lines.append(f"  {code} at {count(more, 'more place')}: arcbook lint {name}")
    return "\n".join(lines)


def tell_warnings(name: str, diagnostics: Sequence[Diagnostic]) -> None:
    """Print the warnings of a document, if any."""
    text = warnings_of(name, diagnostics)
    if text:
        click.echo(text, err=True)


def refuse_warnings(name: str, loaded: Loaded) -> None:
    """Refuse a document with warnings, as a strict run does.

    Raises:
        UserError: the document has warnings.
    """
    text = warnings_of(name, loaded.diagnostics)
    if text:
        raise UserError(f"the run is strict, and the document has warnings\n{text}")


def check_workload(
    playbook: Playbook,
    content: str,
    paths: Sequence[tuple[str, ...]],
    allowed: frozenset[str],
    *,
    strict: bool = False,
) -> None:
    """Refuse values that the playbook does not declare; only warn if it declares no workload.

    Raises:
        UserError: a value is not declared.
    """
    try:
        unknown = check_inputs(playbook, content, paths, allow=allowed, strict=strict)
    except UnknownInputError as error:
        raise UserError(
            "\n".join([*error.sentences, "to pass one anyway, add --allow NAME"])
        ) from None
    for sentence in unknown:
        click.echo(click.style(f"warning: {sentence}", fg="yellow"), err=True)


def check_target(playbook: Playbook, target: str | None) -> None:
    """Refuse to begin at a step that does not exist.

    Raises:
        UserError: the step does not exist.
    """
    names = [step.name for step in playbook.steps]
    if target is not None and target not in names:
        near = did_you_mean(target, names) or f"its steps are {', '.join(names)}"
        raise UserError(f"--target: the playbook has no step {target!r}: {near}")


def tell_ignored(execution_id: str, values: WorkloadValues, target: str | None) -> None:
    """Warn about options that a resumed run ignores."""
    ignored = [*(["--target"] if target is not None else ()), *(["values"] if any(values) else ())]
    if ignored:
        text = f"execution {execution_id} is resumed with its original input: {' and '.join(ignored)} ignored"
        click.echo(click.style(f"warning: {text}", fg="yellow"), err=True)


def tell_lacking(warnings: Sequence[str]) -> None:
    """Print the warnings of a run at its end."""
    if not warnings:
        return
    click.echo(click.style(count(len(warnings), "warning"), fg="yellow", bold=True), err=True)
    for warning in warnings[:LACKING_SHOWN_MAX]:
        click.echo(f"  {shown(warning)}", err=True)
    more = len(warnings) - LACKING_SHOWN_MAX
    if more > 0:
        click.echo(f"  and {more:,} more: arcbook executions show", err=True)
