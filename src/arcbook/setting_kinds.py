"""What a setting may be: how the text of a variable becomes its value, or an error."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from arcbook.errors import InvalidError

PREFIX: Final = "ARCBOOK_"

_BOOLEANS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_KINDS: Final = {int: "a whole number", float: "a number"}

_SERVICE_LINK: Final = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT|PORT_\d+_(TCP|UDP)\w*)"
)
"""What Kubernetes tells of services whose names begin like ours."""


class Doc(msgspec.Struct, frozen=True):
    """What a setting is for."""

    text: str
    #: Whether its value opens something, so that it does not stay in the environment.
    is_secret: bool = False
    #: The least that a number may be, and the most.
    least: float = 0
    most: float = math.inf
    #: What a text may be; anything by default.
    choices: tuple[str, ...] = ()


class SettingsError(InvalidError):
    """A variable of the environment holds something that its setting cannot be."""

    code = "invalid_setting"


def convert(name: str, text: str, hint: Any) -> Any:
    """Return the value of a setting that a variable holds.

    Raises:
        SettingsError: it holds none.
    """
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(kind) is tuple:
        return tuple(part for part in text.replace(",", " ").split() if part)
    if kind is bool:
        parsed = _BOOLEANS.get(text.strip().lower())
        if parsed is None:
            raise SettingsError(f"{PREFIX}{name.upper()} must be true or false, not {text!r}")
        return parsed
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(
            f"{PREFIX}{name.upper()} must be {_KINDS.get(kind, kind.__name__)}, not {text!r}"
        ) from None


def check(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is beyond what its setting may be."""
    doc = next(one for one in get_args(hint)[1:] if isinstance(one, Doc))
    variable = PREFIX + name.upper()
    if doc.choices and value not in doc.choices:
        *others, last = doc.choices
        raise SettingsError(f"{variable} must be {', '.join(others)} or {last}, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not (math.isfinite(value) and value >= doc.least):
        raise SettingsError(f"{variable} must be at least {doc.least:,g}, not {value:g}")
    if value > doc.most:
        raise SettingsError(f"{variable} must be at most {doc.most:,g}, not {value:g}")


def check_names(source: Mapping[str, str], settings: Collection[str], own: Collection[str]) -> None:
    """Refuse variables that look like settings and are none: they would do nothing."""
    known = [name.upper() for name in settings]
    for variable in source:
        name = variable.removeprefix(PREFIX)
        if name in known or name == variable or variable in own:
            continue
        if not _SERVICE_LINK.fullmatch(variable):
            from arcbook.dsl.diagnostics import nearest  # only for a mistyped name

            near = nearest(name, known)
            advice = f"did you mean {PREFIX}{near}?" if near else "see docs/operate.md"
            raise SettingsError(f"there is no setting {variable}: {advice}")
