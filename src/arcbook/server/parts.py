"""Blobs transferred in parts: buffered in memory within fixed limits."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from arcbook.bus.api import BusError

UPLOADS_MAX: Final = 64
"""Blobs being received at the same time ..."""

UPLOADS_BYTES_MAX: Final = 256 * 1024 * 1024
"""... and the total size of their parts; beyond it, senders must retry later."""

IDLE_SECONDS: Final = 30.0
"""Time without a new part after which an incomplete blob is dropped."""

DOWNLOADS_MAX: Final = 4
"""Blobs being sent at the same time and kept in memory for it ..."""

DOWNLOADS_BYTES_MAX: Final = 64 * 1024 * 1024
"""... and their total size, without the newest; an evicted blob is read again for each part."""


class _Upload:
    __slots__ = ("parts", "seen_at")

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.seen_at = 0.0


class Uploads:
    """Blobs being received in parts."""

    def __init__(
        self, bytes_max: int = UPLOADS_BYTES_MAX, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._bytes_max = bytes_max
        self._idle_seconds = idle_seconds
        #: In the order of their last part, oldest first.
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()
        self.bytes = 0

    def add(self, key: str, part: int, parts: int, data: bytes) -> bytes | None:
        """Add a part; return the blob if this was the last one.

        Raises:
            BusError: the buffer is full, or earlier parts were dropped; send all parts again.
            ValueError: the part number is out of range.
        """
        if not 0 <= part < parts:
            raise ValueError(f"part {part} of {parts} is out of range")
        now = asyncio.get_running_loop().time()
        upload = self._uploads.get(key)
        if upload is None and part:
            raise BusError(f"earlier parts of {key[:200]} were dropped; send it again")
        grows_by = len(data) - (len(upload.parts.get(part, b"")) if upload is not None else 0)
        self._give_up_idle(key, now, grows_by)
        if self.bytes + grows_by > self._bytes_max or (
            upload is None and len(self._uploads) >= UPLOADS_MAX
        ):
            self._drop(key)
            raise BusError("too many blobs are being received in parts; send it again later")
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
        """Drop idle uploads if there is no space for more."""
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
    """Blobs being sent in parts."""

    def __init__(self, bytes_max: int = DOWNLOADS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self.bytes = 0

    def take(self, key: str) -> bytes | None:
        """Remove a buffered blob and return it; None if it is not buffered."""
        blob = self._blobs.pop(key, None)
        if blob is not None:
            self.bytes -= len(blob)
        return blob

    def keep(self, key: str, blob: bytes) -> None:
        """Buffer a blob for its next part; evict those requested longest ago."""
        self.take(key)
        self._blobs[key] = blob
        self.bytes += len(blob)
        while len(self._blobs) > 1 and (
            len(self._blobs) > DOWNLOADS_MAX or self.bytes > self._bytes_max
        ):
            self.take(next(iter(self._blobs)))
