"""The shared parts of the handlers."""

from __future__ import annotations

from arcbook.owner.reader import ExecutionReader
from arcbook.secrets.credentials import CredentialBook
from arcbook.server.bus_gateway import HttpBusGateway
from arcbook.server.core import Server
from arcbook.server.guard import GuardedBus
from arcbook.server.http.access import Access
from arcbook.server.http.audit import Audit
from arcbook.server.http.dedup import Dedup
from arcbook.server.http.entries import EntryCache
from arcbook.server.http.feed import Feed
from arcbook.server.http.metrics import Metrics
from arcbook.server.http.probe import WriteProbe
from arcbook.server.http.settings import HttpSettings


class RequestContext:
    """The parts of one server's API that its requests share."""

    def __init__(self, server: Server, credentials: CredentialBook, settings: HttpSettings) -> None:
        self.server = server
        self.store = server.store
        self.credentials = credentials
        self.settings = settings
        self.access = Access(settings, server.store, server.clock)
        self.audit = Audit(server.store, server.clock)
        self.entries = EntryCache()
        self.reader = ExecutionReader(server.store, server.results)
        self.feed = Feed(server, settings.streams_max)
        self.dedup = Dedup(server.store, server.clock, settings.dedup_seconds)
        self.metrics = Metrics(server)
        self.probe = WriteProbe(server)
        bus = server.bus
        assert isinstance(bus, GuardedBus)
        self.bus = bus
        self.bus_gateway = HttpBusGateway(bus, server.server_id, server.requests.answer)
        self.began_us = server.clock.monotonic_us()
        #: Set when the server stops, so that streams and long polls end.
        self.is_closing = False

    def close(self) -> None:
        """End streams and long polls; clients reconnect to another server."""
        self.is_closing = True
        self.bus_gateway.close()

    def uptime_seconds(self) -> float:
        """Return the uptime of the API."""
        return (self.server.clock.monotonic_us() - self.began_us) / 1_000_000
