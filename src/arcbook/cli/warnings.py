"""Warnings of the lint beside what a verb does: a few of each code, with place and repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from arcbook.cli.context import Given
from arcbook.cli.errors import UserError
from arcbook.cli.text import count
from arcbook.dsl.diagnostics import Diagnostic, Severity, did_you_mean
from arcbook.dsl.load import Loaded
from arcbook.dsl.model import Playbook
from arcbook.given import UnknownInputError, check_inputs
from arcbook.secrets.taint import shown

LACKING_SHOWN_MAX: Final = 20
"""Names without a value that are shown at the end of a run."""

WARNINGS_SHOWN_MAX: Final = 3
"""Warnings of one code that are shown; the lint shows all."""


def warnings_of(name: str, found: Sequence[Diagnostic]) -> str:
    """Return what is probably not meant, by code, for a run's or a registration's reader."""
    warnings = [d for d in found if d.severity is Severity.WARNING]
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
        left = len(group) - WARNINGS_SHOWN_MAX
        if left > 0:
            lines.append(f"  {code} at {count(left, 'more place')}: arcbook lint {name}")
    return "\n".join(lines)


def tell_warnings(name: str, found: Sequence[Diagnostic]) -> None:
    """Print what is probably not meant."""
    text = warnings_of(name, found)
    if text:
        click.echo(text, err=True)


def refuse_warnings(name: str, loaded: Loaded) -> None:
    """Refuse a document with warnings, as a strict run does.

    Raises:
        UserError: it has some.
    """
    text = warnings_of(name, loaded.diagnostics)
    if text:
        raise UserError(f"the run is strict, and the document has warnings\n{text}")


def check_given(
    playbook: Playbook,
    content: str,
    paths: Sequence[tuple[str, ...]],
    allowed: frozenset[str],
    *,
    strict: bool = False,
) -> None:
    """Refuse values that the playbook cannot read; only warn if it declares no workload.

    Raises:
        UserError: there are some.
    """
    try:
        unknown = check_inputs(playbook, content, paths, allow=allowed, strict=strict)
    except UnknownInputError as error:
        raise UserError("\n".join([*error.sentences, "'--allow NAME' lets one pass"])) from None
    for sentence in unknown:
        click.echo(click.style(f"warning: {sentence}", fg="yellow"), err=True)


def check_target(playbook: Playbook, target: str | None) -> None:
    """Refuse to begin at a step that does not exist.

    Raises:
        UserError: there is none of that name.
    """
    names = [step.name for step in playbook.steps]
    if target is not None and target not in names:
        near = did_you_mean(target, names) or f"its steps are {', '.join(names)}"
        raise UserError(f"the playbook has no step {target!r} to begin at: {near}")


def tell_ignored(execution_id: str, given: Given, target: str | None) -> None:
    """Warn about options that a resumed run ignores."""
    ignored = [*(["--target"] if target is not None else ()), *(["values"] if any(given) else ())]
    if ignored:
        text = f"execution {execution_id} goes on as it began: {' and '.join(ignored)} ignored"
        click.echo(click.style(f"warning: {text}", fg="yellow"), err=True)


def tell_lacking(warnings: Sequence[str]) -> None:
    """Print the warnings of a run at its end."""
    if not warnings:
        return
    click.echo(click.style(count(len(warnings), "warning"), fg="yellow", bold=True), err=True)
    for warning in warnings[:LACKING_SHOWN_MAX]:
        click.echo(f"  {shown(warning)}", err=True)
    left = len(warnings) - LACKING_SHOWN_MAX
    if left > 0:
        click.echo(f"  and {left:,} more: arcbook executions show", err=True)
