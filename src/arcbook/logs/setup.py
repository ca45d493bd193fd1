"""Log output of a process: lines for people or JSON for machines, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from arcbook.logs.context import current_context
from arcbook.secrets.logs import redact, redacted
from arcbook.secrets.taint import Secrets
from arcbook.settings import Settings, secrets_of

FORMATS: Final = ("console", "json")

FACT_CHARACTERS_MAX: Final = 2_000
"""Maximum characters of one field; messages and tracebacks are not truncated."""

_OWN: Final = ("time", "level", "logger", "event", "message", "traceback")
"""Fields that a record's own fields must not replace."""


def configure_logs(settings: Settings) -> None:
    """Send this process's log, including its libraries', to standard error."""
    secrets = Secrets()
    redact(secrets)
    secrets.add(_parts(secrets_of(settings)))
    is_json = settings.log_format == "json"
    formatter = JsonLines(secrets) if is_json else ConsoleLines(secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("arcbook").setLevel(settings.log_level.upper())
    logging.getLogger("uvicorn").setLevel(settings.log_level.upper())
    logging.captureWarnings(capture=True)


def _parts(secrets: Mapping[str, str]) -> dict[str, str | int]:
    """Return the secrets by name; of a URL only its password or user, to keep the rest readable."""
    parts_by_name: dict[str, str | int] = {}
    for name, text in secrets.items():
        parts = [part for one in text.split(",") for part in _within(one)]
        parts_by_name.update(
            {f"{name}.{number}": part for number, part in enumerate(parts) if part}
        )
    return parts_by_name


def _within(text: str) -> list[str]:
    if "://" not in text:
        return [text]
    try:
        address = urlsplit(text)
    except ValueError:  # not a URL
        return [text]
    if address.password:
        return [unquote(address.password)]
    return [unquote(address.username)] if address.username else []


class _Lines(logging.Formatter):
    """Base of both formatters."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        #: Referenced here, because redaction only knows secrets that are alive.
        self.secrets = secrets

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return a record's context and its own fields, by name."""
        every = {**current_context(), **getattr(record, "facts", {})}
        return {name: _plain(value) for name, value in every.items() if name not in _OWN}

    def traceback(self, record: logging.LogRecord) -> str:
        """Return a record's traceback, or an empty string."""
        if record.exc_text is None and record.exc_info:
            record.exc_text = redacted(self.formatException(record.exc_info))
        return record.exc_text or ""


class JsonLines(_Lines):
    """Formats each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if name := getattr(record, "event", ""):
            line["event"] = name
        line["message"] = redacted(record.getMessage())
        line |= self.facts(record)
        if traceback := self.traceback(record):
            line["traceback"] = traceback
        return json.dumps(line, ensure_ascii=True)


class ConsoleLines(_Lines):
    """Formats each record as a line for people: the message, then its context."""

    def format(self, record: logging.LogRecord) -> str:
        message = redacted(record.getMessage())
        name = getattr(record, "event", "") or record.name
        context = "".join(f"  {key}={value}" for key, value in current_context().items())
        text = f"{_time(record)}  {record.levelname:<7}  {name}  {message}{redacted(context)}"
        if traceback := self.traceback(record):
            text += f"\n{traceback}"
        return text


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    """Return a field's value as JSON-compatible data, without secrets."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redacted(str(value))[:FACT_CHARACTERS_MAX]
