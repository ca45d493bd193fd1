"""Where tools may connect to: one policy for all of them, applied to addresses, not names.

A name is checked after it was resolved, and the connection goes to the very address that
was checked, so that a name cannot mean something else a moment later. Each redirect is a
connection of its own. The services that tell cloud machines their credentials are never
reached, whatever the settings say.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from arcbook.errors import AccessError

if TYPE_CHECKING:
    import aiohttp

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # AWS, Azure, Google, Oracle, DigitalOcean; ECS and EKS credentials
        "fe80::/10",
        "fd00:ec2::/32",  # AWS over IPv6
        "fd20:ce::/32",  # Google over IPv6
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's own channel
        "192.0.0.192/32",  # Oracle
    )
)
"""Where machines of clouds are told their credentials."""

_EMBEDDED: Final = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)
"""Networks of IPv6 whose addresses have one of IPv4 in them, and by how many bits from the right."""


ADMITTED_MAX: Final = 4096
"""Addresses behind names that one connector keeps in mind; a name is resolved anew after that."""


class EgressError(AccessError):
    """The settings do not allow a connection; the message says to where, and which one."""

    code = "egress_denied"


class Rule(NamedTuple):
    """A host or network of the settings."""

    #: A name, with a dot in front where it stands for all below it.
    name: str
    network: Network | None = None

    @classmethod
    def of(cls, text: str) -> Rule:
        """Read a rule: ``api.example.com``, ``*.example.com``, ``10.0.0.0/8``, ``::1``.

        Raises:
            ValueError: it is neither a host nor a network.
        """
        try:
            return cls("", ipaddress.ip_network(text.strip("[]"), strict=False))
        except ValueError:
            name = text.lower().rstrip(".").removeprefix("*")
        if not name.strip(".") or set(name) & set("*/:@ "):
            raise ValueError(f"{text!r} is neither a host, such as *.example.com, nor a network")
        return cls(name)

    def has(self, host: str, address: Address) -> bool:
        """Whether a connection is meant by it."""
        if self.network is not None:
            return address in self.network
        return self.names(host)

    def names(self, host: str) -> bool:
        """Whether it names a host."""
        name = host.lower().rstrip(".")
        return bool(self.name) and (
            name == self.name or (self.name.startswith(".") and name.endswith(self.name))
        )


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Where tools may connect to."""

    #: If there are any, nothing else is reached.
    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    #: Whether loopback and private networks are reached without a rule.
    private: bool = True

    @classmethod
    def of(cls, allow: Iterable[str] = (), deny: Iterable[str] = (), *, private: bool) -> Egress:
        """Return the policy that settings write.

        Raises:
            ValueError: a rule is none.
        """
        rules = (tuple(map(Rule.of, texts)) for texts in (allow, deny))
        return cls(allow=next(rules), deny=next(rules), private=private)

    @property
    def is_open(self) -> bool:
        """Whether everything is reached but what is never."""
        return self.private and not self.allow and not self.deny

    def why_not(self, host: str, address: str) -> str:
        """Return why an address of a host is not reached; nothing if it is."""
        parsed = _plain(ipaddress.ip_address(address.partition("%")[0]))
        if any(parsed in network for network in METADATA):
            return "it may tell the credentials of the machine, which no tool reaches"
        if any(rule.has(host, parsed) for rule in self.deny):
            return "ARCBOOK_EGRESS_DENY refuses it"
        if any(rule.has(host, parsed) for rule in self.allow):
            return ""
        if self.allow:
            return "ARCBOOK_EGRESS_ALLOW does not have it"
        if not self.private and (not parsed.is_global or parsed.is_multicast):
            return "it is on this machine or a private network (ARCBOOK_EGRESS_PRIVATE is false)"
        return ""

    def check(self, host: str, address: str) -> None:
        """Refuse an address of a host.

        Raises:
            EgressError: it is not to be reached.
        """
        reason = self.why_not(host, address)
        if reason:
            target = address if host in ("", address) else f"{host} ({address})"
            raise EgressError(f"a connection to {target} is not allowed: {reason}")

    def allowed(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return the addresses of a host that are reached.

        Raises:
            EgressError: there are addresses, and none of them is.
        """
        refused: EgressError | None = None
        permitted: list[str] = []
        for address in addresses:
            try:
                self.check(host, address)
            except EgressError as error:
                refused = error
            else:
                permitted.append(address)
        if refused is not None and not permitted:
            raise refused
        return permitted

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that are reached, the preferred one first.

        Raises:
            EgressError: none of them is.
            OSError: there is no such host.
        """
        loop = asyncio.get_running_loop()
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self.allowed(host, dict.fromkeys(str(entry[4][0]) for entry in entries))

    async def admit(self, host: str, port: int) -> None:
        """Refuse a host that a proxy would connect to, as far as it can be resolved here.

        Raises:
            EgressError: it is not to be reached.
        """
        try:
            await self.resolve(host, port)
        except EgressError:
            raise
        except OSError:
            if self.allow and not any(rule.names(host) for rule in self.allow):
                message = f"a connection to {host} is not allowed: ARCBOOK_EGRESS_ALLOW lacks it"
                raise EgressError(message) from None

    def connector(self, **options: Any) -> aiohttp.TCPConnector:
        """Return what makes connections for ``aiohttp``, to what is reached."""
        import aiohttp  # heavy: only where used

        admitted = _Admitted(self)
        return aiohttp.TCPConnector(
            resolver=_resolver(admitted), socket_factory=admitted.open_socket, **options
        )


class _Admitted:
    """The addresses that were found behind names, and are reached because of these."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._addresses: dict[str, None] = {}

    def of(self, host: str, addresses: Iterable[str]) -> set[str]:
        """Return the addresses of a host that are reached, and keep them in mind."""
        permitted = self._egress.allowed(host, addresses)
        for address in permitted:
            self._addresses.pop(address, None)
            self._addresses[address] = None
        while len(self._addresses) > ADMITTED_MAX:
            del self._addresses[next(iter(self._addresses))]
        return set(permitted)

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Open the socket of a connection: the last look at where it goes.

        Raises:
            EgressError: not there.
        """
        family, kind, protocol, _, target = info
        address = str(target[0])
        if address not in self._addresses:
            self._egress.check(address, address)
        return socket.socket(family, kind, protocol)


def _plain(address: Address) -> Address:
    """Return the address that is reached: that of IPv4, where one stands in one of IPv6."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")):
        return address
    for network, shift in _EMBEDDED:
        if address in network:
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _resolver(admitted: _Admitted) -> Any:
    import aiohttp  # heavy: only where used
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        """Resolves names to the addresses that are reached."""

        def __init__(self) -> None:
            self._own = aiohttp.ThreadedResolver()

        async def resolve(
            self, host: str, port: int = 0, family: Any = socket.AF_INET
        ) -> list[ResolveResult]:
            entries = await self._own.resolve(host, port, family)
            permitted = admitted.of(host, [entry["host"] for entry in entries])
            return [entry for entry in entries if entry["host"] in permitted]

        async def close(self) -> None:
            await self._own.close()

    return Resolver()
