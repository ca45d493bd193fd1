"""The tool ``sign`` keeps the contract of all tools, and signs as OpenSSL does."""

from __future__ import annotations

import subprocess

import pytest
from arcbook_sign import SPEC

from arcbook.testing.contracts.tool import Failure, ToolContract
from arcbook.testing.tools import call_tool
from arcbook.tools.api import Credential, Tool
from arcbook.tools.spec import ToolSpec

KEY = "k-of-nobody"


class TestSign(ToolContract):
    """What all tools promise, of this one."""

    spec = SPEC
    config = {"payload": {"order": 7}}
    auth = Credential(name="webhooks", type="signing_key", data={"key": KEY})
    failures = {
        "an algorithm that there is not": Failure(
            {"payload": "x", "algorithm": "md5"}, kind="config"
        )
    }


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_signature_is_that_of_openssl(tool: Tool, algorithm: str) -> None:
    config = {"payload": {"order": 7}, "algorithm": algorithm}
    auth = Credential(name="webhooks", type="signing_key", data={"secret": KEY})
    command = ["openssl", "dgst", f"-{algorithm}", "-hmac", KEY]
    signed = subprocess.run(command, input=b'{"order":7}', capture_output=True, check=True)

    outcome = await call_tool(tool, "sign", config, auth=auth)

    assert outcome.data["signature"] == signed.stdout.decode().split()[-1]


@pytest.fixture
def tool() -> Tool:
    """Return a tool of the kind."""
    spec: ToolSpec = SPEC
    return spec.factory()
