"""Warnings of the lint beside what a verb does: a few of each code, with place and repair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from arcbook.dsl.diagnostics import Diagnostic, Severity

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


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
