"""Filters that produce text."""

from __future__ import annotations

import base64
import binascii
import html
import json
import math
import pprint as pretty
import re
import string
import textwrap
from collections.abc import Callable
from typing import Any, Final

from markupsafe import escape as markup_escape

from arcbook.template import limits
from arcbook.template.access import MISSING
from arcbook.template.arguments import integer, optional_integer, text, truthy
from arcbook.template.budget import Budget
from arcbook.template.characters import whole
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.formatting import percent
from arcbook.template.operators import each, search, unpack
from arcbook.template.text import json_of, text_of
from arcbook.template.values import CONTAINERS, NUMBERS, TEXTS, data, kind_of, weigh

_WORD_START: Final = re.compile(r"([-\s({\[<]+)")
_WORD: Final = re.compile(r"\w+")
_ATTRIBUTE_END: Final = re.compile(r"[\s/>=]", re.ASCII)
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")

_UNRESERVED: Final = string.ascii_letters + string.digits + "_.-~"
_PATH_QUOTED: Final = [chr(c) if chr(c) in _UNRESERVED + "/" else f"%{c:02X}" for c in range(256)]
_QUERY_QUOTED: Final = [
    chr(c) if chr(c) in _UNRESERVED else "+" if c == ord(" ") else f"%{c:02X}" for c in range(256)
]
"""The encoding of each byte in the path and in the query of a URL."""

WRAPPED_LINE_MAX: Final = 20_000
"""Maximum characters of a line that ``wordwrap`` wraps."""


def written(budget: Budget, value: Any) -> str:
    """Return a value as it is formatted inside text."""
    found = text_of(budget, value)
    budget.characters(len(found))
    return found


def upper(budget: Budget, value: Any) -> str:
    """Return the text in upper case."""
    return written(budget, value).upper()


def lower(budget: Budget, value: Any) -> str:
    """Return the text in lower case."""
    return written(budget, value).lower()


def capitalize(budget: Budget, value: Any) -> str:
    """Return the text with its first character in upper case, the rest in lower case."""
    return written(budget, value).capitalize()


def title(budget: Budget, value: Any) -> str:
    """Return the text with each word's first character in upper case, the rest in lower case."""
    found = written(budget, value)
    budget.spend(len(found) >> 1)
    return "".join(w[0].upper() + w[1:].lower() for w in _WORD_START.split(found) if w)


def trim(budget: Budget, value: Any, chars: Any = None) -> str:
    """Return the text without leading and trailing white space, or ``chars``."""
    found = written(budget, value)
    if chars is None:
        return found.strip()
    wanted = text(chars)
    budget.spend(min(len(wanted), 256) * len(found) >> 6)
    return found.strip(wanted[:256])


def replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> str:
    """Return the text with every ``old``, or the first ``count``, replaced by ``new``."""
    found, before, after = text_of(budget, value), text_of(budget, old), text_of(budget, new)
    most = optional_integer(count)
    return replaced(budget, found, before, after, -1 if most is None else most)


def replaced(budget: Budget, found: str, old: str, new: str, count: int) -> str:
    """Replace text within the budget."""
    search(budget, max(1, len(old)), len(found))
    times = found.count(old) if old else len(found) + 1
    if count >= 0:
        times = min(times, count)
    budget.characters(len(found) + times * max(0, len(new) - len(old)))
    return found.replace(old, new, count)


def center(budget: Budget, value: Any, width: Any = 80) -> str:
    """Return the text centred in a field."""
    found, size = text_of(budget, value), integer(width)
    budget.characters(max(len(found), size))
    return found.center(size)


def indent(
    budget: Budget, value: Any, width: Any = 4, first: Any = False, blank: Any = False
) -> str:
    """Return the text with each line but the first indented."""
    found = text_of(budget, value)
    width = data(width)
    if type(width) in TEXTS:
        margin = str.__str__(width)
    else:
        size = integer(width)
        budget.characters(size)
        margin = " " * size
    lines = (found + "\n").splitlines()
    budget.spend(len(lines))
    budget.characters(len(found) + (len(lines) + 1) * len(margin))
    if truthy(blank):
        made = ("\n" + margin).join(lines)
    else:
        made = "\n".join([lines[0], *(margin + x if x else x for x in lines[1:])])
    return margin + made if truthy(first) else made


def truncate(
    budget: Budget,
    value: Any,
    length: Any = 255,
    killwords: Any = False,
    end: Any = "...",
    leeway: Any = None,
) -> str:
    """Return the text truncated to a length, with ``end`` if something was removed."""
    found, size, mark = written(budget, value), integer(length), text(end)
    extra = optional_integer(leeway)
    extra = 5 if extra is None else extra
    if size < len(mark) or extra < 0:
        raise TemplateError(
            f"truncate needs a length of {len(mark)} or more, and no negative leeway"
        )
    if len(found) <= size + extra:
        return found
    budget.characters(size)
    kept = found[: size - len(mark)]
    return (kept if truthy(killwords) else kept.rsplit(" ", 1)[0]) + mark


def wordwrap(
    budget: Budget,
    value: Any,
    width: Any = 79,
    break_long_words: Any = True,
    wrapstring: Any = None,
    break_on_hyphens: Any = True,
) -> str:
    """Return the text with its lines wrapped to a width."""
    found, size = written(budget, value), integer(width)
    separator = "\n" if wrapstring is None else text(wrapstring)
    if size < 1:
        raise TemplateError("wordwrap needs a width of 1 or more")
    lines = found.splitlines()
    wrapper = textwrap.TextWrapper(
        width=size,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=truthy(break_long_words),
        break_on_hyphens=truthy(break_on_hyphens),
    )
    wrapped: list[str] = []
    for line in lines:
        if len(line) > WRAPPED_LINE_MAX:
            raise BudgetError(f"wordwrap takes lines of at most {WRAPPED_LINE_MAX:,} characters")
        # Splitting into words looks back at most as far as a line is long.
        budget.spend(8 + 4 * len(line) + len(line) * len(line) // 2000)
        wrapped += wrapper.wrap(line) or [""]
    budget.characters(len(found) + len(wrapped) * len(separator))
    return separator.join(wrapped)


def wordcount(budget: Budget, value: Any) -> int:
    """Return the number of words in the text."""
    found = text_of(budget, value)
    budget.spend(len(found) >> 3)
    return sum(1 for _ in _WORD.finditer(found))


def escape(budget: Budget, value: Any) -> str:
    """Return the text with HTML's special characters escaped."""
    found = text_of(budget, value)
    special = sum(map(found.count, "&<>'\""))
    budget.characters(len(found) + 4 * special)
    return str(markup_escape(found))


def striptags(budget: Budget, value: Any) -> str:
    """Return the text without tags and comments, with white space collapsed to single spaces."""
    found = written(budget, value)
    budget.spend(len(found) >> 1)
    kept: list[str] = []
    at = 0
    while (start := found.find("<", at)) >= 0:
        is_comment = found.startswith("<!--", start)
        mark = "-->" if is_comment else ">"
        end = found.find(mark, start + (4 if is_comment else 0))
        if end < 0:
            break
        budget.spend(1)
        kept.append(found[at:start])
        at = end + len(mark)
    kept.append(found[at:])
    return " ".join(html.unescape("".join(kept)).split())


def xmlattr(budget: Budget, value: Any, autospace: Any = True) -> str:
    """Return a mapping as attributes of an XML element."""
    found = data(value)
    if type(found) is not dict:
        raise TemplateError(f"xmlattr writes a mapping, not {kind_of(found)}")
    pairs: list[str] = []
    for key, inner in found.items():
        if inner is None or inner is MISSING:
            continue
        name = text_of(budget, key)
        if _ATTRIBUTE_END.search(name):
            raise TemplateError(f"{name[:40]!r} cannot be the name of an attribute")
        pairs.append(f'{escape(budget, name)}="{escape(budget, inner)}"')
    made = " ".join(pairs)
    budget.characters(len(made))
    return " " + made if made and truthy(autospace) else made


def format_values(budget: Budget, value: Any, /, *args: Any, **named: Any) -> str:
    """Return a ``%`` format with its values filled in."""
    if args and named:
        raise TemplateError("format takes values by place or by name, not both")
    return percent(budget, text_of(budget, value), named or args)


def urlencode(budget: Budget, value: Any) -> str:
    """Quote text for a URL; encode a mapping or a list of pairs as a query."""
    found = data(value)
    if type(found) not in CONTAINERS:
        return _quoted(budget, found, in_path=True)
    pairs = found.items() if type(found) is dict else (unpack(p, 2) for p in each(budget, found))
    made = [f"{_quoted(budget, k)}={_quoted(budget, v)}" for k, v in pairs]
    budget.characters(sum(map(len, made)) + len(made))
    return "&".join(made)


def _quoted(budget: Budget, value: Any, *, in_path: bool = False) -> str:
    found = text_of(budget, value)
    budget.characters(len(found) * 9)
    return "".join(
        map(
            (_PATH_QUOTED if in_path else _QUERY_QUOTED).__getitem__,
            found.encode("utf-8", "replace"),
        )
    )


def b64encode(budget: Budget, value: Any) -> str:
    """Return the Base64 of a text's UTF-8 bytes."""
    found = data(value)
    raw = found if type(found) is bytes else text_of(budget, found).encode("utf-8", "replace")
    budget.characters(len(raw) * 2)
    return base64.b64encode(raw).decode("ascii")


def b64decode(budget: Budget, value: Any) -> str:
    """Decode Base64 to UTF-8 text.

    Raises:
        TemplateError: If it is not Base64.
    """
    found = text_of(budget, value)
    budget.characters(len(found))
    try:
        return base64.b64decode(found).decode("utf-8", errors="replace")
    except (binascii.Error, ValueError):
        raise TemplateError("the text is not Base64") from None


def split(budget: Budget, value: Any, separator: Any = None, limit: Any = -1) -> list[str]:
    """Split a text at a separator, or at white space."""
    found, most = text_of(budget, value), integer(limit)
    between = None if separator is None else text(separator)
    if between == "":
        raise TemplateError("a text cannot be split at an empty separator")
    search(budget, len(between or " "), len(found))
    pieces = found.count(between) if between else len(found) >> 1
    budget.characters(len(found))
    budget.spend(pieces if most < 0 else min(pieces, most))
    return found.split(between, most)


def tojson(budget: Budget, value: Any, indent: Any = None) -> str:
    """Return a value as JSON text."""
    return json_of(budget, value, optional_integer(indent))


def fromjson(budget: Budget, value: Any) -> Any:
    """Return the value of a JSON text; null if it is not JSON."""
    found = text_of(budget, value)
    # An empty list takes three characters, and twenty times the memory.
    budget.spend(6 + (len(found) >> 2))
    try:
        parsed = json.loads(found, parse_int=_json_integer)
    except (ValueError, RecursionError):
        return None
    parsed = weigh(budget, parsed)
    return whole(parsed) if _SURROGATE.search(found) else parsed


def _json_integer(digits: str) -> int:
    if len(digits) > limits.NUMBER_CHARACTERS_MAX:
        raise ValueError("too many digits")
    return int(digits)


def pprint(budget: Budget, value: Any) -> str:
    """Return a value formatted as Python's ``pprint`` does."""
    before = budget.left
    found = weigh(budget, None if value is MISSING else value)
    budget.spend((before - budget.left) * 40)
    made = pretty.pformat(found)
    budget.characters(len(made))
    return made


def filesizeformat(budget: Budget, value: Any, binary: Any = False) -> str:
    """Return a number of bytes in human-readable form: ``13 kB``, or ``12.7 KiB``."""
    found = data(value)
    try:
        size = float(found) if type(found) in NUMBERS else float(text(found)[:40])
    except (ArithmeticError, ValueError):
        raise TemplateError("filesizeformat writes a number of bytes") from None
    if not math.isfinite(size):
        raise TemplateError("filesizeformat writes a number of bytes")
    base = 1024 if truthy(binary) else 1000
    names = "KMGTPEZY" if truthy(binary) else "kMGTPEZY"
    if size == 1:
        return "1 Byte"
    if size < base:
        return f"{int(size)} Bytes"
    suffix = "iB" if truthy(binary) else "B"
    for power, name in enumerate(names, start=2):
        unit = base**power
        if size < unit or name == "Y":
            return f"{base * size / unit:.1f} {name}{suffix}"
    raise AssertionError(names)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "capitalize": capitalize,
    "center": center,
    "e": escape,
    "escape": escape,
    "filesizeformat": filesizeformat,
    "forceescape": escape,
    "format": format_values,
    "fromjson": fromjson,
    "indent": indent,
    "lower": lower,
    "pprint": pprint,
    "replace": replace,
    "safe": written,
    "split": split,
    "string": written,
    "striptags": striptags,
    "title": title,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "upper": upper,
    "urlencode": urlencode,
    "wordcount": wordcount,
    "wordwrap": wordwrap,
    "xmlattr": xmlattr,
}
