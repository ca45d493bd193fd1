"""Bodies of answers, read whole and never beyond a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arcbook.errors import LimitError

if TYPE_CHECKING:
    import aiohttp


class BodyTooLargeError(LimitError):
    """An answer is longer than it may be."""

    code = "body_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"it is longer than {bytes_max:,} bytes")


async def read_body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Return the whole body of an answer, in however many parts it comes.

    Raises:
        BodyTooLargeError: it is longer than allowed.
        aiohttp.ClientError: it ends too early.
    """
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > bytes_max:
            raise BodyTooLargeError(bytes_max)
    return bytes(found)
