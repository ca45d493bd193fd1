"""Redaction of a process's logs and final messages.

Libraries may log anything, tracebacks included, so records are redacted when they are created, not
in one handler.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from typing import Any, Final

from arcbook.logs.events import Event
from arcbook.secrets.taint import Secrets, shown

_IN_USE: Final[weakref.WeakSet[Secrets]] = weakref.WeakSet()
_FORMATTER: Final = logging.Formatter()


def redact(secrets: Secrets) -> None:
    """Redact secrets in use from all logs of this process."""
    factory = logging.getLogRecordFactory()
    if not getattr(factory, "redacts", False):
        logging.setLogRecordFactory(_Factory(factory))
    _IN_USE.add(secrets)


def redacted(text: str) -> str:
    """Return a text with secrets in use redacted."""
    for secrets in list(_IN_USE):
        text = secrets.hide(text)
    return str(shown(text))


def _hidden(arguments: Any) -> Any:
    for secrets in list(_IN_USE):
        arguments = secrets.hide(arguments)
    return shown(arguments)


class _Factory:
    """Creates redacted log records that keep their event and fields."""

    redacts = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._inner(*args, **kwargs)
        if isinstance(record.msg, Event):
            record.event = record.msg.name
            record.facts = record.args if isinstance(record.args, Mapping) else {}
        if not any(_IN_USE):
            return record
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # the handler reports the mismatch
            record.msg, record.args = redacted(str(record.msg)), _hidden(record.args)
            return record
        hidden = redacted(text)
        if hidden != text:
            record.msg, record.args = hidden, None
        if record.exc_info:
            # Formatters use this text instead of formatting the message.
            record.exc_text = redacted(_FORMATTER.formatException(record.exc_info))
        return record
