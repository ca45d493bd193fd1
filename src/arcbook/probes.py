"""Trying a credential out: a real connection of its type, which changes nothing.

The try is a dry run of one task, so it goes the way that tasks go: the same tools, limits,
egress and redaction, and failures have the same kinds.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import yaml

from arcbook.dry_run import DryRun
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.secrets.api import CredentialError
from arcbook.secrets.keychain import Keychain, token_of
from arcbook.secrets.minting import MINTED
from arcbook.secrets.types import type_of
from arcbook.settings import Settings
from arcbook.tools.artifact import OBJECTS

TIMEOUT_SECONDS: Final = 20
"""How long a try may take."""

TASKS: Final[dict[str, dict[str, Any]]] = {
    "nats": {"kind": "nats", "operation": "server_info"},
    "postgres": {"kind": "postgres", "query": "SELECT version() AS version, current_user AS user"},
}
"""What is asked by a type whose credentials say where their service is."""

WEB: Final = frozenset(["api_key", "basic", "bearer", "bearer_token", "generic", "http", "secret"])
"""Types that say who asks, and not where."""

BUCKETS: Final = frozenset(["aws", "azure", "gcs", "gcs_hmac", "s3"])
"""Types that open buckets, of which they name none."""

ADDRESSES: Final = ("url", "base_url", "endpoint")
"""Fields in which such a credential may say where all the same."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a try."""

    alias: str
    type: str
    #: What the service said of itself, or that a token was issued.
    answer: Any = None
    error: ErrorInfo | None = None


class UntriedError(ValueError):
    """A credential cannot be tried; the message says what is missing."""


async def try_credential(settings: Settings, alias: str, url: str = "") -> Tried:
    """Connect with a credential of the home, and close the connection again.

    Args:
        settings: those of the home.
        alias: the credential.
        url: where to send a request, for types that do not say where.

    Raises:
        CredentialError: there is none, or it cannot be opened.
        UntriedError: nothing says where to connect, or no tool here can.
    """
    async with DryRun(settings) as dry:
        credential = await dry.credential(alias, 0)
        kind = type_of(credential.type)
        minted = token_of(credential, 0) if kind in MINTED else None
        if minted is not None and not url:
            confinement = (await dry.runtime()).performer.confinement
            keychain = Keychain(_Alone(credential), dry.clock, confinement.egress)
            try:
                await keychain.open(minted)
            except CredentialError as error:
                cause = ErrorInfo(kind=ErrorKind.AUTH, message=str(error), code="CREDENTIAL")
                return Tried(alias=alias, type=kind, error=cause)
            return Tried(alias=alias, type=kind, answer="its issuer issues a token")
        task = _task(kind, credential.data, url)
        document = {
            "apiVersion": "noetl.io/v2",
            "kind": "Playbook",
            "metadata": {"name": "try", "path": "arcbook/try"},
            "workflow": [
                {"step": "start", "tool": {**task, "auth": alias, "timeout": TIMEOUT_SECONDS}}
            ],
        }
        planned = await dry.register(yaml.safe_dump(document), "try")
        state = await dry.run(planned, {})
        return Tried(
            alias=alias, type=kind, answer=await dry.reader.result(state), error=state.error
        )


class _Alone:
    """Where one credential comes from."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    async def credential(self, alias: str, execution_id: int) -> Any:
        return self._credential


def _task(kind: str, data: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the task that tries a credential.

    Raises:
        UntriedError: there is none.
    """
    if kind in TASKS:
        return TASKS[kind]
    if urlsplit(url).scheme in OBJECTS:
        return {"kind": "object", "operation": "list", "url": url, "limit": 1}
    if kind in BUCKETS:
        raise UntriedError(
            f"a credential of type {kind} does not say where: give --url s3://BUCKET"
        )
    where = url or next((str(data[name]) for name in ADDRESSES if data.get(name)), "")
    if not where and kind in WEB:
        raise UntriedError(f"a credential of type {kind} does not say where: give --url ADDRESS")
    if not where:
        raise UntriedError(f"no tool of this installation connects with the type {kind}")
    return {"kind": "http", "url": where}
