"""Limits of templates, each with a name; reaching one is a :class:`TemplateError`.

A template is a total program: whatever it says, its evaluation ends within a budget of
*units*. A unit is one node evaluated, one iteration, sixteen characters or eight list
slots made; it stands for well under a microsecond.
"""

from __future__ import annotations

from typing import Final

TEXT_CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""Length of one template's source."""

SOURCE_CHARACTERS_MAX: Final = 256 * 1024
"""Length of a template's source that contains more than plain paths."""

TOKENS_MAX: Final = 20_000
"""Tokens of one template's source."""

NESTING_MAX: Final = 50
"""Nesting of brackets, prefixes and blocks in a template's source."""

TREE_DEPTH_MAX: Final = 60
"""Nesting of a template's syntax tree."""

LOOPS_NESTED_MAX: Final = 12
"""``for`` blocks within each other."""

MACRO_DEPTH_MAX: Final = 40
"""Macro calls within each other."""

UNITS_MAX: Final = 1_000_000
"""Units that one decision, or any render without its own limit, may spend."""

TASK_UNITS_MAX: Final = 4_000_000
"""Units that the templates of one task may spend: enough for 64 MiB of text."""

OUTPUT_CHARACTERS_MAX: Final = 32 * 1024 * 1024
"""Length of the text that one render may produce."""

RANGE_MAX: Final = 10_000_000
"""Length of a ``range(...)``."""

DEPTH_MAX: Final = 64
"""Nesting of mappings and lists in a templated value."""

DATA_DEPTH_MAX: Final = 100
"""Nesting of data that a template compares, writes or returns."""

NUMBER_BITS_MAX: Final = 4096
"""Size of an integer that a template computes."""

NUMBER_CHARACTERS_MAX: Final = 1300
"""Length of text that is read as a number."""

KEY_BITS_MAX: Final = 60
"""Size of an integer that is a key of a mapping."""

WIDTH_MAX: Final = 1000
"""Width and precision in ``%`` and ``format``; digits of ``round``."""

FORMAT_CHARACTERS_MAX: Final = 1000
"""Length of a time format."""
