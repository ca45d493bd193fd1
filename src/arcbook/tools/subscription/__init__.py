"""``subscription``: takes a bounded number of messages from a broker, and settles them."""

from arcbook.tools.subscription.tool import SPEC

__all__ = ["SPEC"]
