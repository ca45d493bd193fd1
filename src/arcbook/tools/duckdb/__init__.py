"""``duckdb``: runs SQL in an analytical database inside the worker."""

from arcbook.tools.duckdb.tool import KIND, SPEC, Duckdb

__all__ = ["KIND", "SPEC", "Duckdb"]
