"""What came of a document, and whether that was expected."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from arcbook.dsl.load import Loaded
from arcbook.dsl.model import Playbook
from arcbook.template.access import MISSING, attribute, item
from corpus.documents import Check, Document
from corpus.ran import Ran

LAST_STEP: Final = "end"

SHOWN_MAX: Final = 160
"""Length of a note in the table."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    name: str
    expected: str
    got: str
    #: Whether it is as expected; ``None`` for what is only listed.
    is_well: bool | None
    seconds: float = 0.0
    note: str = ""
    #: Whether the runtime still works on it.
    is_hung: bool = False


def shortened(text: str) -> str:
    """Return a note in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + "…"


def said(document: Document, message: str) -> bool:
    """Return whether an error is the one that a document must report."""
    pattern = document.expected.error_pattern
    return not pattern or re.search(pattern, message, re.IGNORECASE) is not None


def linted(document: Document, loaded: Loaded) -> Result:
    """Return what the lint says of a playbook; one that must fail may fail here."""
    expected = document.expected.expected_outcome
    errors = "; ".join(f"{d.code} line {d.line}: {d.message}" for d in loaded.errors)
    got = "errors" if errors else "clean"
    is_well = said(document, errors) if expected == "FAILED" and errors else not errors
    return Result(
        name=document.name, expected="lint", got=got, is_well=is_well, note=shortened(errors)
    )


def refused(document: Document, loaded: Loaded) -> Result:
    """Return what it means that a playbook cannot be registered."""
    message = loaded.errors[0].message if loaded.errors else "it is no playbook"
    expected = document.expected.expected_outcome
    return Result(
        name=document.name,
        expected=expected,
        got="REFUSED",
        is_well=expected == "FAILED" and said(document, message),
        note=shortened(message),
    )


def not_found(document: Document, why: str) -> Result:
    """Return what it means that a document cannot be had, or not be looked up."""
    return Result(
        name=document.name,
        expected=document.expected.expected_outcome,
        got="MISSING",
        is_well=False,
        note=shortened(why),
    )


def ended(document: Document, ran: Ran, wrong: list[str], seconds: float) -> Result:
    """Return what came of an execution; ``wrong`` are the checks that do not hold."""
    expected = document.expected.expected_outcome
    if ran.status == expected == "FAILED" and not said(document, ran.error):
        wrong = [*wrong, "another error was expected"]
    at = f"{ran.failed[0]}: " if ran.failed else ""
    note = "; ".join([*wrong, f"{at}{ran.error}" if ran.error else ""]).strip("; ")
    return Result(
        name=document.name,
        expected=expected,
        got=ran.status,
        is_well=ran.status == expected and not wrong,
        seconds=seconds,
        note=shortened(note),
    )


# -- checks ---------------------------------------------------------------------------

WHOLE: Final = frozenset({"data", "result"})
"""Names for all that a step yielded, where it has no such field."""


def unfinished(playbook: Playbook, ran: Ran) -> list[str]:
    """Return that an execution ended well without its last step, if so it is.

    A guard that silently matches nothing ends an execution too.
    """
    has_end = any(step.name == LAST_STEP for step in playbook.steps)
    return [f"step {LAST_STEP!r} did not run"] if has_end and LAST_STEP not in ran.steps else []


def failing(checks: list[Check], ran: Ran) -> list[str]:
    """Return a sentence for each check that does not hold."""
    wrong: list[str] = []
    for check in checks:
        found = _value(check, ran)
        if not _is(found, check.equals):
            shown = "nothing" if found is MISSING else repr(found)
            wrong.append(f"{check.step}.{check.field} is {shown}, not {check.equals!r}")
    return wrong


def _is(found: Any, wanted: Any) -> bool:
    """Return whether a value is the wanted one; a truth value is no number."""
    if found is MISSING or isinstance(found, bool) is not isinstance(wanted, bool):
        return False
    return bool(found == wanted)


def _value(check: Check, ran: Ran) -> Any:
    """Return the field that a check looks at."""
    found: Any = ran.steps.get(check.step, MISSING)
    first, *rest = check.field.split(".")
    is_whole = first in WHOLE and attribute(found, first) is MISSING
    for key in rest if is_whole else [first, *rest]:
        found = item(found, int(key)) if key.isdigit() else attribute(found, key)
    return found
