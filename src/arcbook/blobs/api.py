"""The port to a blob store."""

from __future__ import annotations

from typing import Protocol


class BlobMissingError(LookupError):
    """There is no blob of that key: it was never written, or it was purged."""


class BlobStoreError(RuntimeError):
    """Blobs cannot be written or read at present; the message says what to do."""


class Blobs(Protocol):
    """Keeps bytes by key. A key is written at most with equal meaning: writing again is safe."""

    async def put(self, key: str, data: bytes) -> None:
        """Write a blob; when this returns it survives a crash of the machine.

        Raises:
            BlobStoreError: it cannot be written.
        """

    async def get(self, key: str) -> bytes:
        """Return a blob.

        Raises:
            BlobMissingError: there is none.
            BlobStoreError: it cannot be read.
        """

    async def delete(self, prefix: str) -> int:
        """Delete the blobs whose keys begin with ``prefix``; return how many there were."""
