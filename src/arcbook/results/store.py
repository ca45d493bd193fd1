"""Putting large values away and reading them back."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import msgspec

from arcbook.blobs.api import BlobMissingError, Blobs
from arcbook.dsl.model import OutputSpec
from arcbook.engine.views import step_data
from arcbook.errors import LimitError, MissingError
from arcbook.events.types import ResultRef, StepResult, Value
from arcbook.results.frames import Frame
from arcbook.results.refs import make_ref, parse_ref
from arcbook.results.summary import summarise

INLINE_BYTES_MAX: Final = 100 * 1024
"""Size up to which a task's data stands in its event."""

KV_BYTES_MAX: Final = 1024 * 1024
"""Size below which ``_store`` says ``kv``, as the reference's tiers have it; else ``disk``."""

RESULT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Size of one task's data."""

CHUNK_ITEMS: Final = 1000
"""Items of a kept list that are written, and read, together."""


ITEMS_SUFFIX: Final = "-items"
"""End of the name under which a loop keeps its items."""


class ResultMissingError(MissingError):
    """A reference leads to nothing any more."""

    code = "result_not_found"


class ResultTooLargeError(LimitError):
    """A task's data passes the limit."""

    code = "result_too_large"


LoopReader = Callable[[int, str, str], AsyncIterator[Frame]]
"""Yields a loop's frames: first index, data in order or a reference to it."""


class ResultStore:
    """Values by reference, in a blob store."""

    def __init__(
        self,
        blobs: Blobs,
        *,
        inline_bytes_max: int = INLINE_BYTES_MAX,
        loop_reader: LoopReader | None = None,
    ) -> None:
        self._blobs = blobs
        self._inline_bytes_max = inline_bytes_max
        self._loop_reader = loop_reader

    # -- writing ----------------------------------------------------------------------

    async def keep(  # what names and describes a value
        self, execution_id: int, step: str, name: str, data: bytes, value: Any, spec: OutputSpec
    ) -> ResultRef:
        """Put a value away and return its reference."""
        ref = make_ref(execution_id, step, name)
        await self._blobs.put(_key(ref), data)
        store = spec.store if spec.store != "auto" else _tier(len(data))
        return ResultRef(
            ref=ref,
            store=store,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            summary=summarise(value, spec.select),
        )

    def oversize(self, result: StepResult, specs: dict[str, OutputSpec]) -> list[str]:
        """Return the labels whose data must not stand in an event."""
        found: list[str] = []
        for label, value in result.tasks.items():
            limit = specs[label].inline_bytes_max if label in specs else None
            limit = self._inline_bytes_max if limit is None else limit
            if value.ref is None and value.data is not None and size_of(value.data) > limit:
                found.append(label)
        return found

    async def shrink(
        self, result: StepResult, execution_id: int, name: str, specs: dict[str, OutputSpec]
    ) -> StepResult:
        """Return a result whose large values are put away.

        Raises:
            ResultTooLargeError: one is larger than any result may be.
        """
        labels = self.oversize(result, specs)
        if not labels:
            return result
        step, _, visit = name.rpartition(":")
        tasks = dict(result.tasks)
        for label in labels:
            value = tasks[label].data
            data = msgspec.json.encode(value)
            if len(data) > RESULT_BYTES_MAX:
                raise ResultTooLargeError(
                    f"the data of task {label!r} has {len(data):,} bytes; "
                    f"the limit is {RESULT_BYTES_MAX:,}"
                )
            spec = specs.get(label, _PLAIN)
            ref = await self.keep(execution_id, step, f"{visit}-{label}", data, value, spec)
            tasks[label] = Value(ref=ref)
        return msgspec.structs.replace(result, tasks=tasks)

    async def keep_items(self, ref: ResultRef, items: list[Any]) -> None:
        """Put a loop's items away in chunks, so that a frame reads only its own."""
        for at in range(0, len(items), CHUNK_ITEMS):
            chunk = msgspec.json.encode(items[at : at + CHUNK_ITEMS])
            await self._blobs.put(f"{_key(ref.ref)}.{at // CHUNK_ITEMS}", chunk)

    # -- reading ----------------------------------------------------------------------

    async def load(self, ref: ResultRef, more: Iterable[Frame] = ()) -> Any:
        """Return the value of a reference.

        Args:
            ref: the reference.
            more: frames of a loop that the log does not have yet.

        Raises:
            ResultMissingError: it is gone.
        """
        if ref.store == "items":
            return await self.items(ref, 0, int(ref.summary["count"]))
        if ref.store == "loop":
            return await self._loop(ref.ref, int(ref.summary["count"]), more)
        return await self.load_ref(ref.ref)

    async def load_ref(self, ref: str) -> Any:
        """Return the value of a reference of which only the text is known.

        Raises:
            InvalidRefError: it is not a reference.
            ResultMissingError: it is gone.
        """
        name = parse_ref(ref).name
        with contextlib.suppress(BlobMissingError):
            return msgspec.json.decode(await self._blobs.get(_key(ref)))
        if name.endswith(ITEMS_SUFFIX):
            return await self._all_items(ref)
        if name.isdigit():
            return await self._loop(ref)
        raise ResultMissingError(f"the result {ref} is gone")

    async def items(self, ref: ResultRef, first: int, count: int) -> list[Any]:
        """Return a slice of a kept list."""
        found: list[Any] = []
        at = first
        while at < first + count:
            number = at // CHUNK_ITEMS
            try:
                chunk = msgspec.json.decode(await self._blobs.get(f"{_key(ref.ref)}.{number}"))
            except BlobMissingError:
                raise ResultMissingError(f"the items {ref.ref} are gone") from None
            start = at - number * CHUNK_ITEMS
            part = chunk[start : start + first + count - at]
            found += part
            at += max(len(part), 1)
        return found

    async def _all_items(self, ref: str) -> list[Any]:
        """Return a kept list whose length is not known."""
        found: list[Any] = []
        for number in itertools.count():
            try:
                chunk = await self._blobs.get(f"{_key(ref)}.{number}")
            except BlobMissingError:
                break
            found += msgspec.json.decode(chunk)
        if not found:
            raise ResultMissingError(f"the items {ref} are gone")
        return found

    async def _loop(self, ref: str, count: int = 0, more: Iterable[Frame] = ()) -> list[Any]:
        """Return the iterations' data of a loop by index, from what its frames left."""
        if self._loop_reader is None:
            raise ResultMissingError(f"the result {ref} cannot be read here")
        parts = parse_ref(ref)
        found: dict[int, Any] = {}
        frames = self._loop_reader(parts.execution_id, parts.step, parts.name)
        async for frame in frames:
            await self._put_in(found, frame)
        for frame in more:
            await self._put_in(found, frame)
        if not found and not count:
            raise ResultMissingError(f"the result {ref} is gone")
        return [found.get(i) for i in range(max(count, max(found, default=-1) + 1))]

    async def _put_in(self, found: dict[int, Any], frame: Frame) -> None:
        """Add the data of a frame's iterations to that of others, by index."""
        first, data, frame_ref = frame
        values = data if frame_ref is None else await self.load(frame_ref)
        for i, value in enumerate(values):
            whole = isinstance(value, StepResult)
            found[first + i] = await self._whole(value) if whole else value

    async def _whole(self, result: StepResult) -> Any:
        """Return an iteration's data of which some is kept by reference."""
        refs = [value.ref for value in result.tasks.values() if value.ref is not None]
        return step_data(result, {ref.ref: await self.load(ref) for ref in refs})


_PLAIN: Final = OutputSpec()


def size_of(value: Any) -> int:
    """Return the size of a value as JSON."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (dict, list)):
        return len(msgspec.json.encode(value))
    return 8


def _tier(size: int) -> str:
    return "kv" if size < KV_BYTES_MAX else "disk"


def _key(ref: str) -> str:
    parts = parse_ref(ref)
    return f"{parts.execution_id}/{parts.step}/{parts.name}"
