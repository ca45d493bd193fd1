"""What an environment is, where its packages come from, and how one can fail to be made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

DEPENDENCIES_MAX: Final = 100
"""Requirements of one task."""

REQUIREMENT_CHARACTERS_MAX: Final = 300
"""Length of one requirement."""

ENVIRONMENTS_MAX: Final = 50
"""Environments that are kept, unless the settings say otherwise."""

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS: Final = rf"\[\s*(?:{_NAME}(?:\s*,\s*{_NAME})*)?\s*\]"
_VERSION: Final = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
_MARKER: Final = r";[\sA-Za-z0-9_.'\"()<>=!~+*-]+"
_REQUIREMENT: Final = re.compile(
    rf"{_NAME}\s*(?:{_EXTRAS})?\s*\(?\s*(?:{_VERSION}(?:\s*,\s*{_VERSION})*)?\s*\)?\s*(?:{_MARKER})?"
)
"""A requirement by name: what names a place or a file, or is an option, does not match."""

_PYTHON: Final = re.compile(r"3\.\d{1,2}(?:\.\d{1,3})?")

PYTHON_MINOR_MIN: Final = 11


class PackageSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where environments are kept, and what their packages come from."""

    #: The folder of all environments.
    folder: str = ""
    #: Package indexes; the first that has a package is used for it. PyPI by default.
    indexes: tuple[str, ...] = ()
    #: Folders and pages with further packages.
    find_links: tuple[str, ...] = ()
    #: Whether only these, and what was downloaded before, are used.
    is_offline: bool = False
    #: Environments that are kept.
    environments_max: int = ENVIRONMENTS_MAX


class PythonEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter with packages."""

    #: Digest of the exact versions, the interpreter's included.
    name: str
    #: The environment's folder.
    prefix: str
    #: The folder in it that is imported from.
    packages: str
    #: The interpreter, outside of the environment.
    interpreter: str
    #: Where the interpreter and its library are.
    base: str


class EnvironmentFailedError(RuntimeError):
    """An environment cannot be made; the message says what to do."""

    def __init__(
        self, message: str, *, code: str = "DEPENDENCIES", retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class EnvironmentRequest(NamedTuple):
    """What a task asks for: requirements in one order, and a version of Python."""

    requirements: tuple[str, ...]
    python: str

    @classmethod
    def of(cls, dependencies: Sequence[str] | None, python: str | None) -> EnvironmentRequest:
        """Return what the parameters of a task ask for.

        Raises:
            EnvironmentFailedError: one of them is not what it has to be.
        """
        requirements = [text.strip() for text in dependencies or ()]
        if len(requirements) > DEPENDENCIES_MAX:
            raise EnvironmentFailedError(
                f"'dependencies' has {len(requirements):,} requirements; the limit is {DEPENDENCIES_MAX}"
            )
        for text in requirements:
            _check_requirement(text)
        if python is not None:
            _check_python(python)
        return cls(tuple(sorted(set(requirements), key=str.lower)), python or "")

    def __str__(self) -> str:
        return ", ".join(self.requirements)


def _check_requirement(text: str) -> None:
    if len(text) <= REQUIREMENT_CHARACTERS_MAX and _REQUIREMENT.fullmatch(text):
        return
    advice = "write a name and versions, such as 'httpx>=0.27' or 'pandas[excel]~=2.2'"
    if "@" in text or "/" in text:
        advice = "packages come from the index of the settings, not from a URL or a path: " + advice
    raise EnvironmentFailedError(f"'dependencies': {text[:80]!r} is not a requirement; {advice}")


def _check_python(text: str) -> None:
    if not _PYTHON.fullmatch(text):
        raise EnvironmentFailedError(
            f"'python': {text[:20]!r} is not a version; write one such as '3.12'", code="PYTHON"
        )
    if int(text.split(".")[1]) < PYTHON_MINOR_MIN:
        raise EnvironmentFailedError(
            f"'python': code runs with Python 3.{PYTHON_MINOR_MIN} or later, not {text}",
            code="PYTHON",
        )
