"""The port to a blob store."""

from __future__ import annotations

from typing import Protocol

from arcbook.errors import MissingError
from arcbook.store.api import StoreError


class BlobMissingError(MissingError):
    """There is no blob of that key: it was never written, or it was purged."""

    code = "blob_not_found"


class BlobStoreError(StoreError):
    """Blobs cannot be written or read at present; the message says what to do.

    They are part of what is stored: who goes on without the store goes on without them.
    """

    code = "blob_store_unavailable"


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

    async def delete(self, prefix: str, *, before: str = "") -> int:
        """Delete the blobs whose keys begin with ``prefix``; return how many there were.

        Args:
            prefix: the beginning.
            before: only those with keys before this one: the prefix, digits and a slash.
        """
