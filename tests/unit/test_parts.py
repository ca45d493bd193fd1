"""Blobs in parts: put together whatever order they come in, and never too many bytes of them."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.bus.api import BusError
from arcbook.server.parts import UPLOADS_MAX, Downloads, Uploads
from arcbook.testing.clock import run_virtually


async def test_a_blob_is_whole_when_its_last_part_has_come_whichever_that_is():
    uploads = Uploads()

    assert uploads.add("a", 0, 3, b"one") is None
    assert uploads.add("b", 0, 2, b"x") is None
    assert uploads.add("a", 2, 3, b"three") is None
    assert uploads.add("a", 2, 3, b"3") is None  # sent again
    assert uploads.bytes == 5
    assert uploads.add("a", 1, 3, b"two") == b"onetwo3"
    assert uploads.add("b", 1, 2, b"y") == b"xy"
    assert uploads.bytes == 0


async def test_what_finds_no_room_is_told_to_come_again_and_what_is_there_goes_on():
    uploads = Uploads(bytes_max=10)
    uploads.add("a", 0, 2, b"1234")
    with pytest.raises(BusError, match="later"):
        uploads.add("b", 0, 2, b"1234567")

    assert uploads.add("a", 1, 2, b"56") == b"123456"
    assert uploads.add("b", 0, 2, b"1234567") is None
    with pytest.raises(BusError, match="later"):
        uploads.add("b", 1, 2, b"1234")
    assert uploads.bytes == 0


async def test_the_rest_of_what_was_given_up_is_no_blob():
    uploads = Uploads(bytes_max=10)
    with pytest.raises(BusError, match="send it again"):
        uploads.add("a", 1, 2, b"56")
    with pytest.raises(ValueError, match="part 2 of 2"):
        uploads.add("a", 2, 2, b"")
    assert uploads.bytes == 0


async def test_so_many_arrive_at_once_and_no_more():
    uploads = Uploads()
    for number in range(UPLOADS_MAX):
        uploads.add(f"k{number}", 0, 2, b"x")

    with pytest.raises(BusError):
        uploads.add("one more", 0, 2, b"x")
    assert uploads.add("k0", 1, 2, b"y") == b"xy"


def test_what_nobody_goes_on_with_makes_room():
    async def run():
        uploads = Uploads(bytes_max=10, idle_seconds=30)
        uploads.add("left", 0, 2, b"12345678")
        await asyncio.sleep(20)
        uploads.add("slow", 0, 2, b"9")
        with pytest.raises(BusError):
            uploads.add("new", 0, 2, b"12345")
        await asyncio.sleep(20)
        uploads.add("new", 0, 2, b"12345")
        with pytest.raises(BusError, match="were dropped"):
            uploads.add("left", 1, 2, b"9")
        return uploads.add("slow", 1, 2, b"0"), uploads.bytes

    assert run_virtually(run()) == (b"90", 5)


def test_of_what_leaves_so_many_bytes_are_kept_but_always_the_last():
    downloads = Downloads(bytes_max=10)
    downloads.keep("a", b"123456")
    downloads.keep("b", b"123")
    assert downloads.bytes == 9
    downloads.keep("c", b"12345")
    assert downloads.take("a") is None
    downloads.keep("d", b"x" * 20)

    assert downloads.take("b") is None
    assert downloads.take("d") == b"x" * 20
    assert downloads.take("d") is None
    assert downloads.bytes == 0
