"""The outermost boundary: report errors as a message and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from arcbook.cli.errors import Exit


def guarded(call: Callable[[], Any]) -> int:
    """Call a function and turn errors into an exit code."""
    try:
        code = call()
    except click.exceptions.Exit as error:
        return int(error.exit_code)
    except click.Abort:
        return int(Exit.CANCELLED)
    except click.ClickException as error:
        error.show()
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(Exit.CANCELLED)
    except (BrokenPipeError, SystemExit):  # click exits where the reader of a pipe is gone
        return int(Exit.OK)
    except Exception as error:  # noqa: BLE001  # the outermost boundary
        return _explained(error)
    return int(code) if isinstance(code, int) else int(Exit.OK)


def _explained(error: Exception) -> int:
    from arcbook.cli.known import KNOWN, describe, describe_fault  # only when something went wrong
    from arcbook.settings import no_colour

    colour = False if no_colour() else None
    for kind, code in KNOWN.items():
        if isinstance(error, kind):
            click.echo(describe(error), err=True, color=colour)
            return int(code)
    click.echo(describe_fault(error), err=True)
    return int(Exit.FAILED)
