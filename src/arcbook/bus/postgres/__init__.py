"""The bus on PostgreSQL, for clusters without NATS."""

from arcbook.bus.postgres.bus import PostgresBus

__all__ = ["PostgresBus"]
