"""Static analysis of Python code: whether it parses, and the fields of its result."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from arcbook.dsl.mistaken import misspelt

CODE_CHARACTERS_MAX: Final = 256 * 1024
"""Maximum length of code that is analysed."""

CACHE_SIZE: Final = 1024

_ALONE: Final = re.compile(r"^result\s*=\s*\{", re.MULTILINE)
_WRITTEN: Final = re.compile(r"\bresult\b")
#: A function may write the result, and a return takes precedence over it.
_OTHER_WAYS: Final = re.compile(r"\b(?:def|return|exec|globals|lambda)\b")
_HIDDEN_WAYS: Final = re.compile(r"\b(?:exec|eval|globals|locals|vars|global)\b")
_WRITES: Final = re.compile(
    r"^[ \t]*result(?:\s*=\s*(?:\{|dict\()|\[\s*(?:'\w+'|\"\w+\")\s*\]\s*=(?!=))", re.MULTILINE
)
#: What may make code yield something else than the text that it prints.
_YIELDS: Final = re.compile(
    r"\bresult\b|\bdef\s+main\b|^return\b|\b(?:exec|globals|locals|print)\b", re.MULTILINE
)
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Code(NamedTuple):
    """The analysis of a piece of code."""

    #: Why it is not Python, or an empty string.
    fault: str = ""
    #: Position of the fault within the code; both count from 1.
    line: int = 1
    column: int = 1
    #: The fields of its result, if they are known.
    fields: frozenset[str] | None = None
    #: A name that is written and never read, and the one that was probably meant, with its line.
    mistaken: tuple[str, str, int] | None = None


@lru_cache(CACHE_SIZE)
def read_code(code: str) -> Code:
    """Parse code and analyse its result."""
    if len(code) > CODE_CHARACTERS_MAX:
        return Code()
    try:
        tree = _parsed(code)
    except SyntaxError as error:
        return Code(error.msg or "syntax error", error.lineno or 1, error.offset or 1)
    except (ValueError, RecursionError, MemoryError) as error:
        return Code(str(error) or "it nests too deep")
    return Code(fields=_fields(code, tree), mistaken=_mistaken(code, tree))


def _mistaken(code: str, tree: ast.Module) -> tuple[str, str, int] | None:
    """Return a misspelt ``result`` or ``main``, if the code yields nothing otherwise."""
    if _YIELDS.search(code):
        return None
    for node in tree.body:
        if isinstance(node, _FUNCTIONS):
            name, meant = node.name, "main"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, meant = node.targets[0].id, "result"
        else:
            continue
        is_read = len(re.findall(rf"\b{re.escape(name)}\b", code)) > 1
        if not is_read and misspelt(name, [meant]):
            return name, meant, node.lineno
    return None


def _parsed(code: str) -> ast.Module:
    if "\\" not in code:
        return ast.parse(code)
    with warnings.catch_warnings():  # about invalid escapes
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _fields(code: str, tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of the code's result, if that is always a literal mapping."""
    if not _WRITTEN.search(code):
        return _of_return(tree) or _of_main(tree)
    if _ALONE.search(code) and len(_WRITTEN.findall(code)) == 1 and not _OTHER_WAYS.search(code):
        for node in tree.body:
            if isinstance(node, ast.Assign) and _is_result(node.targets[0]):
                return _keys(node.value)
    if _HIDDEN_WAYS.search(code):
        return None
    return _of_result(code, tree)


def _of_return(tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of the values that top-level ``return`` statements return."""
    return _union([_keys(n.value) for n in _statements(tree.body) if isinstance(n, ast.Return)])


def _of_main(tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of the values that ``main`` returns."""
    mains = [n for n in tree.body if isinstance(n, _FUNCTIONS) and n.name == "main"]
    if len(mains) != 1 or any(isinstance(n, ast.Return) for n in _statements(tree.body)):
        return None
    returned = [n.value for n in _statements(mains[0].body) if isinstance(n, ast.Return)]
    return _union([_keys(value) for value in returned])


def _of_result(code: str, tree: ast.Module) -> frozenset[str] | None:
    """Return the fields written to ``result``, provided that nothing else mentions it."""
    mentions = len(_WRITTEN.findall(code))
    if mentions != len(_WRITES.findall(code)):
        return None
    written: list[frozenset[str] | None] = []
    for node in _statements(tree.body):
        if isinstance(node, ast.Return):
            return None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if _is_result(target):
                written.append(_keys(node.value))
            elif isinstance(target, ast.Subscript) and _is_result(target.value):
                written.append(frozenset([ast.literal_eval(target.slice)]))
    return _union(written) if len(written) == mentions else None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body, except those inside its functions and classes."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.stmt):
                    waiting.append(part)
                elif isinstance(part, (ast.ExceptHandler, ast.match_case)):
                    waiting += part.body


def _union(results: list[frozenset[str] | None]) -> frozenset[str] | None:
    sets = [fields for fields in results if fields is not None]
    return frozenset().union(*sets) if sets and len(sets) == len(results) else None


def _keys(value: ast.AST | None) -> frozenset[str] | None:
    """Return the keys of a literal mapping of texts."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        names = [keyword.arg for keyword in value.keywords]
        return None if value.args or None in names else frozenset(n for n in names if n)
    if not isinstance(value, ast.Dict):
        return None
    keys = [k.value if isinstance(k, ast.Constant) else None for k in value.keys]
    texts = [key for key in keys if isinstance(key, str)]
    return frozenset(texts) if len(texts) == len(keys) else None


def _is_result(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "result"
