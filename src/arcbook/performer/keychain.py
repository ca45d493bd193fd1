"""The keychain of one command: entries are rendered, fetched and remembered when asked for.

Marks of what came from an entry name it, together with a digest of what the entry says
for this execution, so that two executions never mistake each other's secrets. The digest
is made without what other entries hold.
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
from arcbook.secrets.keychain import Wanted, token_of
from arcbook.template.access import View
from arcbook.template.errors import TemplateError

if TYPE_CHECKING:
    from arcbook.performer.services import Services

PREFIX: Final = "keychain"
"""First part of the names of secrets that came from an entry."""

MINTED: Final = ".minted"
"""What follows a credential's alias in the names of secrets that an issuer gave for it."""

DEPTH_MAX: Final = 8
"""Entries that may stand on one another."""


class CommandKeychain:
    """What a command may read as ``keychain``, and by ``auth``."""

    def __init__(self, services: Services, plan: Plan, context: Context) -> None:
        self._services = services
        self._plan = plan
        #: The names of the command; not the command itself, which has this.
        self.context = context
        #: What was fetched so far, for scopes.
        self.opened: Opened = {}

    async def unlock(self, name: str) -> None:
        """Fetch an entry for templates, or note why it cannot be had."""
        try:
            found = await self.credential(name)
        except CredentialError as error:
            self.opened[name] = SecretUnavailableError(str(error), retryable=error.retryable)
        else:
            self.opened[name] = found.data

    async def credential(self, name: str, depth: int = 0) -> Credential:
        """Return what a name stands for: an entry of the keychain, else a stored credential.

        Raises:
            CredentialError: it cannot be had.
        """
        services, context = self._services, self.context
        entry = self._plan.keychain.get(name)
        if entry is None:
            found = await services.credentials.credential(name, context.execution_id)
            services.secrets.add(secret_fields(name, found.data))
            return found
        if depth > DEPTH_MAX:
            raise KeychainError(name, "stands on itself")
        config = await self._rendered(entry, depth)
        found = await services.keychain.open(
            Wanted(entry.name, entry.kind, config, context.execution_id)
        )
        if entry.kind == "credential" and found.name != name:
            # By its own alias it is found again wherever data from here goes.
            services.secrets.add(secret_fields(found.name, found.data))
        services.secrets.add(secret_fields(self._mark(entry), found.data), found.root)
        return found

    async def token(self, credential: Credential) -> Credential:
        """Return the token that an issuer gives for a credential.

        Raises:
            CredentialError: there is none.
        """
        wanted = token_of(credential, self.context.execution_id)
        if wanted is None:
            return credential
        found = await self._services.keychain.open(wanted)
        prefix = credential.name + MINTED if credential.name else "token"
        self._services.secrets.add(secret_fields(prefix, found.data), found.root)
        return found

    async def reveal(self, names: set[str]) -> None:
        """Fetch the entries from which secrets of some names came, as far as they are ours."""
        digests = {parts[1] for name in names if (parts := name.split("."))[0] == PREFIX}
        for entry in self._plan.keychain.values():
            if digests and self._mark(entry).split(".")[1] in digests:
                await self.unlock(entry.name)

    async def _rendered(self, entry: PlanSecret, depth: int) -> dict[str, Any]:
        """Return an entry without templates; entries that it mentions are fetched first."""
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

    def _mark(self, entry: PlanSecret) -> str:
        """Return the first part of the names of an entry's secrets."""
        scope = self._scope({})
        scope.top[PREFIX] = _Unread(PREFIX)
        try:
            told = entry.config.render(scope)
        except TemplateError:
            told = None
        facts = msgspec.json.encode([self.context.path, entry.name, entry.kind, told])
        digest = hashlib.blake2b(facts, digest_size=8).hexdigest()
        return f"{PREFIX}.{digest}.{entry.name}"


class _Unread(View):
    """Stands for another entry where its secrets must not go."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def name(self, key: str) -> Any:
        return _Unread(f"{self.path}.{key}")

    def plain(self) -> Any:
        return self.path
