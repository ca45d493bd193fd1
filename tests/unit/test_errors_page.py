"""The errors that leave a part have one tree, stable codes, and a page."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import arcbook
from arcbook.errors import ArcbookError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
OPTIONAL = ("arcbook.testing", "arcbook.tools.python_child", "arcbook.__main__")


def every_error() -> list[type[ArcbookError]]:
    for module in pkgutil.walk_packages(arcbook.__path__, "arcbook."):
        if not module.name.startswith(OPTIONAL):
            importlib.import_module(module.name)
    errors, waiting = [], [ArcbookError]
    while waiting:
        below = waiting.pop().__subclasses__()
        errors += below
        waiting += below
    return [error for error in errors if error.__module__.startswith("arcbook.")]


def test_every_error_has_a_code_of_its_own():
    own = [vars(error).get("code") for error in every_error()]

    assert None not in own, [e for e in every_error() if "code" not in vars(e)]
    assert [code for code, count in Counter(own).items() if count > 1] == []


def test_the_page_lists_every_code_with_its_class_and_meaning():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))

    assert rows == {error.code: error.__name__ for error in every_error()}
