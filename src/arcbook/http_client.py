"""What all HTTP clients of Arcbook share: bodies within a limit, and readable reasons of failures."""

from __future__ import annotations

import os
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
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > bytes_max:
            raise BodyTooLargeError(bytes_max)
    return bytes(body)


def reason_of(error: BaseException) -> str:
    """Return why nothing answered, without the library's noise: ``Connection refused``."""
    import aiohttp  # heavy; whoever has an error of it has imported it

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
