"""Kubernetes secrets: ``[namespace/]secret/key``."""

from __future__ import annotations

import base64
from typing import Any

from arcbook.secrets.providers import first


def read(path: str, config: dict[str, Any], fields: dict[str, Any]) -> str:
    """Return the text of a secret."""
    from kubernetes import client  # an extra
    from kubernetes import config as settings

    parts = [part for part in path.replace("#", "/").split("/") if part]
    if len(parts) not in (2, 3):
        raise LookupError(path)
    key, name = parts[-1], parts[-2]
    default = first(config, "namespace") or first(fields, "namespace") or "default"
    namespace = parts[0] if len(parts) == 3 else default
    host, token = first(fields, "host", "server", "url"), first(fields, "token")
    if host and token:
        access = client.Configuration(host=host, api_key={"authorization": f"Bearer {token}"})
    else:
        access = client.Configuration()
        try:
            settings.load_incluster_config(client_configuration=access)
        except settings.ConfigException:
            settings.load_kube_config(client_configuration=access)
    with client.ApiClient(access) as api:
        secret = client.CoreV1Api(api).read_namespaced_secret(name, namespace)
    return base64.b64decode((secret.data or {})[key]).decode()
