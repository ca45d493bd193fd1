"""A tool kind for Arcbook: signs payloads as webhooks do, with a key from a credential."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Annotated, Any, Literal

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.secrets.types import Form
from arcbook.tools.api import (
    Credential,
    Effects,
    Params,
    ToolCall,
    ToolContext,
    declare,
    parse,
)
from arcbook.tools.spec import ToolSpec

SIGNING_KEY = Form(needed=(("key", "secret"),))


class SignParams(Params, frozen=True, kw_only=True):
    """Parameters of ``sign``."""

    payload: Annotated[Any, Meta(description="What to sign: text, or a value, as compact JSON.")]
    algorithm: Annotated[
        Literal["sha256", "sha512"], Meta(description="Hash function of the signature.")
    ] = "sha256"


KIND = declare(
    "sign",
    SignParams,
    "Signs a payload with HMAC.",
    takes_auth=True,
    effects=(Effects.NONE,),
    result={
        "signature": "the signature, in hexadecimal",
        "algorithm": "the hash function",
        "bytes": "how many bytes were signed",
    },
    example="""
        kind: sign
        auth: webhooks
        payload: {order: 7}
        """,
)


class Sign:
    """Signs payloads. It keeps nothing between calls."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        """Sign one payload."""
        params = parse(SignParams, call)
        if isinstance(params, Outcome):
            return params
        if not isinstance(call.auth, Credential):
            message = "tool kind 'sign' needs a credential: write 'auth: <alias>'"
            return failed(ErrorKind.AUTH, message, code="NO_CREDENTIAL")
        key = call.auth.data.get("key") or call.auth.data["secret"]
        payload = params.payload
        if not isinstance(payload, str):
            payload = json.dumps(payload, separators=(",", ":"), sort_keys=True)
        data = payload.encode()
        signature = hmac.new(str(key).encode(), data, getattr(hashlib, params.algorithm))
        return ok(
            {
                "signature": signature.hexdigest(),
                "algorithm": params.algorithm,
                "bytes": len(data),
            }
        )

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


SPEC = ToolSpec(kind=KIND, factory=Sign, credential_types=("signing_key",))
