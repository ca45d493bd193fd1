"""Look up the filter or test of a node, and check its arguments."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from jinja2 import nodes

from arcbook.template.errors import TemplateError, UnknownWordError
from arcbook.template.filters.applying import FILTERS, NAMES
from arcbook.template.predicates import TESTS
from arcbook.template.signatures import Word

WITH_SCOPE = "random"
"""The filter that needs a scope: it takes no arguments."""


def check_word(node: nodes.Filter | nodes.Test) -> Word | None:
    """Return the filter or test of a node, whose arguments it takes; ``None`` for ``random``.

    Raises:
        TemplateError: If it does not exist, or the arguments do not match.
    """
    check_arguments(node)
    if isinstance(node, nodes.Test):
        word = _word("test", TESTS, TESTS, node.name)
        word.check("test", len(node.args), _named(node))
        return word
    if node.name == WITH_SCOPE:
        if node.args or node.kwargs:
            raise TemplateError("filter 'random' takes no values")
        return None
    word = _word("filter", FILTERS, NAMES, node.name)
    word.check("filter", len(node.args), _named(node))
    _check_applied(node)
    return word


def _check_applied(node: nodes.Filter) -> None:
    """Check the filter or test that another one applies, if its name is a literal."""
    place = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}.get(node.name)
    if place is None or len(node.args) <= place:
        return
    name = node.args[place]
    if not isinstance(name, nodes.Const) or not isinstance(name.value, str):
        return
    if node.name == "map":
        _word("filter", FILTERS, FILTERS, name.value)
    else:
        _word("test", TESTS, TESTS, name.value)


def _named(node: Any) -> list[str]:
    return [keyword.key for keyword in node.kwargs]


def check_arguments(node: Any) -> None:
    """Check that arguments are not unpacked from a list or mapping.

    Raises:
        TemplateError: If they are.
    """
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateError("template syntax: arguments are written one by one")


def _word(what: str, words: dict[str, Word], known: Collection[str], name: str) -> Word:
    word = words.get(name)
    if word is None:
        raise UnknownWordError(what, name, tuple(sorted(known)), "")
    return word
