"""The packages of an environment, as a process gets them that runs with its interpreter.

The interpreter starts without them, because a package can have code that every start runs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import site
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple


class Packages(NamedTuple):
    """Where an environment is, and where its packages are."""

    prefix: str
    folder: str

    def enter(self) -> None:
        """Make the packages importable, and their interpreter that of this process."""
        sys.prefix = sys.exec_prefix = self.prefix
        sys.executable = os.path.join(self.prefix, "bin", "python")
        site.addsitedir(self.folder)


def import_ahead(modules: Iterable[str]) -> list[Any]:
    """Import what can be imported, before a fork; return the random generators that exist then."""
    for name in modules:
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    gc.collect()
    generators = [one for one in gc.get_objects() if isinstance(one, random.Random)]
    gc.freeze()
    return generators


def reseed(generators: Iterable[Any]) -> None:
    """Let the sources of random numbers that were there before a fork differ after it."""
    for generator in generators:
        generator.seed()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
