"""Storing large values by reference and loading them."""

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
"""Maximum size of a task's data that is stored inline in its event."""

KV_BYTES_MAX: Final = 1024 * 1024
"""Size below which ``_store`` is ``kv``, as in the reference's tiers; otherwise ``disk``."""

RESULT_BYTES_MAX: Final = 256 * 1024 * 1024
"""Maximum size of one task's data."""

CHUNK_ITEMS: Final = 1000
"""Items of a list stored in one blob."""


ITEMS_SUFFIX: Final = "-items"
"""Suffix of the name of a loop's stored items."""


class ResultMissingError(MissingError):
    """The value of a reference no longer exists."""

    code = "result_not_found"


class ResultTooLargeError(LimitError):
    """A task's data exceeds the size limit."""

    code = "result_too_large"


LoopReader = Callable[[int, str, str], AsyncIterator[Frame]]
"""Yields the frames of a loop."""


class ResultStore:
    """Stores and loads values by reference in a blob store."""

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

    async def keep(  # the name and description of a value
        self, execution_id: int, step: str, name: str, data: bytes, value: Any, spec: OutputSpec
    ) -> ResultRef:
        """Store a value and return its reference."""
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
        """Return the labels of tasks whose data is too large for an event."""
        labels: list[str] = []
        for label, value in result.tasks.items():
            limit = specs[label].inline_bytes_max if label in specs else None
            limit = self._inline_bytes_max if limit is None else limit
            if value.ref is None and value.data is not None and size_of(value.data) > limit:
                labels.append(label)
        return labels

    async def shrink(
        self, result: StepResult, execution_id: int, name: str, specs: dict[str, OutputSpec]
    ) -> StepResult:
        """Store large values of a result and replace them with references.

        Raises:
            ResultTooLargeError: A value exceeds the size limit.
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
        """Store a loop's items in chunks, so that each frame loads only its own."""
        for offset in range(0, len(items), CHUNK_ITEMS):
            chunk = msgspec.json.encode(items[offset : offset + CHUNK_ITEMS])
            await self._blobs.put(f"{_key(ref.ref)}.{offset // CHUNK_ITEMS}", chunk)

    # -- reading ----------------------------------------------------------------------

    async def load(self, ref: ResultRef, more: Iterable[Frame] = ()) -> Any:
        """Load the value of a reference.

        Args:
            ref: The reference.
            more: Frames of a loop that are not in the log yet.

        Raises:
            ResultMissingError: The value no longer exists.
        """
        if ref.store == "items":
            return await self.items(ref, 0, int(ref.summary["count"]))
        if ref.store == "loop":
            return await self._loop(ref.ref, int(ref.summary["count"]), more)
        return await self.load_ref(ref.ref)

    async def load_ref(self, ref: str) -> Any:
        """Load the value of a reference given only as text.

        Raises:
            InvalidRefError: The text is not a reference.
            ResultMissingError: The value no longer exists.
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
        """Load a slice of a stored list."""
        items: list[Any] = []
        offset = first
        while offset < first + count:
            number = offset // CHUNK_ITEMS
            try:
                chunk = msgspec.json.decode(await self._blobs.get(f"{_key(ref.ref)}.{number}"))
            except BlobMissingError:
                raise ResultMissingError(f"the items {ref.ref} are gone") from None
            start = offset - number * CHUNK_ITEMS
            part = chunk[start : start + first + count - offset]
            items += part
            offset += max(len(part), 1)
        return items

    async def _all_items(self, ref: str) -> list[Any]:
        """Load a stored list of unknown length."""
        items: list[Any] = []
        for number in itertools.count():
            try:
                chunk = await self._blobs.get(f"{_key(ref)}.{number}")
            except BlobMissingError:
                break
            items += msgspec.json.decode(chunk)
        if not items:
            raise ResultMissingError(f"the items {ref} are gone")
        return items

    async def _loop(self, ref: str, count: int = 0, more: Iterable[Frame] = ()) -> list[Any]:
        """Collect the data of a loop's iterations from its frames, by index."""
        if self._loop_reader is None:
            raise ResultMissingError(f"the result {ref} cannot be read here")
        parts = parse_ref(ref)
        values: dict[int, Any] = {}
        frames = self._loop_reader(parts.execution_id, parts.step, parts.name)
        async for frame in frames:
            await self._add_frame(values, frame)
        for frame in more:
            await self._add_frame(values, frame)
        if not values and not count:
            raise ResultMissingError(f"the result {ref} is gone")
        return [values.get(i) for i in range(max(count, max(values, default=-1) + 1))]

    async def _add_frame(self, values: dict[int, Any], frame: Frame) -> None:
        """Add the data of a frame's iterations to ``values``."""
        first, data, frame_ref = frame
        frame_values = data if frame_ref is None else await self.load(frame_ref)
        for i, value in enumerate(frame_values):
            is_partial = isinstance(value, StepResult)
            values[first + i] = await self._loaded_data(value) if is_partial else value

    async def _loaded_data(self, result: StepResult) -> Any:
        """Load the data of an iteration that is partly stored by reference."""
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
