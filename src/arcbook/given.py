"""Values that a run is given, against what its playbook can take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.mistaken import misspelt
from arcbook.dsl.model import Playbook
from arcbook.errors import InvalidError
from arcbook.template.characters import whole
from arcbook.tools.python_child.values import DepthError, NoFormError, encodable, place_of


class UnknownInputError(InvalidError):
    """A run was given a value for a name that its playbook neither declares nor mentions."""

    code = "unknown_input"

    def __init__(self, sentences: Iterable[str]) -> None:
        #: One for each of the values.
        self.sentences = list(sentences)
        super().__init__("\n".join(self.sentences))


class InvalidInputError(InvalidError):
    """A run was given values that are not data; the message says which and why."""

    code = "invalid_input"


def input_data(workload: object) -> dict[str, Any]:
    """Return the values that a program gives a run, as JSON has them.

    Raises:
        InvalidInputError: they are not a mapping, or one of them has no form in JSON.
    """
    if not isinstance(workload, Mapping):
        kind = type(workload).__name__
        raise InvalidInputError(f"the workload must be a mapping of names to values, not {kind}")
    try:
        data: dict[str, Any] = whole(encodable(workload))
    except NoFormError as error:
        raise InvalidInputError(f"{place_of(workload, 'workload')}: {error}") from None
    except DepthError as error:
        raise InvalidInputError(str(error).replace("result", "workload")) from None
    return data


def check_inputs(
    playbook: Playbook,
    content: str,
    paths: Iterable[tuple[str, ...]],
    *,
    allow: Iterable[str] = (),
    strict: bool = False,
) -> list[str]:
    """Return warnings about values that nothing in a playbook can read.

    The command line, the Python API and the HTTP API decide alike by this.

    Args:
        playbook: the playbook.
        content: its document.
        paths: where the values go, below the workload.
        allow: names that may stand there all the same, whole or by their last part.
        strict: refuse them even where the playbook declares no workload.

    Raises:
        UnknownInputError: there are some, and the playbook declares its workload.
    """
    allowed = frozenset(allow)
    checked = [path for path in paths if not allowed & {".".join(path), path[-1]}]
    unknown = unknown_inputs(playbook, content, checked)
    if unknown and (playbook.workload or strict):
        raise UnknownInputError(unknown)
    return unknown


def unknown_inputs(playbook: Playbook, content: str, paths: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a sentence for each value that nothing in a playbook can read.

    Args:
        playbook: the playbook.
        content: its document: a name that stands anywhere in it may be read.
        paths: where the values go, below the workload.
    """
    sentences: list[str] = []
    for path in paths:
        known: object = playbook.workload
        for depth, key in enumerate(path):
            if not isinstance(known, dict) or (depth and not known):
                break
            if key not in known:
                # Deeper down a mapping may be data, which takes any key but a misspelt one.
                is_odd = not depth or misspelt(key, known)
                if is_odd and not re.search(rf"(?<!\w){re.escape(key)}(?!\w)", content):
                    sentences.append(_sentence(".".join(path[: depth + 1]), key, known))
                break
            known = known[key]
    return sentences


def _sentence(name: str, key: str, known: dict[str, object]) -> str:
    near = did_you_mean(key, known)
    has = f"it has {', '.join(sorted(map(str, known)))}" if known else "it declares none"
    return f"the workload has no {name!r}: {near or has}"
