"""Why a connection could not be made, in words without the library's noise."""

from __future__ import annotations

import os


def reason_of(error: BaseException) -> str:
    """Return why nothing answered: 'Connection refused', without address and TLS context."""
    import aiohttp  # heavy; whoever has an error of it has imported it

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
