"""``container``: runs a container as a job, and waits for its end without holding a worker."""

from arcbook.tools.container.tool import SPEC

__all__ = ["SPEC"]
