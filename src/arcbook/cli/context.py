"""Shared by all commands: settings, options, documents, the embedded runtime."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click

from arcbook.cli.errors import UserError
from arcbook.compose.embedded import Embedded
from arcbook.dsl.durations import SHOWN, seconds_of
from arcbook.jsons import JsonError, TooDeepError, read
from arcbook.nesting import NESTING_MAX, is_nested_too_deeply
from arcbook.settings import Settings, load_settings
from arcbook.template.characters import whole_text

T = TypeVar("T")

ALLOWED: Final = "arcbook.allowed"


def _keep_allowed(context: click.Context, _: click.Parameter, keys: tuple[str, ...]) -> None:
    context.meta[ALLOWED] = frozenset(keys)


allow_option = click.option(
    "--allow",
    multiple=True,
    metavar="KEY",
    expose_value=False,
    callback=_keep_allowed,
    help="Accept a key that the language does not define.",
)
"""Accepts unknown keys, as a comment '# arcbook: allow KEY' in the document does."""

STRICT: Final = "arcbook.strict"


def _keep_strict(context: click.Context, _: click.Parameter, value: Any) -> None:
    context.meta[STRICT] = value


strict_option = click.option(
    "--strict",
    is_flag=True,
    expose_value=False,
    callback=_keep_strict,
    help="Treat warnings as errors: those of the lint, and names without a value.",
)


def strict_of(context: click.Context) -> bool:
    """Return whether the run is strict."""
    return bool(context.meta.get(STRICT))


DRY: Final = "arcbook.dry"


def _keep_dry(context: click.Context, _: click.Parameter, value: Any) -> None:
    context.meta[DRY] = value


dry_option = click.option(
    "--dry-run",
    is_flag=True,
    expose_value=False,
    callback=_keep_dry,
    help="Skip calls that have effects, and list them.",
)


def dry_of(context: click.Context) -> bool:
    """Return whether the run is a dry run."""
    return bool(context.meta.get(DRY))


TOO_DEEP: Final = f"a value of --payload or --set is nested more than {NESTING_MAX} levels deep"

ID_MAX: Final = 2**63 - 1
"""The largest id that a store accepts."""


def settings_of(context: click.Context, **options: Any) -> Settings:
    """Return the settings; the command line overrides the environment."""
    home = options.pop("home", None) or (context.obj or {}).get("home")
    return load_settings(home=home, **options)


def with_embedded(context: click.Context, work: Callable[[Embedded], Awaitable[T]]) -> T:
    """Run a function with the open home."""

    async def inner() -> T:
        async with Embedded(settings_of(context)) as embedded:
            return await work(embedded)

    return asyncio.run(inner())


def read_document(name: str) -> bytes:
    """Return a file's bytes; those of standard input for ``-``.

    Raises:
        UserError: the file does not exist, or cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    path = Path(name)
    if path.is_dir():
        raise UserError(f"{name} is a folder: name a playbook file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {name}") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from None


def execution_id(text: str) -> int:
    """Return an execution's id.

    Raises:
        UserError: it is not a number.
    """
    if not (text.isascii() and text.isdigit()) or int(text) > ID_MAX:
        raise UserError(f"{text!r} is not an execution id: see 'arcbook executions list'")
    return int(text)


def allowed_of(context: click.Context) -> frozenset[str]:
    """Return the keys that the command line allows."""
    allowed: frozenset[str] = context.meta.get(ALLOWED, frozenset())
    return allowed


def seconds(text: str, option: str) -> float:
    """Return a duration from the command line in seconds.

    Raises:
        UserError: it is not a duration.
    """
    duration = seconds_of(text)
    if duration is None or duration <= 0:
        raise UserError(f"{option} takes {SHOWN}; not {text!r}")
    return float(duration)


def refuse_allowed(allowed: frozenset[str]) -> None:
    """Refuse ``--allow`` for keys of a document that a server checks.

    Raises:
        UserError: there is such a key.
    """
    if allowed:
        comment = f"# arcbook: allow {', '.join(sorted(allowed))}"
        raise UserError(
            f"--allow has no effect on a server: write the comment '{comment}' in the document"
        )


class WorkloadValues(NamedTuple):
    """The workload values from the command line."""

    payload: dict[str, Any]
    #: The values of ``--set``, each with its path of keys.
    assigned: list[tuple[list[str], Any]]

    def paths(self) -> list[tuple[str, ...]]:
        """Return the paths of the values in the workload."""
        return [*((key,) for key in self.payload), *(tuple(path) for path, _ in self.assigned)]

    def over(self, defaults: dict[str, Any]) -> dict[str, Any]:
        """Return the payload merged with the values of ``--set``.

        A nested value keeps its siblings from the payload, or else from the defaults.
        """
        values = dict(self.payload)
        for path, value in self.assigned:
            if len(path) > 1 and isinstance(defaults.get(path[0]), dict):
                values.setdefault(path[0], defaults[path[0]])
            _put(values, path, value)
        return values


def parse_workload(payload: str | None, assignments: tuple[str, ...]) -> WorkloadValues:
    """Parse the workload values from the command line.

    Raises:
        UserError: the payload is not a JSON object, or an assignment has no name.
    """
    assigned: list[tuple[list[str], Any]] = []
    for assignment in assignments:
        name, equals, text = whole_text(assignment).partition("=")
        if not equals or not all(name.split(".")):
            raise UserError(f"--set takes name=value, not {assignment!r}")
        assigned.append((name.split("."), _value(text)))
    values = WorkloadValues(_payload(payload) if payload else {}, assigned)
    if is_nested_too_deeply(values.payload) or any(is_nested_too_deeply(v) for _, v in assigned):
        raise UserError(TOO_DEEP)
    return values


def _payload(text: str) -> dict[str, Any]:
    source = read_document(text[1:]) if text.startswith("@") else text.encode()
    try:
        values = read(source)
    except TooDeepError:
        raise UserError(TOO_DEEP) from None
    except JsonError as error:
        raise UserError(f"--payload is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError('--payload must be a JSON object, such as \'{"city": "Paris"}\'')
    return values


def _value(text: str) -> Any:
    """Parse JSON; return any other text unchanged.

    A number that would lose digits stays text: ``1.10`` is a version, not 1.1.
    """
    try:
        value = read(text)
    except TooDeepError:
        raise UserError(TOO_DEEP) from None
    except JsonError:
        return text
    return text if _loses_digits(text, value) else value


def _loses_digits(text: str, value: Any) -> bool:
    """Return whether parsing a number would lose digits of its text."""
    if isinstance(value, float):
        return Decimal(repr(value)) != Decimal(text) or (
            text.endswith("0") and repr(value) != text and "e" not in text.lower()
        )
    return value is None and text.strip() != "null"


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = values.get(key)
        values[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        values = inner
    values[path[-1]] = value
