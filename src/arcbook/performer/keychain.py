"""The keychain of one command: entries are rendered, fetched and cached on demand.

The marks that stand for an entry's secrets contain its name and a digest of its rendered
config, so that executions never confuse each other's secrets. The digest does not include
values of other entries.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arcbook.engine.keychain import Opened, SecretNeededError, SecretUnavailableError
from arcbook.engine.plan import Plan, PlanSecret
from arcbook.engine.scope import Context, ExecutionScope
from arcbook.secrets.api import Credential, CredentialError, KeychainError
from arcbook.secrets.fields import secret_fields
from arcbook.secrets.keychain import RenderedEntry, token_of
from arcbook.template.access import View
from arcbook.template.errors import TemplateError

if TYPE_CHECKING:
    from arcbook.performer.services import Services

PREFIX: Final = "keychain"
"""First part of the names of secrets from a keychain entry."""

MINTED: Final = ".minted"
"""Suffix of a credential's alias in the names of tokens issued for it."""

DEPTH_MAX: Final = 8
"""Maximum depth of entries that reference one another."""


class CommandKeychain:
    """The secrets that a command may read through ``keychain`` and ``auth``."""

    def __init__(self, services: Services, plan: Plan, context: Context) -> None:
        self._services = services
        self._plan = plan
        #: The command's context.
        self.context = context
        #: Entries fetched so far, as scopes read them.
        self.opened: Opened = {}

    async def unlock(self, name: str) -> None:
        """Fetch an entry for templates, or record why it is unavailable."""
        try:
            credential = await self.credential(name)
        except CredentialError as error:
            self.opened[name] = SecretUnavailableError(str(error), retryable=error.retryable)
        else:
            self.opened[name] = credential.data

    async def credential(self, name: str, depth: int = 0) -> Credential:
        """Return the keychain entry of a name, or else the stored credential.

        Raises:
            CredentialError: It is unavailable.
        """
        services, context = self._services, self.context
        entry = self._plan.keychain.get(name)
        if entry is None:
            credential = await services.credentials.credential(name, context.execution_id)
            services.secrets.add(secret_fields(name, credential.data))
            return credential
        if depth > DEPTH_MAX:
            raise KeychainError(name, "references itself")
        config = await self._rendered(entry, depth)
        credential = await services.keychain.open(
            RenderedEntry(entry.name, entry.kind, config, context.execution_id)
        )
        if entry.kind == "credential" and credential.name != name:
            # Also register it under its own alias, so that later commands can reveal its marks.
            services.secrets.add(secret_fields(credential.name, credential.data))
        services.secrets.add(
            secret_fields(self._name_prefix(entry), credential.data), credential.root
        )
        return credential

    async def token(self, credential: Credential) -> Credential:
        """Return the token issued for a credential, or the credential if it needs none.

        Raises:
            CredentialError: The issuer did not return a token.
        """
        request = token_of(credential, self.context.execution_id)
        if request is None:
            return credential
        credential = await self._services.keychain.open(request)
        prefix = credential.name + MINTED if credential.name else "token"
        self._services.secrets.add(secret_fields(prefix, credential.data), credential.root)
        return credential

    async def reveal(self, names: set[str]) -> None:
        """Fetch this playbook's entries to which the given secret names belong."""
        digests = {parts[1] for name in names if (parts := name.split("."))[0] == PREFIX}
        for entry in self._plan.keychain.values():
            if digests and self._name_prefix(entry).split(".")[1] in digests:
                await self.unlock(entry.name)

    async def _rendered(self, entry: PlanSecret, depth: int) -> dict[str, Any]:
        """Render an entry's config, fetching the entries it references first."""
        opened: Opened = {}
        scope = self._scope(opened)
        while True:
            try:
                config: dict[str, Any] = entry.config.render(scope)
            except SecretNeededError as need:
                opened[need.name] = (await self.credential(need.name, depth + 1)).data
            except TemplateError as error:
                raise KeychainError(entry.name, f"cannot be rendered: {error.reason}") from None
            else:
                missing = scope.take_missing()
                if missing:
                    raise KeychainError(entry.name, f"reads {missing[0]!r}, which has no value")
                return config

    def _scope(self, opened: Opened) -> ExecutionScope:
        services, context = self._services, self.context
        return ExecutionScope(
            msgspec.structs.replace(context, ctx={}, steps={}, locals={}),
            data=self._plan.playbook.data,
            now=services.clock.now_us,
            loaded={},
            env=services.env,
            keychain=opened,
        )

    def _name_prefix(self, entry: PlanSecret) -> str:
        """Return the prefix of the names of an entry's secrets."""
        scope = self._scope({})
        scope.top[PREFIX] = _Placeholder(PREFIX)
        try:
            config = entry.config.render(scope)
        except TemplateError:
            config = None
        facts = msgspec.json.encode([self.context.path, entry.name, entry.kind, config])
        digest = hashlib.blake2b(facts, digest_size=8).hexdigest()
        return f"{PREFIX}.{digest}.{entry.name}"


class _Placeholder(View):
    """Stands in for another entry whose secrets must not be read."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def name(self, key: str) -> Any:
        return _Placeholder(f"{self.path}.{key}")

    def plain(self) -> Any:
        return self.path
