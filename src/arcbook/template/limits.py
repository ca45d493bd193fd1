"""Limits of templates, each with a name; reaching one is a :class:`TemplateError`."""

from __future__ import annotations

from typing import Final

SOURCE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Length of one template's source, in characters."""

OUTPUT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Length of the text that one render may produce, in characters."""

ITERATIONS_MAX: Final = 5_000_000
"""Passes through ``for`` loops in one render: the time limit, made deterministic."""

RANGE_MAX: Final = 10_000_000
"""Length of a ``range(...)``."""

DEPTH_MAX: Final = 64
"""Nesting of mappings and lists in a templated value."""

POWER_BITS_MAX: Final = 4096
"""Size of the result of ``**``, in bits."""
