"""``postgres``: runs SQL on a PostgreSQL database."""

from arcbook.tools.postgres.tool import KIND, TOOL, Postgres

__all__ = ["KIND", "TOOL", "Postgres"]
