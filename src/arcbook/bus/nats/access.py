"""Addresses, credentials and trusted certificates for a NATS server."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from arcbook.bus.api import BusError


class NatsAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials and trusted certificates; the server's operator chooses which are needed."""

    user: str = ""
    password: str = ""
    token: str = ""
    #: Credentials file with a JWT and its seed.
    creds: str = ""
    #: Seed of an NKEY.
    nkey_seed: str = ""
    #: CA file that replaces the system's certificates.
    tls_ca: str = ""
    #: Client certificate and key, if the server requires them.
    tls_cert: str = ""
    tls_key: str = ""

    def __repr__(self) -> str:
        """Return the names of the fields that are set, without their values."""
        names = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"NatsAccess({', '.join(names)})"

    def options(self, urls: list[str]) -> dict[str, Any]:
        """Return the connection options for the NATS client.

        Raises:
            BusError: a file cannot be read.
        """
        if self.creds:
            self._check_creds()
        named = {
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "user_credentials": self.creds,
            "nkeys_seed_str": self.nkey_seed,
        }
        options: dict[str, Any] = {name: value for name, value in named.items() if value}
        if self.wants_tls(urls):
            options["tls"] = self._trust()
        return options

    def _check_creds(self) -> None:
        """Check the credentials file early, because the client retries forever on a bad one."""
        try:
            text = Path(self.creds).read_text("utf-8")
        except (OSError, ValueError):
            raise BusError(f"the NATS credentials in {self.creds} cannot be read") from None
        if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
            raise BusError(
                f"{self.creds} is not a NATS credentials file: it needs a user JWT and an NKEY seed"
            )

    def wants_tls(self, urls: list[str]) -> bool:
        """Return whether connections must use TLS."""
        return bool(self.tls_ca or self.tls_cert) or any(url.startswith("tls:") for url in urls)

    def _trust(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.tls_ca or None)
            if self.tls_cert:
                context.load_cert_chain(self.tls_cert, self.tls_key or None)
        except OSError as error:
            raise BusError(f"the certificates for NATS cannot be read: {error}") from None
        return context


def servers(url: str) -> list[str]:
    """Parse a comma-separated list of addresses.

    Raises:
        BusError: an address is invalid. The message omits it, as it may contain a password.
    """
    addresses: list[str] = []
    for part in url.split(","):
        text = part.strip()
        text = text if "://" in text else f"nats://{text}"
        try:
            split = urlsplit(text)
            known = split.scheme in {"nats", "tls", "ws", "wss"} and split.hostname
            _ = split.port
        except ValueError:
            known = None
        if not known:
            raise BusError("the URL of NATS must look like nats://host:4222")
        addresses.append(text)
    return addresses


def printable(urls: list[str]) -> str:
    """Return addresses without user and password, for messages."""
    split = [urlsplit(url) for url in urls]
    return ",".join(f"{part.scheme}://{part.hostname}:{part.port or 4222}" for part in split)
