"""The bus on PostgreSQL alone, where nobody wants to operate NATS."""

from arcbook.bus.postgres.bus import PostgresBus

__all__ = ["PostgresBus"]
