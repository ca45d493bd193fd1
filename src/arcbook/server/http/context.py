"""What the handlers work with."""

from __future__ import annotations

from arcbook.secrets.credentials import CredentialBook
from arcbook.server.bus_gateway import HttpBusGateway
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.access import Access
from arcbook.server.http.audit import Audit
from arcbook.server.http.dedup import Dedup
from arcbook.server.http.entries import Shown
from arcbook.server.http.feed import Feed
from arcbook.server.http.metrics import Metrics
from arcbook.server.http.probe import WriteProbe
from arcbook.server.http.reading import Reading
from arcbook.server.http.settings import HttpSettings


class RequestContext:
    """The parts that one server's API shares between its requests."""

    def __init__(self, server: Server, credentials: CredentialBook, settings: HttpSettings) -> None:
        self.server = server
        self.store = server.store
        self.credentials = credentials
        self.settings = settings
        self.access = Access(settings, server.store, server.clock)
        self.audit = Audit(server.store, server.clock)
        self.entries = Shown()
        self.reading = Reading(server)
        self.feed = Feed(server, settings.streams_max)
        self.dedup = Dedup(server.store, server.clock, settings.dedup_seconds)
        self.metrics = Metrics(server)
        self.probe = WriteProbe(server)
        bus = server.bus
        assert isinstance(bus, GuardedBus)
        self.bus = bus
        self.door = HttpBusGateway(bus, server.server_id, server.requests.answer)
        self.began_us = server.clock.monotonic_us()
        #: Whether the server stops: then nothing stands open any longer.
        self.is_closing = False

    def close(self) -> None:
        """Let streams and waiting calls end: their clients go on at another server."""
        self.is_closing = True
        self.door.close()

    def uptime_seconds(self) -> float:
        """Return how long the API has been there."""
        return (self.server.clock.monotonic_us() - self.began_us) / 1_000_000
