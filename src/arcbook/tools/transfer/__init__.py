"""``transfer``: moves rows from a service or a database to a table."""

from arcbook.tools.transfer.tool import KIND, SPEC, Transfer

__all__ = ["KIND", "SPEC", "Transfer"]
