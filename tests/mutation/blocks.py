"""Which blocks of functions a test reaches."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Final

REACHED: Final = "__reached_blocks__"
"""The name of the set to which each block adds its number."""


@dataclass(frozen=True)
class Block:
    """Statements of a function that run one after another."""

    file: Path
    first: int
    last: int


class Blocks(MetaPathFinder):
    """The blocks of some files, numbered; those reached since the last look.

    It watches them as an importer, so it has to begin before they are imported.
    """

    def __init__(self, files: set[Path]) -> None:
        self.all: list[Block] = []
        self._files = files
        self._reached: set[int] = set()
        setattr(builtins, REACHED, self._reached)

    def watch(self) -> None:
        """Change what the files are imported as, from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        """Import the files so that they note their blocks."""
        spec = PathFinder.find_spec(fullname, path) if fullname.startswith("arcbook.") else None
        if spec is None or spec.origin is None or Path(spec.origin) not in self._files:
            return None
        spec.loader = _Loader(self, fullname, spec.origin)
        return spec

    def take(self) -> frozenset[int]:
        """Return the blocks that were reached since the last call."""
        reached = frozenset(self._reached)
        self._reached.clear()
        return reached

    def noting(self, file: Path) -> ast.Module:
        """Return the source of a file, changed so that each block of a function notes itself."""
        tree = ast.parse(file.read_text("utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for node in [function, *_inside(function)]:
                    self._note(file, node)
        return ast.fix_missing_locations(tree)

    def of(self, file: Path, line: int) -> int | None:
        """Return the number of the innermost block that has a line; nothing outside functions."""
        around = [
            (block.last - block.first, -number)
            for number, block in enumerate(self.all)
            if block.file == file and block.first <= line <= block.last
        ]
        return -min(around)[1] if around else None

    def _note(self, file: Path, node: ast.AST) -> None:
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if not isinstance(statements, list) or not statements:
                continue
            last = statements[-1].end_lineno or 0
            call = f"{REACHED}.add({len(self.all)})"
            self.all.append(Block(file, statements[0].lineno, last))
            noted = ast.parse(call).body[0]
            for part in ast.walk(noted):
                ast.copy_location(part, statements[0])
            statements.insert(0, noted)


class _Loader(SourceFileLoader):
    def __init__(self, blocks: Blocks, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._blocks = blocks

    def get_code(self, fullname: str) -> CodeType:
        noting = self._blocks.noting(Path(self.path))
        return compile(noting, self.path, "exec", dont_inherit=True)


def _inside(function: ast.AST) -> list[ast.AST]:
    """Return the statements of a function that have blocks, without functions within it."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(function):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            found += [child, *_inside(child)]
    return found
