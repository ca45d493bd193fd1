"""A dry run makes no call that has effects, and lists those that it left out."""

from __future__ import annotations

import pytest

from acceptance.service import Service
from acceptance.terminal import Terminal

pytestmark = pytest.mark.slow

BOOK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: order, path: shop/order}
workload: {url: "", id: 7}
workflow:
- step: start
  tool: {kind: http, url: "{{ workload.url }}/stock", auth: shop}
  next: {arcs: [{step: price}]}
- step: price
  tool: {kind: python, code: "result = {'total': 2 * n}", input: {n: "{{ workload.id }}"}}
  next: {arcs: [{step: order}]}
- step: order
  tool:
    kind: http
    method: POST
    url: "{{ workload.url }}/orders/{{ price.total }}?key=hidden"
    auth: shop
  next: {arcs: [{step: note}]}
- step: note
  loop: {in: [1, 2], iterator: n}
  tool: {kind: shell, command: "touch noted-{{ iter.n }}"}
  next: {arcs: [{step: child}]}
- step: child
  tool: {kind: playbook, path: shop/child}
"""

CHILD = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: child, path: shop/child}
workflow:
- step: start
  tool: {kind: shell, command: touch noted-by-child}
"""


@pytest.fixture
def ran(arcbook: Terminal, service: Service) -> Terminal:
    arcbook.write("order.yaml", BOOK)
    arcbook.write("child.yaml", CHILD)
    arcbook("credential", "add", "shop", "--type", "bearer", "--set", "token=t0k3n-of-the-shop")
    return arcbook


def test_only_calls_without_effects_are_made(ran: Terminal, service: Service):
    done = ran("run", "order.yaml", "--set", f"url={service.url}", "--dry-run", "--json")

    assert done.code == 0, done.all
    assert service.paths() == ["/stock"]
    assert service.requests[0].headers["Authorization"] == "Bearer t0k3n-of-the-shop"
    assert not list(ran.folder.glob("noted*"))
    assert [(c["step"], c["would"], c["effects"]) for c in done.json["left_out"]] == [
        ("order", f"send POST {service.url}/orders/14", "keyed"),
        ("note", "run touch noted-1", "keyed"),
        ("note", "run touch noted-2", "keyed"),
        ("start", "run touch noted-by-child", "keyed"),
    ]


def test_people_read_what_would_have_been_done_and_nothing_is_kept(ran: Terminal, service: Service):
    done = ran("run", "order.yaml", "--set", f"url={service.url}", "--dry-run")

    assert done.code == 0, done.all
    assert f"order: would send POST {service.url}/orders/14 (keyed)" in done.err
    assert "4 calls with effects were skipped" in done.err
    assert "t0k3n" not in done.all
    assert ran("executions", "list", "--json").json == []
    assert not list(ran.folder.glob("arcbook-dry-*"))


def test_a_dry_run_is_a_new_run_in_the_home(ran: Terminal):
    resumed = ran("run", "order.yaml", "--dry-run", "--resume")
    remote = ran("run", "order.yaml", "--dry-run", "--server", "http://127.0.0.1:9")

    assert (resumed.code, remote.code) == (2, 2)
    assert "--dry-run only works for a new run in the home" in resumed.err
