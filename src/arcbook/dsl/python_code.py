"""What can be known of Python code without running it: whether it parses, what it yields."""

from __future__ import annotations

import ast
import re
import warnings
from functools import lru_cache
from typing import Final, NamedTuple

CODE_CHARACTERS_MAX: Final = 256 * 1024
"""Code that is looked at."""

CACHE_SIZE: Final = 1024

_ALONE: Final = re.compile(r"^result\s*=\s*\{", re.MULTILINE)
_WRITTEN: Final = re.compile(r"\bresult\b")
#: A function may write the result, and a return goes before it.
_OTHER_WAYS: Final = re.compile(r"\b(?:def|return|exec|globals|lambda)\b")


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
    if not _ALONE.search(code) or len(_WRITTEN.findall(code)) != 1 or _OTHER_WAYS.search(code):
        return None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and _is_result(node):
            keys = [k.value if isinstance(k, ast.Constant) else None for k in node.value.keys]
            texts = [key for key in keys if isinstance(key, str)]
            return frozenset(texts) if len(texts) == len(keys) else None
    return None


def _is_result(node: ast.Assign) -> bool:
    target = node.targets[0]
    return len(node.targets) == 1 and isinstance(target, ast.Name) and target.id == "result"
