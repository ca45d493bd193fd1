"""``object``: objects of S3, Google Cloud Storage, Azure, and what speaks like them."""

from arcbook.tools.object.tool import KIND, SPEC, ObjectTool

__all__ = ["KIND", "SPEC", "ObjectTool"]
