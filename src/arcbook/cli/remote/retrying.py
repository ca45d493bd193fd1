"""``arcbook retry-from`` at a server."""

from __future__ import annotations

from typing import Any

from arcbook.cli.commands.retrying import refuse_other
from arcbook.cli.interrupts import Interrupts
from arcbook.cli.places import Source
from arcbook.cli.progress import View
from arcbook.cli.remote.running import followed
from arcbook.client import Client
from arcbook.engine.state import State


class RemoteRetry:
    """A retry on a server.

    Args:
        client: the unopened client of the server.
        view: shows the run.
        name: the file with the playbook, if any.
        content: the content of the file.
    """

    def __init__(self, client: Client, view: View, name: str, content: bytes | None) -> None:
        self._client = client
        self._view = view
        self._name = name
        self._content = content
        self._execution_id = ""
        #: A server keeps the document.
        self.source: Source | None = None

    async def run(self, identity: int, step: str, *, latest: bool) -> tuple[State, Any]:
        """Run from the step to the end."""
        async with self._client as client:
            if self._content is not None:
                before = await client.execution(str(identity), events=0)
                registered = await client.register(self._content.decode("utf-8-sig"))
                refuse_other(self._name, registered.path, before.path)
                latest = True
            started = await client.retry_from(str(identity), step, latest=latest)
            self._execution_id = started.execution_id
            Interrupts(self._cancel).catch()
            return await followed(client, self._execution_id, self._view)

    async def _cancel(self) -> None:
        await self._client.cancel(self._execution_id)

    def left_text(self) -> str:
        """Return the message for a user who did not wait for the end."""
        return f"execution {self._execution_id} is being cancelled on the server {self._client.url}"
