"""Azure Key Vault: ``[vault/]name[#version]``."""

from __future__ import annotations

from typing import Any

from arcbook.secrets.providers import first


def read(path: str, config: dict[str, Any], fields: dict[str, Any]) -> str:
    """Return the text of a secret."""
    from azure.identity import ClientSecretCredential, DefaultAzureCredential  # an extra
    from azure.keyvault.secrets import SecretClient

    place, _, version = path.partition("#")
    vault, _, name = place.rpartition("/")
    vault = vault or first(config, "vault_url", "vault") or first(fields, "vault_url") or ""
    if not vault:
        raise LookupError("vault_url")
    url = vault if "://" in vault else f"https://{vault}.vault.azure.net"
    secret = first(fields, "client_secret")
    if secret:
        credential: Any = ClientSecretCredential(
            str(fields["tenant_id"]), str(fields["client_id"]), secret
        )
    else:
        credential = DefaultAzureCredential()
    with SecretClient(vault_url=url, credential=credential) as client:
        return client.get_secret(name, version or None).value or ""
