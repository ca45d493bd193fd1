"""The contract of stores for idempotency keys, tokens, the audit of changes, and tenants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arcbook.store.access import ChangeNote, NoteFilter, TokenRow
from arcbook.store.api import ClusterStore, ExecutionFilter, FencedError, StartKey
from arcbook.testing.contracts.store import change, event, row
from arcbook.testing.contracts.store_commands import Opens


def key(name: str = "k", path: str = "a/b", at: int = 100, expires_at: int = 200) -> StartKey:
    """Return the idempotency key of a start."""
    return StartKey(path, name, at, expires_at)


def token(token_id: str, **facts: Any) -> TokenRow:
    """Return the row of a token."""
    fields = {"name": "ci", "scope": "editor", "digest": "d1", **facts}
    return TokenRow(token_id=token_id, **fields)


class KeysContract:
    """Idempotency keys: one execution for each key."""

    async def test_a_key_stands_for_the_execution_that_took_it_first(
        self, store: ClusterStore, opened: Opens
    ) -> None:
        assert await store.started_with("a/b", "k", 100) is None
        await store.commit([change(1, 0, [event(1)], key=key())])

        with pytest.raises(FencedError) as raised:
            await store.commit(
                [change(2, 0, [event(1)], key=key(at=150)), change(3, 0, [event(1)])]
            )
        assert raised.value.execution_ids == (2,)
        assert await store.execution(3) is None
        again = await opened()
        assert await again.started_with("a/b", "k", 150) == 1
        assert await again.started_with("a/c", "k", 150) is None
        assert await again.started_with("a/b", "other", 150) is None

    async def test_a_key_is_for_one_path(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)], key=key())])
        await store.commit([change(2, 0, [event(1)], key=key(path="a/c"))])

        assert await store.started_with("a/c", "k", 150) == 2

    async def test_a_key_is_free_again_once_it_has_expired(self, store: ClusterStore) -> None:
        await store.commit([change(1, 0, [event(1)], key=key())])
        assert await store.started_with("a/b", "k", 200) is None
        await store.commit([change(2, 0, [event(1)], key=key(at=200, expires_at=300))])

        assert await store.started_with("a/b", "k", 250) == 2
        assert await store.forget_keys(300) == 0
        assert await store.forget_keys(301) == 1
        assert await store.started_with("a/b", "k", 250) is None

    async def test_of_one_commit_the_first_takes_the_key(self, store: ClusterStore) -> None:
        changes = [change(i, 0, [event(1)], key=key()) for i in (5, 4, 6)]
        with pytest.raises(FencedError) as raised:
            await store.commit(changes)
        assert sorted(raised.value.execution_ids) == [4, 6]
        await store.commit(changes[:1])
        assert await store.started_with("a/b", "k", 150) == 5

    async def test_of_many_writers_one_takes_the_key(
        self, store: ClusterStore, opened: Opens
    ) -> None:
        stores = [store, await opened(), await opened()]

        async def start(number: int) -> bool:
            try:
                first = change(number, 0, [event(1)], key=key())
                await stores[number % 3].commit([first])
            except FencedError:
                return False
            return True

        won = await asyncio.gather(*(start(number) for number in range(1, 13)))
        assert won.count(True) == 1
        assert await store.started_with("a/b", "k", 150) == won.index(True) + 1


class TokensContract:
    """API tokens."""

    async def test_tokens_are_put_replaced_listed_and_deleted(self, store: ClusterStore) -> None:
        one = token("b", tenant="t")
        other = token("a", name="gui", scope="viewer", expires_at=9)
        for stored in (one, other):
            await store.put_token(stored)
        assert await store.tokens() == [other, one]
        rotated = token("b", digest="d3", old_digest="d1", old_until=4)
        await store.put_token(rotated)

        assert await store.token("b") == rotated
        assert await store.token("c") is None
        assert await store.delete_token("b")
        assert not await store.delete_token("b")
        assert await store.tokens() == [other]


class ChangeAuditContract:
    """The audit of changes."""

    async def test_a_note_is_replaced_once_it_is_known_what_came(self, store: ClusterStore) -> None:
        asked = ChangeNote(note_id=1, at=5, actor="ann", action="token.add", subject="x\x00é")
        await store.put_note(asked)
        assert await store.notes(NoteFilter()) == [asked]
        done = ChangeNote(note_id=1, at=5, actor="ann", action="token.add", subject="y", status=200)
        await store.put_note(done)

        assert await store.notes(NoteFilter(subject="y")) == [done]

    async def test_notes_are_listed_by_pages_and_facts(self, store: ClusterStore) -> None:
        for n in range(1, 7):
            actor, action = ("ann", "a.x") if n % 2 else ("bob", "a.y")
            note = ChangeNote(note_id=n, at=n, actor=actor, action=action, subject=str(n // 3))
            await store.put_note(note)

        async def ids(**filters: Any) -> list[int]:
            return [row.note_id for row in await store.notes(NoteFilter(**filters))]

        assert await ids() == [6, 5, 4, 3, 2, 1]
        assert await ids(limit=2, before=5) == [4, 3]
        labels = {"tenant": "sales", "organization": "emea"}
        await store.put_note(
            ChangeNote(
                note_id=9, at=9, actor="ann", action="a.x", tenant="sales", organization="emea"
            )
        )
        assert await ids(**labels) == await ids(tenant="sales") == [9]
        assert await ids(tenant="sales", organization="apac") == []
        assert await ids(actor="bob") == [6, 4, 2]
        assert await ids(action="a.x", subject="1") == [5, 3]


class TenantsContract:
    """Executions by tenant."""

    async def test_executions_are_found_by_tenant(self, store: ClusterStore) -> None:
        owners = [("t", "o"), ("t", "p"), ("u", "o"), ("", "")]
        for number, (tenant, organization) in enumerate(owners, 1):
            labels = {"tenant": tenant, "organization": organization} if tenant else {}
            summary = row(number, labels=labels, parent_execution_id=number % 2, seq=1)
            await store.commit([change(number, 0, [event(1)], row=summary)])

        async def ids(**filters: Any) -> list[int]:
            rows = await store.executions(ExecutionFilter(**filters))
            return [one.execution_id for one in rows]

        assert await ids() == [4, 3, 2, 1]
        assert await ids(tenant="t") == [2, 1]
        assert await ids(tenant="t", organization="p") == [2]
        assert await ids(organization="o") == [3, 1]
        assert await ids(tenant="t", status="RUNNING", parent_execution_id=1) == [1]
        assert await ids(tenant="t", before=2, path="A/") == [1]
        assert await ids(tenant="nobody") == []


class AccessContract(KeysContract, TokensContract, ChangeAuditContract, TenantsContract):
    """The contract suite."""
