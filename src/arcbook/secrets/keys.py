"""Where sealing keys come from: the environment, a file, or a service that keeps them.

A file holds the present key in its first line and older ones below it, so that records
open while they are being sealed again. The file is read again when it has changed.
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
"""The file in the home that holds keys where the settings name none."""

BUS_FILE: Final = "bus-token"
"""The file in the home that holds the servers' token where the settings name none ..."""

ENTRY_FILE: Final = "worker-token"
"""... and the one where a server leaves what workers of the same home enter with."""

VARIABLE: Final = "ARCBOOK_ENCRYPTION_KEY"


class Keyring:
    """A present key that seals, and older ones that still open."""

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
    """The keys in a file that its owner alone can read.

    Args:
        path: the file.
        make: whether it is made if it is not there.
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
        """Return the keys, as the file has them now.

        Raises:
            SealError: it is not there, others can read it, or it holds no key.
        """
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
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
        """Make a new present key; return the id of the one before, which stays."""
        before = self.ring().keys[0].key_id
        self._write([new_key(), *self._texts()])
        return before

    def keep(self, key_ids: set[str]) -> int:
        """Forget all older keys but some; return how many went."""
        texts = self._texts()
        kept = [
            text
            for n, text in enumerate(texts)
            if n == 0 or LocalKey.from_text(text, str(self._path)).key_id in key_ids
        ]
        if len(kept) < len(texts):
            self._write(kept)
        return len(texts) - len(kept)

    def _texts(self) -> list[str]:
        self.ring()
        return self._path.read_text("ascii").split()

    def _write(self, texts: list[str]) -> None:
        """Replace the file as a whole: it is never there in part."""
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        make_key_file(fresh, "\n".join(texts))
        fresh.replace(self._path)


class NoKeys:
    """Stands where there is no key: nothing is sealed, and nothing opens."""

    provider = "local"
    blocks = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        raise SealError(self._reason)

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        raise SealError(self._reason)


def keys_of(settings: Settings, *, make: bool) -> KeyProvider:
    """Return what seals credentials.

    Args:
        settings: which provider, and where its key is.
        make: whether a key file is made in the home if there is no key at all. Processes
            that share a store must not each make one of their own.

    Raises:
        SealError: the key cannot be used.
        SettingsError: the provider is not known.
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

    made: Callable[[str], Any] | None = key_services.SERVICES.get(provider)
    if made is None:
        known = ", ".join(["local", *sorted(key_services.SERVICES)])
        raise SettingsError(f"ARCBOOK_KEY_PROVIDER is {provider!r}; it may be {known}")
    if not name:
        raise SettingsError(f"name the key at {provider}: ARCBOOK_KEY_NAME")
    found: KeyProvider = made(name)
    return found


def new_key() -> str:
    """Return the text of a new key."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def make_key_file(path: Path, text: str = "") -> None:
    """Make a file with a key that its owner alone can read; one that is there stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise SealError(f"the key file {path} cannot be made: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write((text or new_key()) + "\n")
        file.flush()
        os.fsync(file.fileno())


def token_in(path: Path) -> str:
    """Return the token in a file that its owner alone can read; it is made if it is not there.

    Whoever comes first makes it, as a whole: servers and workers of one home start together.

    Raises:
        SettingsError: it cannot be used.
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
    """Put a token into a file that its owner alone can read.

    Raises:
        SealError: it cannot be written.
    """
    try:
        _written(path, text).replace(path)
    except OSError as error:
        raise SealError(f"{path} cannot be written: {error.strerror}") from None


def _written(path: Path, text: str) -> Path:
    """Return a new file beside another one, complete: nobody sees it in part."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(8).hex()}")
    make_key_file(fresh, text)
    return fresh


def _no_key(path: Path) -> str:
    return (
        f"there is no key: set {VARIABLE}, or make {path} with 'arcbook wallet init'; all "
        "servers of a cluster need the same one"
    )
