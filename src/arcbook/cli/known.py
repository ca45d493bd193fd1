"""The errors that the command line explains, each with its exit code."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path
from typing import Final

from arcbook.beside import AmbiguousFileError
from arcbook.blobs.api import BlobStoreError
from arcbook.bus.api import BusError
from arcbook.cli.errors import Exit
from arcbook.cli.reports import as_text
from arcbook.client import ClientError, FaultedError, RefusedError
from arcbook.compose.embedded import OwnedElsewhereError
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.owner.drive import ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import PlaybookMissingError
from arcbook.results.refs import InvalidRefError
from arcbook.results.store import ResultMissingError
from arcbook.secrets.envelope import SealError
from arcbook.secrets.logs import redacted
from arcbook.settings import PREFIX, SettingsError, named_token
from arcbook.store.api import StoreError

KNOWN: Final[dict[type[Exception], Exit]] = {
    FaultedError: Exit.FAILED,
    RefusedError: Exit.BAD_INPUT,
    ClientError: Exit.FAILED,
    AmbiguousFileError: Exit.BAD_INPUT,
    BlobStoreError: Exit.FAILED,
    BusError: Exit.FAILED,
    ExecutionMissingError: Exit.BAD_INPUT,
    InvalidPlaybookError: Exit.BAD_INPUT,
    InvalidRefError: Exit.BAD_INPUT,
    LostOwnershipError: Exit.FAILED,
    OwnedElsewhereError: Exit.BAD_INPUT,
    PlaybookMissingError: Exit.BAD_INPUT,
    ResultMissingError: Exit.FAILED,
    SealError: Exit.FAILED,
    SettingsError: Exit.BAD_INPUT,
    StoreError: Exit.FAILED,
    OSError: Exit.FAILED,
}


def describe(error: Exception) -> str:
    """Return the message for an expected error."""
    if isinstance(error, InvalidPlaybookError):
        return as_text([(error.name, error.loaded)]).rstrip()
    if isinstance(error, RefusedError):
        return _refusal(error)
    return redacted(f"Error: {error}")


def _refusal(error: RefusedError) -> str:
    """Format the refusal of a server, with its address and how to get access."""
    lines = [f"  line {p.line}, column {p.column}: {p.message}" for p in error.problems]
    if error.url:
        lines.append(f"  at the server {error.url}")
    if error.status in (401, 403):
        which = "another API token" if named_token() else "an API token"
        lines.append(f"  set ARCBOOK_SERVER_TOKEN to {which}: see 'arcbook token add --help'")
    return redacted("\n".join([f"Error: {error}", *lines]))


def describe_fault(error: Exception) -> str:
    """Return the message for an internal error; the traceback goes to a file."""
    text = redacted("".join(traceback.format_exception(error)))
    if os.environ.get(PREFIX + "DEBUG"):  # settings may be what failed
        return text
    handle, name = tempfile.mkstemp(prefix="arcbook-fault-", suffix=".txt")
    os.close(handle)
    Path(name).write_text(text, "utf-8")
    reason = redacted(f"{type(error).__name__}: {error}")
    return f"Error: this is a bug in Arcbook: {reason}\nPlease report it and attach {name}"
