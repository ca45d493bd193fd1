"""What a worker's settings say of the machine that it works on."""

from __future__ import annotations

from arcbook.settings import Settings
from arcbook.tools.confinement import Confinement, Isolation


def confinement_of(settings: Settings, isolation: Isolation) -> Confinement:
    """Return how far apart a worker runs code of users, and what its tools reach."""
    return Confinement.of_worker(
        isolation,
        workspaces=settings.home / "work",
        folders=settings.folders,
        has_network=settings.isolation_network,
        first_uid=settings.isolation_uid,
        memory_bytes=settings.python_memory_bytes,
    )
