"""Errors at the command line: a sentence, an exit code, and no traceback for a user."""

from __future__ import annotations

import enum

import click


class Exit(enum.IntEnum):
    """Exit codes."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    CANCELLED = 130


class UserError(click.ClickException):
    """The user asked for something that cannot be; the message says what and what to do."""

    exit_code = int(Exit.BAD_INPUT)
