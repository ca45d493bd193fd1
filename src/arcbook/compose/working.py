"""Egress policy, isolation and package sources of a worker, from its settings."""

from __future__ import annotations

from arcbook.egress import Egress
from arcbook.settings import Settings, SettingsError
from arcbook.tools.confinement import Confinement, Isolation, JobPlace
from arcbook.tools.python_env.api import PackageSources


def egress_of(settings: Settings) -> Egress:
    """Return the policy for tools' connections.

    Raises:
        SettingsError: a rule is neither a host nor a network.
    """
    try:
        return Egress.of(
            settings.egress_allow, settings.egress_deny, private=settings.egress_private
        )
    except ValueError as error:
        raise SettingsError(f"ARCBOOK_EGRESS_ALLOW and _DENY: {error}") from None


def packages_of(settings: Settings) -> PackageSources:
    """Return the folder of Python environments, and the sources of their packages."""
    return PackageSources(
        folder=str(settings.home / "environments"),
        indexes=settings.python_index,
        find_links=settings.python_find_links,
        is_offline=settings.python_offline,
        environments_max=settings.python_environments,
    )


def jobs_of(settings: Settings) -> JobPlace:
    """Return where jobs run."""
    return JobPlace(
        backend=settings.jobs_backend,
        folder=str(settings.home / "jobs"),
        kubeconfig=settings.kubeconfig,
        context=settings.kube_context,
        namespace=settings.jobs_namespace,
    )


def confinement_of(settings: Settings, isolation: Isolation) -> Confinement:
    """Return the confinement of user code: its isolation, limits and network access."""
    return Confinement.of_worker(
        isolation,
        workspaces=settings.home / "work",
        folders=settings.folders,
        has_network=settings.isolation_network,
        first_uid=settings.isolation_uid,
        memory_bytes=settings.python_memory_bytes,
        egress=egress_of(settings),
        packages=packages_of(settings),
        jobs=jobs_of(settings),
    )
