"""The mutants are changes that tests can notice."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import arcbook
from mutation.blocks import Blocks
from mutation.mutants import equal, mutants
from mutation.swap import Functions, NotInFunctionsError

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


def test_an_annotation_is_not_changed_but_the_value_beside_it_is(tmp_path: Path):
    file = tmp_path / "source.py"
    file.write_text(
        "def least(of: int | None) -> int | None:\n"
        "    while of:\n"
        "        found: int | None = 5\n"
        "        rest: int | str\n"
    )

    assert [mutant.what for mutant in mutants(file)] == ["5 -> 6"]


def loaded(file: Path):
    space: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    return SimpleNamespace(**space)


def test_a_swapped_function_does_what_the_mutant_says(tmp_path: Path):
    file = tmp_path / "source.py"
    file.write_text(SOURCE)
    module = loaded(file)
    swap = Functions().swaps(str(file), SOURCE, SOURCE.replace("a > b", "a >= b"))

    assert module.larger(3) is False
    swap()
    assert module.larger(3) is True


def test_a_change_outside_functions_cannot_be_swapped(tmp_path: Path):
    file = tmp_path / "source.py"
    file.write_text(SOURCE)
    loaded(file)

    with pytest.raises(NotInFunctionsError):
        Functions().swaps(str(file), SOURCE, SOURCE.replace("int = 5", "int = 6"))


def test_blocks_note_which_branch_of_a_function_ran(tmp_path: Path):
    file = tmp_path / "source.py"
    file.write_text(SOURCE)
    blocks = Blocks({file})
    space = {}
    exec(compile(blocks.noting(file), str(file), "exec"), space)
    body, branch = blocks.of(file, 9), blocks.of(file, 10)

    assert blocks.of(file, 3) is None
    space["larger"](5)
    assert blocks.take() == {body}
    space["larger"](0)
    assert blocks.take() == {body, branch}


def test_each_mutant_that_is_left_out_is_one_of_its_file():
    package = Path(arcbook.__file__).parent
    for file, what in equal():
        assert what in {mutant.what for mutant in mutants(package / file)}
