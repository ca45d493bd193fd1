"""``arcbook graph``."""

from __future__ import annotations

from typing import Any

import click

from arcbook.cli.context import read_document
from arcbook.cli.everywhere import tell_json, wants_json
from arcbook.dsl.load import InvalidPlaybookError, load_playbook
from arcbook.dsl.model import Playbook, Step
from arcbook.tools.registry import Registry

GUARD_SHOWN_MAX = 40
"""Longest guard, in characters, that is drawn in full."""


@click.command(
    help="""Draw a playbook's steps and arcs.

\b
Examples:
  arcbook graph playbook.yaml                       Mermaid, for Markdown and wikis
  arcbook graph playbook.yaml --format dot | dot -Tsvg > playbook.svg
"""
)
@click.argument("file")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "dot"]), default="mermaid", show_default=True
)
@click.pass_context
def graph(context: click.Context, file: str, form: str) -> None:
    """Draw a playbook."""
    loaded = load_playbook(read_document(file), Registry())
    if loaded.playbook is None:
        raise InvalidPlaybookError(file, loaded)
    if wants_json(context):
        tell_json(_plain(loaded.playbook))
        return
    draw = as_mermaid if form == "mermaid" else as_dot
    click.echo(draw(loaded.playbook), nl=False)


def _plain(playbook: Playbook) -> dict[str, Any]:
    """Return the steps and the arcs between them."""
    steps = [{"step": s.name, "kinds": [t.kind for t in s.tasks]} for s in playbook.steps]
    arcs = [
        {"from": step.name, "to": arc.to, "when": None if arc.when is None else _guard(arc.when)}
        for step in playbook.steps
        for arc in step.router.arcs
    ]
    return {"name": playbook.name, "steps": steps, "arcs": arcs}


def as_mermaid(playbook: Playbook) -> str:
    """Return the graph as a Mermaid flowchart."""
    ids = {step.name: f"s{i}" for i, step in enumerate(playbook.steps)}
    lines = ["flowchart TD"]
    for step in playbook.steps:
        label = _quoted(_label(step, "<br/>"))
        is_end = step.name in (playbook.entry, "end", playbook.final)
        opening, closing = ("([", "])") if is_end else ("[[", "]]") if step.loop else ("[", "]")
        lines.append(f"  {ids[step.name]}{opening}{label}{closing}")
    for step in playbook.steps:
        for arc in step.router.arcs:
            guard = f"|{_quoted(_guard(arc.when))}|" if arc.when is not None else ""
            lines.append(f"  {ids[step.name]} -->{guard} {ids[arc.to]}")
    return "\n".join(lines) + "\n"


def as_dot(playbook: Playbook) -> str:
    """Return the graph in the DOT language of Graphviz."""
    lines = [f"digraph {_quoted(playbook.name)} {{", "  rankdir=TB; node [shape=box];"]
    for step in playbook.steps:
        shape = ", peripheries=2" if step.loop else ""
        lines.append(
            f"  {_quoted(step.name)} [label={_quoted(_label(step, chr(92) + 'n'))}{shape}];"
        )
    for step in playbook.steps:
        for arc in step.router.arcs:
            label = f" [label={_quoted(_guard(arc.when))}]" if arc.when is not None else ""
            lines.append(f"  {_quoted(step.name)} -> {_quoted(arc.to)}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _label(step: Step, newline: str) -> str:
    kinds = ", ".join(dict.fromkeys(task.kind for task in step.tasks))
    loop = f"{step.loop.mode} over {step.loop.iterator}" if step.loop else ""
    return newline.join(part for part in (step.name, kinds, loop) if part)


def _guard(when: object) -> str:
    text = " ".join(str(when).replace("{{", "").replace("}}", "").split())
    return text if len(text) <= GUARD_SHOWN_MAX else text[: GUARD_SHOWN_MAX - 1] + "…"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'
