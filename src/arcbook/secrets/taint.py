"""Keeping secrets out of what is written, without changing what steps hand on.

Where data leaves a worker, each secret that was in use there is replaced by a *mark*
that names it; where data comes back into a worker, marks become the secrets again. So
events, logs and terminals show marks, and the next step gets what the last one yielded.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

SECRET_CHARACTERS_MIN: Final = 6
"""Length from which a value is taken for a secret that can be recognised."""

PUBLIC_FIELDS: Final = frozenset(
    [
        "access_token_url",
        "account",
        "account_name",
        "api_version",
        "application",
        "auth_type",
        "auth_url",
        "authenticator",
        "authorization_url",
        "aws_region",
        "base_url",
        "bootstrap_servers",
        "bucket",
        "catalog",
        "client_email",
        "client_id",
        "client_name",
        "cluster",
        "content_type",
        "database",
        "database_name",
        "db",
        "db_host",
        "db_name",
        "db_port",
        "db_user",
        "dbname",
        "description",
        "dialect",
        "domain",
        "driver",
        "encoding",
        "endpoint",
        "engine",
        "format",
        "grant_type",
        "header",
        "header_name",
        "host",
        "hostname",
        "id",
        "in",
        "instance",
        "issuer",
        "kind",
        "location",
        "mechanism",
        "method",
        "mode",
        "name",
        "namespace",
        "nats_url",
        "nats_user",
        "network",
        "organization",
        "param",
        "path",
        "pool",
        "port",
        "project",
        "project_id",
        "protocol",
        "provider",
        "realm",
        "region",
        "role",
        "schema",
        "scheme",
        "scope",
        "scopes",
        "security_protocol",
        "server",
        "servers",
        "service",
        "sf_account",
        "sf_database",
        "sf_role",
        "sf_schema",
        "sf_user",
        "sf_warehouse",
        "source",
        "ssl",
        "sslmode",
        "stage",
        "stream",
        "subject",
        "tenant",
        "tenant_id",
        "timeout",
        "timezone",
        "tls",
        "token_endpoint",
        "token_type",
        "token_uri",
        "token_url",
        "type",
        "uri",
        "url",
        "user",
        "user_name",
        "username",
        "vault_url",
        "version",
        "warehouse",
        "workspace",
        "zone",
    ]
)
"""Fields of credentials that are no secrets; all others are taken for one."""

USERINFO: Final = re.compile(r"://[^/?#\s:@]*:([^/?#\s]+)@")
"""The password in an address."""

CUT_CHARACTERS_MIN: Final = 200
"""Length from which a text may be one that was cut, in the middle of a secret."""

_LOWER_ESCAPES: Final = re.compile(r"%[0-9A-F]{2}")

MARK: Final = re.compile(r"⟦secret:([^:⟧]+):(?:(head|tail)([0-9]+))?([a-z][a-z0-9]*)⟧")


MARK_BYTES: Final = "⟦secret:".encode()
"""What a text that may hold marks has in it."""


def secret_fields(name: str, data: dict[str, Any]) -> dict[str, str]:
    """Return the secrets of a credential by ``name.field``."""
    found: dict[str, str] = {}
    for field, value in data.items():
        found |= _secrets_in(f"{name}.{field}", value, is_public=field.lower() in PUBLIC_FIELDS)
    return found


def _secrets_in(name: str, value: Any, *, is_public: bool) -> dict[str, str]:
    if isinstance(value, dict):
        return secret_fields(name, value)
    if isinstance(value, list):
        parts = (
            _secrets_in(f"{name}.{i}", one, is_public=is_public) for i, one in enumerate(value)
        )
        return {key: text for part in parts for key, text in part.items()}
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return {}
    text = str(value)
    found = {} if is_public else {name: text}
    for i, password in enumerate(USERINFO.findall(text)):
        found[f"{name}.password{i or ''}"] = password
        found[f"{name}.plain{i or ''}"] = unquote(password)
    return found


class Secrets:
    """The secrets that are in use, with every form in which they may appear."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        #: Texts of each secret's forms, by the secret's name and the form's.
        self._texts: dict[str, dict[str, str]] = {}
        self._pattern: re.Pattern[str] | None = None
        #: Forms by their first and by their last characters.
        self._by_head: dict[str, list[str]] = {}
        self._by_tail: dict[str, list[str]] = {}
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._forms)

    def add(self, secrets: dict[str, str]) -> None:
        """Recognise further secrets, by name."""
        fresh = {k: v for k, v in secrets.items() if self._values.get(k) != v}
        if not fresh:
            return
        for name, value in fresh.items():
            if len(value) < SECRET_CHARACTERS_MIN:
                continue
            self._values[name] = value
            self._texts[name] = dict(forms(value))
            for form, text in self._texts[name].items():
                self._forms.setdefault(text, f"⟦secret:{_quoted(name)}:{form}⟧")
        longest_first = sorted(self._forms, key=len, reverse=True)
        if not longest_first:
            return
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._longest = len(longest_first[0])
        self._by_head, self._by_tail = {}, {}
        for form in longest_first:
            self._by_head.setdefault(form[:SECRET_CHARACTERS_MIN], []).append(form)
            self._by_tail.setdefault(form[-SECRET_CHARACTERS_MIN:], []).append(form)

    def hide(self, value: Any) -> Any:
        """Return a value in which secrets are marks; the same one if it holds none."""
        if self._pattern is None:
            return value
        return _mapped(value, self._hide_text)

    def reveal(self, value: Any) -> Any:
        """Return a value in which the marks of known secrets are the secrets."""
        return _mapped(value, self._reveal_text)

    def _hide_text(self, text: str) -> str:
        assert self._pattern is not None
        text = self._pattern.sub(lambda m: self._forms[m[0]], text)
        return self._hide_cut(text) if len(text) >= CUT_CHARACTERS_MIN else text

    def _hide_cut(self, text: str) -> str:
        """Hide what is left of a secret at the end or the beginning of a text that was cut."""
        size = SECRET_CHARACTERS_MIN
        for at in range(max(0, len(text) - self._longest), len(text) - size + 1):
            part = text[at:]
            for form in self._by_head.get(part[:size], ()):
                if form.startswith(part):
                    return self._hide_cut_head(text[:at] + self._cut_mark(form, "head", len(part)))
        return self._hide_cut_head(text)

    def _hide_cut_head(self, text: str) -> str:
        size = SECRET_CHARACTERS_MIN
        for length in range(min(self._longest, len(text)), size - 1, -1):
            part = text[:length]
            for form in self._by_tail.get(part[-size:], ()):
                if form.endswith(part):
                    return self._cut_mark(form, "tail", length) + text[length:]
        return text

    def _cut_mark(self, form: str, side: str, length: int) -> str:
        """Return the mark of a part of a form."""
        name, _, kind = self._forms[form][len("⟦secret:") : -1].rpartition(":")
        return f"⟦secret:{name}:{side}{length}{kind}⟧"

    def _reveal_text(self, text: str) -> str:
        if "⟦secret:" not in text:
            return text
        return MARK.sub(self._reveal_mark, text)

    def _reveal_mark(self, mark: re.Match[str]) -> str:
        texts = self._texts.get(unquote(mark[1]))
        text = texts.get(mark[4]) if texts is not None else None
        if text is None:
            return mark[0]
        if mark[2]:
            length = int(mark[3])
            return text[:length] if mark[2] == "head" else text[-length:]
        return text


def marked(text: str) -> set[str]:
    """Return the names of the secrets whose marks stand in a text."""
    return {unquote(mark[1]) for mark in MARK.finditer(text)}


def _quoted(name: str) -> str:
    """Return a secret's name as it can stand in a mark, and in JSON."""
    return quote(name, safe="-._~/@ ")


def shown(value: Any) -> Any:
    """Return a value for a person to see: marks are ``***``."""
    return _mapped(value, lambda text: MARK.sub("***", text) if "⟦" in text else text)


def forms(secret: str) -> Iterable[tuple[str, str]]:
    """Yield each form in which a secret may appear, with the form's name."""
    seen: set[str] = set()
    data = secret.encode()
    candidates: list[tuple[str, str]] = [
        ("raw", secret),
        ("json", json.dumps(secret)[1:-1]),
        ("jsonu", json.dumps(secret, ensure_ascii=False)[1:-1]),
        ("json2", json.dumps(json.dumps(secret)[1:-1])[1:-1]),
        ("repr", repr(secret)[1:-1]),
        ("ascii", ascii(secret)[1:-1]),
        ("html", html.escape(secret)),
        ("markup", html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")),
        ("url", quote(secret, safe="")),
        ("urlplus", quote_plus(secret)),
        ("urlpath", quote(secret)),
        ("urllower", _LOWER_ESCAPES.sub(lambda m: m[0].lower(), quote(secret, safe=""))),
        ("hex", data.hex()),
        ("hexupper", data.hex().upper()),
        ("latin", data.decode("latin-1")),
        ("b64", base64.b64encode(data).decode()),
        ("b64url", base64.urlsafe_b64encode(data).decode()),
        ("upper", secret.upper()),
        ("lower", secret.lower()),
        ("reversed", secret[::-1]),
    ]
    for shift in range(3):
        inside = _base64_core(data, shift)
        candidates.append((f"b64in{shift}", inside))
        candidates.append((f"b64urlin{shift}", inside.replace("+", "-").replace("/", "_")))
    for name, text in candidates:
        if len(text) >= SECRET_CHARACTERS_MIN and text not in seen:
            seen.add(text)
            yield name, text


def _base64_core(data: bytes, shift: int) -> str:
    """Return the part of Base64 that is the same whatever stands before and after."""
    encoded = base64.b64encode(b"\0" * shift + data + b"\0" * 3).decode()
    first = -(-shift * 8 // 6)
    last = (shift + len(data)) * 8 // 6
    return encoded[first:last]


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value whose texts are changed; parts without a change are shared."""
    if isinstance(value, str):
        changed = change(value)
        return value if changed == value else changed
    if isinstance(value, dict):
        made = {_mapped(k, change): _mapped(v, change) for k, v in value.items()}
        same = all(a is b for a, b in zip(made.values(), value.values(), strict=False))
        return value if same and made.keys() == value.keys() else made
    if isinstance(value, (list, tuple)):
        listed = [_mapped(v, change) for v in value]
        if all(a is b for a, b in zip(listed, value, strict=True)):
            return value
        return listed if isinstance(value, list) else tuple(listed)
    return value
