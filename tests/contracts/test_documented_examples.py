"""Every example of the documentation is run, and comes to what its page says."""

from __future__ import annotations

import http.server
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from arcbook.compose.embedded import Embedded
from arcbook.secrets.api import Credential, CredentialError
from arcbook.settings import load_settings

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: example}\n"
NAME = re.compile(r"^metadata:\s*(?:\{name: ([\w-]+)|\n  name: ([\w-]+))", re.MULTILINE)

MEAN = {"mean": 4.25, "count": 4}
RESULTS: dict[str, Any] = {
    "README.md hello": {"greeting": "Hello, world!"},
    "docs/credentials.md report": {"data": {"sold": 7}},
    "docs/language.md greet": "hello world",
    "docs/language.md shared-task": {"number": 42},
    "docs/language.md fork-and-join": None,
    "docs/language.md pages": {"more": False, "next": 3},
    "docs/language.md squares": [1, 4, 9],
    "docs/language.md work-off": {"results": [{"done": 1}, {"done": 2}, {"done": 3}]},
    "docs/language.md catch": None,
    "docs/language.md parent": {
        "child": {"path": "examples/child", "status": "COMPLETED", "result": {"seen": 7}, "seen": 7}
    },
    "docs/recipes.md loop-failures": {
        "failed": 1,
        "why": ["ZeroDivisionError"],
        "priced": [1, 3],
        "again": [{"id": 2, "amount": 0}],
    },
    "docs/tools/http.md fetch_users": {"count": 2},
    "docs/tools/noop.md choose": None,
    "docs/tools/playbook.md parent": {"mean": 2},
    "docs/tools/python.md mean": MEAN,
    "docs/tools/shell.md count_words": {"to": 2, "be": 2, "or": 1, "not": 1},
    "docs/tools/workbook.md twice": {"square": 256},
}
"""What each playbook comes to; of a mapping at least these fields."""

CHILD = (
    HEAD.replace("name: example", "path: examples/child")
    + """workload: {customer: 0}
workflow:
- step: start
  tool: {kind: python, code: "result = {'seen': customer}", input: {customer: "{{ workload.customer }}"}}
"""
)

PAGES = {
    "/token": {"access_token": "t-of-nobody", "expires_in": 60},
    "/v1/secret/data/crm": {"data": {"data": {"signing_key": "k-of-nobody"}}},
    "/report": {"sold": 7},
    "/users?limit=10": [{"id": 1}, {"id": 2}],
    "/orders?page=1": {"more": True, "page": 1},
    "/orders?page=2": {"more": False, "page": 2},
    "/items?page=4": {"items": [4]},
    "/posts": {"items": [{"id": 1, "title": "a", "author": {"address": {"city": "Rome"}}}]},
}


def examples(fence: str) -> dict[str, str]:
    """Return the blocks of all pages, by page and name."""
    found = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(
            r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            if block.startswith(fence):
                name = NAME.search(block)
                label = (name[1] or name[2]) if name else ""
                found[f"{page.relative_to(ROOT)} {label}".strip()] = block
    return found


PLAYBOOKS = examples("apiVersion: noetl.io/v2\nkind: Playbook")
FRAGMENTS = examples("- step:")


class Credentials:
    """Credentials from plain values."""

    def __init__(self, **known: tuple[str, dict[str, Any]]) -> None:
        self.known = known

    async def credential(self, alias: str, execution_id: int) -> Credential:
        if alias not in self.known:
            raise CredentialError(alias, "is not known")
        kind, data = self.known[alias]
        return Credential(name=alias, type=kind, data=data)


@pytest.fixture
def web():
    """A web service with the pages that examples ask for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            page = PAGES.get(self.path)
            data = json.dumps(page).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815  # as the base class calls it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def run(web, postgres_server, database, nats_server, tmp_path):
    """Run a document against real servers; hosts that do not exist are ours."""
    fields = postgres_server.fields(database)
    lookup = Credentials(
        crm_client=("oauth2", {"client_id": "c", "client_secret": "s-of-nobody"}),
        nats_credential=("nats", {"nats_url": nats_server.url}),
        pg_local=("postgres", fields),
        vault_token=("vault", {"vault_url": web, "token": "v-of-nobody"}),
        warehouse=("postgres", fields),
    )

    async def call(text: str, *others: str) -> Any:
        async with Embedded(load_settings(home=tmp_path / "home"), lookup) as embedded:
            for other in others:
                await embedded.register(other, "other")
            text = re.sub(r"https://[\w.]*example\.(?:org|com)", web, text)
            planned = await embedded.register(text, "example")
            state = await embedded.run(planned, {})
            assert str(state.status) == "COMPLETED", state.error
            return await embedded.reader.result(state)

    return call


def of_interest(found: Any, wanted: Any) -> Any:
    """Return of mappings the fields that are wanted; ids and times differ each time."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {key: of_interest(found.get(key), wanted[key]) for key in wanted}
    return found


def test_every_playbook_of_the_documentation_has_its_result():
    assert list(PLAYBOOKS) == list(RESULTS)


@pytest.mark.parametrize("name", PLAYBOOKS)
async def test_a_playbook_comes_to_what_its_page_says(name, run, postgres_server, database):
    if "work-off" in name:
        query = "CREATE TABLE jobs (id int, taken timestamptz); INSERT INTO jobs VALUES (1),(2),(3)"
        postgres_server.execute(query, database)
    others = [CHILD, PLAYBOOKS["docs/tools/python.md mean"]] if "parent" in name else []

    found = await run(PLAYBOOKS[name], *others)

    wanted = RESULTS[name]
    found = of_interest(found, wanted)
    if "work-off" in name:
        found["results"].sort(key=lambda job: job["done"])
    assert found == wanted


MAKE = """- step: make
  tool: {kind: python, code: "result = {'a': 1}"}
  output: {inline_max_bytes: 0}
  next: {arcs: [{step: load}]}
"""
FETCH = """- step: fetch
  tool: {kind: noop, result: {data: {extract: a b a}}}
  next: {arcs: [{step: count}]}
"""
AROUND: dict[str, tuple[str, str, Any]] = {
    "docs/tools/artifact.md": (MAKE, "{{ load.data }}", {"a": 1}),
    "docs/tools/duckdb.md": (
        FETCH,
        "{{ count.rows }}",
        [{"word": "a", "n": 2}, {"word": "b", "n": 1}],
    ),
    "docs/tools/nats.md": ("", "{{ remember.status }}", "success"),
    "docs/tools/postgres.md": ("", "{{ save.rows }}", [{"n": 1}]),
    "docs/tools/result_fetch.md": (MAKE, "{{ load.data }}", {"a": 1}),
    "docs/tools/task_sequence.md": ("", "{{ load.keep }}", {"items": [4]}),
    "docs/tools/transfer.md": ("", "{{ load.rows_transferred }}", 1),
}
"""For each part of a playbook: the steps before it, an output, and what that comes to."""

DATA = """workload: {user: {id: 1, name: Ann}, session: {token: t1, user_id: 1}}
"""


def test_every_part_of_a_playbook_in_the_documentation_has_its_result():
    assert list(FRAGMENTS) == list(AROUND)


@pytest.mark.parametrize("page", FRAGMENTS)
async def test_a_part_of_a_playbook_comes_to_what_its_page_says(
    page, run, web, postgres_server, database, nats_server
):
    before, output, wanted = AROUND[page]
    text = FRAGMENTS[page]
    if "transfer" in page:
        query = "CREATE TABLE posts (post_id int PRIMARY KEY, title text, city text)"
        postgres_server.execute(query, database)
    if "count" in text and "report" in text:
        text = text.replace("- step: report", "  next: {arcs: [{step: report}]}\n- step: report")
    if "step: end" in text:
        text += "- step: end\n  tool: {kind: noop}\n"
    if "ctx.page" in text:
        text = text.replace("ctx.page", "4").replace("{{ api_url }}", web)

    found = await run(f"{HEAD}{DATA}workflow:\n{before}{text}output: '{output}'\n")

    assert found == wanted
