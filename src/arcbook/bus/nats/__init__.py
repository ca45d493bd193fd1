"""The bus on NATS with JetStream, 2.9 or newer."""

from arcbook.bus.nats.access import NatsAccess
from arcbook.bus.nats.bus import NatsBus

__all__ = ["NatsAccess", "NatsBus"]
