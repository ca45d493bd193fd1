"""Where an object is, and the store that has it.

The library takes what it is not given from the environment of the process, the worker's own
identity above all. So credentials come from a provider of ours, always, and the endpoint is
always written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from obstore.store import AzureStore, S3Store

from arcbook.secrets.minting import MINTED
from arcbook.tools.api import Credential, CredentialError, ToolContext
from arcbook.tools.object.tool import ObjectParams
from arcbook.tools.texts import text_of

PROVIDERS: Final = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "azure": "azure",
    "abfs": "azure", "abfss": "azure",
}  # fmt: skip
"""Schemes of addresses, and who keeps such objects."""

_TYPES: Final = {"aws": "s3", "s3": "s3", "gcs_hmac": "gcs_hmac", "gcs": "gcs", "azure": "azure"}

_KEY_ID: Final = ("access_key_id", "aws_access_key_id", "access_key", "key_id", "hmac_key_id")
_SECRET: Final = (
    "secret_access_key", "aws_secret_access_key", "secret_key", "secret", "key_secret",
    "hmac_secret",
)  # fmt: skip
_TOKEN: Final = ("session_token", "aws_session_token")
_ENDPOINT: Final = ("endpoint", "endpoint_url", "url")
_REGION: Final = ("region", "aws_region")

CLIENT: Final[Any] = {"allow_http": True, "connect_timeout": dt.timedelta(seconds=10)}
RETRY: Final[Any] = {"max_retries": 1, "retry_timeout": dt.timedelta(seconds=10)}
"""Further tries are the task's own to ask for."""


class PlaceError(ValueError):
    """A call does not say, or says wrongly, where its object is."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An object, or a bucket, and who keeps it."""

    provider: str
    bucket: str
    key: str
    endpoint: str

    @property
    def url(self) -> str:
        """The address, as tasks write it."""
        scheme = {"gcs": "gs", "gcs_hmac": "gs", "azure": "az"}.get(self.provider, "s3")
        return f"{scheme}://{self.bucket}/{self.key}"


async def opened(
    params: ObjectParams, auth: Any, context: ToolContext, *, needs_key: bool
) -> tuple[Place, Any]:
    """Return where an object is, and a store for its bucket.

    Raises:
        PlaceError: the call does not say where.
        CredentialError: the credential is of another type, or lacks something.
    """
    data, kind, name = _fields(auth)
    scheme, bucket, key = _address(params)
    provider = params.provider or PROVIDERS.get(scheme) or _TYPES.get(kind, "")
    if kind in MINTED and provider in ("", "gcs"):
        provider = "gcs"
    if provider == "gcs" and _first(data, _KEY_ID):
        provider = "gcs_hmac"
    make = _STORES.get(provider)
    if make is None:
        raise PlaceError("write 'url': s3://BUCKET/KEY, gs://... or az://..., or 'provider'")
    if not bucket:
        raise PlaceError("there is no bucket: write 'url' or 'bucket'")
    if needs_key and not key:
        raise PlaceError("there is no key: write 'url' or 'key'")
    region = params.region or _first(data, _REGION) or "us-east-1"
    endpoint = params.endpoint or _first(data, _ENDPOINT) or _usual(provider, region, data)
    place = Place(provider=provider, bucket=bucket, key=key, endpoint=endpoint)
    parts = urlsplit(endpoint)
    await context.confinement.egress.admit(parts.hostname or "", parts.port or 443)
    if auth is None:
        return place, make(place, region, data, None)
    return place, make(place, region, data, await _provider(place, data, kind, name, auth, context))


def _address(params: ObjectParams) -> tuple[str, str, str]:
    """Return scheme, bucket and key."""
    if not params.url:
        return "", params.bucket or "", params.key or ""
    parts = urlsplit(params.url.replace("?", "%3F").replace("#", "%23"))
    if parts.scheme not in PROVIDERS:
        raise PlaceError(f"{params.url!r} begins with none of {', '.join(PROVIDERS)}")
    path = parts.path.removeprefix("/").replace("%3F", "?").replace("%23", "#")
    return parts.scheme, parts.netloc.partition("@")[0], path or params.key or ""


def _fields(auth: Any) -> tuple[Mapping[str, Any], str, str]:
    if isinstance(auth, Credential):
        return auth.data, auth.type.lower(), auth.name
    fields = auth if isinstance(auth, Mapping) else {}
    return fields, str(fields.get("type") or "").lower(), ""


def _first(data: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for n in names if (text := text_of(data.get(n)))), "")


def _usual(provider: str, region: str, data: Mapping[str, Any]) -> str:
    if provider == "azure":
        return f"https://{data.get('account_name', '')}.blob.core.windows.net"
    if provider in ("gcs", "gcs_hmac"):
        return "https://storage.googleapis.com"
    return f"https://s3.{region}.amazonaws.com"


# -- credentials --------------------------------------------------------------------------


async def _provider(  # what a credential depends on
    place: Place,
    data: Mapping[str, Any],
    kind: str,
    name: str,
    auth: Any,
    context: ToolContext,
) -> Any:
    """Return what gives the library its credential."""
    options: dict[str, Any]
    if place.provider in ("s3", "gcs_hmac"):
        key_id, secret = _first(data, _KEY_ID), _first(data, _SECRET)
        if not key_id or not secret:
            raise CredentialError(name, f"of type {kind!r} has no keys for {place.provider}")
        options = {"access_key_id": key_id, "secret_access_key": secret}
        options["token"] = _first(data, _TOKEN) or None
    elif place.provider == "azure":
        fields = {n: _first(data, names) for n, names in _AZURE.items()}
        options = {n: text for n, text in fields.items() if text}
        if not options:
            raise CredentialError(name, f"of type {kind!r} has no key, token or SAS for Azure")
    else:
        credential = auth if isinstance(auth, Credential) else None
        token = _first(data, ("access_token", "token"))
        if not token and credential is not None:
            minted = await context.token(credential)
            token = _first(minted.data, ("token", "access_token"))
        if not token:
            raise CredentialError(name, f"of type {kind!r} has no token for Google")
        options = {"token": token}

    def provide() -> Any:
        return {**options, "expires_at": None}

    return provide


_AZURE: Final = {
    "access_key": ("account_key", "access_key", "key"),
    "sas_token": ("sas_token", "sas"),
    "token": ("token", "access_token"),
}


# -- stores -------------------------------------------------------------------------------


def _s3(place: Place, region: str, data: Mapping[str, Any], provide: Any) -> Any:
    # Buckets in the path: so the endpoint that was looked at is the one that is asked.
    return S3Store(
        place.bucket,
        endpoint=place.endpoint,
        region="auto" if place.provider == "gcs_hmac" else region,
        virtual_hosted_style_request=False,
        skip_signature=provide is None,
        credential_provider=provide,
        client_options=CLIENT,
        retry_config=RETRY,
    )


def _gcs(place: Place, region: str, data: Mapping[str, Any], provide: Any) -> Any:
    """Return the store of a bucket of Google's, whose API of the same form takes tokens."""
    headers = {"Authorization": f"Bearer {provide()['token']}"} if provide is not None else {}
    options: Any = {**CLIENT, "default_headers": headers}
    return S3Store(
        place.bucket,
        endpoint=place.endpoint,
        region="auto",
        virtual_hosted_style_request=False,
        skip_signature=True,
        client_options=options,
        retry_config=RETRY,
    )


def _azure(place: Place, region: str, data: Mapping[str, Any], provide: Any) -> Any:
    account = _first(data, ("account_name", "account"))
    if not account:
        raise PlaceError("Azure needs 'account_name' in its credential")
    return AzureStore(
        place.bucket,
        account_name=account,
        endpoint=place.endpoint,
        skip_signature=provide is None,
        credential_provider=provide,
        client_options=CLIENT,
        retry_config=RETRY,
    )


_STORES: Final = {"s3": _s3, "gcs_hmac": _s3, "gcs": _gcs, "azure": _azure}
