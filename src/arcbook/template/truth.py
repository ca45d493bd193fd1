"""The rule for whether a value counts as true.

Guards, policy rules, admission rules and ``enabled`` all use it. It is Python's rule, except
that text which spells a false value is false: playbooks of the reference use
``when: "{{ flag }}"`` with text columns.
"""

from __future__ import annotations

from typing import Any, Final

from arcbook.template.access import MISSING
from arcbook.template.values import data

FALSE_TEXTS: Final = frozenset({"", "0", "false", "no", "none", "null", "off", "[]", "{}"})

_LONGEST: Final = 1000
"""Maximum length of text that is examined; longer text is always true."""


def is_true(value: Any) -> bool:
    """Return whether ``value`` counts as true in a guard.

    Raises:
        TemplateError: If it is not data.
    """
    if value is True:
        return True
    if value is False or value is None or value is MISSING:
        return False
    value = data(value)
    if isinstance(value, str):
        return str.strip(value[:_LONGEST]).lower() not in FALSE_TEXTS or len(value) > _LONGEST
    return bool(value)
