"""Values that nobody meant, in every place of every request: an error of the caller's is 4xx."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import msgspec.inspect as mi
import pytest

from api_cluster import Api, cluster
from api_playbooks import HELLO, WAITS
from arcbook.server.http.route import Route
from arcbook.server.http.settings import HttpSettings
from arcbook.server.http.table import ROUTES

ON_EACH_STORE = True

SETTINGS = HttpSettings(internal_token="inner", requests_per_second=0.0, body_seconds=2.0)

DEEP = 900


def nested(depth: int, inner: Any = 1, *, lists: bool = False) -> Any:
    for _ in range(depth):
        inner = [inner] if lists else {"a": inner}
    return inner


TEXTS = (
    "\x00",
    "a\x00b",
    "\ud800",
    "'; drop table event; --",
    "%00",
    "..",
    "../../etc/passwd",
    "/",
    " ",
    "\u202e",
    "😀" * 50,
    "x" * 70_000,
    "9" * 25,
    "-1",
    "1e308",
    "1e999",
    "NaN",
    "0x10",
    "٣",
    "null",
    "[]",
    "{}",
    "*",
    ">",
)

VALUES: tuple[Any, ...] = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(10**30),
    1e308,
    -1e308,
    1.5,
    5e-324,
    [],
    {},
    [None],
    ["\x00"],
    {"\x00": "\x00"},
    {"a": 10**40},
    nested(DEEP),
    nested(DEEP, lists=True),
    nested(150),
)


@pytest.fixture
async def api(tmp_path):
    async with cluster(tmp_path, settings=SETTINGS) as (found,):
        await found.register(HELLO)
        await found.register(WAITS)
        yield found


def headers_of(route: Route) -> dict[str, str]:
    return {"Authorization": "Bearer inner"} if route.scope == "internal" else {}


def in_path(route: Route, text: str = "1") -> str:
    return re.sub(r"\{[^}]*\}", lambda _: text, route.path)


def required(route: Route) -> str:
    """Return the query without which a body would not be read."""
    fields = msgspec.structs.fields(route.query) if route.query is not None else ()
    needed = [f"{field.encode_name}=x" for field in fields if field.required]
    return "?" + "&".join(needed) if needed else ""


async def faults(api: Api, route: Route, path: str, **more: Any) -> list[str]:
    """Return what is wrong with the answer to a request, if something is."""
    headers = headers_of(route) | more.pop("headers", {})
    try:
        async with asyncio.timeout(20):
            status, data, _ = await api.call(route.method, path, headers=headers, **more)
    except TimeoutError:
        return [f"{route.method} {path[:200]} {str(more)[:200]}: no answer"]
    if status < 500:
        return []
    return [f"{route.method} {path[:200]} {str(more)[:200]}: {status} {str(data)[:200]}"]


def text_of(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def json_of(value: Any) -> bytes:
    """Return a value as JSON, however deep it is."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), dict):
        depth, inner = 0, value
        while isinstance(inner, dict) and list(inner) == ["a"]:
            depth, inner = depth + 1, inner["a"]
        return b'{"a":' * depth + json.dumps(inner).encode() + b"}" * depth
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        depth, item = 0, value
        while isinstance(item, list) and len(item) == 1:
            depth, item = depth + 1, item[0]
        return b"[" * depth + json.dumps(item).encode() + b"]" * depth
    return json.dumps(value).encode()


async def test_no_text_in_a_path_finds_a_fault(api: Api):
    found = []
    for route in ROUTES:
        if "{" in route.path:
            for text in TEXTS:
                if text not in ("..", "/"):
                    body = b"{}" if route.body is not None else None
                    path = in_path(route, text_of(text[:5000]))
                    found += await faults(api, route, path, body=body)
    assert not found, "\n".join(found)


async def test_no_value_in_a_query_finds_a_fault(api: Api):
    execution_id = await api.run("examples/waits")
    found = []
    for route in ROUTES:
        if route.query is None:
            continue
        path = in_path(route, execution_id if "execution_id" in route.path else "1")
        for field in msgspec.structs.fields(route.query):
            for text in TEXTS:
                value = quote_plus(text[:5000].encode("utf-8", "surrogatepass"))
                if field.name == "stream":
                    continue
                found += await faults(api, route, f"{path}?{field.encode_name}={value}")
        for raw in ("%ff%fe", "a=%00&%00=a", "a=1&a=2", "&&&", "=", "%", "%zz", "a" * 5000):
            found += await faults(api, route, f"{path}?{raw}")
    assert not found, "\n".join(found)


def bodies(route: Route) -> Iterator[bytes]:
    """Yield bodies in which one field after the other is what nobody meant."""
    example = route.body_example if isinstance(route.body_example, dict) else {}
    plain = {name: json_of(value) for name, value in example.items()}
    names = list(dict.fromkeys([*_fields(route.body), *plain]))
    for name in names:
        for value in VALUES:
            changed = plain | {name: json_of(value)}
            # What waits is asked to wait for nothing.
            if "seconds" in names and name != "seconds":
                changed["seconds"] = b"0"
            yield b"{" + b",".join(json_of(k) + b":" + v for k, v in changed.items()) + b"}"
        if isinstance(example.get(name), list) and example[name]:
            first = example[name][0]
            for inner in first if isinstance(first, dict) else ():
                for value in VALUES:
                    item = {k: json_of(v) for k, v in first.items()} | {inner: json_of(value)}
                    packed = b"{" + b",".join(json_of(k) + b":" + v for k, v in item.items()) + b"}"
                    rest = plain | {name: b"[" + packed + b"]"}
                    yield b"{" + b",".join(json_of(k) + b":" + v for k, v in rest.items()) + b"}"


def _fields(kind: Any) -> list[str]:
    try:
        return [f.encode_name for f in msgspec.structs.fields(kind)]
    except TypeError:
        return []


@pytest.mark.timeout(300)
async def test_no_value_in_a_body_finds_a_fault(api: Api):
    execution_id = await api.run("examples/waits")
    found = []
    for route in ROUTES:
        if route.body is None or route.path == "/api/tokens":
            continue
        path = in_path(route, execution_id if "execution_id" in route.path else "x")
        path += required(route)
        for body in bodies(route):
            found += await faults(api, route, path, body=body)
    assert not found, "\n".join(found[:50])


RAW = (
    b"",
    b" ",
    b"\xff\xfe",
    b'{"path": "\xff"}',
    b'{"\xc3": 1}',
    b'"\xed\xa0\x80"',
    b"null",
    b"[]",
    b"0",
    b"1e999",
    b"{" * 5000,
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"\xef\xbb\xbf{}",
    b"{}{}",
    b'{"path": "\\ud800"}',
    b'{"path": "\\u0000"}',
    b'{"path": 1, "path": 2}',
    b"\x00",
    b"\x1f\x8b\x08\x00",
)


async def test_no_bytes_as_a_body_find_a_fault(api: Api):
    found = []
    for route in ROUTES:
        if route.body is not None:
            for body in RAW:
                for media_type in ("application/json", "application/yaml", "text/plain", "\xff"):
                    headers = {"Content-Type": media_type}
                    found += await faults(api, route, in_path(route), body=body, headers=headers)
    assert not found, "\n".join(found)


async def test_no_header_finds_a_fault(api: Api):
    execution_id = await api.run("examples/waits")
    texts = ("\xff", "9" * 25, "-1", "x" * 7000, "1e308", "\x80\x81", "é", "'", "0", " ")
    found = []
    for route in ROUTES:
        path = in_path(route, execution_id if "execution_id" in route.path else "1")
        body = b"{}" if route.body is not None else None
        for name in (*route.headers, "Accept", "Origin", "Idempotency-Key", "Content-Type"):
            for text in texts:
                if not (path.endswith("/events") and name == "Last-Event-ID"):
                    found += await faults(api, route, path, body=body, headers={name: text})
    assert not found, "\n".join(found)


def loose(kind: mi.Type, place: str) -> list[str]:
    """Return the places of numbers without bounds in a type."""
    if isinstance(kind, mi.Metadata):
        return loose(kind.type, place)
    if isinstance(kind, (mi.IntType, mi.FloatType)):
        has_low = kind.ge is not None or kind.gt is not None
        has_high = kind.le is not None or kind.lt is not None
        return [] if has_low and has_high else [place]
    if isinstance(kind, mi.StructType):
        return [x for f in kind.fields for x in loose(f.type, f"{place}.{f.name}")]
    if isinstance(kind, mi.UnionType):
        # An identity is a number or a text, and ``identity`` knows its bounds.
        is_id = {mi.IntType, mi.StrType} <= {type(one) for one in kind.types}
        return [] if is_id else [x for one in kind.types for x in loose(one, place)]
    if isinstance(kind, (mi.ListType, mi.VarTupleType)):
        return loose(kind.item_type, f"{place}[]")
    return []


def test_every_number_that_a_caller_gives_has_bounds():
    """A number without them is one that some store cannot hold."""
    found = [
        place
        for route in ROUTES
        for kind in (route.query, route.body)
        if kind is not None
        for place in loose(mi.type_info(kind), f"{route.method} {route.path}")
    ]
    assert not found, "\n".join(found)
