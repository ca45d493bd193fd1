"""The names that a template reads, found without running it.

Commands carry only the names that their templates read, and the lint reports names that do
not exist; both rely on this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arcbook.template.paths import Part

Names = frozenset[tuple[str, ...]]
"""Each name read, as the path from its root: ``{("ctx", "page"), ("load",)}``."""

NO_NAMES: Final[Names] = frozenset()


def merge(several: Iterable[Names]) -> Names:
    """Return the union of the names of several templates."""
    return NO_NAMES.union(*several)


def roots(names: Names) -> frozenset[str]:
    """Return the root of each name."""
    return frozenset(name[0] for name in names)


def names_of_path(root: str, parts: tuple[Part, ...]) -> Names:
    """Return the name that a plain path reads, up to its first index."""
    path = [root]
    for _, key in parts:
        if not isinstance(key, str):
            break
        path.append(key)
    return frozenset({tuple(path)})
