"""The streams of the bus and the consumers of its pools, created where they are missing."""

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
"""Time that a message may wait. It is a hint: what is still to do is published again."""

COMMANDS_MAX: Final = 1_000_000
"""Messages that may wait; the oldest go first, so that one idle pool cannot stop the others."""

DEAD_SECONDS: Final = 7 * 86_400.0
"""Time that dead letters are kept."""

DEAD_MAX: Final = 100_000
"""Dead letters that are kept."""

SPARE_DELIVERIES: Final = 5
"""Deliveries beyond the last that a worker sees, in which a puller buries the message."""

ACK_PENDING_MAX: Final = 100_000
"""Messages of one pool that may be out at once."""

PULLS_MAX: Final = 4096
"""Pulls of one pool that may wait at once: more than a pool has workers."""

REMAKE_SECONDS: Final = 0.5
"""Pause before a stream that was deleted is made again.

The server removes the files of the old one in the background, and takes those of a new one
of the same name with them if it comes too soon.
"""

API_SECONDS: Final = 5.0
"""Time for the server to answer what is asked about streams."""

POOL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Ready(NamedTuple):
    """A consumer that is there."""

    is_new: bool
    waiting: int


class Streams:
    """Names, configurations and creation.

    Args:
        link: the connection.
        base: first part of all subjects and names.
        ack_seconds: time after which a message that is not acknowledged comes again.
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
        """Return where a message goes that was delivered too often."""
        return f"{self._base}.dead.{subject.removeprefix(f'{self._base}.commands.')}"

    def durable(self, pool: str) -> str:
        """Return the name of a pool's consumer."""
        return f"{self._durable}_{checked(pool)}"

    def next_subject(self, pool: str) -> str:
        """Return where messages of a pool are asked for."""
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.commands}.{self.durable(pool)}"

    async def check(self) -> None:
        """Make sure that the server has JetStream.

        Raises:
            BusError: it has not.
        """
        with self._link.translated():
            try:
                await self._manager().account_info()
            except (ServiceUnavailableError, NotFoundError, BadRequestError):
                raise BusError(
                    "the NATS server has no JetStream for us (start it with -js)"
                ) from None

    async def ensure(self) -> None:
        """Create both streams, or widen them; leave them alone if they fit.

        Work-queue retention: a message is gone when its pool has acknowledged it, so that
        the stream holds what waits and no more, and pools that nobody serves yet wait too.
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
        """Make the stream of commands anew, as it lost its files."""
        with self._link.translated(), contextlib.suppress(NotFoundError):
            await self._manager().delete_stream(self.commands)
        await self.ensure()

    async def _ensure(self, wanted: StreamConfig) -> None:
        manager = self._manager()
        name = wanted.name or ""
        with self._link.translated():
            try:
                found = (await manager.stream_info(name)).config
            except NotFoundError:
                if self._were_made:
                    await asyncio.sleep(REMAKE_SECONDS)
                await self._add(manager, wanted)
                return
            changes = _widening(found, wanted)
            if changes:
                await manager.update_stream(found.evolve(**changes))

    async def _add(self, manager: JetStreamManager, wanted: StreamConfig) -> None:
        try:
            await manager.add_stream(wanted)
        except BadRequestError as error:
            try:  # somebody else may be making it at this moment
                await manager.stream_info(wanted.name or "")
            except NotFoundError:
                raise error from None

    async def ensure_consumer(self, pool: str) -> Ready:
        """Create a pool's consumer if it is missing; tell whether it was, and what waits."""
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


def _widening(found: StreamConfig, wanted: StreamConfig) -> dict[str, Any]:
    """Return what an existing stream lacks; what its operator chose otherwise stays."""
    changes: dict[str, Any] = {}
    subjects = list(found.subjects or [])
    missing = [s for s in wanted.subjects or [] if s not in subjects and ">" not in subjects]
    if missing:
        changes["subjects"] = _without_covered([*subjects, *missing])
    if 0 < (found.max_msg_size or -1) < (wanted.max_msg_size or 0):
        changes["max_msg_size"] = wanted.max_msg_size
    window = min(wanted.duplicate_window or 0, found.max_age or DUPLICATE_SECONDS)
    if (found.duplicate_window or 0) < window:  # it cannot be longer than messages are kept
        changes["duplicate_window"] = window
    return changes


def _without_covered(subjects: list[str]) -> list[str]:
    """Leave out what another subject covers: one stream's subjects must not overlap."""
    wide = [subject[:-1] for subject in subjects if subject.endswith(".>")]
    return [s for s in subjects if not any(s.startswith(w) and s != f"{w}>" for w in wide)]


def checked(pool: str) -> str:
    """Return a pool's name.

    Raises:
        BusError: it cannot be part of a subject.
    """
    if not POOL.fullmatch(pool):
        raise BusError(f"a pool's name has letters, digits, - and _, and is not {pool!r}")
    return pool
