"""Errors of templates."""

from __future__ import annotations

from arcbook.errors import InvalidError


class TemplateError(InvalidError):
    """A template cannot be compiled or rendered.

    Attributes:
        reason: the problem, in one sentence.
        template: the template's source text, shortened.
        line: the line inside the template, from 1.
        where: the place in the document, such as ``"steps.load.tool.url"``, if the caller
            knows it; set by the engine.
    """

    code = "invalid_template"

    SOURCE_SHOWN_MAX = 160

    def __init__(self, reason: str, template: str = "", line: int = 1, where: str = "") -> None:
        self.reason = reason
        self.template = shorten(template, self.SOURCE_SHOWN_MAX)
        self.line = line
        self.where = where
        super().__init__(reason)

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        shown = f": {self.template}" if self.template else ""
        return f"{self.reason}{place}{shown}"


class UnknownWordError(TemplateError):
    """A template uses a filter, test, function or method that does not exist.

    Attributes:
        word: the unknown name.
        known: the existing names.
    """

    code = "unknown_name"

    def __init__(self, what: str, word: str, known: tuple[str, ...], template: str) -> None:
        self.word = word
        self.known = known
        super().__init__(f"there is no {what} {word!r}", template)


class BudgetError(TemplateError):
    """A template exceeds its limits of units, depth or size."""

    code = "over_budget"


def shorten(text: str, limit: int) -> str:
    """Return ``text`` on one line, truncated to ``limit`` characters."""
    line = " ".join(text[: limit * 8].split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
