"""AWS Secrets Manager: ``[region:]id[#json-key]``."""

from __future__ import annotations

import re
from typing import Any, Final

from arcbook.secrets.providers import first, picked

_REGION: Final = re.compile(r"([a-z]{2}(?:-[a-z]+)+-\d):(?!aws)(.+)")


def read(path: str, config: dict[str, Any], fields: dict[str, Any]) -> str:
    """Return the text of a secret."""
    import boto3  # an extra

    name, _, key = path.partition("#")
    region = first(config, "region") or first(fields, "region", "aws_region")
    with_region = _REGION.fullmatch(name)
    if with_region:
        region, name = with_region[1], with_region[2]
    client = boto3.client(
        "secretsmanager",
        region_name=region,
        aws_access_key_id=first(fields, "access_key_id", "aws_access_key_id", "access_key"),
        aws_secret_access_key=first(
            fields, "secret_access_key", "aws_secret_access_key", "secret_key"
        ),
        aws_session_token=first(fields, "session_token", "aws_session_token"),
        endpoint_url=first(config, "endpoint_url") or first(fields, "endpoint_url"),
    )
    answer = client.get_secret_value(SecretId=name)
    text = answer.get("SecretString")
    return picked(text if text is not None else answer["SecretBinary"].decode(), key)
