"""Google Secret Manager: ``projects/P/secrets/S/versions/V``, or ``S[/V]`` in a project."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.secrets.providers import first, picked


def read(path: str, config: dict[str, Any], fields: dict[str, Any]) -> str:
    """Return the text of a secret."""
    from google.cloud import secretmanager  # an extra

    place, _, key = path.partition("#")
    project = first(config, "project", "project_id") or first(fields, "project_id", "project")
    account = fields.get("service_account_json") or fields.get("service_account_info")
    if isinstance(account, str):
        account = msgspec.json.decode(account)
    if account is None and fields.get("private_key"):
        account = fields
    if isinstance(account, dict):
        project = project or first(account, "project_id")
        client = secretmanager.SecretManagerServiceClient.from_service_account_info(account)
    else:
        client = secretmanager.SecretManagerServiceClient()
    answer = client.access_secret_version(request={"name": full_name(place, project)})
    return picked(answer.payload.data.decode(), key)


def full_name(place: str, project: str | None) -> str:
    """Return the full name of a secret's version.

    Raises:
        LookupError: the project is unknown.
    """
    place = place.strip("/")
    if not place.startswith("projects/"):
        if not project:
            raise LookupError("project")
        name, _, version = place.partition("/")
        place = f"projects/{project}/secrets/{name}" + (f"/versions/{version}" if version else "")
    return place if "/versions/" in place else f"{place}/versions/latest"
