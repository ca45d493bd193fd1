"""Blobs that come and go in parts: kept in memory meanwhile, so many bytes of them and no more."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from arcbook.bus.api import BusError

UPLOADS_MAX: Final = 64
"""Blobs that arrive in parts at the same time ..."""

UPLOADS_BYTES_MAX: Final = 256 * 1024 * 1024
"""... and the size of their parts together; what finds no room is to come again later."""

IDLE_SECONDS: Final = 30.0
"""Time without a new part after which a blob is given up that has not arrived as a whole."""

DOWNLOADS_MAX: Final = 4
"""Blobs that leave in parts at the same time, and are kept in memory for it ..."""

DOWNLOADS_BYTES_MAX: Final = 64 * 1024 * 1024
"""... and their size together, the last one left aside: any is read again, part by part."""


class _Upload:
    __slots__ = ("parts", "seen_at")

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.seen_at = 0.0


class Uploads:
    """Blobs that arrive in parts."""

    def __init__(
        self, bytes_max: int = UPLOADS_BYTES_MAX, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._bytes_max = bytes_max
        self._idle_seconds = idle_seconds
        #: Those whose last part came longest ago are first.
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()
        self.bytes = 0

    def add(self, key: str, part: int, parts: int, data: bytes) -> bytes | None:
        """Take a part; return the blob if it was the last one.

        Raises:
            BusError: there is no room for it now, or earlier parts are gone: all of them are
                to come again.
            ValueError: there is no such part.
        """
        if not 0 <= part < parts:
            raise ValueError(f"part {part} of {parts}")
        now = asyncio.get_running_loop().time()
        upload = self._uploads.get(key)
        if upload is None and part:
            raise BusError(f"earlier parts of {key[:200]} were given up: send it again")
        grows_by = len(data) - (len(upload.parts.get(part, b"")) if upload is not None else 0)
        self._give_up_idle(key, now, grows_by)
        if self.bytes + grows_by > self._bytes_max or (
            upload is None and len(self._uploads) >= UPLOADS_MAX
        ):
            self._drop(key)
            raise BusError("too much arrives in parts already: send it again later")
        if upload is None:
            upload = self._uploads[key] = _Upload()
        upload.parts[part], upload.seen_at = data, now
        self.bytes += grows_by
        self._uploads.move_to_end(key)
        if len(upload.parts) < parts:
            return None
        self._drop(key)
        return b"".join(upload.parts[number] for number in range(parts))

    def _give_up_idle(self, key: str, now: float, grows_by: int) -> None:
        """Make room, if there is none, by what nobody goes on with."""
        for other, upload in list(self._uploads.items()):
            has_room = self.bytes + grows_by <= self._bytes_max
            if has_room and len(self._uploads) < UPLOADS_MAX:
                return
            if other != key and now - upload.seen_at > self._idle_seconds:
                self._drop(other)

    def _drop(self, key: str) -> None:
        upload = self._uploads.pop(key, None)
        if upload is not None:
            self.bytes -= sum(map(len, upload.parts.values()))


class Downloads:
    """Blobs that leave in parts."""

    def __init__(self, bytes_max: int = DOWNLOADS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self.bytes = 0

    def take(self, key: str) -> bytes | None:
        """Return a blob that is kept, and keep it no more."""
        blob = self._blobs.pop(key, None)
        if blob is not None:
            self.bytes -= len(blob)
        return blob

    def keep(self, key: str, blob: bytes) -> None:
        """Keep a blob for its next part, in place of those that were asked for longest ago."""
        self.take(key)
        self._blobs[key] = blob
        self.bytes += len(blob)
        while len(self._blobs) > 1 and (
            len(self._blobs) > DOWNLOADS_MAX or self.bytes > self._bytes_max
        ):
            self.take(next(iter(self._blobs)))
