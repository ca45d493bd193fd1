"""The environment of processes that run a playbook's code.

It is an allow-list: what the runtime itself is told by its environment, secrets above all,
reaches nobody's code.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Final

from arcbook.tools.texts import text_of

#: Environment that code may see; nothing else of the runtime's reaches it.
ENVIRONMENT: Final = frozenset(
    ["PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "PYTHONHASHSEED", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]
)  # fmt: skip


def environment(
    given: dict[str, Any] | None = None, inherited: Collection[str] = ENVIRONMENT
) -> dict[str, str]:
    """Return the environment for code: what it may see of ours, and what it is given."""
    variables = {name: value for name, value in os.environ.items() if name in inherited}
    for name, value in (given or {}).items():
        text = text_of(value)
        if text is not None:
            variables[name] = text
    return variables
