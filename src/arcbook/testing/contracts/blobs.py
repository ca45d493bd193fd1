"""The contract of every blob store. A subclass provides the fixture ``blobs``."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.blobs.api import BlobMissingError, Blobs


class BlobsContract:
    """The contract suite."""

    async def test_what_is_put_is_got(self, blobs: Blobs) -> None:
        data = bytes(range(256)) * 1000
        await blobs.put("7/load/1-task", data)

        assert await blobs.get("7/load/1-task") == data

    async def test_a_key_that_was_never_put_is_missing(self, blobs: Blobs) -> None:
        with pytest.raises(BlobMissingError):
            await blobs.get("7/load/none")

    async def test_putting_again_replaces(self, blobs: Blobs) -> None:
        await blobs.put("k", b"one")
        await blobs.put("k", b"two")

        assert await blobs.get("k") == b"two"

    @pytest.mark.parametrize(
        "key",
        [
            "7/a step: with/spaces",
            "7/../../etc/passwd",
            "7/ü",
            "7/.hidden",
            "7/a.b/c",
            "7/%2F",
            "7/~",
        ],
    )
    async def test_any_key_keeps_to_its_own_place(self, blobs: Blobs, key: str) -> None:
        await blobs.put(key, b"x")
        await blobs.put("7/other", b"y")

        assert await blobs.get(key) == b"x"
        assert await blobs.get("7/other") == b"y"

    async def test_deleting_takes_all_below_a_prefix_and_nothing_else(self, blobs: Blobs) -> None:
        for key in ("1/a/x", "1/b/y", "12/a/x", "2/a/x"):
            await blobs.put(key, b"x")

        assert await blobs.delete("1/") == 2
        with pytest.raises(BlobMissingError):
            await blobs.get("1/a/x")
        assert await blobs.get("12/a/x") == b"x"
        assert await blobs.delete("1/") == 0

    async def test_deleting_takes_what_comes_before_a_key(self, blobs: Blobs) -> None:
        keys = [f"wire/{hour:04}/{name}" for hour in (7, 8, 9, 10) for name in ("a", "f")]
        for key in (*keys, "wirf/0001/a", "1/0001/a"):
            await blobs.put(key, b"x")

        assert await blobs.delete("wire/", before="wire/0009/") == 4
        for key in (*keys[4:], "wirf/0001/a", "1/0001/a"):
            assert await blobs.get(key) == b"x"
        for key in keys[:4]:
            with pytest.raises(BlobMissingError):
                await blobs.get(key)
        assert await blobs.delete("wire/", before="wire/0009/") == 0

    async def test_many_at_once_are_all_kept(self, blobs: Blobs) -> None:
        keys = [f"3/step/{i}" for i in range(50)]
        await asyncio.gather(*(blobs.put(key, key.encode()) for key in keys))

        contents = await asyncio.gather(*(blobs.get(key) for key in keys))
        assert contents == [key.encode() for key in keys]
