"""What a package declares to add a tool kind."""

from __future__ import annotations

import msgspec

from arcbook.dsl.kinds import Kind
from arcbook.tools.api import Factory


class ToolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tool kind: what the language knows of it, and how its tool is made.

    An entry point of the group ``arcbook.tools`` names an object of this class::

        [project.entry-points."arcbook.tools"]
        sign = "arcbook_sign:SPEC"
    """

    #: What the language knows of the kind; :func:`arcbook.tools.api.declare` makes it.
    kind: Kind
    #: Makes the tool: called once for each runtime, when a task first uses the kind.
    factory: Factory
    #: The types of credential that ``auth`` may name; none: the tool decides for itself.
    credential_types: tuple[str, ...] = ()
    #: What pip installs where the factory lacks an import, such as ``arcbook-sign[hsm]``.
    extra: str = ""
