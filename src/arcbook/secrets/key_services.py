"""Sealing keys that never leave their key service: Vault, AWS, Google, Azure.

Each seals a record's data key in one call. Libraries are imported on use. Their errors are
reported by class name only, because the messages may quote the request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from arcbook.secrets.envelope import SealError


class KeyService(ABC):
    """A key in a key service.

    Args:
        name: the key's name in its service.
    """

    provider: str
    blocks = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._client: Any = None

    def seal_key(self, key: bytes) -> tuple[str, bytes]:
        version, sealed = self._call(lambda: self.wrap(key))
        return f"{self.provider}:{self.name}:{version}", sealed

    def open_key(self, key_id: str, sealed: bytes) -> bytes:
        if not key_id.startswith(f"{self.provider}:{self.name}:"):
            raise SealError(
                f"the record was sealed by key {key_id}, but {self.provider}:{self.name} is configured; "
                "use the key that sealed it"
            )
        version = key_id.rpartition(":")[2]
        data_key: bytes = self._call(lambda: self.unwrap(version, sealed))
        return data_key

    def _call(self, ask: Callable[[], Any]) -> Any:
        errors = self.errors()
        try:
            if self._client is None:
                self._client = self.connect()
            return ask()
        except errors as error:
            kind = type(error).__name__
            raise SealError(f"{self.provider} refuses key {self.name}: {kind}") from None

    @abstractmethod
    def errors(self) -> tuple[type[Exception], ...]:
        """Return the base class of the library's errors."""

    @abstractmethod
    def connect(self) -> Any:
        """Return the library's client."""

    @abstractmethod
    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Seal a data key; return the version of the key and the sealed bytes."""

    @abstractmethod
    def unwrap(self, version: str, sealed: bytes) -> bytes:
        """Open a sealed data key."""


class VaultKey(KeyService):
    """A key of Vault's transit engine: ``[mount/]name``."""

    provider = "vault"

    def errors(self) -> tuple[type[Exception], ...]:
        _require("hvac", "vault")
        import requests  # comes with the library
        from hvac.exceptions import VaultError

        return VaultError, requests.RequestException

    def connect(self) -> Any:
        from arcbook.secrets.providers.vault import client_of  # an extra

        return client_of({}, {}).secrets.transit

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        import base64

        answer = self._client.encrypt_data(
            name=self._key, mount_point=self._mount, plaintext=base64.b64encode(key).decode()
        )
        sealed = str(answer["data"]["ciphertext"])
        return sealed.split(":")[1], sealed.encode()

    def unwrap(self, version: str, sealed: bytes) -> bytes:
        import base64

        answer = self._client.decrypt_data(
            name=self._key, mount_point=self._mount, ciphertext=sealed.decode()
        )
        return base64.b64decode(answer["data"]["plaintext"])

    @property
    def _mount(self) -> str:
        return self.name.rpartition("/")[0] or "transit"

    @property
    def _key(self) -> str:
        return self.name.rpartition("/")[2]


class AwsKey(KeyService):
    """A key of AWS KMS, by its id, alias or ARN."""

    provider = "aws"

    def errors(self) -> tuple[type[Exception], ...]:
        _require("boto3", "aws")
        from botocore.exceptions import BotoCoreError, ClientError

        return BotoCoreError, ClientError

    def connect(self) -> Any:
        import boto3  # an extra

        return boto3.client("kms")

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        answer = self._client.encrypt(KeyId=self.name, Plaintext=key)
        return str(answer["KeyId"]).rpartition("/")[2], bytes(answer["CiphertextBlob"])

    def unwrap(self, version: str, sealed: bytes) -> bytes:
        # An alias may have moved to another key; the ciphertext names the key it needs.
        return bytes(self._client.decrypt(CiphertextBlob=sealed)["Plaintext"])


class GcpKey(KeyService):
    """A key of Google Cloud KMS, by its resource name."""

    provider = "gcp"

    def errors(self) -> tuple[type[Exception], ...]:
        _require("google.cloud.kms", "gcp")
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        return GoogleAPIError, GoogleAuthError

    def connect(self) -> Any:
        from google.cloud import kms  # an extra

        return kms.KeyManagementServiceClient()

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        answer = self._client.encrypt(request={"name": self.name, "plaintext": key})
        return str(answer.name).rpartition("/")[2], bytes(answer.ciphertext)

    def unwrap(self, version: str, sealed: bytes) -> bytes:
        answer = self._client.decrypt(request={"name": self.name, "ciphertext": sealed})
        return bytes(answer.plaintext)


class AzureKey(KeyService):
    """A key of Azure Key Vault: ``https://VAULT.vault.azure.net/keys/NAME``."""

    provider = "azure"

    def errors(self) -> tuple[type[Exception], ...]:
        _require("azure.keyvault.keys", "azure")
        from azure.core.exceptions import AzureError

        return (AzureError,)

    def connect(self) -> Any:
        from azure.identity import DefaultAzureCredential  # an extra
        from azure.keyvault.keys.crypto import CryptographyClient

        return CryptographyClient(self.name, DefaultAzureCredential())

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        from azure.keyvault.keys.crypto import KeyWrapAlgorithm  # an extra

        answer = self._client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, key)
        return str(answer.key_id).rpartition("/")[2], bytes(answer.encrypted_key)

    def unwrap(self, version: str, sealed: bytes) -> bytes:
        from azure.identity import DefaultAzureCredential  # an extra
        from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

        client = CryptographyClient(f"{self.name}/{version}", DefaultAzureCredential())
        return bytes(client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, sealed).key)


SERVICES: Final[dict[str, Callable[[str], KeyService]]] = {
    "aws": AwsKey,
    "azure": AzureKey,
    "gcp": GcpKey,
    "vault": VaultKey,
}
"""Key services by the name used in the settings."""


def _require(module: str, extra: str) -> None:
    from importlib.util import find_spec  # only where a service is named

    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise SealError(f"the key's service needs {module}: pip install 'arcbook[{extra}]'")
