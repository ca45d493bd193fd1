"""``transfer``: moves rows from a service or a database to a table."""

from arcbook.tools.transfer.tool import KIND, TOOL, Transfer

__all__ = ["KIND", "TOOL", "Transfer"]
