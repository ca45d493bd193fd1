"""Templates in shell text, next to those of other programs: ``docker --format '{{.ID}}'``.

Shell text is full of braces: templates of Go, Helm and GitHub, ``${#array[@]}``,
``printf "{%s}"``. Braces that do not parse as an expression are left unchanged, and so are
those that read a name that cannot exist. All others are ordinary templates.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from arcbook.template import limits
from arcbook.template.access import MISSING
from arcbook.template.errors import TemplateError
from arcbook.template.names import NO_NAMES, Names, merge, roots
from arcbook.template.render import (
    Literal,
    Mapping,
    Sequence,
    Template,
    compile_text,
    compile_value,
    is_template,
)
from arcbook.template.scope import Scope
from arcbook.template.text import joined, text_of

CACHE_SIZE: Final = 2048

FUNCTIONS: Final = frozenset({"cycler", "dict", "joiner", "namespace", "now", "range", "utcnow"})
"""Names defined in every template, which in another language may have other meanings."""

HOLES_MAX: Final = 4096
"""Maximum templates in one text that is not a template as a whole."""

_MARK: Final = re.compile(r"\{[{%#]")
_KINDS: Final = {"{{": "hole", "{%": "tag", "{#": "comment"}
_HOLE: Final = re.compile(r"\{\{(?:[^{}]|\{[^{}]*\})*\}\}")
_TAG: Final = re.compile(
    r"\{%[-+]?\s*(?:for|endfor|if|elif|else|endif|set|endset|with|endwith|raw|endraw"
    r"|macro|endmacro|filter|endfilter)\b"
)
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`")
#: Text that may contain templates of another program even if it compiles as a whole.
_SUSPICIOUS: Final = re.compile(
    r"\$\{[{#]|\{\{-?\s*(?:block|define|else|end|if|range|template|with)\b"
    r"|\{\{[^{}]*[\s(|]\.[A-Za-z_]"
)
#: A field of a Go template: a leading dot, or a variable.
_GO_FIELD: Final = re.compile(r"(?:^|[\s(|,])(?:\.(?:[A-Za-z_]|[\s)]|$)|\$)")
_GO_BLOCK: Final = re.compile(r"(?:block|define|if|range|with)\s+[^\s(]")
#: Root names in templates of GitHub Actions, which start with ``$``.
_GITHUB: Final = frozenset(
    ["env", "github", "inputs", "job", "jobs", "matrix", "needs", "runner", "secrets", "steps", "strategy", "vars"]
)  # fmt: skip
_OPENED: Final = re.compile(r"(?<!\$)\{\{-?\s*([A-Za-z_]\w*)[.|\[]")
_CONSTANT: Final = re.compile(rf"\{{\{{-?\s*(?:{_QUOTED.pattern}|\d+)\s*-?\}}\}}")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_FIRST_NAME: Final = re.compile(r"-?\s*([A-Za-z_]\w*)\s*[.|\[]")


class Foreign(NamedTuple):
    """Braces that are not a template of the playbook."""

    text: str
    #: Its start within the whole text.
    offset: int
    #: The undefined name; empty if the braces are not an expression.
    unknown: str


class _Piece(NamedTuple):
    #: ``text``, ``hole``, ``tag`` or ``comment``; ``foreign`` for braces left unchanged.
    kind: str
    text: str
    offset: int
    template: Template | None = None
    #: Root names that may only be defined at run time.
    unknown: frozenset[str] = frozenset()
    #: Rendered instead if they are undefined; None for the unchanged text.
    otherwise: Template | None = None


class Script(Template):
    """Text that contains both templates and foreign braces."""

    __slots__ = ("names", "pieces")

    def __init__(self, pieces: tuple[_Piece, ...]) -> None:
        self.pieces = pieces
        self.names: Names = merge(p.template.names for p in pieces if p.template is not None)

    def render(self, scope: Scope) -> Any:
        if len(self.pieces) == 1:
            return _rendered(self.pieces[0], scope)
        budget = scope.budget
        return joined(budget, [text_of(budget, _rendered(p, scope)) for p in self.pieces])

    evaluate = render


def _rendered(piece: _Piece, scope: Scope) -> Any:
    if piece.template is None or any(scope.lookup(r) is MISSING for r in piece.unknown):
        return piece.text if piece.otherwise is None else piece.otherwise.render(scope)
    return piece.template.render(scope)


def compile_script(value: Any, known: Container[str]) -> Template:
    """Compile the text of a script, or a list or mapping of texts.

    Args:
        value: the text.
        known: names that templates may read.

    Raises:
        TemplateError: a template in it that is the playbook's own has a syntax error.
    """
    if isinstance(value, str):
        return _compile(value, _mentioned(value, known)) if is_template(value) else Literal(value)
    if isinstance(value, list):
        parts = tuple(compile_script(v, known) for v in value)
        return Literal(value) if all(p.is_literal for p in parts) else Sequence(parts)
    if isinstance(value, dict):
        pairs = tuple((compile_value(k), compile_script(v, known)) for k, v in value.items())
        return Literal(value) if all(v.is_literal for _, v in pairs) else Mapping(pairs)
    return Literal(value)


def foreign_in(source: str, known: Container[str]) -> list[Foreign]:
    """Return the parts of a text that look like templates but are not the playbook's.

    Raises:
        TemplateError: a template in it that is the playbook's own has a syntax error.
    """
    mentioned = _mentioned(source, known)
    if len(source) > limits.SOURCE_CHARACTERS_MAX:
        compile_text(source)
        return []
    if _whole(source, mentioned) is not None:
        return []
    pieces, tagged = _apart(source, mentioned)
    foreign: list[Foreign] = []
    for piece in pieces:
        unknown = tagged.unknown if piece.kind == "tag" and tagged else piece.unknown
        if piece.kind == "foreign" or unknown:
            foreign.append(Foreign(piece.text, piece.offset, min(unknown, default="")))
    return foreign


def _mentioned(source: str, known: Container[str]) -> frozenset[str]:
    """Return the known names that occur in a text as words."""
    return frozenset(word for word in set(_NAME.findall(source)) if word in known)


@lru_cache(CACHE_SIZE)
def _compile(source: str, known: frozenset[str]) -> Template:
    if len(source) > limits.SOURCE_CHARACTERS_MAX:
        return compile_text(source)  # raises the error that names the limit
    whole = _whole(source, known)
    if whole is not None:
        return whole
    pieces, tagged = _apart(source, known)
    if tagged is None:
        return _script(source, pieces)
    if not tagged.unknown:
        return tagged.whole
    plain = _script(source, tuple(_pieces(source, known, has_tags=False)))
    return Script((_Piece("hole", source, 0, tagged.whole, tagged.unknown, plain),))


class _Tagged(NamedTuple):
    """A text with tags, compiled as one template."""

    whole: Template
    #: Root names in it that may only be defined at run time.
    unknown: frozenset[str]


def _apart(source: str, known: frozenset[str]) -> tuple[tuple[_Piece, ...], _Tagged | None]:
    """Return a text's pieces and, if it has tags of the playbook, its template as a whole."""
    pieces = tuple(_pieces(source, known))
    tags = [piece.text for piece in pieces if piece.kind == "tag"]
    if not tags:
        return pieces, None
    try:
        whole = compile_text("".join(_escaped(piece) for piece in pieces))
    except TemplateError:
        if any(name in known - FUNCTIONS for tag in tags for name in _NAME.findall(tag)):
            raise
        return tuple(_pieces(source, known, has_tags=False)), None
    return pieces, _Tagged(whole, roots(whole.names) - known)


def _script(source: str, pieces: tuple[_Piece, ...]) -> Template:
    visible = tuple(piece for piece in pieces if piece.kind != "comment")
    is_plain = len(visible) == len(pieces) and all(piece.template is None for piece in pieces)
    return Literal(source) if is_plain else Script(visible)


def _whole(source: str, known: frozenset[str]) -> Template | None:
    """Compile a text as a whole, if nothing in it is foreign."""
    if _SUSPICIOUS.search(source):
        return None
    try:
        template = compile_text(source)
    except TemplateError:
        return None
    return template if roots(template.names) <= known else None


def _pieces(
    source: str, known: frozenset[str], *, has_tags: bool | None = None
) -> Iterator[_Piece]:
    """Yield the pieces of a text; without ``has_tags``, tags are foreign."""
    at = depth = 0
    spans = list(_spans(source))
    if has_tags is None:
        has_tags = any(kind == "tag" for kind, _, _ in spans)
    for kind, start, end in spans:
        if start > at:
            yield _text(source[at:start], at, known)
        at, text = end, source[start:end]
        if kind != "hole":
            yield _Piece("foreign" if kind == "tag" and not has_tags else kind, text, start)
            continue
        opens = _go_depth(text)
        is_go = opens != 0 and (opens > 0 or depth > 0)
        depth = max(0, depth + opens) if is_go else depth
        in_go = is_go or (depth > 0 and _CONSTANT.fullmatch(text) is not None)
        before = source[start - 1 : start]
        yield _hole(text, start, before, known, is_go=in_go, has_tags=has_tags)
    if at < len(source):
        yield _text(source[at:], at, known)


def _spans(source: str) -> Iterator[tuple[str, int, int]]:
    """Yield the parts that look like templates: kind, start and end.

    Raises:
        TemplateError: If there are too many.
    """
    unclosed: set[str] = set()
    at = holes = 0
    while (mark := _MARK.search(source, at)) is not None:
        start, opening = mark.start(), mark[0]
        at = start + 1
        if opening == "{{":
            end = hole.end() if (hole := _HOLE.match(source, start)) is not None else 0
        elif opening in unclosed or not _is_tag(source, start):
            continue
        elif (end := source.find(f"{opening[1]}}}", start + 2) + 2) == 1:
            unclosed.add(opening)  # nothing after this position is closed either
            continue
        if end:
            holes += opening == "{{"
            if holes > HOLES_MAX:
                raise TemplateError(f"the text has more than {HOLES_MAX:,} templates")
            yield _KINDS[opening], start, end
            at = end


def _is_tag(source: str, start: int) -> bool:
    """Return whether a template tag or comment begins at a position."""
    if source[start + 1] == "%":
        return _TAG.match(source, start) is not None
    return source[start - 1 : start] != "$"


def _text(text: str, offset: int, known: frozenset[str]) -> _Piece:
    """Return a piece without templates.

    Raises:
        TemplateError: If it contains a template that is not closed.
    """
    for match in _OPENED.finditer(text):
        if match[1] in known - FUNCTIONS:
            line = text[match.start() :].partition("\n")[0]
            raise TemplateError("the template is not closed: it needs '}}'", line)
    return _Piece("text", text, offset)


def _go_depth(hole: str) -> int:
    """Return how a hole changes the nesting of Go blocks; 0 if it does not."""
    inner = hole[2:-2].strip("-").strip()
    if inner == "end":
        return -1
    return 1 if _GO_BLOCK.match(inner) else 0


def _hole(
    text: str, offset: int, before: str, known: frozenset[str], *, is_go: bool, has_tags: bool
) -> _Piece:
    foreign = _Piece("foreign", text, offset)
    inner = text[2:-2]
    if is_go or _GO_FIELD.search(_QUOTED.sub('""', inner.strip().removeprefix("-"))):
        return foreign
    try:
        template = compile_text(text)
    except TemplateError as error:
        if _is_own(inner, known):
            raise error from None
        return foreign
    read = roots(template.names)
    if before == "$" and read & _GITHUB:
        return foreign
    unknown = frozenset() if has_tags or template.names == NO_NAMES else read - known
    return _Piece("hole", text, offset, template, unknown)


def _is_own(inner: str, known: frozenset[str]) -> bool:
    """Return whether a template that cannot be compiled is meant for the playbook."""
    first = _FIRST_NAME.match(inner.strip())
    return first is not None and first[1] in known - FUNCTIONS


def _escaped(piece: _Piece) -> str:
    """Return a piece as template source, with foreign braces as literals."""
    if piece.kind in ("hole", "tag", "comment"):
        return piece.text
    if piece.kind == "foreign":
        return _literal(piece.text)
    return _MARK.sub(lambda mark: _literal(mark[0]), piece.text)


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{{{{ '{escaped}' }}}}"
