"""The one rule for whether a value counts as true.

Guards, policy rules, admission and ``enabled`` switches all use it. A value is
true as Python has it, except that text which spells a false value is false: the
playbooks of the reference write ``when: "{{ flag }}"`` over text columns.
"""

from __future__ import annotations

from typing import Any, Final

from arcbook.template.access import MISSING, View

FALSE_TEXTS: Final = frozenset({"", "0", "false", "no", "none", "null", "off", "[]", "{}"})


def is_true(value: Any) -> bool:
    """Return whether ``value`` counts as true in a guard."""
    if value is True:
        return True
    if value is False or value is None or value is MISSING:
        return False
    if isinstance(value, View):
        value = value.plain()
    if isinstance(value, str):
        return value.strip().lower() not in FALSE_TEXTS
    return bool(value)
