"""How a template reaches into a value: names, keys and indexes.

Both ways of evaluating a template, the fast path of :mod:`arcbook.template.paths`
and Jinja2 itself, go through :func:`attribute` and :func:`item`, so that they
cannot disagree. Keys of a mapping win over its methods: ``{{ page.items }}`` is
the key ``items``.
"""

from __future__ import annotations

from typing import Any, Final, final


@final
class _Missing:
    """The one value that stands for "no such name"; false, and not JSON."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class View:
    """A value that answers names in its own way, such as a step's result.

    Subclasses say what :meth:`name` and :meth:`index` find, and what plain JSON
    value stands for the whole when a template hands it on.
    """

    __slots__ = ()

    def name(self, key: str) -> Any:
        """Return what ``view.key`` is, or :data:`MISSING`."""
        raise NotImplementedError

    def index(self, key: Any) -> Any:
        """Return what ``view[key]`` is, or :data:`MISSING`."""
        if isinstance(key, str):
            return self.name(key)
        return item(self.plain(), key)

    def plain(self) -> Any:
        """Return the JSON value that ``{{ view }}`` alone yields."""
        raise NotImplementedError

    def __iter__(self) -> Any:
        return iter(self.plain())

    def __len__(self) -> int:
        return len(self.plain())

    def __bool__(self) -> bool:
        return bool(self.plain())

    def __contains__(self, key: object) -> bool:
        return key in self.plain()

    def __eq__(self, other: object) -> bool:
        return bool(self.plain() == plain(other))

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return str(self.plain())


_SCALARS: Final = (str, list, tuple, type(None))


def attribute(obj: Any, name: str) -> Any:
    """Return ``obj.name`` as a template means it, or :data:`MISSING`.

    Methods are never returned: they are not data. Jinja2's own call syntax finds
    them by itself.
    """
    if type(obj) is dict:
        return obj.get(name, MISSING)
    if isinstance(obj, View):
        return obj.name(name)
    if isinstance(obj, dict):
        return obj.get(name, MISSING)
    if obj is MISSING or isinstance(obj, _SCALARS) or name.startswith("_"):
        return MISSING
    value = getattr(obj, name, MISSING)
    return MISSING if callable(value) else value


def item(obj: Any, key: Any) -> Any:
    """Return ``obj[key]`` as a template means it, or :data:`MISSING`."""
    if isinstance(obj, View):
        return obj.index(key)
    if obj is MISSING or obj is None:
        return MISSING
    try:
        return obj[key]
    except (TypeError, LookupError):
        return attribute(obj, key) if isinstance(key, str) else MISSING


def plain(value: Any) -> Any:
    """Return ``value`` with every view in it replaced by the data it stands for."""
    if isinstance(value, View):
        return value.plain()
    if type(value) is dict:
        if any(isinstance(v, (View, dict, list)) for v in value.values()):
            return {k: plain(v) for k, v in value.items()}
        return value
    if type(value) is list:
        if any(isinstance(v, (View, dict, list)) for v in value):
            return [plain(v) for v in value]
        return value
    return value
