"""Numbers of the code that may only get better: ``python scripts/ratchets.py``.

Limits that hold of every file and function stand here. Counts that are not zero yet
stand in ``ratchets.json``; ``--update`` lowers them to what the code has now.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src"
HELD: Final = ROOT / "scripts" / "ratchets.json"

FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 600

UNFINISHED: Final = re.compile(
    r"\b(TODO|FIXME|XXX|NotImplementedError\(\)|not implemented|for now|placeholder)\b"
)
DIARY: Final = re.compile(
    r"\b(issue #?\d+|phase \d+|this session|sprint|as of 20\d\d)\b", re.IGNORECASE
)

RIDDLES: Final = frozenset(
    [
        "Beaten",
        "Crew",
        "Door",
        "Everything",
        "Gone",
        "Item",
        "Kept",
        "Months",
        "Offer",
        "Out",
        "Outlet",
        "Pending",
        "Realm",
        "Shown",
        "Standing",
        "Steps",
        "Took",
        "Work",
    ]
)
"""Names of classes that say nothing of what they are; docs/glossary.md has better ones."""

CATCH_ALL: Final = frozenset(
    [
        "about",
        "beat",
        "brought",
        "came",
        "found",
        "given",
        "gone",
        "held",
        "kept",
        "knows",
        "left",
        "made",
        "said",
        "seen",
        "shown",
        "told",
        "took",
        "wanted",
        "what",
        "who",
        "whole",
    ]
)
"""Names of values, parameters and functions that say how they came and not what they are."""


def main(arguments: list[str]) -> int:
    """Print what is wrong, and return 1 if anything is."""
    problems: list[str] = []
    counts: dict[str, int] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text("utf-8")
        name = path.relative_to(ROOT).as_posix()
        problems += limits(name, text)
        for kind, count in tally(name, text).items():
            counts[kind] = counts.get(kind, 0) + count
    held = json.loads(HELD.read_text("utf-8")) if HELD.exists() else {}
    if "--update" in arguments:
        lowered = {kind: min(count, held.get(kind, count)) for kind, count in counts.items()}
        HELD.write_text(json.dumps(lowered, indent=2) + "\n", "utf-8")
        held = lowered
    for kind, count in counts.items():
        if count > held.get(kind, 0):
            problems.append(f"{kind}: {count}, and there were {held.get(kind, 0)}")
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


def limits(name: str, text: str) -> Iterator[str]:
    """Yield where a file passes a limit."""
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{name}: {len(lines)} lines; the limit is {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line) or DIARY.search(line):
            yield f"{name}:{number}: looks unfinished, or speaks of its own making: {line.strip()}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name.strip("_") in RIDDLES:
            yield f"{name}:{node.lineno}: {node.name} says nothing of what it is; see docs/glossary.md"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines; the limit is {FUNCTION_LINES_MAX}"


def tally(name: str, text: str) -> dict[str, int]:
    """Return the counts of one file."""
    broad = environment = vague = 0
    for node in ast.walk(ast.parse(text)):
        vague += _bound(node) in CATCH_ALL
        if isinstance(node, ast.ExceptHandler):
            caught = getattr(node.type, "id", "")
            is_broad = node.type is None or caught in ("Exception", "BaseException")
            broad += is_broad and not _raises_again(node)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            environment += getattr(node.value, "id", "") == "os" and "settings" not in name
    return {
        "broad excepts": broad,
        "type: ignore": text.count("# type: ignore"),
        "noqa": text.count("# noqa"),
        "environment outside settings": environment,
        "catch-all names": vague,
    }


def _bound(node: ast.AST) -> str:
    """Return the name that a node gives to something; empty for any other node."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name.strip("_")
    return ""


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler only cleans up."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
