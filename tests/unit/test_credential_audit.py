"""Nobody gets a credential without a note of it, whatever comes of the request."""

from __future__ import annotations

import msgspec
import pytest

from arcbook.secrets.api import CredentialError
from arcbook.secrets.credentials import CredentialBook, Labels
from arcbook.secrets.envelope import LocalKey
from arcbook.store.api import StoreError
from arcbook.store.memory import MemoryStore
from arcbook.store.secret_audit import SecretNotes
from arcbook.testing.clock import START_US, FakeClock

LABELS = Labels("sales", "emea")


def book_of(store, first_byte=0):
    key = LocalKey(bytes([first_byte]) + bytes(31), "the test")
    return CredentialBook(store, key, FakeClock(), requester="us")


async def stored():
    store = MemoryStore()
    await book_of(store).add("api", "bearer", {"token": "secret"}, labels=LABELS)
    return store


async def noted(store):
    """Return what the audit has, oldest first."""
    notes = reversed(await store.secret_notes(SecretNotes()))
    return [(n.action, n.who, n.alias, n.execution_id, n.outcome) for n in notes]


async def test_what_is_stored_read_and_deleted_is_noted_with_who_and_for_what():
    store = await stored()
    book = book_of(store)
    await book.credential("api", 7, requester="w")
    await book.credential("api", 8, action="read")
    await book.remove("api", requester="w", labels=LABELS)

    assert await noted(store) == [
        ("put", "us", "api", 0, "ok"),
        ("resolve", "w", "api", 7, "ok"),
        ("read", "us", "api", 8, "ok"),
        ("delete", "w", "api", 0, "ok"),
    ]
    mine = await store.secret_notes(SecretNotes(tenant="sales", organization="emea"))
    assert [n.action for n in mine] == ["delete", "put"]
    assert {n.at for n in mine} == {START_US}


async def test_a_request_that_yields_nothing_is_noted_too():
    store = await stored()
    for book, alias in ((book_of(store), "nobody"), (book_of(store, 9), "api")):
        with pytest.raises(CredentialError):
            await book.credential(alias, 7, requester="w")
    await book_of(store).refused("api", requester="w")

    assert (await noted(store))[1:] == [
        ("resolve", "w", "nobody", 7, "unknown"),
        ("resolve", "w", "api", 7, "unreadable"),
        ("read", "w", "api", 0, "refused"),
    ]


async def test_what_was_not_there_is_not_deleted():
    store = await stored()

    assert not await book_of(store).remove("nobody")
    assert len(await noted(store)) == 1


async def test_a_credential_whose_note_cannot_be_written_is_not_given_out(monkeypatch):
    store = await stored()

    async def away(note):
        raise StoreError("the store is away")

    monkeypatch.setattr(store, "note_secret", away)

    with pytest.raises(StoreError):
        await book_of(store).credential("api", 7)


async def test_a_record_of_another_name_does_not_open():
    store = await stored()
    row = await store.credential("api")
    await store.put_credential(msgspec.structs.replace(row, name="moved"))

    with pytest.raises(CredentialError):
        await book_of(store).credential("moved", 7)
