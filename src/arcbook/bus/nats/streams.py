"""The streams of the bus and the consumers of its pools, created if missing."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any, Final, NamedTuple

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError, ServiceUnavailableError
from nats.js.manager import JetStreamManager

from arcbook.bus.api import DELIVERIES_MAX, DUPLICATE_SECONDS, BusError
from arcbook.bus.nats.link import NatsLink

COMMANDS_SECONDS: Final = 3600.0
"""Time after which a message expires; servers announce outstanding commands again."""

COMMANDS_MAX: Final = 1_000_000
"""Maximum number of messages; the oldest are dropped, so that no pool blocks the others."""

DEAD_SECONDS: Final = 7 * 86_400.0
"""Time after which dead letters expire."""

DEAD_MAX: Final = 100_000
"""Maximum number of dead letters."""

SPARE_DELIVERIES: Final = 5
"""Extra deliveries in which a puller moves the message to the dead letters."""

ACK_PENDING_MAX: Final = 100_000
"""Maximum number of unacknowledged messages of a pool."""

PULLS_MAX: Final = 4096
"""Maximum number of waiting pulls of a pool; more than a pool has workers."""

REMAKE_SECONDS: Final = 0.5
"""Pause before a deleted stream is created again.

The server deletes the files of the old stream in the background, and with them those of a
new one of the same name that is created too soon.
"""

API_SECONDS: Final = 5.0
"""Time limit for requests of the JetStream API."""

POOL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Ready(NamedTuple):
    """An existing consumer."""

    is_new: bool
    waiting: int


class Streams:
    """Names, configures and creates the streams.

    Args:
        link: the connection.
        base: prefix of all subjects and names.
        ack_seconds: time after which an unacknowledged message is redelivered.
    """

    def __init__(self, link: NatsLink, base: str, ack_seconds: float) -> None:
        self._link = link
        self._base = base
        self._ack_seconds = ack_seconds
        self._were_made = False
        name = re.sub(r"[^A-Za-z0-9_-]", "_", base)
        self._durable = f"{name}_worker_pool"
        self.commands = f"{name.upper()}_COMMANDS"
        self.dead = f"{name.upper()}_DEAD"

    def subject(self, pool: str, execution_id: int | str) -> str:
        """Return the subject of an execution's messages to a pool."""
        return f"{self._base}.commands.{checked(pool)}.{execution_id}"

    def pool_of(self, subject: str) -> str:
        """Return the pool of a message."""
        return subject[len(self._base) + len(".commands.") :].split(".", 1)[0]

    def dead_subject(self, subject: str) -> str:
        """Return the subject of a message's dead letter."""
        return f"{self._base}.dead.{subject.removeprefix(f'{self._base}.commands.')}"

    def durable(self, pool: str) -> str:
        """Return the name of a pool's consumer."""
        return f"{self._durable}_{checked(pool)}"

    def next_subject(self, pool: str) -> str:
        """Return the subject of pull requests for a pool."""
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.commands}.{self.durable(pool)}"

    async def check(self) -> None:
        """Make sure that the server has JetStream.

        Raises:
            BusError: it does not.
        """
        with self._link.translated():
            try:
                await self._manager().account_info()
            except (ServiceUnavailableError, NotFoundError, BadRequestError):
                raise BusError(
                    "the NATS server has JetStream disabled, for the server or this account: start it with -js"
                ) from None

    async def ensure(self) -> None:
        """Create both streams, or extend them if they do not fit.

        Work-queue retention deletes a message when its pool has acknowledged it: the stream
        holds exactly the waiting messages, also those of pools without workers.
        """
        await self._ensure(
            StreamConfig(
                name=self.commands,
                subjects=[f"{self._base}.commands.>"],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_age=COMMANDS_SECONDS,
                max_msgs=COMMANDS_MAX,
                max_msg_size=self._link.payload_max,
                duplicate_window=DUPLICATE_SECONDS,
                num_replicas=1,
            )
        )
        await self._ensure(
            StreamConfig(
                name=self.dead,
                subjects=[f"{self._base}.dead.>"],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                discard=DiscardPolicy.OLD,
                max_age=DEAD_SECONDS,
                max_msgs=DEAD_MAX,
                max_msg_size=self._link.payload_max,
                num_replicas=1,
            )
        )
        self._were_made = True

    async def remake(self) -> None:
        """Create the stream of commands again after it has lost its files."""
        with self._link.translated(), contextlib.suppress(NotFoundError):
            await self._manager().delete_stream(self.commands)
        await self.ensure()

    async def _ensure(self, required: StreamConfig) -> None:
        manager = self._manager()
        name = required.name or ""
        with self._link.translated():
            try:
                existing = (await manager.stream_info(name)).config
            except NotFoundError:
                if self._were_made:
                    await asyncio.sleep(REMAKE_SECONDS)
                await self._add(manager, required)
                return
            changes = _widening(existing, required)
            if changes:
                await manager.update_stream(existing.evolve(**changes))

    async def _add(self, manager: JetStreamManager, required: StreamConfig) -> None:
        try:
            await manager.add_stream(required)
        except BadRequestError as error:
            try:  # another process may be creating it at this moment
                await manager.stream_info(required.name or "")
            except NotFoundError:
                raise error from None

    async def ensure_consumer(self, pool: str) -> Ready:
        """Create a pool's consumer if missing; return its number of waiting messages."""
        manager = self._manager()
        is_new = False
        with self._link.translated():
            try:
                info = await manager.consumer_info(self.commands, self.durable(pool))
            except NotFoundError:
                await self.ensure()
                await manager.add_consumer(self.commands, self._consumer(pool))
                is_new = True
                info = await manager.consumer_info(self.commands, self.durable(pool))
            if info.config.ack_wait != self._ack_seconds:
                changed = info.config.evolve(ack_wait=self._ack_seconds)
                await manager.add_consumer(self.commands, changed)
        return Ready(is_new, int(info.num_pending or 0))

    def _consumer(self, pool: str) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self.durable(pool),
            filter_subject=self.subject(pool, ">"),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_seconds,
            max_deliver=DELIVERIES_MAX + SPARE_DELIVERIES,
            max_ack_pending=ACK_PENDING_MAX,
            max_waiting=PULLS_MAX,
        )

    def _manager(self) -> JetStreamManager:
        return JetStreamManager(self._link.client, timeout=API_SECONDS)


def _widening(existing: StreamConfig, required: StreamConfig) -> dict[str, Any]:
    """Return the changes that an existing stream needs; keep the operator's other settings."""
    changes: dict[str, Any] = {}
    subjects = list(existing.subjects or [])
    missing = [s for s in required.subjects or [] if s not in subjects and ">" not in subjects]
    if missing:
        changes["subjects"] = _without_covered([*subjects, *missing])
    if 0 < (existing.max_msg_size or -1) < (required.max_msg_size or 0):
        changes["max_msg_size"] = required.max_msg_size
    window = min(required.duplicate_window or 0, existing.max_age or DUPLICATE_SECONDS)
    if (existing.duplicate_window or 0) < window:  # must not exceed the age limit
        changes["duplicate_window"] = window
    return changes


def _without_covered(subjects: list[str]) -> list[str]:
    """Drop subjects that another one covers: subjects of a stream must not overlap."""
    wide = [subject[:-1] for subject in subjects if subject.endswith(".>")]
    return [s for s in subjects if not any(s.startswith(w) and s != f"{w}>" for w in wide)]


def checked(pool: str) -> str:
    """Return the name of a pool.

    Raises:
        BusError: the name cannot be part of a subject.
    """
    if not POOL.fullmatch(pool):
        raise BusError(f"the pool name {pool!r} is invalid: use letters, digits, - and _")
    return pool
