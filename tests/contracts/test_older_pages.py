"""Pages as the first version of the language fetches them, from a service whose body has `data`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

import arcbook

ITEMS = [{"id": number} for number in range(5)]


class Pages(BaseHTTPRequestHandler):
    """Two items on each page."""

    def do_GET(self) -> None:
        page = int(parse_qs(urlsplit(self.path).query)["page"][0])
        found = ITEMS[page * 2 - 2 : page * 2]
        paging = {"page": page, "hasMore": page * 2 < len(ITEMS)}
        data = json.dumps({"data": found, "paging": paging}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/items"
        server.shutdown()
        thread.join()


DOCUMENT = """\
apiVersion: noetl.io/v1
kind: Playbook
metadata: {{name: pages}}
workflow:
  - step: start
    tool: {{kind: http, url: "{url}", params: {{page: 1}}}}
    {block}
output: "{{{{ start.data }}}}"
"""

LOOP = (
    'loop: {pagination: {continue_while: "{{ response.data.paging.hasMore }}", next_page: '
    '{params: {page: "{{ (response.data.paging.page | int) + 1 }}"}}, merge_path: PATH}}'
)
RETRY = (
    'retry: [{when: "{{ page.paging.hasMore }}", then: {max_attempts: 9, next_call: {params: '
    '{page: "{{ (page.paging.page | int) + 1 }}"}}, collect: {path: PATH, into: found}}}]'
)


@pytest.mark.parametrize(
    ("block", "path"), [(LOOP, "data.data"), (RETRY, "data"), (RETRY, "data.data")]
)
def test_the_items_of_all_pages_are_collected(
    url: str, block: str, path: str, tmp_path: Path
) -> None:
    document = DOCUMENT.format(url=url, block=block.replace("PATH", path))

    assert arcbook.run(document, home=tmp_path).result == ITEMS


def test_whole_bodies_are_collected_where_the_path_is_that_of_the_body(
    url: str, tmp_path: Path
) -> None:
    document = DOCUMENT.format(url=url, block=LOOP.replace("PATH", "data"))

    assert [len(page["data"]) for page in arcbook.run(document, home=tmp_path).result] == [2, 2, 1]
