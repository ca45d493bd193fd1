"""The contract of every bus.

A subclass has a fixture ``opened``: a function that opens one more connection to the same
bus, on which a message that is not acknowledged comes again after `ACK_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest

from arcbook.bus.api import (
    DELIVERIES_MAX,
    Bus,
    BusError,
    Delivery,
    Message,
    NobodyError,
    RequestTimeoutError,
)

Opened = Callable[[], Awaitable[Bus]]

ACK_SECONDS: Final = 1.0
"""The acknowledgement time of buses in these tests, in seconds."""

PROMPT_SECONDS: Final = 0.5
"""A generous bound for operations that take a millisecond."""


def messages(count: int, pool: str = "shared", execution_id: int = 7) -> list[Message]:
    """Return messages with bodies ``0``, ``1``, ... and unique ids."""
    return [
        Message(pool, execution_id, f"{pool}-{execution_id}-{i}", str(i).encode())
        for i in range(count)
    ]


def bodies(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the bodies of deliveries."""
    return [bytes(delivery.body).decode() for delivery in deliveries]


async def pulled(
    bus: Bus, count: int, pool: str = "shared", seconds: float = 5.0
) -> list[Delivery]:
    """Pull until a number of messages has arrived."""
    deliveries: list[Delivery] = []
    until = time.monotonic() + seconds
    while len(deliveries) < count and time.monotonic() < until:
        deliveries += await bus.pull([pool], count - len(deliveries), until - time.monotonic())
    return deliveries


async def echo(body: bytes) -> bytes:
    """Answer with the body of the request."""
    return body


class _Messages:
    """Messages to pools."""

    @pytest.fixture
    async def bus(self, opened: Opened) -> Bus:
        """Return one connection."""
        return await opened()

    async def test_what_is_published_is_pulled_by_another_connection(
        self, bus: Bus, opened: Opened
    ) -> None:
        await bus.publish(messages(1))

        (delivery,) = await (await opened()).pull(["shared"], 10, 5)
        assert (bytes(delivery.body), delivery.deliveries) == (b"0", 1)

    async def test_bytes_arrive_as_they_were(self, bus: Bus) -> None:
        body = bytes(range(256)) * 100
        await bus.publish([Message("shared", 2**62, "x", body), Message("shared", 1, "y", b"")])

        assert [bytes(d.body) for d in await pulled(bus, 2)] == [body, b""]

    async def test_pools_are_kept_apart(self, bus: Bus) -> None:
        await bus.publish([*messages(2, "python"), *messages(3, "shared")])

        assert await bus.pull(["other"], 10, 0.05) == []
        assert bodies(await pulled(bus, 2, "python")) == ["0", "1"]
        assert await bus.pull(["python"], 10, 0.05) == []
        assert bodies(await pulled(bus, 3, "shared")) == ["0", "1", "2"]

    async def test_several_pools_are_pulled_at_once(self, bus: Bus) -> None:
        await bus.publish([*messages(2, "python"), *messages(3, "shared")])

        deliveries: list[Delivery] = []
        for _ in range(10):
            deliveries += await bus.pull(["python", "none", "shared"], 10, 0.2)
            if len(deliveries) >= 5:
                break
        assert sorted(bodies(deliveries)) == ["0", "0", "1", "1", "2"]

    async def test_a_pull_returns_no_more_than_its_limit(self, bus: Bus) -> None:
        await bus.publish(messages(25))

        first = await bus.pull(["shared"], 10, 5)
        assert 1 <= len(first) <= 10
        assert len(first) + len(await pulled(bus, 25 - len(first))) == 25

    async def test_messages_of_one_publisher_come_in_order(self, bus: Bus, opened: Opened) -> None:
        other = await opened()
        for start in range(0, 300, 100):
            await bus.publish(messages(300)[start : start + 100])

        assert bodies(await pulled(other, 300)) == [str(i) for i in range(300)]

    async def test_a_pull_of_nothing_waits_as_long_as_told(self, bus: Bus) -> None:
        started = time.monotonic()

        assert await bus.pull(["shared"], 10, 0.3) == []
        assert 0.25 < time.monotonic() - started < 0.3 + PROMPT_SECONDS
        assert await bus.pull(["shared"], 10, 0) == []

    async def test_a_pull_of_now_asks_every_pool(self, bus: Bus) -> None:
        await bus.publish(messages(1, "c"))

        assert bodies(await bus.pull(["a", "b", "c", "d"], 10, 0)) == ["0"]
        started = time.monotonic()
        assert await bus.pull(["a", "b", "c", "d"], 10, 0) == []
        assert time.monotonic() - started < PROMPT_SECONDS

    async def test_a_waiting_pull_wakes_up_promptly(self, bus: Bus, opened: Opened) -> None:
        other = await opened()
        waiting = asyncio.create_task(other.pull(["python", "shared"], 10, 10))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await bus.publish(messages(1))

        assert bodies(await waiting) == ["0"]
        assert time.monotonic() - started < PROMPT_SECONDS

    async def test_a_message_goes_to_one_of_those_who_pull(self, bus: Bus, opened: Opened) -> None:
        others = [await opened() for _ in range(3)]
        pulls = [asyncio.create_task(other.pull(["shared"], 1, 0.5)) for other in others]
        await asyncio.sleep(0.1)
        await bus.publish(messages(2))

        assert sorted(
            bodies([d for deliveries in await asyncio.gather(*pulls) for d in deliveries])
        ) == [
            "0",
            "1",
        ]

    async def test_a_pull_that_is_given_up_loses_no_message(self, bus: Bus, opened: Opened) -> None:
        other = await opened()
        waiting = asyncio.create_task(other.pull(["shared"], 10, 10))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await bus.publish(messages(3))

        assert bodies(await pulled(other, 3)) == ["0", "1", "2"]

    async def test_acknowledged_messages_do_not_come_again(self, bus: Bus) -> None:
        await bus.publish(messages(3))
        await bus.acknowledge(await pulled(bus, 3))

        assert await bus.pull(["shared"], 10, ACK_SECONDS * 2) == []

    async def test_messages_come_again_if_they_are_not_acknowledged(
        self, bus: Bus, opened: Opened
    ) -> None:
        await bus.publish(messages(2))
        first = await pulled(bus, 2)
        await bus.acknowledge(first[:1])

        (again,) = await pulled(await opened(), 1)
        assert (bodies([again]), again.deliveries) == (["1"], 2)
        await bus.acknowledge([again])
        assert await bus.pull(["shared"], 10, ACK_SECONDS * 1.5) == []

    async def test_extending_keeps_a_message_away(self, bus: Bus, opened: Opened) -> None:
        other = await opened()
        await bus.publish(messages(1))
        deliveries = await pulled(bus, 1)
        for _ in range(4):
            assert await other.pull(["shared"], 1, ACK_SECONDS / 2) == []
            await bus.extend(deliveries)

        assert bodies(await pulled(other, 1)) == ["0"]

    async def test_what_is_given_back_comes_again_at_once(self, bus: Bus, opened: Opened) -> None:
        await bus.publish(messages(1))
        started = time.monotonic()
        await bus.give_back(await pulled(bus, 1))

        (again,) = await pulled(await opened(), 1)
        assert again.deliveries == 2
        assert time.monotonic() - started < PROMPT_SECONDS

    async def test_what_is_given_back_may_come_again_later(self, bus: Bus) -> None:
        await bus.publish(messages(1))
        await bus.give_back(await pulled(bus, 1), 0.4)
        started = time.monotonic()

        assert bodies(await pulled(bus, 1)) == ["0"]
        assert 0.3 < time.monotonic() - started < 0.4 + PROMPT_SECONDS

    async def test_a_message_that_is_delivered_too_often_comes_no_more(self, bus: Bus) -> None:
        await bus.publish(messages(1))
        for turn in range(1, DELIVERIES_MAX + 1):
            (delivery,) = await pulled(bus, 1)
            assert delivery.deliveries == turn
            await bus.give_back([delivery])

        assert await bus.pull(["shared"], 1, 0.3) == []

    async def test_a_second_message_of_one_id_is_dropped(self, bus: Bus, opened: Opened) -> None:
        await bus.publish(messages(2))
        await (await opened()).publish(messages(3))

        deliveries = await pulled(bus, 3)
        assert bodies(deliveries) == ["0", "1", "2"]
        await bus.acknowledge(deliveries)
        await bus.publish(messages(3))
        assert await bus.pull(["shared"], 10, 0.2) == []

    async def test_waiting_messages_are_counted(self, bus: Bus) -> None:
        await bus.publish([*messages(2, "python"), *messages(3, "shared")])

        assert await bus.waiting(["python", "shared", "none"]) == {
            "python": 2,
            "shared": 3,
            "none": 0,
        }
        await bus.acknowledge(await pulled(bus, 3))
        assert await bus.waiting(["shared"]) == {"shared": 0}

    async def test_many_messages_reach_many_who_pull_exactly_once(
        self, bus: Bus, opened: Opened
    ) -> None:
        others = [await opened() for _ in range(3)]
        received: list[str] = []

        async def work(other: Bus) -> None:
            while len(received) < 1000:
                deliveries = await other.pull(["shared"], 64, 0.2)
                await other.acknowledge(deliveries)
                received.extend(bodies(deliveries))

        workers = asyncio.gather(*(work(other) for other in others))
        for execution_id in range(10):
            await bus.publish(messages(100, execution_id=execution_id))
        await workers

        assert sorted(received) == sorted(str(i) for i in range(100) for _ in range(10))

    async def test_a_message_that_is_too_big_is_refused(self, bus: Bus) -> None:
        with pytest.raises(BusError):
            await bus.publish([Message("shared", 1, "x", bytes(bus.payload_max + 1))])

        await bus.publish(messages(1))
        assert bodies(await pulled(bus, 1)) == ["0"]

    async def test_publishing_nothing_and_acknowledging_nothing_is_allowed(self, bus: Bus) -> None:
        await bus.publish([])
        await bus.acknowledge([])
        await bus.give_back([])
        await bus.extend([])
        assert await bus.waiting([]) == {}


class _Requests:
    """Requests and their answers."""

    async def test_a_request_is_answered(self, bus: Bus, opened: Opened) -> None:
        await (await opened()).serve("claims.3", echo)

        assert await bus.request("claims.3", b"hello", 5) == b"hello"
        assert await bus.request("claims.3", b"", 5) == b""

    async def test_one_of_several_servers_answers(self, bus: Bus, opened: Opened) -> None:
        asked: list[bytes] = []

        async def note(body: bytes) -> bytes:
            asked.append(body)
            return body

        for _ in range(3):
            await (await opened()).serve("claims", note)
        for i in range(6):
            assert await bus.request("claims", str(i).encode(), 5) == str(i).encode()

        assert len(asked) == 6

    async def test_requests_are_handled_beside_each_other(self, bus: Bus, opened: Opened) -> None:
        together = asyncio.Barrier(50)

        async def meet(body: bytes) -> bytes:
            await together.wait()
            return body

        await (await opened()).serve("claims", meet)
        asked = [str(i).encode() for i in range(50)]

        assert await asyncio.gather(*(bus.request("claims", b, 10) for b in asked)) == asked

    async def test_big_requests_get_big_answers(self, bus: Bus, opened: Opened) -> None:
        await (await opened()).serve("claims", echo)
        body = bytes(range(256)) * (bus.payload_max // 256)

        assert await bus.request("claims", body, 10) == body
        with pytest.raises(BusError):
            await bus.request("claims", bytes(bus.payload_max + 1), 1)

    async def test_a_request_to_nobody_fails_at_once(self, bus: Bus) -> None:
        started = time.monotonic()

        with pytest.raises(NobodyError):
            await bus.request("nobody", b"x", 10)
        assert time.monotonic() - started < PROMPT_SECONDS * 2

    async def test_a_request_is_not_answered_in_time(self, bus: Bus, opened: Opened) -> None:
        async def sleep(body: bytes) -> bytes:
            await asyncio.sleep(0.5)
            return body

        await (await opened()).serve("claims", sleep)

        with pytest.raises(RequestTimeoutError):
            await bus.request("claims", b"x", 0.1)
        assert await bus.request("claims", b"y", 5) == b"y"

    async def test_what_a_handler_raises_is_a_time_out(
        self, bus: Bus, opened: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(body: bytes) -> bytes:
            if body == b"bad":
                raise ValueError("a fault of the handler")
            return body

        await (await opened()).serve("claims", fail)

        with pytest.raises(RequestTimeoutError):
            await bus.request("claims", b"bad", 0.3)
        assert await bus.request("claims", b"good", 5) == b"good"
        assert "a fault of the handler" in caplog.text

    async def test_who_stops_serves_no_more_but_answers_what_came(
        self, bus: Bus, opened: Opened
    ) -> None:
        async def sleep(body: bytes) -> bytes:
            await asyncio.sleep(0.3)
            return body

        subscription = await (await opened()).serve("claims", sleep)
        asked = asyncio.create_task(bus.request("claims", b"x", 5))
        await asyncio.sleep(0.1)
        await subscription.stop()

        assert await asked == b"x"
        with pytest.raises(NobodyError):
            await bus.request("claims", b"y", 5)


class _Notices:
    """Notices to listeners."""

    async def test_all_who_listen_are_told(self, bus: Bus, opened: Opened) -> None:
        heard: dict[str, list[bytes]] = {"a": [], "b": [], "other": []}
        for name in ("a", "b"):
            await (await opened()).listen("cancel.7", heard[name].append)
        await bus.listen("cancel.8", heard["other"].append)
        await bus.tell("cancel.7", b"now")
        await _until(lambda: bool(heard["a"] and heard["b"]))

        assert heard == {"a": [b"now"], "b": [b"now"], "other": []}

    async def test_a_pattern_covers_all_below(self, bus: Bus, opened: Opened) -> None:
        heard: list[bytes] = []
        await (await opened()).listen("cancel.*", heard.append)
        for subject in ("cancel", "cancelled.1", "cancel.1", "other.1", "cancel.2.3"):
            await bus.tell(subject, subject.encode())
        await _until(lambda: len(heard) >= 2)

        assert heard == [b"cancel.1", b"cancel.2.3"]

    async def test_notices_of_one_teller_come_in_order(self, bus: Bus, opened: Opened) -> None:
        heard: list[bytes] = []
        await (await opened()).listen("cancel.*", heard.append)
        notices = [str(i).encode() for i in range(200)]
        for body in notices:
            await bus.tell("cancel.1", body)
        await _until(lambda: len(heard) >= 200)

        assert heard == notices

    async def test_a_notice_may_be_big(self, bus: Bus, opened: Opened) -> None:
        heard: list[bytes] = []
        await (await opened()).listen("big", heard.append)
        body = bytes(range(256)) * (bus.payload_max // 256)
        await bus.tell("big", body)
        await _until(lambda: len(heard) == 1)

        assert bytes(heard[0]) == body
        with pytest.raises(BusError):
            await bus.tell("big", bytes(bus.payload_max + 1))

    async def test_a_listener_that_fails_hears_the_next_notice(
        self, bus: Bus, opened: Opened, caplog: pytest.LogCaptureFixture
    ) -> None:
        heard: list[bytes] = []

        def fail(body: bytes) -> None:
            heard.append(body)
            raise ValueError("a fault of the listener")

        await (await opened()).listen("cancel", fail)
        await bus.tell("cancel", b"1")
        await bus.tell("cancel", b"2")
        await _until(lambda: len(heard) >= 2)

        assert heard == [b"1", b"2"]
        assert "a fault of the listener" in caplog.text

    async def test_who_stops_hears_no_more(self, bus: Bus, opened: Opened) -> None:
        other = await opened()
        heard: list[bytes] = []
        received: list[bytes] = []
        subscription = await other.listen("cancel", heard.append)
        await other.listen("cancel", received.append)
        await bus.tell("cancel", b"1")
        await _until(lambda: len(heard) == 1)
        await subscription.stop()
        await bus.tell("cancel", b"2")
        await _until(lambda: len(received) == 2)

        assert heard == [b"1"]

    async def test_requests_and_notices_of_one_subject_are_apart(
        self, bus: Bus, opened: Opened
    ) -> None:
        heard: list[bytes] = []
        other = await opened()
        await other.serve("shared", echo)
        await other.listen("shared", heard.append)
        await bus.tell("shared", b"notice")
        assert await bus.request("shared", b"request", 5) == b"request"
        await _until(lambda: len(heard) >= 1)

        assert heard == [b"notice"]


class BusContract(_Messages, _Requests, _Notices):
    """The contract suite."""


async def _until(done: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    for _ in range(int(seconds / 0.005)):
        if done():
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
