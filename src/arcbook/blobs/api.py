"""The port to a blob store."""

from __future__ import annotations

from typing import Protocol

from arcbook.errors import MissingError
from arcbook.store.api import StoreError


class BlobMissingError(MissingError):
    """No blob has this key: it was never written, or it was deleted."""

    code = "blob_not_found"


class BlobStoreError(StoreError):
    """Blobs cannot be written or read at present; the message says what to do.

    A StoreError, because code that tolerates an unavailable store tolerates this as well.
    """

    code = "blob_store_unavailable"


class Blobs(Protocol):
    """Stores bytes by key. Values of one key are equivalent, so writing again is safe."""

    async def put(self, key: str, data: bytes) -> None:
        """Write a blob durably.

        Raises:
            BlobStoreError: It cannot be written.
        """

    async def get(self, key: str) -> bytes:
        """Return a blob.

        Raises:
            BlobMissingError: It does not exist.
            BlobStoreError: It cannot be read.
        """

    async def delete(self, prefix: str, *, before: str = "") -> int:
        """Delete the blobs whose keys start with ``prefix``; return their number.

        Args:
            prefix: The prefix.
            before: Delete only keys before this one: the prefix, digits and a slash.
        """
