"""``duckdb``: runs SQL in an analytical database inside the worker."""

from arcbook.tools.duckdb.tool import KIND, TOOL, Duckdb

__all__ = ["KIND", "TOOL", "Duckdb"]
