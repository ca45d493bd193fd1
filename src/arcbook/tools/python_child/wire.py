"""Messages on a child's socket: a length in 4 bytes, and JSON."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

#: As they are before the code runs, which may replace them.
_loads: Final = json.loads
_dumps: Final = json.dumps


def receive(sock: socket.socket) -> Any:
    """Return the next message, or ``None`` when the other side is gone."""
    data = sock.recv(1 << 16)
    while 0 < len(data) < 4:
        data += sock.recv(4 - len(data))
    if not data:
        return None
    rest = _exactly(sock, 4 + struct.unpack("!I", data[:4])[0] - len(data))
    return None if rest is None else _loads(data[4:] + rest)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def answer(sock: socket.socket, message: dict[str, Any]) -> None:
    """Send a message."""
    text = _dumps(message, ensure_ascii=False, separators=(",", ":"))
    try:
        body = text.encode()
    except UnicodeEncodeError:  # halves of surrogate pairs
        body = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    sock.sendall(struct.pack("!I", len(body)) + body)
