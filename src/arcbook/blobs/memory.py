"""Blobs in memory, for tests."""

from __future__ import annotations

from arcbook.blobs.api import BlobMissingError


class MemoryBlobs:
    """A blob store in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(self, key: str, data: bytes) -> None:
        self._blobs[key] = data

    async def get(self, key: str) -> bytes:
        try:
            return self._blobs[key]
        except KeyError:
            raise BlobMissingError(key) from None

    async def delete(self, prefix: str, *, before: str = "") -> int:
        keys = [
            key for key in self._blobs if key.startswith(prefix) and (not before or key < before)
        ]
        for key in keys:
            del self._blobs[key]
        return len(keys)
