"""Objects that other packages add to Arcbook, by entry points.

A package that is broken never breaks Arcbook: what it adds is missing, and a
:class:`PluginError` names the package and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from arcbook.errors import DamagedError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class PluginError(DamagedError):
    """What a package adds to Arcbook cannot be used.

    Attributes:
        package: the name and version of the package.
        advice: what to do about it.
    """

    code = "broken_plugin"

    def __init__(self, package: str, problem: str, advice: str) -> None:
        self.package = package
        self.advice = advice
        super().__init__(f"{package} {problem}")


class Plugin(NamedTuple):
    """One entry point of an installed package."""

    name: str
    package: str
    entry: EntryPoint

    def load(self, expected: type[T]) -> T:
        """Import the object.

        Raises:
            PluginError: it cannot be imported, or is something else.
        """
        try:
            loaded: Any = self.entry.load()
        except (Exception, SystemExit) as error:
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            problem = f"cannot be loaded: importing {self.entry.value!r} failed: {why}"
            raise self.error(problem) from error
        if not isinstance(loaded, expected):
            problem = (
                f"names {self.entry.value!r}, which is {_article(type(loaded).__name__)}"
                f" and must be {_article(expected.__name__)}"
            )
            raise self.error(problem)
        return loaded

    def error(self, problem: str, advice: str = "") -> PluginError:
        """Return an error about what the package adds."""
        name = self.package.partition(" ")[0]
        return PluginError(
            f"package {self.package!r}",
            problem,
            advice or f"update or remove the package: pip install --upgrade {name}",
        )


def plugins(group: str) -> Iterator[Plugin]:
    """Yield what installed packages add to a group, in the order of packages and names."""
    from importlib import metadata  # slow to import; most playbooks need none of it

    entries = {
        (entry.name, _package(entry), entry.value): entry
        for entry in metadata.entry_points(group=group)
    }
    for (name, package, _), entry in sorted(entries.items(), key=lambda item: item[0]):
        yield Plugin(name, package, entry)


def _package(entry: EntryPoint) -> str:
    if entry.dist is None:
        return entry.value
    return f"{entry.dist.metadata['Name']} {entry.dist.version}"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
