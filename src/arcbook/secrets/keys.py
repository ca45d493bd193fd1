"""Sources of sealing keys: the environment, a file, or a key service.

A file has the current key in its first line and older ones below, so that records still open
during a rotation. The file is read again when it changes.
"""

from __future__ import annotations

import base64
import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from arcbook.secrets.envelope import KEY_BYTES, KeyProvider, LocalKey, SealError
from arcbook.settings import Settings, SettingsError

KEY_FILE: Final = "key"
"""The key file in the home, used if the settings name no other."""

BUS_FILE: Final = "bus-token"
"""The file in the home with the servers' token, used if the settings name no other ..."""

ENTRY_FILE: Final = "worker-token"
"""... and the file through which a server passes a token to workers of the same home."""

VARIABLE: Final = "ARCBOOK_ENCRYPTION_KEY"


class Keyring:
    """A current key that seals, and older keys that still open."""

    provider = "local"
    blocks = False

    def __init__(self, keys: list[LocalKey]) -> None:
        self.keys = keys

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        return self.keys[0].seal_key(key)

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        key = next((k for k in self.keys if k.key_id == key_id), self.keys[0])
        return key.open_key(key_id, sealed)


class FileKeys:
    """Keys in a file that only its owner can read.

    Args:
        path: the file.
        make: whether to create the file if it does not exist.
    """

    provider = "local"
    blocks = False

    def __init__(self, path: Path, *, make: bool) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._ring = Keyring([])
        if make and not path.exists():
            make_key_file(path)
        self.ring()

    def ring(self) -> Keyring:
        """Return the current content of the file.

        Raises:
            SealError: the file does not exist, others can read it, or it has no key.
        """
        try:
            info = self._path.stat()
            stamp = (info.st_mtime_ns, info.st_ino)
            if stamp != self._stamp:
                if info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise SealError(f"{self._path} can be read by others: chmod 600 {self._path}")
                lines = self._path.read_text("ascii").split()
                texts = lines or [""]
                self._ring = Keyring([LocalKey.from_text(t, str(self._path)) for t in texts])
                self._stamp = stamp
        except FileNotFoundError:
            raise SealError(_no_key(self._path)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise SealError(f"the key file {self._path} cannot be used: {error}") from None
        return self._ring

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        return self.ring().seal_key(key)

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        return self.ring().open_key(key_id, sealed)

    def turn(self) -> str:
        """Add a new current key; return the id of the previous one, which stays."""
        before = self.ring().keys[0].key_id
        self._write([new_key(), *self._texts()])
        return before

    def keep(self, key_ids: set[str]) -> int:
        """Remove older keys except some; return how many were removed."""
        texts = self._texts()
        remaining = [
            text
            for n, text in enumerate(texts)
            if n == 0 or LocalKey.from_text(text, str(self._path)).key_id in key_ids
        ]
        if len(remaining) < len(texts):
            self._write(remaining)
        return len(texts) - len(remaining)

    def _texts(self) -> list[str]:
        self.ring()
        return self._path.read_text("ascii").split()

    def _write(self, texts: list[str]) -> None:
        """Replace the file atomically."""
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        make_key_file(fresh, "\n".join(texts))
        fresh.replace(self._path)


class NoKeys:
    """Stands in for missing keys: seals and opens nothing."""

    provider = "local"
    blocks = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        raise SealError(self._reason)

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        raise SealError(self._reason)


def keys_of(settings: Settings, *, make: bool) -> KeyProvider:
    """Return the key provider that seals credentials.

    Args:
        settings: the provider and its key.
        make: whether to create a key file in the home if there is no key. Processes that
            share a store must not each create one.

    Raises:
        SealError: the key cannot be used.
        SettingsError: the provider is unknown.
    """
    provider = settings.key_provider or "local"
    if provider != "local":
        return _remote(provider, settings.key_name)
    if settings.encryption_key:
        texts = [settings.encryption_key, *settings.encryption_keys_old]
        return Keyring([LocalKey.from_text(text, VARIABLE) for text in texts])
    path = settings.home / KEY_FILE
    if not make and not path.exists():
        return NoKeys(_no_key(path))
    return FileKeys(path, make=make)


def _remote(provider: str, name: str) -> KeyProvider:
    from arcbook.secrets import key_services  # only where one is named

    service: Callable[[str], Any] | None = key_services.SERVICES.get(provider)
    if service is None:
        known = ", ".join(["local", *sorted(key_services.SERVICES)])
        raise SettingsError(f"ARCBOOK_KEY_PROVIDER is {provider!r}; it may be {known}")
    if not name:
        raise SettingsError(f"name the key at {provider}: ARCBOOK_KEY_NAME")
    provider_key: KeyProvider = service(name)
    return provider_key


def new_key() -> str:
    """Return a new random key as text."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def make_key_file(path: Path, text: str = "") -> None:
    """Create a key file that only its owner can read; keep an existing one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise SealError(f"the key file {path} cannot be created: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write((text or new_key()) + "\n")
        file.flush()
        os.fsync(file.fileno())


def token_in(path: Path) -> str:
    """Return the token in a file that only its owner can read; create the file if needed.

    The file is created atomically, because servers and workers of one home start together.

    Raises:
        SettingsError: the file cannot be used.
    """
    try:
        if not path.exists():
            fresh = _written(path, "")
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(fresh)
            fresh.unlink()
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{path} can be read by others: chmod 600 {path}")
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError, SealError) as error:
        raise SettingsError(f"the token of the bus in {path} cannot be used: {error}") from None
    if not text:
        raise SettingsError(f"the token of the bus in {path} is empty: remove the file")
    return text


def leave_token(path: Path, text: str) -> None:
    """Write a token to a file that only its owner can read.

    Raises:
        SealError: the file cannot be written.
    """
    try:
        _written(path, text).replace(path)
    except OSError as error:
        raise SealError(f"{path} cannot be written: {error.strerror}") from None


def _written(path: Path, text: str) -> Path:
    """Write a temporary file beside another, to be renamed over it, and return its path."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(8).hex()}")
    make_key_file(fresh, text)
    return fresh


def _no_key(path: Path) -> str:
    return (
        f"there is no key: set {VARIABLE}, or create {path} with 'arcbook wallet init'; all "
        "servers of a cluster need the same one"
    )
