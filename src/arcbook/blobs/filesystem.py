"""Blobs as files in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from arcbook.blobs.api import BlobMissingError, BlobStoreError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FilesystemBlobs:
    """A blob store in a folder; the parts of a key are subfolders.

    Writes are atomic: a file appears under its name only once it is complete and synced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str) -> Path:
        parts = [quote(part, safe="=+-_,@ ") for part in key.split("/") if part]
        return self._root.joinpath(*(part.replace(".", "%2E") for part in parts))

    async def put(self, key: str, data: bytes) -> None:
        with _translated(self._root):
            await asyncio.to_thread(self._put, self._path(key), data)

    def _put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix="~")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def get(self, key: str) -> bytes:
        try:
            with _translated(self._root):
                return await asyncio.to_thread(self._path(key).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise BlobMissingError(key) from None

    async def delete(self, prefix: str, *, before: str = "") -> int:
        return await asyncio.to_thread(self._delete, prefix, before.removesuffix("/"))

    def _delete(self, prefix: str, before: str) -> int:
        folder, _, name = prefix.rpartition("/")
        base = self._path(folder) if folder else self._root
        count = 0
        end = before.rpartition("/")[2]
        name_prefix = quote(name, safe="=+-_,@ ").replace(".", "%2E")
        for path in list(base.glob("*")) if base.is_dir() else []:
            if not path.name.startswith(name_prefix) or path.name.startswith("~"):
                continue
            if before and path.name >= end:
                continue
            if path.is_dir():
                count += sum(1 for p in path.rglob("*") if p.is_file())
                shutil.rmtree(path)
            else:
                path.unlink()
                count += 1
        return count


@contextlib.contextmanager
def _translated(root: Path) -> Iterator[None]:
    """Convert errors of the file system into BlobStoreErrors with advice."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            advice = "the disk is full: free some space, then run: arcbook resume"
        else:
            advice = "results cannot be stored there: check the folder, or use another --home"
        raise BlobStoreError(f"{root}: {advice} ({error.strerror})") from error
