"""Keep secrets out of written data without changing the data between steps.

When data leaves a worker, each secret in use there is replaced by a *mark* that names it; when
data enters a worker, marks become the secrets again. Events, logs and terminals show marks, and
the next step gets the original values.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from arcbook.secrets.forms import SECRET_CHARACTERS_MIN, forms

CUT_CHARACTERS_MIN: Final = 200
"""Length from which a text may have been truncated in the middle of a secret."""

HEAD_CHARACTERS_MIN: Final = 10
"""Length from which a prefix of a secret, with letters and digits, is redacted like all of it."""

HEX_WIDTH: Final = 2
"""Characters of a form per character of the secret; longer encodings need longer prefixes."""

KNOWN_CHARACTERS_MAX: Final = 8 * 1024 * 1024
"""Total characters of the recognised forms; the least recently used are dropped first."""

PROOF_BYTES: Final = 8
"""Random bytes in a mark's proof."""

NUMBER: Final = "number"
"""The form of a secret that is a number and appears as one."""

MARK: Final = re.compile(r"⟦secret:([^:⟧]+):(?:(head|tail)([0-9]+))?([a-z][a-z0-9]*):([0-9a-f]+)⟧")
"""A mark. Its last part proves that its author had the secret."""

MARK_BYTES: Final = "⟦secret:".encode()
"""Every text that may contain marks contains this."""

_TELLING: Final = re.compile(r"[0-9].*[A-Za-z]|[A-Za-z].*[0-9]", re.DOTALL)

_SIZE: Final = SECRET_CHARACTERS_MIN

_RUN: Final = 4
"""Characters of one index lookup ..."""

_STRIDE: Final = _SIZE - _RUN + 1
"""... and the step between lookups: any six characters contain such a run in the first three."""


class _Form(NamedTuple):
    """One form of a secret: its name, encoding and mark."""

    name: str
    kind: str
    proof: str

    def mark(self, part: str = "") -> str:
        return f"⟦secret:{_quoted(self.name)}:{part}{self.kind}:{self.proof}⟧"


class _SecretValue(NamedTuple):
    """One value of a secret."""

    value: str | int
    proof: str
    #: Its forms by name.
    texts: dict[str, str]


class Secrets:
    """The secrets in use, in every form in which they may appear.

    Texts are searched through an index of short character runs, so that the time does not depend
    on the number of secrets.
    """

    def __init__(self) -> None:
        #: Each secret, by name and value, the most recently used last.
        self._known: OrderedDict[tuple[str, str | int], _SecretValue] = OrderedDict()
        #: The value that replaces a name's marks: its latest.
        self._present: dict[str, _SecretValue] = {}
        #: The proofs of all values that a name has had.
        self._proofs: dict[str, set[str]] = {}
        #: The secrets that share a form; the first one marks it.
        self._owners: dict[str, list[_Form]] = {}
        self._numbers: dict[int, str] = {}
        #: The length of a recognisable prefix, for forms with several characters per byte.
        self._heads: dict[str, int] = {}
        #: Forms by character run, with the offset of the run in each.
        self._by_run: dict[str, list[tuple[int, str]]] = {}
        #: Forms by their first and last characters, longest first.
        self._by_head: dict[str, list[str]] = {}
        self._by_tail: dict[str, list[str]] = {}
        self._longest = 0
        self._characters = 0

    def __bool__(self) -> bool:
        return bool(self._owners)

    def add(self, secrets: dict[str, str | int], root: str = "") -> None:
        """Recognise more secrets, by name.

        Args:
            secrets: the secrets.
            root: the secret they were issued for; it stays while they change.
        """
        for name, value in secrets.items():
            if len(str(value)) < SECRET_CHARACTERS_MIN:
                continue
            known = self._known.get((name, value))
            if known is None:
                proof = _proof(name, root or str(value))
                known = _SecretValue(value, proof, dict(forms(str(value))))
                self._learn(name, known)
            self._known[name, value] = known
            self._known.move_to_end((name, value))
            self._present[name] = known
        while self._characters > KNOWN_CHARACTERS_MAX and len(self._known) > len(secrets):
            (name, _), known = self._known.popitem(last=False)
            self._forget(name, known)

    def _learn(self, name: str, known: _SecretValue) -> None:
        self._proofs.setdefault(name, set()).add(known.proof)
        for kind, text in known.texts.items():
            owners = self._owners.setdefault(text, [])
            if not owners:
                for at in range(_STRIDE):
                    self._by_run.setdefault(text[at : at + _RUN], []).append((at, text))
                _insert(self._by_head.setdefault(text[:_SIZE], []), text)
                _insert(self._by_tail.setdefault(text[-_SIZE:], []), text)
                self._longest = max(self._longest, len(text))
                self._characters += len(text)
                width = len(text) // len(str(known.value))
                if width > HEX_WIDTH:
                    self._heads[text] = HEAD_CHARACTERS_MIN * width
            owners.append(_Form(name, kind, known.proof))
        if isinstance(known.value, int):
            self._numbers[known.value] = _Form(name, NUMBER, known.proof).mark()

    def _forget(self, name: str, known: _SecretValue) -> None:
        for kind, text in known.texts.items():
            owners = self._owners[text]
            owners.remove(_Form(name, kind, known.proof))
            if not owners:
                del self._owners[text]
                for at in range(_STRIDE):
                    _remove(self._by_run, text[at : at + _RUN], (at, text))
                _remove(self._by_head, text[:_SIZE], text)
                _remove(self._by_tail, text[-_SIZE:], text)
                self._characters -= len(text)
                self._heads.pop(text, None)
        if isinstance(known.value, int):
            self._numbers.pop(known.value, None)
        if self._present.get(name) is known:
            del self._present[name], self._proofs[name]

    def hide(self, value: Any, *, numbers: bool = True) -> Any:
        """Return a value with secrets replaced by marks; the same object if it contains none.

        Args:
            value: plain data.
            numbers: whether numbers may be replaced too; marks are texts.
        """
        if not self._owners:
            return value
        return _mapped(value, self._hide_text, self._numbers if numbers else {})

    def reveal(self, value: Any) -> Any:
        """Return a value with the marks of known secrets replaced by the secrets."""
        return _mapped(value, self._reveal_text, {})

    def _hide_text(self, text: str) -> str:
        if "⟦secret:" not in text:
            return self._hide_plain(text)
        # Existing marks stay as they are, even if they resemble a secret.
        parts: list[str] = []
        end = 0
        for mark in MARK.finditer(text):
            if self._meant(mark) is not None:
                parts += self._hide_plain(text[end : mark.start()]), mark[0]
                end = mark.end()
        return "".join((*parts, self._hide_plain(text[end:])))

    def _hide_plain(self, text: str) -> str:
        parts: list[str] = []
        end = 0
        for at, length, form in sorted(self._found_in(text)):
            if at >= end:
                owners = self._owners.get(text[at : at - length])
                mark = owners[0].mark() if owners else self._owners[form][0].mark(f"head{-length}")
                parts += text[end:at], mark
                end = at - length
        if parts:
            text = "".join((*parts, text[end:]))
        return self._hide_cut(text) if len(text) >= CUT_CHARACTERS_MIN else text

    def _found_in(self, text: str) -> list[tuple[int, int, str]]:
        """Return the starts of forms, with negated lengths so that longer ones sort first."""
        by_run = self._by_run
        hits = [i for i in range(0, len(text) - _RUN + 1, _STRIDE) if text[i : i + _RUN] in by_run]
        return [
            (hit - at, -length, form)
            for hit in hits
            for at, form in by_run[text[hit : hit + _RUN]]
            if hit >= at and (length := self._begins(text, hit - at, form))
        ]

    def _begins(self, text: str, at: int, form: str) -> int:
        """Return the length of a form, or of a recognisable prefix, at a position."""
        if text.startswith(form, at):
            return len(form)
        length = self._heads.get(form, HEAD_CHARACTERS_MIN)
        if not text.startswith(form[:length], at) or len(form) < length:
            return 0
        while text.startswith(form[: length + 1], at):
            length += 1
        return length if _TELLING.search(form[:length]) else 0

    def _hide_cut(self, text: str) -> str:
        """Redact a partial secret at the start or end of a truncated text."""
        for at in range(max(0, len(text) - self._longest), len(text) - _SIZE + 1):
            for form in self._by_head.get(text[at : at + _SIZE], ()):
                if form.startswith(text[at:]):
                    mark = self._owners[form][0].mark(f"head{len(text) - at}")
                    return self._hide_cut_head(text[:at] + mark)
        return self._hide_cut_head(text)

    def _hide_cut_head(self, text: str) -> str:
        for length in range(min(self._longest, len(text)), _SIZE - 1, -1):
            for form in self._by_tail.get(text[length - _SIZE : length], ()):
                if form.endswith(text[:length]):
                    return self._owners[form][0].mark(f"tail{length}") + text[length:]
        return text

    def _reveal_text(self, text: str) -> Any:
        if "⟦secret:" not in text:
            return text
        alone = MARK.fullmatch(text)
        if alone is not None and alone[4] == NUMBER:
            known = self._meant(alone)
            return text if known is None else known.value
        return MARK.sub(self._reveal_mark, text)

    def _meant(self, mark: re.Match[str]) -> _SecretValue | None:
        """Return the secret that a mark refers to, if its proof is valid."""
        name = unquote(mark[1])
        is_proven = mark[5] in self._proofs.get(name, ())
        return self._present.get(name) if is_proven else None

    def _reveal_mark(self, mark: re.Match[str]) -> str:
        known = self._meant(mark)
        text = known and known.texts.get("raw" if mark[4] == NUMBER else mark[4])
        if not text:
            return mark[0]
        if mark[2]:
            length = int(mark[3])
            return text[:length] if mark[2] == "head" else text[-length:]
        return text


def marked(text: str) -> set[str]:
    """Return the names of the secrets whose marks occur in a text."""
    return {unquote(mark[1]) for mark in MARK.finditer(text)}


def proofs(text: str, alias: str) -> dict[str, str]:
    """Return the proofs of a credential's marks in a text, by name."""
    names = ((unquote(mark[1]), mark[5]) for mark in MARK.finditer(text))
    return {name: proof for name, proof in names if name.startswith(f"{alias}.")}


def proves(proofs_by_name: dict[str, str], secrets: Iterable[str | int]) -> bool:
    """Return whether any of some marks was made by a holder of one of some secrets."""
    values = [str(secret) for secret in secrets]
    return any(
        hmac.compare_digest(_proof(name, value), proof)
        for name, proof in proofs_by_name.items()
        for value in values
    )


def shown(value: Any) -> Any:
    """Return a value for display: marks become ``***``."""
    return _mapped(value, lambda text: MARK.sub("***", text) if "⟦" in text else text, {})


def _proof(name: str, secret: str) -> str:
    """Return the proof in a mark that its author had the secret."""
    key = hashlib.blake2b(secret.encode("utf-8", "surrogatepass")).digest()
    proof = hashlib.blake2b(name.encode(), key=key, digest_size=PROOF_BYTES, person=b"arcbook-mark")
    return proof.hexdigest()


def _quoted(name: str) -> str:
    """Return a secret's name, encoded for marks and JSON."""
    return quote(name, safe="-._~/@ ")


def _insert(texts: list[str], text: str) -> None:
    """Insert a text in order of length, longest first."""
    bisect.insort(texts, text, key=lambda one: -len(one))


def _remove(by_part: dict[str, list[Any]], part: str, entry: Any) -> None:
    by_part[part].remove(entry)
    if not by_part[part]:
        del by_part[part]


def _mapped(value: Any, change: Callable[[str], Any], numbers: dict[int, str]) -> Any:
    """Return a value with its texts changed; unchanged parts are shared."""
    if isinstance(value, str):
        changed = change(value)
        return value if changed == value else changed
    if isinstance(value, dict):
        changed = {
            _mapped(k, change, numbers): _mapped(v, change, numbers) for k, v in value.items()
        }
        same = all(a is b for a, b in zip(changed.values(), value.values(), strict=False))
        return value if same and changed.keys() == value.keys() else changed
    if isinstance(value, (list, tuple)):
        listed = [_mapped(v, change, numbers) for v in value]
        if all(a is b for a, b in zip(listed, value, strict=True)):
            return value
        return listed if isinstance(value, list) else tuple(listed)
    return numbers.get(value, value) if numbers and type(value) is int else value
