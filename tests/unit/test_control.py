"""What a worker asks of a control plane that is away."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.bus.api import BusError
from arcbook.testing.clock import run_virtually
from arcbook.tools.api import CredentialError
from arcbook.wire.protocol import BlobKept, CredentialAnswer, pack
from arcbook.worker.control import OUTAGE_SECONDS, Control, ControlError, RemoteBlobs

HOUR = 3600.0


class AwayBus:
    """A bus on which nobody answers before a time."""

    payload_max = 1024 * 1024

    def __init__(self, back_at: float, answer: bytes = b"") -> None:
        self._back_at = back_at
        self._answer = answer

    async def request(self, _subject: str, _body: bytes, _timeout: float) -> bytes:
        if asyncio.get_running_loop().time() < self._back_at:
            raise BusError("nobody answers")
        return self._answer


def test_a_large_result_is_kept_however_long_the_control_plane_was_away():
    async def run():
        blobs = RemoteBlobs(Control(AwayBus(HOUR, pack(BlobKept(server="s1")))))
        await blobs.put("1/step/0", b"x" * 3_000_000)
        return asyncio.get_running_loop().time()

    assert run_virtually(run()) >= HOUR


def test_a_control_plane_that_never_comes_back_is_given_up_some_time():
    async def run():
        with pytest.raises(ControlError, match="no server answered"):
            await RemoteBlobs(Control(AwayBus(float("inf")))).get("1/step/0")
        return asyncio.get_running_loop().time()

    assert run_virtually(run()) == pytest.approx(OUTAGE_SECONDS, rel=0.01)


def test_a_credential_is_asked_for_again_while_the_control_plane_is_away():
    async def run():
        answer = pack(CredentialAnswer(error="is not known"))
        with pytest.raises(CredentialError, match="'warehouse' is not known") as caught:
            await Control(AwayBus(30.0, answer)).credential("warehouse", 1)
        return caught.value.retryable, asyncio.get_running_loop().time()

    retryable, seconds = run_virtually(run())

    assert not retryable
    assert 30.0 <= seconds < 35.0


def test_a_credential_that_cannot_be_had_is_an_error_with_its_alias_soon():
    async def run():
        with pytest.raises(CredentialError, match="warehouse"):
            await Control(AwayBus(float("inf"))).credential("warehouse", 1)
        return asyncio.get_running_loop().time()

    assert run_virtually(run()) < HOUR
