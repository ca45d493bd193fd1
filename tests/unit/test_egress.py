"""Where tools may connect to: rules, addresses in other addresses, and what is never reached."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest

from arcbook.egress import Egress, EgressError, Rule

OPEN = Egress()
PUBLIC = Egress(private=False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "169.254.170.2",
        "fd00:ec2::254",
        "fe80::a9fe:a9fe%eth0",
        "100.100.100.200",
        "168.63.129.16",
    ],
)
def test_the_metadata_of_clouds_is_never_reached(address: str):
    everything = Egress.of(["0.0.0.0/0", "::/0", "metadata.google.internal"], private=True)

    assert OPEN.why_not("metadata.google.internal", address)
    assert everything.why_not("metadata.google.internal", address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "::1", "fc00::1", "::ffff:10.0.0.1", "224.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_reached_unless_the_settings_say_no(address: str):
    assert OPEN.why_not("db", address) == ""
    assert "private" in PUBLIC.why_not("db", address)
    assert Egress.of(["db"], private=False).why_not("db", address) == ""


def test_public_addresses_are_reached_where_only_private_ones_are_not():
    assert PUBLIC.why_not("example.com", "93.184.216.34") == ""
    assert PUBLIC.why_not("example.com", "2606:2800:220:1::1") == ""


@pytest.mark.parametrize(
    ("rule", "host", "address", "expected"),
    [
        ("api.example.com", "API.example.com.", "1.1.1.1", True),
        ("api.example.com", "x.api.example.com", "1.1.1.1", False),
        ("*.example.com", "a.b.example.com", "1.1.1.1", True),
        ("*.example.com", "example.com", "1.1.1.1", False),
        ("*.example.com", "badexample.com", "1.1.1.1", False),
        ("10.0.0.0/8", "db", "10.9.9.9", True),
        ("10.0.0.1", "db", "10.0.0.2", False),
        ("[::1]", "db", "::1", True),
        ("10.0.0.0/8", "db", "::ffff:10.9.9.9", True),
    ],
)
def test_rules(rule: str, host: str, address: str, *, expected: bool):
    assert (Egress.of([rule], private=True).why_not(host, address) == "") is expected
    assert (Egress.of([], [rule], private=True).why_not(host, address) != "") is expected


@pytest.mark.parametrize("text", ["", "*", "http://a", "a:80", "a b", "10.0.0.0/99"])
def test_what_is_no_rule_is_refused(text: str):
    with pytest.raises(ValueError, match="neither a host"):
        Rule.of(text)


def test_a_denied_address_is_left_out_where_a_host_has_others():
    egress = Egress.of([], ["10.0.0.0/8"], private=True)

    assert egress.allowed("db", ["10.0.0.1", "11.0.0.1"]) == ["11.0.0.1"]
    with pytest.raises(EgressError, match=r"db \(10.0.0.1\).*ARCBOOK_EGRESS_DENY"):
        egress.allowed("db", ["10.0.0.1"])


class Resolver(aiohttp.abc.AbstractResolver):
    """Says another address each time it is asked."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        address = self.addresses.pop(0)
        entry = {"hostname": host, "host": address, "port": port, "family": socket.AF_INET}
        return [{**entry, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return None


async def test_a_socket_is_opened_only_to_an_address_that_was_looked_at():
    connector = Egress.of(["api.example.com"], private=False).connector()
    opened = connector._socket_factory
    assert opened is not None

    with pytest.raises(EgressError, match="ARCBOOK_EGRESS_ALLOW"):
        opened((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
    connector._resolver._own = Resolver(["127.0.0.1"])
    await connector._resolver.resolve("api.example.com", 80)
    opened((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))).close()
    await connector.close()
