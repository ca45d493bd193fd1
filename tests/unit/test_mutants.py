"""The mutants are changes that tests can notice."""

from __future__ import annotations

import ast
from pathlib import Path

from mutation.mutants import mutants

SOURCE = '''\
"""What it is."""

LIMIT: int = 5
"""A limit."""


def larger(a: int, b: int = 3) -> bool:
    """Say so."""
    if not a:
        print("none")
    return a > b and b + 1 < 10
'''


def test_each_mutant_is_one_change_and_python(tmp_path: Path):
    file = tmp_path / "source.py"
    file.write_text(SOURCE)
    found = mutants(file)

    assert [mutant.what for mutant in found] == [
        "not a -> a",
        "print('none') -> pass",
        "return a > b and b + 1 < 10 -> return None",
        "a > b and b + 1 < 10 -> a > b or b + 1 < 10",
        "a > b -> a >= b",
        "b + 1 < 10 -> b + 1 <= 10",
        "b + 1 -> b - 1",
        "1 -> 2",
        "10 -> 11",
    ]
    for mutant in found:
        ast.parse(mutant.text)
        changed = zip(SOURCE.splitlines(), mutant.text.splitlines(), strict=True)
        assert sum(before != after for before, after in changed) == 1
