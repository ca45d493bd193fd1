"""``postgres``: runs SQL on a PostgreSQL database."""

from arcbook.tools.postgres.tool import KIND, SPEC, Postgres

__all__ = ["KIND", "SPEC", "Postgres"]
