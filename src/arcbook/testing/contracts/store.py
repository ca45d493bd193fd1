"""The contract of every store.

A subclass has a fixture ``opened``: a function that opens the same data once more, as
another process would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from arcbook.store.api import (
    CatalogEntry,
    CatalogFilter,
    Change,
    CredentialRow,
    EventRow,
    ExecutionFilter,
    ExecutionRow,
    FencedError,
    ResultRow,
    Store,
    StoreError,
    UnstorableError,
    all_events,
)
from arcbook.store.secret_audit import SecretNote, SecretNotes

Opened = Callable[[], Awaitable[Store]]


def event(seq: int, kind: str = "step.enter", step: str = "s", body: bytes = b"{}") -> EventRow:
    """Return the row of an event."""
    return EventRow(seq, 1_000 + seq, kind, step, body)


def row(execution_id: int, **facts: Any) -> ExecutionRow:
    """Return the row of an execution."""
    return ExecutionRow(
        **{"execution_id": execution_id, "path": "a/b", "status": "RUNNING", **facts}
    )


def change(execution_id: int, after: int, events: Sequence[EventRow], **facts: Any) -> Change:
    """Return a change of one execution."""
    fields = {"row": row(execution_id, seq=after + len(events)), **facts}
    return Change(execution_id=execution_id, after_seq=after, events=list(events), **fields)


def entry(catalog_id: int, path: str = "a/b", content: str = "x", **facts: Any) -> CatalogEntry:
    """Return a document of the catalog."""
    fields = {"version": 0, "kind": "playbook", "sha256": content, **facts}
    return CatalogEntry(catalog_id=catalog_id, path=path, content=content, **fields)


class StoreContract:
    """The contract suite."""

    @pytest.fixture
    async def store(self, opened: Opened) -> Store:
        """Return the opened store."""
        return await opened()

    # -- events -----------------------------------------------------------------------

    async def test_what_is_committed_is_read_back_in_order(self, store: Store) -> None:
        first = [event(1, "playbook.started", ""), event(2, body=b'{"x": "\\u0000 \xc3\xa9"}')]
        await store.commit([change(1, 0, first)])
        await store.commit([change(1, 2, [event(3)])])

        stored = await store.load(1)
        assert stored is not None
        assert stored.events == [*first, event(3)]
        assert stored.snapshot is None
        assert stored.row.seq == 3

    @pytest.mark.parametrize("text", ["\ud83d", "a\x00b", "\uffff", "\U0010ffff"])
    @pytest.mark.parametrize("where", ["step", "type", "path", "tenant"])
    async def test_a_text_is_stored_as_it_is_or_refused_and_nothing_of_the_commit_written(
        self, store: Store, text: str, where: str
    ) -> None:
        good = change(1, 0, [event(1)])
        bad = change(2, 0, [event(1, kind=text) if where == "type" else event(1, step=text)])
        if where in ("path", "tenant"):
            facts = {"path": text} if where == "path" else {"labels": {"tenant": text}}
            bad = change(2, 0, [event(1)], row=row(2, seq=1, **facts))
        try:
            await store.commit([good, bad])
        except UnstorableError:
            assert await store.load(1) is None
            assert await store.load(2) is None
        else:
            assert text != "\ud83d"
            stored = await store.load(2)
            assert stored is not None
            assert stored.row == bad.row
            assert stored.events == bad.events
        await store.commit([change(3, 0, [event(1)])])

    async def test_what_an_owner_tries_stands_until_it_tries_something_else(
        self, store: Store, opened: Opened
    ) -> None:
        await store.put_trials("a", [1, 2])
        await store.put_trials("b", [2])
        await store.put_trials("a", [2, 3])

        other = await opened()
        assert await other.trials() == [(2, "a"), (2, "b"), (3, "a")]
        await other.put_trials("a", [])
        assert await store.trials() == [(2, "b")]

    async def test_that_an_execution_was_tried_is_forgotten_whoever_tried_it(
        self, store: Store
    ) -> None:
        await store.put_trials("a", [1, 2])
        await store.put_trials("b", [2])

        await store.forget_trials([2, 9])

        assert await store.trials() == [(1, "a")]

    async def test_trials_of_what_has_ended_or_is_gone_are_forgotten(self, store: Store) -> None:
        await store.commit(
            [
                change(1, 0, [event(1)], row=row(1)),
                change(2, 0, [event(1)], row=row(2, status="COMPLETED", ended_at=5)),
            ]
        )
        await store.put_trials("a", [1, 2, 3])
        await store.put_trials("b", [1, 2])
        await store.forget_ended_trials()

        assert await store.trials() == [(1, "a"), (1, "b")]

    async def test_another_process_reads_what_was_committed(
        self, store: Store, opened: Opened
    ) -> None:
        await store.commit([change(1, 0, [event(1)])])

        stored = await (await opened()).load(1)
        assert stored is not None
        assert stored.events == [event(1)]

    async def test_there_is_nothing_to_load_of_an_unknown_execution(self, store: Store) -> None:
        assert await store.load(99) is None
        assert await store.execution(99) is None
        assert await store.events(99) == []

    async def test_a_second_writer_is_fenced_and_writes_nothing(
        self, store: Store, opened: Opened
    ) -> None:
        other = await opened()
        await store.commit([change(1, 0, [event(1)]), change(2, 0, [event(1)])])
        await other.commit([change(1, 1, [event(2, step="theirs")])])

        with pytest.raises(FencedError) as raised:
            await store.commit([change(1, 1, [event(2, step="ours")]), change(2, 1, [event(2)])])

        assert raised.value.execution_ids == (1,)
        assert [e.step for e in await store.events(1)] == ["s", "theirs"]
        assert len(await store.events(2)) == 1

    async def test_a_row_alone_is_written_unless_another_writer_was_there(
        self, store: Store, opened: Opened
    ) -> None:
        await store.commit([change(1, 0, [event(1)]), change(2, 0, [event(1)])])
        await store.commit([change(1, 1, [], row=row(1, seq=1, current="new"))])
        summary = await store.execution(1)
        assert summary is not None
        assert summary.current == "new"

        await (await opened()).commit([change(1, 1, [event(2)])])
        with pytest.raises(FencedError) as raised:
            await store.commit(
                [
                    change(1, 1, [], row=row(1, seq=1, current="old")),
                    change(2, 1, [], row=row(2, seq=1, current="old")),
                ]
            )

        assert raised.value.execution_ids == (1,)
        for execution_id in (1, 2):
            summary = await store.execution(execution_id)
            assert summary is not None
            assert summary.current != "old"

    async def test_an_execution_ends_at_most_once(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(1), event(2, "playbook.completed", "")])])

        with pytest.raises((FencedError, StoreError)):
            await store.commit([change(1, 2, [event(3, "playbook.failed", "")])])
        assert len(await store.events(1)) == 2

    async def test_a_commit_of_many_executions_is_one(self, store: Store) -> None:
        changes = [change(i, 0, [event(1)]) for i in range(1, 301)]
        await store.commit(changes)

        assert await store.unfinished() == list(range(1, 301))

    async def test_a_snapshot_stands_for_the_events_before_it(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(1), event(2)], snapshot=b"two")])
        await store.commit([change(1, 2, [event(3)])])

        stored = await store.load(1)
        assert stored is not None
        assert stored.snapshot == b"two"
        assert stored.events == [event(3)]
        assert len(await store.events(1)) == 3

    async def test_a_later_snapshot_takes_the_place_of_an_earlier_one(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(1)], snapshot=b"one")])
        await store.commit([change(1, 1, [event(2)], snapshot=b"two")])

        stored = await store.load(1)
        assert stored is not None
        assert (stored.snapshot, stored.events) == (b"two", [])

    async def test_events_come_in_pages(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(i) for i in range(1, 26)])])

        page = await store.events(1, after=10, limit=5)
        assert [e.seq for e in page] == [11, 12, 13, 14, 15]
        assert [e.seq async for e in all_events(store, 1)] == list(range(1, 26))

    async def test_events_can_be_chosen_by_type_and_step(self, store: Store) -> None:
        kinds = [("step.enter", "a"), ("step.exit", "a"), ("step.enter", "b"), ("step.exit", "b")]
        events = [event(i, kind, step) for i, (kind, step) in enumerate(kinds, 1)]
        await store.commit([change(1, 0, events)])

        assert [e.seq for e in await store.events(1, types=["step.exit"])] == [2, 4]
        assert [e.seq for e in await store.events(1, step="b")] == [3, 4]
        assert [e.seq for e in await store.events(1, types=["step.exit"], step="b")] == [4]

    async def test_events_can_be_chosen_by_what_they_hold(self, store: Store) -> None:
        bodies = [b'{"key":"a"}', b'{"key":"ab"}', b'{"key":"a","x":"\xc3\xa9"}', b"{}"]
        kinds = ["command.resumed", "command.resumed", "command.resumed", "step.exit"]
        pairs = zip(kinds, bodies, strict=True)
        events = [EventRow(i, i, kind, "s", body) for i, (kind, body) in enumerate(pairs, 1)]
        await store.commit([change(1, 0, events), change(2, 0, [event(1)])])

        async def numbers(holding: bytes, **filters: Any) -> list[int]:
            return [e.seq for e in await store.events(1, holding=holding, **filters)]

        resumed: dict[str, Any] = {"types": ["command.resumed"], "step": "s"}
        assert await numbers(b'"key":"a"', **resumed) == [1, 3]
        assert await numbers(b'"key":"a"', after=1, **resumed) == [3]
        assert await numbers(b'"key":"a"', limit=1, **resumed) == [1]
        assert await numbers("é".encode(), **resumed) == [3]
        assert await numbers(b'"key":"a"', types=["command.resumed"], step="t") == []
        assert await numbers(b'"key":"a"') == [1, 3]
        assert await numbers(b"", **resumed) == [1, 2, 3]

    # -- executions -------------------------------------------------------------------

    async def test_a_change_without_a_row_leaves_the_row(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(1)])])
        await store.commit([change(1, 1, [event(2)], row=None)])

        summary = await store.execution(1)
        assert summary is not None
        assert summary.seq == 1

    async def test_executions_are_listed_newest_first_and_by_page(self, store: Store) -> None:
        for i in range(1, 8):
            status = "COMPLETED" if i % 2 else "RUNNING"
            facts = row(i, path=f"p/{i % 3}", status=status, ended_at=i % 2)
            await store.commit([change(i, 0, [event(1)], row=facts)])

        async def listed(**filters: Any) -> list[int]:
            rows = await store.executions(ExecutionFilter(**filters))
            return [r.execution_id for r in rows]

        assert await listed() == [7, 6, 5, 4, 3, 2, 1]
        assert await listed(limit=2) == [7, 6]
        assert await listed(limit=2, before=6) == [5, 4]
        assert await listed(status="RUNNING") == [6, 4, 2]
        assert await listed(path="P/1") == [7, 4, 1]
        assert await listed(path="p", limit=3) == [7, 6, 5]
        assert await listed(path="/", limit=2, before=5) == [4, 3]
        assert await listed(path="p", status="RUNNING") == [6, 4, 2]
        assert await listed(path="p%") == []
        assert await store.unfinished() == [2, 4, 6]
        assert await store.counts() == {"COMPLETED": 4, "RUNNING": 3}

    async def test_children_are_found_by_their_parent(self, store: Store) -> None:
        await store.commit([change(1, 0, [event(1)])])
        for i in (2, 3):
            child = row(i, parent_execution_id=1)
            await store.commit([change(i, 0, [event(1)], row=child)])

        rows = await store.executions(ExecutionFilter(parent_execution_id=1))
        assert [r.execution_id for r in rows] == [3, 2]

    async def test_a_deleted_execution_leaves_nothing(self, store: Store) -> None:
        results = [ResultRow("noetl://execution/1/result/s/1", "s", 5, "", "disk")]
        first = change(1, 0, [event(1)], snapshot=b"x", results=results, timers={"t": 5})
        await store.commit([first, change(2, 0, [event(1)])])
        await store.post(1, b"late")

        await store.delete_execution(1)

        assert await store.load(1) is None
        assert await store.events(1) == []
        assert await store.results(1) == []
        assert await store.take([1]) == []
        assert await store.load(2) is not None

    async def test_values_kept_by_reference_are_listed(self, store: Store) -> None:
        results = [
            ResultRow(f"noetl://execution/1/result/s/{i}", "s", 5, "digest", "disk") for i in (1, 2)
        ]
        await store.commit([change(1, 0, [event(1)], results=results[:1])])
        await store.commit([change(1, 1, [event(2)], results=results)])

        assert sorted(await store.results(1)) == results

    # -- inbox ------------------------------------------------------------------------

    async def test_inputs_wait_for_their_owner_until_they_are_dropped(
        self, store: Store, opened: Opened
    ) -> None:
        other = await opened()
        await other.post(1, b"first")
        await other.post(2, b"not ours")
        await other.post(1, b"second")

        waiting = await store.take([1])
        assert [(i, bytes(body)) for _, i, body in waiting] == [(1, b"first"), (1, b"second")]
        await store.drop([waiting[0][0]])
        assert [bytes(body) for _, _, body in await store.take([1])] == [b"second"]
        assert [bytes(body) for _, _, body in await store.take([2])] == [b"not ours"]

    # -- catalog ----------------------------------------------------------------------

    async def test_a_document_registered_again_is_a_new_version_if_it_changed(
        self, store: Store
    ) -> None:
        first = await store.register(entry(10, content="one"))
        same = await store.register(entry(11, content="one"))
        second = await store.register(entry(12, content="two"))

        assert (first.version, same.catalog_id, second.version) == (1, 10, 2)
        assert await store.entry("a/b") == second
        assert await store.entry("a/b", version=1) == first
        assert await store.entry("", catalog_id=12) == second
        assert await store.entry("other") is None
        assert await store.entry("a/b", version=3) is None

    async def test_the_catalog_lists_the_latest_of_each_document(self, store: Store) -> None:
        await store.register(entry(1, "b", "one"))
        await store.register(entry(2, "a", "one"))
        await store.register(entry(3, "b", "two"))
        await store.register(entry(4, "c", "one", kind="subscription"))

        assert [(e.path, e.version) for e in await store.entries()] == [
            ("a", 1),
            ("b", 2),
            ("c", 1),
        ]
        assert [e.path for e in await store.entries("subscription")] == ["c"]

    async def test_the_catalog_is_read_by_pages(self, store: Store) -> None:
        for number, path in enumerate(["d", "b", "a", "c", "b", "é", "E"]):
            whose = {"tenant": "t"} if path in "bc" else {}
            kind = "subscription" if path == "c" else "playbook"
            await store.register(entry(number + 1, path, f"{path}{number}", kind=kind, **whose))
        await store.archive("d", None, 5)

        async def paths(**filters: Any) -> list[tuple[str, int]]:
            page = await store.entries_page(CatalogFilter(**filters))
            assert all(one.content for one in page)
            return [(one.path, one.version) for one in page]

        assert await paths() == [("E", 1), ("a", 1), ("b", 2), ("c", 1), ("é", 1)]
        assert await paths(limit=2) == [("E", 1), ("a", 1)]
        assert await paths(limit=2, after="a") == [("b", 2), ("c", 1)]
        assert await paths(after="é") == []
        assert await paths(tenant="t") == [("b", 2), ("c", 1)]
        assert await paths(tenant="t", kind="playbook", after="a") == [("b", 2)]
        assert await paths(organization="none") == []
        assert await store.count_entries() == 5
        assert await store.count_entries("playbook") == 4
        assert await store.count_entries("none") == 0

    async def test_what_is_archived_is_found_by_its_version_only(self, store: Store) -> None:
        await store.register(entry(1, "b", "one"))
        await store.register(entry(2, "b", "two"))
        await store.register(entry(3, "a", "one"))

        changed = await store.archive("b", 2, 77)
        assert [(e.catalog_id, e.archived_at) for e in changed] == [(2, 77)]
        assert await store.archive("b", 2, 78) == []
        assert [e.catalog_id for e in await store.entries()] == [3, 1]
        latest = await store.entry("b")
        assert latest is not None
        assert latest.version == 1
        assert await store.entry("b", 2) == await store.entry("", catalog_id=2) == changed[0]
        assert (await store.register(entry(4, "b", "two"))).version == 3

        assert [e.version for e in await store.archive("b", None, 79)] == [1, 3]
        assert await store.entry("b") is None
        assert [e.path for e in await store.entries()] == ["a"]
        back = await store.archive("b", None, 0)
        assert [(e.version, e.archived_at) for e in back] == [(1, 0), (2, 0), (3, 0)]
        assert await store.archive("none", None, 5) == []

    async def test_the_same_text_in_another_folder_is_another_version(self, store: Store) -> None:
        await store.register(entry(1, folder="/x"))
        moved = await store.register(entry(2, folder="/y"))

        assert (moved.version, moved.folder) == (2, "/y")

    # -- credentials ------------------------------------------------------------------

    async def test_credentials_are_put_replaced_listed_and_deleted(self, store: Store) -> None:
        one = CredentialRow(name="b", type="bearer", sealed=b"\x00one", tags=["x"])
        two = CredentialRow(name="b", type="basic", sealed=b"two", description="new")
        other = CredentialRow(name="a", type="bearer", sealed=b"other")
        for credential in (one, other, two):
            await store.put_credential(credential)

        assert await store.credential("b") == two
        assert [c.name for c in await store.credentials()] == ["a", "b"]
        assert await store.delete_credential("b")
        assert not await store.delete_credential("b")
        assert await store.credential("b") is None
        assert await store.credential("b\x00") is None
        assert not await store.delete_credential("b\x00")

    async def test_documents_credentials_and_notes_carry_their_labels(self, store: Store) -> None:
        labels: dict[str, Any] = {"tenant": "sales", "organization": "emea"}
        await store.register(entry(1, "a", "one", **labels))
        again = await store.register(entry(2, "a", "one"))
        await store.put_credential(CredentialRow(name="b", type="bearer", sealed=b"x", **labels))
        await store.commit([change(7, 0, [event(1)], row=row(7, seq=1, labels=labels))])
        for execution_id, tenant in ((7, ""), (8, ""), (0, "others")):
            note = SecretNote(
                at=1, who="w", action="resolve", alias="b", execution_id=execution_id, tenant=tenant
            )
            await store.note_secret(note)

        assert (again.tenant, again.organization) == ("sales", "emea")
        (listed,) = await store.entries()
        assert listed == again
        stored = await store.credential("b")
        assert stored is not None
        assert (stored.tenant, stored.organization) == ("sales", "emea")
        assert await store.credentials() == [stored]
        notes = await store.secret_notes(SecretNotes())
        assert [n.tenant for n in notes] == ["others", "", "sales"]
        (mine,) = await store.secret_notes(SecretNotes(tenant="sales", organization="emea"))
        assert mine.execution_id == 7
        assert await store.secret_notes(SecretNotes(tenant="sales", organization="apac")) == []

    async def test_a_replaced_credential_keeps_the_time_of_the_first(self, store: Store) -> None:
        for at in (1, 2):
            await store.put_credential(
                CredentialRow(name="b", type="bearer", sealed=b"x", created_at=at, updated_at=at)
            )

        stored = await store.credential("b")
        assert stored is not None
        assert (stored.created_at, stored.updated_at) == (1, 2)

    async def test_a_sealed_record_is_replaced_only_if_it_is_still_the_same(
        self, store: Store
    ) -> None:
        await store.put_credential(CredentialRow(name="b", type="bearer", sealed=b"one"))

        assert await store.replace_sealed("b", b"one", b"two")
        assert not await store.replace_sealed("b", b"one", b"three")
        assert not await store.replace_sealed("c", b"one", b"three")
        stored = await store.credential("b")
        assert stored is not None
        assert stored.sealed == b"two"

    async def test_who_got_which_secret_is_noted_and_read_page_by_page(self, store: Store) -> None:
        for number in range(5):
            await store.note_secret(
                SecretNote(
                    at=number,
                    who=f"w{number % 2}",
                    action="resolve",
                    alias="api",
                    execution_id=number,
                    outcome="ok" if number else "unknown",
                )
            )

        first = await store.secret_notes(SecretNotes(limit=2))
        rest = await store.secret_notes(SecretNotes(before=first[-1].note_id))
        assert [n.at for n in first + rest] == [4, 3, 2, 1, 0]
        assert [n.at for n in await store.secret_notes(SecretNotes(who="w1"))] == [3, 1]
        assert [n.at for n in await store.secret_notes(SecretNotes(execution_id=2))] == [2]
        assert [n.at for n in await store.secret_notes(SecretNotes(outcome="unknown"))] == [0]
        assert await store.secret_notes(SecretNotes(alias="other")) == []
        assert (first[0].who, first[0].action, first[0].alias) == ("w0", "resolve", "api")

    async def test_whatever_name_was_asked_for_is_noted(self, store: Store) -> None:
        await store.note_secret(SecretNote(at=1, who="w", action="read", alias="x\x00é"))

        (note,) = await store.secret_notes(SecretNotes())
        assert note.alias.startswith("x")
        assert await store.secret_notes(SecretNotes(alias="x\x00é")) == [note]
