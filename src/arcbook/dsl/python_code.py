"""What can be known of Python code without running it: whether it parses, what it yields."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

CODE_CHARACTERS_MAX: Final = 256 * 1024
"""Code that is looked at."""

CACHE_SIZE: Final = 1024

_ALONE: Final = re.compile(r"^result\s*=\s*\{", re.MULTILINE)
_WRITTEN: Final = re.compile(r"\bresult\b")
#: A function may write the result, and a return goes before it.
_OTHER_WAYS: Final = re.compile(r"\b(?:def|return|exec|globals|lambda)\b")
_HIDDEN_WAYS: Final = re.compile(r"\b(?:exec|eval|globals|locals|vars|global)\b")
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


class Code(NamedTuple):
    """What is known of code."""

    #: Why it is not Python, or an empty text.
    fault: str = ""
    #: Where that is, within the code; both count from 1.
    line: int = 1
    column: int = 1
    #: The fields of what it yields, if it writes that once, as a mapping.
    fields: frozenset[str] | None = None


@lru_cache(CACHE_SIZE)
def read_code(code: str) -> Code:
    """Parse code."""
    if len(code) > CODE_CHARACTERS_MAX:
        return Code()
    try:
        tree = _parsed(code)
    except SyntaxError as error:
        return Code(error.msg or "syntax error", error.lineno or 1, error.offset or 1)
    except (ValueError, RecursionError, MemoryError) as error:
        return Code(str(error) or "it nests too deep")
    return Code(fields=_fields(code, tree))


def _parsed(code: str) -> ast.Module:
    if "\\" not in code:
        return ast.parse(code)
    with warnings.catch_warnings():  # of escapes that mean nothing
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _fields(code: str, tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of what code yields, where all that it can yield is a literal mapping."""
    if not _WRITTEN.search(code):
        return _of_return(tree) or _of_main(tree)
    if _ALONE.search(code) and len(_WRITTEN.findall(code)) == 1 and not _OTHER_WAYS.search(code):
        for node in tree.body:
            if isinstance(node, ast.Assign) and _is_result(node.targets[0]):
                return _keys(node.value)
    if _HIDDEN_WAYS.search(code):
        return None
    return _of_result(tree)


def _of_return(tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of what code that is no function returns."""
    returned = [n.value for n in _outside_functions(tree) if isinstance(n, ast.Return)]
    return _union([_keys(value) for value in returned])


def _of_main(tree: ast.Module) -> frozenset[str] | None:
    """Return the fields of what ``main`` returns."""
    mains = [n for n in tree.body if isinstance(n, _FUNCTIONS) and n.name == "main"]
    if len(mains) != 1 or any(isinstance(n, ast.Return) for n in _outside_functions(tree)):
        return None
    returned = [n.value for n in _outside_functions(mains[0]) if isinstance(n, ast.Return)]
    return _union([_keys(value) for value in returned])


def _of_result(tree: ast.Module) -> frozenset[str] | None:
    """Return the fields that are written to ``result``, which nothing else may change."""
    written: list[frozenset[str] | None] = []
    known: set[ast.AST] = set()
    for node in _outside_functions(tree):
        if isinstance(node, ast.Return):
            return None
        if isinstance(node, ast.Assign) and any(_is_result(t) for t in node.targets):
            written.append(_keys(node.value) if len(node.targets) == 1 else None)
            known |= set(node.targets)
        elif isinstance(node, ast.Subscript) and _is_result(node.value):
            key = node.slice
            is_text = isinstance(key, ast.Constant) and isinstance(key.value, str)
            if isinstance(node.ctx, ast.Store):
                written.append(frozenset([ast.literal_eval(key)]) if is_text else None)
            known.add(node.value)
    if any(_is_result(node) and node not in known for node in ast.walk(tree)):
        return None
    return _union(written)


def _outside_functions(root: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one, but not those of the functions and classes in it."""
    waiting = list(ast.iter_child_nodes(root))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _union(found: list[frozenset[str] | None]) -> frozenset[str] | None:
    sets = [one for one in found if one is not None]
    return frozenset().union(*sets) if sets and len(sets) == len(found) else None


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
