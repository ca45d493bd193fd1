"""The one rule for whether a value counts as true.

Guards, policy rules, admission and ``enabled`` switches all use it. A value is
true as Python has it, except that text which spells a false value is false: the
playbooks of the reference write ``when: "{{ flag }}"`` over text columns.
"""

from __future__ import annotations

from typing import Any, Final

from arcbook.template.access import MISSING
from arcbook.template.values import data

FALSE_TEXTS: Final = frozenset({"", "0", "false", "no", "none", "null", "off", "[]", "{}"})

_LONGEST: Final = 1000
"""Characters of a text that are looked at: a longer one is true, were it but blanks."""


def is_true(value: Any) -> bool:
    """Return whether ``value`` counts as true in a guard.

    Raises:
        TemplateError: it is no data.
    """
    if value is True:
        return True
    if value is False or value is None or value is MISSING:
        return False
    value = data(value)
    if isinstance(value, str):
        return str.strip(value[:_LONGEST]).lower() not in FALSE_TEXTS or len(value) > _LONGEST
    return bool(value)
