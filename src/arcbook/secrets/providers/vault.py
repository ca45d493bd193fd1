"""HashiCorp Vault, key-value engine 2: ``[mount/]path#key``."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.secrets.providers import first

MOUNT = "secret"


def client_of(config: dict[str, Any], fields: dict[str, Any]) -> Any:
    """Return a client; the library reads ``VAULT_ADDR`` and ``VAULT_TOKEN`` itself."""
    import hvac  # an extra

    return hvac.Client(
        url=first(config, "vault_url", "url") or first(fields, "vault_url", "url", "address"),
        token=first(fields, "token", "vault_token"),
        namespace=first(config, "namespace") or first(fields, "namespace"),
    )


def read(path: str, config: dict[str, Any], fields: dict[str, Any]) -> str:
    """Return the text of a secret."""
    place, _, key = path.strip("/").partition("#")
    mount = first(config, "mount") or first(fields, "mount")
    if mount is None:
        mount, _, rest = place.partition("/")
        mount, place = (mount, rest) if rest else (MOUNT, place)
    place = place.removeprefix("data/")
    answer = client_of(config, fields).secrets.kv.v2.read_secret_version(
        path=place, mount_point=mount, raise_on_deleted_version=True
    )
    data = answer["data"]["data"]
    value = data[key] if key else data
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
