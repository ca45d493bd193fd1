"""The diagnostics of the lint as text, JSON, SARIF or GitHub annotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, Final
from urllib.parse import quote

import click

from arcbook.cli.text import count
from arcbook.dsl.codes import CODES
from arcbook.dsl.diagnostics import Diagnostic, Severity, excerpt
from arcbook.dsl.load import Loaded
from arcbook.jsons import write

Checked = Sequence[tuple[str, Loaded]]

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def as_text(checked: Checked) -> str:
    """Format diagnostics for a terminal, with a summary as the last line."""
    parts: list[str] = []
    for name, loaded in checked:
        parts += [_text(name, d, loaded.lines) for d in loaded.diagnostics]
        if loaded.left_out:
            parts.append(f"{name}: {loaded.left_out:,} more are not shown")
    errors = sum(len(loaded.errors) for _, loaded in checked)
    warnings = sum(len(loaded.diagnostics) for _, loaded in checked) - errors
    summary = (
        f"{count(len(checked), 'document')}: {count(errors, 'error')}, {count(warnings, 'warning')}"
    )
    colour = "red" if errors else "yellow" if warnings else "green"
    parts.append(click.style(summary, fg=colour, bold=True))
    return "\n".join(parts) + "\n"


def _text(name: str, diagnostic: Diagnostic, lines: Sequence[str]) -> str:
    is_error = diagnostic.severity is Severity.ERROR
    label = click.style(
        f"{diagnostic.severity}[{diagnostic.code}]", fg="red" if is_error else "yellow", bold=True
    )
    place = f"{name}:{diagnostic.line}:{diagnostic.column}"
    text = [f"{place}: {label}: {diagnostic.message}"]
    lines_around = excerpt(lines, diagnostic)
    if lines_around:
        text.append(lines_around)
    if diagnostic.hint:
        text.append(click.style(f"      = {diagnostic.hint}", fg="cyan"))
    return "\n".join(text)


def as_json(checked: Checked) -> str:
    """Format diagnostics as a JSON list."""
    return _dump([_plain(name, d) for name, loaded in checked for d in loaded.diagnostics])


def _plain(name: str, diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "file": name,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "step": diagnostic.step,
    }


def as_github(checked: Checked) -> str:
    """Format diagnostics as annotations that GitHub shows next to the lines."""
    lines: list[str] = []
    for name, loaded in checked:
        for d in loaded.diagnostics:
            message = f"{d.message}. {d.hint}" if d.hint else d.message
            text = _escaped(message)
            file = _escaped(name).replace(":", "%3A").replace(",", "%2C")
            place = f"file={file},line={d.line},col={d.column},title={d.code}"
            lines.append(f"::{d.severity} {place}::{text}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def as_sarif(checked: Checked) -> str:
    """Format diagnostics as SARIF 2.1.0, the exchange format of code scanners."""
    used = sorted({d.code for _, loaded in checked for d in loaded.diagnostics})
    driver = {
        "name": "arcbook",
        "version": metadata.version("arcbook"),
        "rules": [{"id": code, "shortDescription": {"text": CODES[code]}} for code in used],
    }
    results = [_sarif(name, d) for name, loaded in checked for d in loaded.diagnostics]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return _dump({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _sarif(name: str, diagnostic: Diagnostic) -> dict[str, Any]:
    region = {"startLine": diagnostic.line, "startColumn": diagnostic.column}
    place = {"artifactLocation": {"uri": quote(name)}, "region": region}
    text = f"{diagnostic.message}. {diagnostic.hint}" if diagnostic.hint else diagnostic.message
    return {
        "ruleId": diagnostic.code,
        "level": str(diagnostic.severity),
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _dump(value: Any) -> str:
    return write(value, indented=True).decode() + "\n"


FORMATS: Final[dict[str, Callable[[Checked], str]]] = {
    "github": as_github,
    "json": as_json,
    "sarif": as_sarif,
    "text": as_text,
}
