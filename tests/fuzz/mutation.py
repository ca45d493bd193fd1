"""Making new inputs of those that there are: cut, doubled, spliced, with words put in."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

INPUT_BYTES_MAX: Final = 64 * 1024
"""Size of an input; what grows beyond is cut."""

WORDS: Final = tuple(
    word.encode("utf-8", "surrogatepass")
    for word in (
        "{{", "}}", "{%", "%}", "{#", "#}", "|", "'", '"', "\\", "\0", "\n", "\r\n", "\t", " ", "$$", "$a$", "--", "/*", "*/",
        ";", ":", "- ", "&a", "*a", "<<: ", "!!python/object:os.system", "!!int", "? ", "---\n", "...\n", "~", "null", "true",
        "NaN", "Infinity", "-0", "1e999", "9" * 30, "0x", "[", "]", "{", "}", "[" * 200, "{" * 200, "(" * 200, '{"a":' * 100,
        "\ud83d", "\\ud83d", "\u2028", "\ufeff", "\u202e", "é", "😀", "__class__", "gi_frame", "range(999999)", " if ", " else ",
        "for x in y", "endfor", "macro f()", "step:", "tool:", "kind:", "next:", "when:", "loop:", "in:", "set:", "workload:",
        "-1", "1.5", "../", "/etc/passwd", "%s", "%n", "{0}", "DO $$", "BEGIN", "END", "E'", "''",
    )
)  # fmt: skip


def _position(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _span(chance: random.Random, data: bytes) -> tuple[int, int]:
    begin = _position(chance, data)
    return begin, min(len(data), begin + chance.choice((1, 2, 8, 40, 400)))


def _cut(chance: random.Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data)
    return data[:begin] + data[end:]


def _repeat(chance: random.Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data)
    return data[:end] + data[begin:end] * chance.choice((1, 3, 30, 300)) + data[end:]


def _put_word(chance: random.Random, data: bytes, _: bytes) -> bytes:
    at = _position(chance, data)
    return data[:at] + chance.choice(WORDS) + data[at:]


def _flip(chance: random.Random, data: bytes, _: bytes) -> bytes:
    if not data:
        return bytes([chance.randrange(256)])
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _splice(chance: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _span(chance, other)
    at = _position(chance, data)
    return data[:at] + other[begin : end + 40] + data[at:]


def _swap(chance: random.Random, data: bytes, _: bytes) -> bytes:
    begin, end = _span(chance, data)
    rest = data[:begin] + data[end:]
    at = _position(chance, rest)
    return rest[:at] + data[begin:end] + rest[at:]


_WAYS: Final[tuple[Callable[[random.Random, bytes, bytes], bytes], ...]] = (
    _cut, _repeat, _put_word, _put_word, _flip, _splice, _swap,
)  # fmt: skip


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return a new input, made of one of the seeds by a few changes."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        data = chance.choice(_WAYS)(chance, data, chance.choice(seeds))[:INPUT_BYTES_MAX]
    return data
