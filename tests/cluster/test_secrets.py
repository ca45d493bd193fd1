"""Secrets on a cluster: every worker has the real ones, and nothing between them has any."""

from __future__ import annotations

import pytest

from arcbook.events.codec import encode
from arcbook.secrets.api import Credential
from arcbook.testing.cluster import Cluster
from arcbook.testing.local import FakeCredentials

SECRET = "s3cret-on-the-bus"
KNOWN = {"api": Credential(name="api", type="bearer", data={"token": SECRET})}
SUM = sum(map(ord, SECRET))

HEAD = "apiVersion: noetl.io/v2\nkind: Playbook\nmetadata: {name: N, path: tests/N}\n"

CHILD = (
    HEAD.replace("N", "child")
    + """
workload: {given: ""}
workflow:
- step: start
  spec: {pool: b}
  tool: {kind: python, input: {a: "{{ workload.given }}"}, code: "result = sum(map(ord, a))"}
"""
)

PARENT = (
    HEAD.replace("N", "parent")
    + """
keychain:
- {name: mine, kind: credential, credential: api}
- {name: made, kind: bearer, token: "<{{ keychain.mine.token }}>"}
workflow:
- step: start
  spec: {pool: a}
  tool:
    kind: python
    input: {a: "{{ keychain.mine.token }}", b: "{{ keychain.made.token }}"}
    code: "result = {'a': a, 'b': b}"
  next: {arcs: [{step: there}]}
- step: there
  spec: {pool: b}
  tool: {kind: python, input: {a: "{{ start.a }}", b: "{{ start.b }}"}, code: "result = [sum(map(ord, a)), len(b)]"}
  next: {arcs: [{step: child}]}
- step: child
  spec: {pool: a}
  tool: {kind: playbook, path: tests/child, input: {given: "{{ start.a }}"}}
  next: {arcs: [{step: end}]}
- step: end
  spec: {pool: a}
  tool: {kind: noop, result: "{{ [there, child.result] }}"}
"""
)


@pytest.mark.slow
async def test_data_with_secrets_goes_from_worker_to_worker_and_to_children(tmp_path):
    async with Cluster(tmp_path, credentials=FakeCredentials(KNOWN)) as cluster:
        await cluster.server()
        await cluster.worker(["a"])
        await cluster.worker(["b"])
        await cluster.register(CHILD)
        state = await cluster.run(PARENT)
        written = [encode(e.event) for log in cluster.store.log for e in cluster.events(log)]

    assert state.status == "COMPLETED", state.error
    assert state.result == [[SUM, len(SECRET) + 2], SUM]
    assert SECRET.encode() not in b"".join(written)
