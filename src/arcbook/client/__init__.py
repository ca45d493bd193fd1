"""A typed client of the control plane: what the command line and programs speak through."""

from __future__ import annotations

from arcbook.client.client import Client
from arcbook.client.errors import ClientError, FaultedError, RefusedError, ServerAwayError

__all__ = ["Client", "ClientError", "FaultedError", "RefusedError", "ServerAwayError"]
