"""A typed client of the control plane, for the command line and for programs."""

from __future__ import annotations

from arcbook.client.client import Client
from arcbook.client.errors import ClientError, FaultedError, RefusedError, ServerAwayError

__all__ = ["Client", "ClientError", "FaultedError", "RefusedError", "ServerAwayError"]
