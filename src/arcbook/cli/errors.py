"""Errors of the command line: a message and an exit code, without a traceback."""

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
    """The input is invalid; the message says why and what to do."""

    exit_code = int(Exit.BAD_INPUT)
